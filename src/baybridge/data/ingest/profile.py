"""Owns what is known of a file before anyone declares its schema: facts of every row, and the schema they prove. It samples nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from baybridge.catalog.schema import DEFAULT_NULL_WORDS, Column, Schema
from baybridge.data.ingest import lexical
from baybridge.data.ingest.formats import Format, open_source
from baybridge.data.ingest.source import DEFAULT_MEMORY, Source, engine
from baybridge.terms.columns import MAX_PRECISION, TEXT, ColumnType, Kind

# A double, which spreadsheets and JSON readers turn numbers into, holds 15 digits exactly.
MAX_PROVEN_DIGITS: Final = 15
# The narrower decimal is one 64-bit word; where the digits seen fit, there is room to grow and no cost.
_NARROW_PRECISION: Final = 18


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column's facts over all rows that have the header's shape. `cells` are those not null; `distinct` is exact, among them.

    `integers` to `datetimes` count the cells that prove the kind, each cell at most once. `leading_zeros` counts digits whose leading zero
    a number would lose; `longest_digits` is the length of the longest cell of digits alone. Lengths are in characters, None without cells.
    `integer_digits` and `fraction_digits` are the most seen before and after the point in cells that prove a number. `given` is the type
    that the file's format proves, if any; a format's texts still prove dates and times.
    """

    name: str
    cells: int
    nulls: int
    distinct: int
    min_length: int | None
    max_length: int | None
    leading_zeros: int
    longest_digits: int
    integers: int
    decimals: int
    booleans: int
    dates: int
    timestamps: int
    datetimes: int
    integer_digits: int
    fraction_digits: int
    given: ColumnType | None = None

    @property
    def proposed(self) -> ColumnType:
        """Text, unless every cell that is not null proves another kind. A column without cells is text."""
        if self.given not in (None, TEXT):
            return self.given
        times = {Kind.DATE: self.dates, Kind.TIMESTAMP: self.timestamps, Kind.DATETIME: self.datetimes}
        if self.cells == 0 or self.given is not None:
            return ColumnType(next((kind for kind, proven in times.items() if self.cells and proven == self.cells), Kind.TEXT))
        if self.integers == self.cells:
            return ColumnType(Kind.INTEGER)
        if self.integers + self.decimals == self.cells:
            fits = self.integer_digits + self.fraction_digits <= _NARROW_PRECISION
            return ColumnType(Kind.DECIMAL, _NARROW_PRECISION if fits else MAX_PRECISION, self.fraction_digits)
        proofs = {Kind.BOOLEAN: self.booleans, **times}
        return ColumnType(next((kind for kind, proven in proofs.items() if proven == self.cells), Kind.TEXT))


@dataclass(frozen=True, slots=True)
class Profile:
    """A file's facts: `rows_read` data rows, of which `rows_ragged` have not the header's number of cells and are in no column's counts."""

    columns: tuple[ColumnProfile, ...]
    rows_read: int
    rows_ragged: int
    null_words: tuple[str, ...]


def profile(
    path: Path,
    *,
    scratch: Path,
    file_format: Format = Format.CSV,
    null_words: tuple[str, ...] = DEFAULT_NULL_WORDS,
    memory_limit: str = DEFAULT_MEMORY,
) -> Profile:
    """Profile all rows of a file. `scratch` is a folder for what does not fit in `memory_limit`.

    Raise Invalid (`file_unreadable`) when the file is not of its format.
    """
    source = open_source(path, file_format, None, scratch=scratch)
    with engine(":memory:", scratch=scratch, memory_limit=memory_limit) as connection:
        ragged = source.fill(connection, statement=_different_sql(source), counts=_COUNTS, values={})
        columns = _profile_columns(connection, source, null_words, rows=source.rows - ragged.rows)
    return Profile(columns, source.rows, ragged.rows, null_words)


def propose(profile: Profile, key: tuple[str, ...] = ()) -> Schema:
    """Give the schema that the profile proves, with the key that the steward names; only key columns are required.

    Raise Invalid (`schema_invalid`) for a key that is not there and for names that no schema may have.
    """
    columns = tuple(Column(column.name, column.proposed, required=column.name in key) for column in profile.columns)
    return Schema(columns, key, profile.null_words)


# Each distinct cell is judged once and weighed by its count, which is exact and far less work than judging every cell.
# `kind` is what a cell proves. More than 15 digits, a leading zero, a plus, an exponent and spaces prove nothing.
_FACTS: Final = """
    SELECT
        place,
        sum(n)::BIGINT,
        count(*),
        min(length(v)),
        max(length(v)),
        coalesce(sum(n) FILTER ({leading_zero}), 0)::BIGINT,
        coalesce(max(length(v)) FILTER ({digits}), 0),
        coalesce(sum(n) FILTER (kind = 'integer'), 0)::BIGINT,
        coalesce(sum(n) FILTER (kind = 'decimal'), 0)::BIGINT,
        coalesce(sum(n) FILTER (kind = 'boolean'), 0)::BIGINT,
        coalesce(sum(n) FILTER (kind = 'date'), 0)::BIGINT,
        coalesce(sum(n) FILTER (kind = 'timestamp'), 0)::BIGINT,
        coalesce(sum(n) FILTER (kind = 'datetime'), 0)::BIGINT,
        coalesce(max(length(split_part(ltrim(v, '-'), '.', 1))) FILTER (kind IN ('integer', 'decimal')), 0),
        coalesce(max(length(split_part(v, '.', 2))) FILTER (kind = 'decimal'), 0)
    FROM (
        SELECT place, v, n, CASE
            WHEN {integer} IS NOT NULL THEN CASE WHEN length(ltrim(v, '-')) <= {most} THEN 'integer' END
            WHEN {boolean} IS NOT NULL THEN 'boolean'
            WHEN v[1] NOT BETWEEN '-' AND '9' THEN NULL
            WHEN {decimal} THEN CASE WHEN length(replace(ltrim(v, '-'), '.', '')) <= {most} THEN 'decimal' END
            WHEN {date} IS NOT NULL THEN 'date'
            WHEN {timestamp} IS NOT NULL THEN 'timestamp'
            WHEN {datetime} IS NOT NULL THEN 'datetime'
        END AS kind
        FROM different
        WHERE v IS NOT NULL AND NOT list_contains($null_words::VARCHAR[], v)
    )
    GROUP BY place
""".format(
    most=MAX_PROVEN_DIGITS,
    leading_zero=lexical.has_leading_zero("v"),
    digits=lexical.is_digits("v"),
    decimal=lexical.is_point_number("v"),
    **{str(kind): lexical.cast(ColumnType(kind), "v") for kind in (Kind.INTEGER, Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.DATETIME)},
)
_COUNTS: Final = """
    SELECT coalesce(sum(n) FILTER (place = 0), 0)::BIGINT, coalesce(sum(n * strlen(replace(v, '"', ''))), 0)::BIGINT FROM different
"""
_NO_CELLS: Final = (0, 0, None, None, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _different_sql(source: Source) -> str:
    """CREATE TABLE different: each column's place, its different cells, and how often each stands there. The file is never held whole."""
    cells = ", ".join(f"c{place}" for place in range(len(source.names)))
    return (
        "CREATE TEMP TABLE different AS SELECT place, v, count(*) AS n FROM"
        f" (SELECT unnest([{cells}]) AS v, unnest(range({len(source.names)})) AS place FROM {source.cells_sql()}) GROUP BY place, v"
    )


def _profile_columns(
    connection: duckdb.DuckDBPyConnection, source: Source, null_words: tuple[str, ...], *, rows: int
) -> tuple[ColumnProfile, ...]:
    found = {
        place: facts
        for place, *facts in connection.execute(_FACTS, {"null_words": list(null_words) if source.has_null_words else []}).fetchall()
    }
    columns = []
    for place, name in enumerate(source.names):
        cells, *facts = found.get(place, _NO_CELLS)
        columns.append(ColumnProfile(name, cells, rows - cells, *(*facts, source.proposed.get(name))))
    return tuple(columns)
