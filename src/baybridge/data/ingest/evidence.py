"""Owns why a column's type is what is proposed, in words without a value, and the rows that speak against a stronger one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import duckdb

from baybridge.catalog.schema import Schema
from baybridge.data.ingest.profile import MAX_PROVEN_DIGITS, ColumnProfile, Doubt, kind_proven
from baybridge.terms.columns import TEXT, Kind

NOTHING_DOUBTED: Final[Mapping[str, Kind]] = MappingProxyType({})
ROWS_NAMED: Final = 5
_NOUNS: Final = {
    Kind.INTEGER: ("a whole number", "whole numbers"),
    Kind.DECIMAL: ("a number", "numbers"),
    Kind.BOOLEAN: ("true or false", "true or false"),
    Kind.DATE: ("a date", "dates"),
    Kind.TIMESTAMP: ("an instant", "instants"),
    Kind.DATETIME: ("a time without a zone", "times without a zone"),
}


def find_against(connection: duckdb.DuckDBPyConnection, schema: Schema, doubted: Mapping[str, Kind]) -> dict[str, tuple[int, ...]]:
    """Give the first rows of the table `typed` that speak against each doubted kind, for the columns that are text there.

    Rows are counted from 1 among those that have the header's shape.
    """
    found = {}
    for place, column in enumerate(schema.columns):
        if column.name not in doubted or column.type != TEXT:
            continue
        kind = doubted[column.name]
        rows = connection.execute(
            f"SELECT rowid + 1 FROM typed WHERE t{place} IS NOT NULL"
            f" AND NOT list_contains($kinds::VARCHAR[], coalesce({kind_proven(f't{place}')}, '')) ORDER BY rowid LIMIT {ROWS_NAMED}",
            {"kinds": [kind, Kind.INTEGER] if kind is Kind.DECIMAL else [kind]},
        ).fetchall()
        found[column.name] = tuple(row for (row,) in rows)
    return found


def evidence(column: ColumnProfile) -> str:
    """Say what the column's cells prove, and what speaks against more."""
    if column.cells == 0:
        return "No row has a value, so nothing proves a type."
    if column.given not in (None, TEXT):
        return "The file's format says it."
    if column.proposed != TEXT:
        one, many = _NOUNS[column.proposed.kind]
        return f"The one value is {one}." if column.cells == 1 else f"All {column.cells:,} values are {many}."
    said = [] if column.doubt is None else [_against(column.cells, column.doubt)]
    if column.leading_zeros:
        have = "has" if column.leading_zeros == 1 else "have"
        said.append(f"{column.leading_zeros:,} of {column.cells:,} {have} a leading zero, which a number would lose.")
    if column.longest_digits > MAX_PROVEN_DIGITS:
        said.append(f"Some have more than {MAX_PROVEN_DIGITS} digits, which not every program keeps in a number.")
    return " ".join(said) or "No other type is proved by half of the values."


def _against(cells: int, doubt: Doubt) -> str:
    """2 of 3 values are dates; row 2 is not."""
    others = cells - doubt.proven
    one, many = _NOUNS[doubt.kind]
    said = f"{doubt.proven:,} of {cells:,} values {f'is {one}' if doubt.proven == 1 else f'are {many}'}"
    if not doubt.rows:
        return f"{said}."
    named = [f"{row:,}" for row in doubt.rows]
    if others > len(named):
        return f"{said}; rows {', '.join(named)} and {others - len(named):,} more are not."
    last = f"rows {', '.join(named[:-1])} and {named[-1]} are" if others > 1 else f"row {named[0]} is"
    return f"{said}; {last} not."
