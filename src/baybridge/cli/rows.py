"""Rows: asked for and printed, as a table, CSV, NDJSON or one JSON object."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from baybridge.cli.dataset import names
from baybridge.cli.printing import csv_lines, table
from baybridge.cli.session import Session, server_options
from baybridge.client import Page, Question

_PAGE: Final = 10_000
_DEFAULT: Final = 100


@click.command()
@click.argument("dataset")
@click.option("--filter", "filter_", metavar="CQL2", help="Only rows for which this CQL2 text holds: \"delay > 60 AND origin = 'JFK'\".")
@click.option("--columns", default="", metavar="A,B", help="Only these columns, in this order. [default: all that the agreement releases]")
@click.option("--sort", default="", metavar="A,-B", help="Sort by these columns; - for descending.")
@click.option("--limit", type=click.IntRange(min=1), help=f"At most so many rows. [default: {_DEFAULT}]")
@click.option("--all", "everything", is_flag=True, help="All rows.")
@click.option("--version", type=click.IntRange(min=1), help="This version. [default: the latest]")
@click.option("--agreement", metavar="ID", help="Under this agreement, where several fit.")
@click.option("--purpose", metavar="CODE", help="For this purpose. [default: the token's]")
@click.option("--output", type=click.Choice(["table", "csv", "ndjson"]), default="table", show_default=True, help="How rows are printed.")
@server_options
def get(  # noqa: PLR0913 -- each is an option of the command
    session: Session,
    *,
    dataset: str,
    filter_: str | None,
    columns: str,
    sort: str,
    limit: int | None,
    everything: bool,
    version: int | None,
    agreement: str | None,
    purpose: str | None,
    output: str,
) -> None:
    """Read rows of DATASET. CSV and NDJSON are printed page by page as they arrive."""
    if everything and limit is not None:
        raise click.UsageError("--all and --limit contradict each other.")
    wanted = None if everything else limit or _DEFAULT
    question = Question(
        filter=filter_,
        properties=names(columns),
        sortby=names(sort),
        limit=_PAGE if wanted is None else min(wanted, _PAGE),
        version=version,
        agreement=agreement,
        purpose=purpose,
    )
    with session.client() as client:
        pages = _until(client.pages(dataset, **question), wanted)
        if session.as_json or output == "table":
            _print_whole(session, list(pages), wanted, names(columns))
        else:
            _print_pages(pages, wanted, names(columns), output)


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
    session.show({"version": last.version, "items": rows, "more": more}, _table(rows, columns))
    session.note(f"{len(rows):,} rows of version {last.version}{'; there are more (--limit, --all)' if more else ''}.")


def _print_pages(pages: Iterator[Page], wanted: int | None, columns: tuple[str, ...], output: str) -> None:
    left, shown = wanted, columns
    if output == "csv" and shown:
        click.echo(csv_lines([shown]), nl=False)
    for page in pages:
        rows = page.items[:left]
        left = None if left is None else left - len(rows)
        if output == "ndjson":
            click.echo(b"".join(msgspec.json.encode(row) + b"\n" for row in rows), nl=False)
            continue
        header = [] if shown or not rows else [tuple(rows[0])]
        shown = shown or tuple(itertools.chain.from_iterable(rows[:1]))
        click.echo(csv_lines([*header, *(list(row.values()) for row in rows)]), nl=False)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    shown = columns or tuple(itertools.chain.from_iterable(rows[:1]))
    return table(shown, [list(row.values()) for row in rows]) if shown else []
