"""What a publication did, as a terminal shows it, and the rejects of one in a file of their steward's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from baybridge.cli.printing import counted, csv_lines, printable, table, write_private
from baybridge.cli.session import Session, door_options
from baybridge.wire.collections import ChangesMadeShape, PublishReport, ReadingShape


@click.command()
@click.argument("dataset")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--version", type=click.IntRange(min=1), help="The version that let them go. [default: the latest refused upload]")
@door_options
def rejects(session: Session, dataset: str, file: Path, version: int | None) -> None:
    """Write the rows that did not fit, and why, to FILE (CSV, mode 600): those of the latest upload of DATASET that was refused.

    They hold cells as they were sent. That someone read them is entered in the log.
    """
    with session.door() as door:
        kept = door.rejects(dataset, version)
    write_private(file, kept)
    size = len(kept.encode())
    session.show({"path": str(file), "bytes": size}, [f"Wrote {file}: {size:,} bytes."])


def write_rejects(session: Session, path: Path | None, report: PublishReport) -> None:
    """The rejects hold values, so they go into a file of the uploader's own and not to the terminal."""
    if path is None:
        return
    rows = [[each.row, each.column, each.rule, each.value, each.offset, each.message] for each in report.rejects]
    write_private(path, csv_lines([["row", "column", "rule", "value", "offset", "message"], *rows]))
    more = f" of {report.rejects_found:,}" if report.rejects_found > len(rows) else ""
    session.note(f"Wrote {path}: {counted(len(rows), 'cell')}{more}.")
    if more and report.rejects_kept:
        session.note(f"All of them: baybridge rejects {report.dataset} FILE")
    if rows:
        session.note(f"next: correct the file, and publish it again: baybridge publish {report.dataset} FILE")


def _reading_lines(reading: ReadingShape | None) -> Iterator[str]:
    """How the file was read, where it is not plain."""
    if reading is None or not reading.remarks:
        return
    yield ""
    yield from table(
        ["read", "as", "confirmed", "why"],
        [[each.aspect, each.value, "yes" if each.confirmed else "no", each.reason] for each in reading.remarks],
    )
    names = [each.encoding for each in reading.encodings]
    for line in reading.differing:
        texts = zip(names, line.texts, strict=True)
        yield from ("", *table([f"line {line.line:,}", "text"], [[name, text] for name, text in texts if text is not None]))


def _change_lines(changes: ChangesMadeShape) -> Iterator[str]:
    """How the version came out of the one before, where it was changed and not replaced."""
    if changes.base is None:
        return
    yield f"  of version     {changes.base:>12,}"
    for what, count in (("inserted", changes.inserted), ("updated", changes.updated), ("deleted", changes.deleted)):
        yield f"  rows {what:<8}  {count:>12,}"
    if changes.unmatched:
        yield f"  not there      {changes.unmatched:>12,}"


def report_lines(report: PublishReport, rejects: Path | None, *, schema: bool) -> Iterator[str]:
    """What a publication did. `schema` is whether it was this act that confirmed the schema; rejects were written where a file is named."""
    yield f"{report.dataset}: published version {report.version}" if report.published else f"{report.dataset}: nothing was published"
    yield f"  rows read      {report.rows_read:>12,}"
    yield f"  rows loaded    {report.rows_loaded:>12,}"
    yield f"  rows rejected  {report.rows_rejected:>12,}"
    yield from _change_lines(report.changes)
    yield f"  source         {report.source_bytes:,} bytes, sha256 {report.source_sha256}"
    if report.same_file_as is not None:
        yield f"  note: the file has the same bytes as that of version {report.same_file_as}"
    if report.entry is not None:
        yield f"  entry          {report.dataset.partition('.')[0]}/{report.entry}"
    yield from (f"  {note}" for note in report.notes)
    found = Counter((each.column or "(row)", each.rule) for each in report.rejects)
    if found:
        yield ""
        yield from table(["rejected in", "rule", "cells"], [[column, rule, count] for (column, rule), count in found.most_common()])
        if any(each.rule == "key_taken" for each in report.rejects):
            yield "  key_taken: rows with these keys are there; to change them: --mode upsert"
        if rejects is None and report.rejects_kept:
            pinned = f" --version {report.version}" if report.published else ""
            yield f"  The rows and values: baybridge rejects {report.dataset}{pinned} FILE"
        elif rejects is None:
            yield "  The rows and values: --rejects FILE"
    yield from _warning_lines(report)
    yield from _reading_lines(report.reading)
    for each in report.suspends:
        did = "suspended" if report.published else "suspends"
        yield f"  {did} {each.agreement} ({each.consumer}): {', '.join(each.columns)}"
    if report.published and schema:
        yield ""
        yield from table(["column", "type"], [[each["name"], each["baybridge:type"]] for each in report.schema["fields"]])
        yield from _doubt_lines(report)
    if not report.published:
        yield ""
        types = {each["name"]: each["baybridge:type"] for each in report.schema["fields"]}
        profiled = [
            [
                each.name,
                types.get(each.name),
                each.proposed,
                each.nulls,
                each.distinct,
                each.leading_zeros,
                each.min_length,
                each.max_length,
            ]
            for each in report.profile
        ]
        headers = ["column", "type", "proposed", "nulls", "distinct", "leading zeros", "shortest", "longest"]
        yield from table(headers, profiled)
        yield from _doubt_lines(report)


def _warning_lines(report: PublishReport) -> Iterator[str]:
    """What is unlike the version before, and which values are new or lost, where they are told."""
    for each in report.warnings:
        named = f": {', '.join(each.values)}" if each.values else ""
        yield printable(f"  warning: {each.message}{named}")


def _doubt_lines(report: PublishReport) -> Iterator[str]:
    """The columns of text that nearly have another type: one cell that is mistyped makes a column of dates one of text."""
    for each in report.profile:
        if each.doubt is not None:
            yield printable(f"  {each.name} is proposed as text: {each.evidence}")
