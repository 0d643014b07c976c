"""Datasets: published and shown."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from baybridge.cli.printing import counted, table, told, write_private
from baybridge.cli.report import report_lines, write_rejects
from baybridge.cli.session import Door, Session, door_options, read_json
from baybridge.client import RowsRejected, WarningsFound
from baybridge.errors import CODES, Advice, BaybridgeError, Conflict, NotFound
from baybridge.wire.collections import CollectionsShape, DeclareRequest, PublishReport, VersionShape
from baybridge.wire.formats import Format, format_of_name

_ASPECTS = ("encoding", "delimiter", "quote", "escape", "line_end", "skip", "header_rows", "footer", "names")
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Upload:
    """What a publication was asked for."""

    dataset: str
    file: Path
    null: tuple[str, ...]
    key: tuple[str, ...]
    accept_schema: bool
    dry_run: bool
    suspend: bool
    mode: str
    base: int | None
    sheet: str | None
    reading: dict[str, str]
    accept_reading: bool
    format: str | None
    max_rejects: str | None
    rejects_reason: str | None
    stop_on_warnings: bool

    def send(self, door: Door) -> PublishReport:
        source = sys.stdin.buffer if str(self.file) == "-" else told(self.file)
        return door.publish(
            self.dataset,
            source,
            null=self.null,
            key=self.key,
            accept_schema=self.accept_schema,
            dry_run=self.dry_run,
            suspend=self.suspend,
            mode=self.mode,
            base=self.base,
            sheet=self.sheet,
            reading=self.reading,
            accept_reading=self.accept_reading,
            format=self.format or format_of_name(self.file),
            max_rejects=self.max_rejects,
            rejects_reason=self.rejects_reason,
            stop_on_warnings=self.stop_on_warnings,
        )


@click.command()
@click.argument("dataset")
@click.argument("file", type=_FILE)
@click.option("--null", multiple=True, metavar="WORD", help="A word that means null, beside the empty one; repeatable.")
@click.option("--key", default="", metavar="A,B", help="The columns of the key, by which rows are clustered.")
@click.option("--schema", type=_FILE, help="The schema, as Frictionless Table Schema JSON. It says key and null words too.")
@click.option("--schema-change", is_flag=True, help="Let --schema take the place of the schema of the versions that there are.")
@click.option("--suspend", is_flag=True, help="Suspend the agreements that lose a column by this version; a dry run lists them.")
@click.option("--accept-schema", is_flag=True, help="Confirm the schema that the file's rows propose, where there is none yet.")
@click.option("--dry-run", is_flag=True, help="Profile and check, and write nothing.")
@click.option(
    "--mode",
    type=click.Choice(["replace", "append", "upsert", "delete"]),
    default="replace",
    help="What FILE is: all rows of the next version, or rows to add to the latest, put in by key, or delete by key. [default: replace]",
)
@click.option("--base", type=int, metavar="N", help="The version that FILE follows: where another is the latest, nothing is published.")
@click.option("--sheet", metavar="NAME", help="The sheet of an Excel workbook, where it has several.")
@click.option(
    "--read", multiple=True, metavar="WHAT=HOW", help="How FILE is read where it is not plain CSV: encoding=windows-1252; repeatable."
)
@click.option("--accept-reading", is_flag=True, help="Read FILE as a dry run proposes.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*Format]),
    help="The format of FILE. [default: by the end of its name, else csv]",
)
@click.option("--title", help="The dataset's title.")
@click.option("--description", help="What the dataset is.")
@click.option("--access", type=click.Choice(["public", "agreement"]), help="Who may read; fixed by the first version. [default: agreement]")
@click.option("--hidden", is_flag=True, help="Hide it from all but its own agency and whom `hide --invite` names.")
@click.option(
    "--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Write the cells that do not fit to this CSV file (mode 600)."
)
@click.option("--max-rejects", metavar="N", help="Publish without the rows that do not fit, where they are at most N, or N% of all.")
@click.option("--rejects-reason", metavar="TEXT", help="Why those rows may be left out; needed with --max-rejects.")
@click.option("--stop-on-warnings", is_flag=True, help="Publish nothing where FILE is unlike the version before: exit code 8.")
@door_options
def publish(  # noqa: PLR0913 -- each is an option of the command
    session: Session,
    *,
    dataset: str,
    file: Path,
    null: tuple[str, ...],
    key: str,
    schema: Path | None,
    schema_change: bool,
    suspend: bool,
    accept_schema: bool,
    dry_run: bool,
    mode: str,
    base: int | None,
    sheet: str | None,
    read: tuple[str, ...],
    accept_reading: bool,
    file_format: str | None,
    title: str | None,
    description: str | None,
    access: str | None,
    hidden: bool,
    rejects: Path | None,
    max_rejects: str | None,
    rejects_reason: str | None,
    stop_on_warnings: bool,
) -> None:
    """Publish a table as the next version of DATASET.

    FILE is CSV, alone or in gzip or zip, or an Excel workbook (.xlsx). It is read as a stream; - is standard input.
    Nothing is published while one cell does not fit the schema: exit code 8 says so, also for a dry run. With --max-rejects so many rows
    are left out, counted, and kept for `rejects`.
    """
    if schema is not None and dry_run:
        raise click.UsageError("--dry-run writes nothing, and a schema is checked by declaring it: give one of --dry-run and --schema.")
    if schema is not None and (null or key):
        raise click.UsageError("The schema's missingValues and primaryKey say null words and key: leave --null and --key out.")
    if schema_change and schema is None:
        raise click.UsageError("--schema-change confirms another schema: give it with --schema FILE.")
    given = None if schema is None else read_json(schema, dict[str, Any])
    declaration = DeclareRequest(
        title=title, description=description, access=access, schema=given, schema_change=schema_change, hidden=hidden or None
    )
    said = _said(read)
    upload = _Upload(
        *(dataset, file, null, names(key), accept_schema, dry_run, suspend, mode, base, sheet, said, accept_reading, file_format),
        *(max_rejects, rejects_reason, stop_on_warnings),
    )
    with session.door() as door:
        new = not dry_run and _declare(door, upload, declaration)
        try:
            report = upload.send(door)
        except BaybridgeError as error:
            if isinstance(error, RowsRejected | WarningsFound) and error.report is not None:
                if not session.as_json:
                    session.show(None, report_lines(error.report, rejects, schema=False))
                write_rejects(session, rejects, error.report)
            if new:
                session.note(f"{dataset} is declared and has no version yet: with the next try everything can be said anew.")
            raise
        session.show(report, report_lines(report, rejects, schema=accept_schema))
        if rejects is not None and report.published and report.rejects_kept:
            write_private(rejects, door.rejects(dataset, report.version))
            session.note(f"Wrote {rejects}: {counted(report.rejects_found, 'cell')}.")
        else:
            write_rejects(session, rejects, report)
    if report.rows_rejected > report.rejects_allowed:
        click.get_current_context().exit(CODES["rows_rejected"].exit_code)


@click.command()
@click.argument("dataset", required=False)
@door_options
def show(session: Session, dataset: str | None) -> None:
    """Show title, schema and versions of DATASET, or list all datasets."""
    with session.door() as door:
        if dataset is None:
            listed = door.collections()
            session.show(listed, _listing_lines(listed))
            return
        collection = door.collection(dataset)
        versions = door.versions(dataset).versions
        try:
            schema = door.schema(dataset)
        except NotFound:
            schema = {}
    shape = {"collection": collection, "schema": schema or None, "versions": versions}
    session.show(
        shape,
        [
            f"{collection.id}: {collection.title}",
            *([f"  {collection.description}"] if collection.description else []),
            *([] if collection.state == "published" else [f"  state    {collection.state}, {collection.reason}"]),
            f"  access   {collection.access}" + (", hidden" if collection.hidden else ""),
            f"  key      {', '.join(schema.get('primaryKey', [])) or 'none'}",
            "",
            *table(
                ["column", "type", "description"],
                [[each["name"], each["baybridge:type"], each.get("description")] for each in schema.get("fields", [])],
            ),
            "",
            *_version_lines(versions),
        ],
    )


def _said(read: Sequence[str]) -> dict[str, str]:
    """What --read says, by aspect."""
    said = {}
    for each in read:
        aspect, equals, how = each.partition("=")
        if aspect not in _ASPECTS or not equals:
            raise click.UsageError(f"--read takes WHAT=HOW, WHAT one of {', '.join(_ASPECTS)}.")
        said[aspect] = how
    return said


def _listing_lines(listed: CollectionsShape) -> Iterator[str]:
    rows = [[each.id, each.access, each.state, each.version, each.title] for each in listed.collections]
    yield from table(["dataset", "access", "state", "latest", "title"], rows)
    if any(link.rel == "next" for link in listed.links):
        yield "There are more: all_collections() of the SDK gives every one."


def _version_lines(versions: Sequence[VersionShape]) -> list[str]:
    """The versions, newest first. Rows are shown where they are told, reasons where there are any."""
    if not versions:
        return ["no version yet"]
    columns: list[tuple[str, list[object]]] = [
        ("version", [each.version for each in versions]),
        ("rows", [each.rows for each in versions]),
        ("published", [each.published for each in versions]),
        ("state", [each.state for each in versions]),
        ("reason", [each.reason for each in versions]),
    ]
    shown = [(header, cells) for header, cells in columns if any(cell is not None for cell in cells)]
    return table([header for header, _ in shown], list(zip(*(cells for _, cells in shown), strict=True)))


def names(text: str) -> tuple[str, ...]:
    """A comma-separated list of names; one with a comma stands in double quotes."""
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip())


def _declare(door: Door, upload: _Upload, declaration: DeclareRequest) -> bool:
    """Make the dataset known before its first version, or say of it what was given. Give whether it is new.

    Nothing is declared for an upload that could not be published, and all that is said here can be said anew until a version is.
    """
    new = False
    try:
        door.collection(upload.dataset)
    except NotFound:
        if not upload.accept_schema and declaration.schema is None:
            raise _unconfirmed(upload.dataset) from None
        new = True
    if new or declaration != DeclareRequest():
        door.declare(upload.dataset, declaration)
    return new


def _unconfirmed(dataset: str) -> Conflict:
    return Conflict(
        "schema_unconfirmed",
        f"{dataset} is not declared yet, and the upload neither gives nor accepts a schema.",
        advice=Advice(
            rule="The first version's schema is confirmed by a steward; it is the contract for all later ones.",
            who_can_change="you",
            next_step="Give the schema with --schema FILE, or confirm the one that the rows propose with --accept-schema.",
            next_command=f"baybridge publish {dataset} FILE --dry-run",
        ),
    )
