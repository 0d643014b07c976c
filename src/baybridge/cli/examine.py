"""Questions about versions that are not for their rows: in numbers, by difference, and what changed. Each is decided like a read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import click
import msgspec

from baybridge.cli.printing import cell, counted, table
from baybridge.cli.session import Session, server_options
from baybridge.wire.collections import ColumnSummaryShape, DiffShape, SummaryShape

_TOP: Final = 3
_Command = Callable[..., Any]


def _reader(command: _Command) -> _Command:
    """The options of whoever reads: under which agreement, and for which purpose."""
    agreement = click.option("--agreement", metavar="ID", help="Under this agreement, where several fit.")
    purpose = click.option("--purpose", metavar="CODE", help="For this purpose. [default: the token's]")
    return agreement(purpose(server_options(command)))


@click.command()
@click.argument("dataset")
@click.option("--version", type=click.IntRange(min=1), help="This version. [default: the latest]")
@_reader
def profile(session: Session, *, dataset: str, version: int | None, agreement: str | None, purpose: str | None) -> None:
    """Show the columns that you may read of DATASET in numbers, with their frequent values."""
    with session.client() as client:
        found = client.profile(dataset, version=version, agreement=agreement, purpose=purpose)
    session.show(found, _profile_lines(found))


@click.command()
@click.argument("dataset")
@click.argument("since", metavar="N", type=click.IntRange(min=1))
@click.argument("version", metavar="M", type=click.IntRange(min=1))
@_reader
def diff(session: Session, *, dataset: str, since: int, version: int, agreement: str | None, purpose: str | None) -> None:
    """Count what changed in DATASET from version N to version M, by key, and say how its schema did."""
    with session.client() as client:
        found = client.diff(dataset, since, version, agreement=agreement, purpose=purpose)
    session.show(found, _diff_lines(found))


@click.command()
@click.argument("dataset")
@click.option("--since", type=click.IntRange(min=1), required=True, metavar="N", help="The earlier version.")
@click.option("--version", type=click.IntRange(min=1), help="Up to this version. [default: the latest]")
@_reader
def changes(session: Session, *, dataset: str, since: int, version: int | None, agreement: str | None, purpose: str | None) -> None:
    """Print each row of DATASET that changed since version N, one JSON object a line; with --json all of them as one object."""
    with session.client() as client:
        found = client.changes(dataset, since, version=version, agreement=agreement, purpose=purpose)
        if session.as_json:
            session.show({"since": since, "changes": list(found)}, ())
            return
        for each in found:
            click.echo(msgspec.json.encode(each))


def _profile_lines(found: SummaryShape) -> Iterator[str]:
    yield f"{counted(found.rows, 'row')} of version {found.version}"
    yield ""
    rows = [[each.name, each.type, each.nulls, each.distinct, cell(each.min), cell(each.max), _top(each)] for each in found.columns]
    yield from table(["column", "type", "nulls", "distinct", "least", "greatest", "most frequent"], rows)


def _top(column: ColumnSummaryShape) -> str:
    return ", ".join(f"{cell(each.value) or '(null)'} ({each.count:,})" for each in (column.top or [])[:_TOP])


def _diff_lines(found: DiffShape) -> Iterator[str]:
    yield f"version {found.since} to version {found.version}"
    for what, rows in (("added", found.added), ("removed", found.removed), ("changed", found.changed), ("unchanged", found.unchanged)):
        yield f"  {what:<10}{rows:>12,}"
    for each in found.schema_changes:
        yield f"  column {each.column} {each.change}: {each.before or 'none'} to {each.after or 'none'}"
