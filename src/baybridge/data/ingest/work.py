"""Owns the reading of one upload from its bytes to finished Parquet parts. It runs in the process of `room`, and sees no catalog."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from baybridge.catalog.dataset import Mode
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.load import open_csv
from baybridge.data.ingest.order import REJECTS, UPLOAD, Changes, Order, Outcome
from baybridge.data.ingest.parts import Written, press
from baybridge.data.ingest.profile import profile, propose
from baybridge.data.ingest.source import Reject
from baybridge.data.ingest.stage import Staged, stage
from baybridge.data.ingest.unpack import is_workbook, unpack
from baybridge.data.ingest.workbook import no_sheets, no_table, read_sheet
from baybridge.wire.formats import Format

_NOTHING: Final = Written((), (), Changes(inserted=0))


def work(folder: Path, order: Order) -> Outcome:
    """Do what is ordered with the file `upload` in the folder. Raise what its parts raise, first of all Invalid (`file_unreadable`)."""
    memory = order.limits.memory
    source, form, notes = _opened(folder, order)
    null_words = order.null_words if order.schema is None else order.schema.null_words
    opened = open_csv(source, order.wanted, scratch=folder, confirmed=order.confirmed) if form is Format.CSV else None
    source = source if opened is None else opened.plain.path
    names = () if order.schema is None else tuple(order.schema.types)
    profiled = profile(source, scratch=folder, file_format=form, null_words=null_words, names=names, memory_limit=memory)
    schema = order.schema or propose(profiled, order.key)
    taken = order.base if order.mode is Mode.APPEND else ()
    arriving = _of_upload(schema, order.mode)
    staged = stage(source, arriving, scratch=folder, file_format=form, memory_limit=memory, taken=taken, doubted=profiled.doubted)
    if opened is not None:
        profiled, staged = opened.profiled(profiled), opened.staged(staged)
    profiled = profiled.with_rows(staged.against)
    if staged.rows_rejected:
        _write_rejects(folder / REJECTS, staged.kept)
    blocked = staged.rows_rejected > order.threshold.allows(staged.rows_read)
    written = _NOTHING if blocked else _written(folder, order, schema, staged)
    return Outcome(
        schema=schema,
        profile=profiled,
        rows_read=staged.rows_read,
        rows_loaded=staged.rows_loaded,
        rows_rejected=staged.rows_rejected,
        rejects=staged.rejects,
        found=None if opened is None else opened.found,
        changes=written.changes,
        kept=written.kept,
        parts=written.parts,
        notes=notes,
        rejects_found=staged.rejects_found,
    )


def _opened(folder: Path, order: Order) -> tuple[Path, Format, tuple[str, ...]]:
    """Where what is to be read stands, unpacked, in which format, and what the report says of that. A workbook shows itself as one."""
    unpacked = unpack(folder / UPLOAD, folder / "unpacked", order.limits)
    if not is_workbook(unpacked.path):
        if order.sheet is not None or order.file_format is Format.XLSX:
            raise no_sheets()
        return unpacked.path, order.file_format, unpacked.notes
    if order.file_format not in {Format.CSV, Format.XLSX}:
        raise no_table(order.file_format)
    sheet = read_sheet(unpacked.path, order.sheet, folder / "sheet", order.limits)
    return sheet.folder, Format.XLSX, sheet.notes


def _of_upload(schema: Schema, mode: Mode) -> Schema:
    """The schema of the rows that arrive: a deletion names keys and nothing else."""
    if mode is not Mode.DELETE:
        return schema
    return replace(schema, columns=tuple(column for column in schema.columns if column.name in schema.key))


def _write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write what the steward can download: it holds cells, as they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("row", "column", "rule", "value", "offset", "message"))
        lines.writerows((each.row, each.column, each.rule, each.value, each.offset, each.message) for each in rejects)


def _written(folder: Path, order: Order, schema: Schema, staged: Staged) -> Written:
    """The parts, or where nothing is to be written, what they would count."""
    if order.mode is Mode.REPLACE and not order.write:
        return replace(_NOTHING, changes=Changes(inserted=staged.rows_loaded))
    with press(staged.path, Path(mkdtemp(prefix="parts-", dir=folder)), memory_limit=order.limits.memory) as parts:
        match order.mode:
            case Mode.REPLACE:
                return parts.replace()
            case Mode.APPEND:
                return parts.append(order.base)
            case Mode.UPSERT | Mode.DELETE:
                return parts.change(order.mode, order.base, schema)
