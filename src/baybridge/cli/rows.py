"""Rows: asked for and printed, as a table, CSV, NDJSON or one JSON object; or taken into a file, whole or not at all."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from baybridge.cli.dataset import names
from baybridge.cli.printing import counted, csv_lines, table
from baybridge.cli.session import Session, server_options
from baybridge.client import Client, Download, Page, Selection
from baybridge.client.call import Call, Receiver
from baybridge.client.calls.rows import download

_PAGE: Final = 10_000
_DEFAULT: Final = 100


@click.command()
@click.argument("dataset")
@click.option("--filter", "filter_", metavar="CQL2", help="Only rows for which this CQL2 text holds: \"delay > 60 AND origin = 'JFK'\".")
@click.option("--columns", metavar="A,B", help="Only these columns, in this order. [default: all that the agreement releases]")
@click.option("--sort", default="", metavar="A,-B", help="Sort by these columns; - for descending.")
@click.option("--limit", type=click.IntRange(min=1), help=f"At most so many rows. [default: {_DEFAULT}]")
@click.option("--all", "everything", is_flag=True, help="All rows.")
@click.option("--version", type=click.IntRange(min=1), help="This version. [default: the latest]")
@click.option("--agreement", metavar="ID", help="Under this agreement, where several fit.")
@click.option("--purpose", metavar="CODE", help="For this purpose. [default: the token's]")
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "ndjson"]), help="How rows are written. [default: table, in a file csv]"
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all rows into this file, for its owner alone. It has its name only when it is whole.",
)
@server_options
def get(  # noqa: PLR0913 -- each is an option of the command
    session: Session,
    *,
    dataset: str,
    filter_: str | None,
    columns: str | None,
    sort: str,
    limit: int | None,
    everything: bool,
    version: int | None,
    agreement: str | None,
    purpose: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Read rows of DATASET. CSV and NDJSON are printed page by page as they arrive.

    With --output all rows go into a file in one answer, with a bar on a terminal; --limit ends it early. Where the answer is cut, the
    file is left as it was.
    """
    if everything and limit is not None:
        raise click.UsageError("--all and --limit contradict each other.")
    if output is not None and format_ == "table":
        raise click.UsageError("A file holds csv or ndjson, not a table.")
    wanted_columns = names(columns or "")
    if columns is not None and not wanted_columns:
        raise click.UsageError("--columns names no column: leave it out for all that are released.")
    selection = Selection(
        filter=filter_, properties=wanted_columns, sortby=names(sort), limit=limit, version=version, agreement=agreement, purpose=purpose
    )
    with session.client() as client:
        if output is not None:
            _save(session, client, download(dataset, output, format_ or "csv", **selection))
            return
        wanted = None if everything else limit or _DEFAULT
        paged: Selection = {**selection, "limit": _PAGE if wanted is None else min(wanted, _PAGE)}
        pages = _until(client.pages(dataset, **paged), wanted)
        if session.as_json or format_ in {None, "table"}:
            _print_whole(session, list(pages), wanted, wanted_columns)
        else:
            _print_pages(session, pages, wanted, wanted_columns, format_ or "csv")


def _until(pages: Iterator[Page], wanted: int | None) -> Iterator[Page]:
    """The pages up to the one with the last row that is wanted, whole; no page after it is asked for."""
    had = 0
    for page in pages:
        yield page
        had += len(page.items)
        if wanted is not None and had >= wanted:
            return


def _print_whole(session: Session, pages: list[Page], wanted: int | None, columns: tuple[str, ...]) -> None:
    read = list(itertools.chain.from_iterable(page.items for page in pages))
    rows, last = read[:wanted], pages[-1]
    more = len(read) > len(rows) or any(link.rel == "next" for link in last.links)
    entries = [page.provenance.entry for page in pages]
    shape = {"version": last.version, "items": rows, "more": more, "entry": entries[-1], "entries": [each for each in entries if each]}
    session.show(shape, _table(rows, columns))
    session.note(f"{counted(len(rows), 'row')} of version {last.version}{'; there are more (--limit, --all)' if more else ''}.")
    _say_entries(session, pages)


def _say_entries(session: Session, pages: Iterable[Page]) -> None:
    """Say on a terminal which entries of the log the pages are, so that a receipt can be asked for."""
    if sys.stderr.isatty():
        for page in pages:
            if page.provenance.entry is not None:
                session.note(f"Entry {page.provenance.entry}")


@dataclass(frozen=True, slots=True)
class _Told:
    """A file that is taken in, and a bar that is told of each piece."""

    receiver: Receiver[Download]
    bar: Any

    def take(self, piece: bytes) -> Iterable[Download]:
        """Take the piece, and say so."""
        self.bar.update(len(piece))
        return self.receiver.take(piece)

    def end(self) -> Iterable[Download]:
        """Give the file its name."""
        return self.receiver.end()

    def close(self) -> None:
        """Let go of it."""
        self.receiver.close()


def _save(session: Session, client: Client, call: Call[Receiver[Download]]) -> None:
    """Take the answer into its file. How long it will be nobody knows before its end, so the bar tells bytes and no share of them."""
    if sys.stderr.isatty():
        endless = itertools.repeat(None)
        with click.progressbar(endless, file=sys.stderr, bar_template="%(info)s bytes", show_pos=True, show_eta=False) as bar:
            saved = client.arrive(replace(call, read=lambda response: _Told(call.read(response), bar)))
    else:
        saved = client.arrive(call)
    shape = {"path": str(saved.path), "bytes": saved.bytes, "sha256": saved.sha256, "provenance": saved.provenance}
    session.show(shape, [f"Wrote {saved.path}: {saved.bytes:,} bytes of version {saved.provenance.version}, sha256 {saved.sha256}."])


def _print_pages(session: Session, pages: Iterator[Page], wanted: int | None, columns: tuple[str, ...], output: str) -> None:
    left, shown = wanted, columns
    if output == "csv" and shown:
        click.echo(csv_lines([shown]), nl=False)
    for page in pages:
        rows = page.items[:left]
        left = None if left is None else left - len(rows)
        _say_entries(session, (page,))
        if output == "ndjson":
            click.echo(b"".join(msgspec.json.encode(row) + b"\n" for row in rows), nl=False)
            continue
        header = [] if shown or not rows else [tuple(rows[0])]
        shown = shown or tuple(itertools.chain.from_iterable(rows[:1]))
        click.echo(csv_lines([*header, *(list(row.values()) for row in rows)]), nl=False)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    shown = columns or tuple(itertools.chain.from_iterable(rows[:1]))
    return table(shown, [list(row.values()) for row in rows]) if shown else []
