"""Owns what is known of a file before anyone declares its schema: facts of every row, and the schema they prove. It samples nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb

from baybridge.catalog.facts import LONGEST_CODE, MOST_CODES
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
class Doubt:
    """A kind that at least half of a column's cells prove, and not all: how many do, and the first rows whose cells do not.

    The rows are numbered as in the file. There are none until the cells have been looked at again for that.
    """

    kind: Kind
    proven: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column's facts over all rows that have the header's shape. `cells` are those not null; `distinct` is exact, among them.

    `integers` to `datetimes` count the cells that prove the kind, each cell at most once. `leading_zeros` counts digits whose leading zero
    a number would lose; `longest_digits` is the length of the longest cell of digits alone. Lengths are in characters, None without cells.
    `integer_digits` and `fraction_digits` are the most seen before and after the point in cells that prove a number. `given` is the type
    that the file's format proves, if any; a format's texts still prove dates and times. `against` are the rows of `doubt`.
    `values` are the different cells, where they are few and short.
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
    against: tuple[int, ...] = ()
    values: tuple[str, ...] | None = None

    @property
    def proposed(self) -> ColumnType:
        """Text, unless every cell that is not null proves another kind. A column without cells is text."""
        if self.given not in (None, TEXT):
            return self.given
        if self.cells == 0 or self.given is not None:
            return ColumnType(next((kind for kind, proven in self._times().items() if self.cells and proven == self.cells), Kind.TEXT))
        if self.integers == self.cells:
            return ColumnType(Kind.INTEGER)
        if self.integers + self.decimals == self.cells:
            fits = self.integer_digits + self.fraction_digits <= _NARROW_PRECISION
            return ColumnType(Kind.DECIMAL, _NARROW_PRECISION if fits else MAX_PRECISION, self.fraction_digits)
        proofs = {Kind.BOOLEAN: self.booleans, **self._times()}
        return ColumnType(next((kind for kind, proven in proofs.items() if proven == self.cells), Kind.TEXT))

    @property
    def doubt(self) -> Doubt | None:
        """The kind that a column of text nearly has: at least half of its cells prove it."""
        if self.proposed != TEXT or self.cells == 0:
            return None
        proofs = self._times()
        if self.given is None:
            number = Kind.DECIMAL if self.decimals else Kind.INTEGER
            proofs = {number: self.integers + self.decimals, Kind.BOOLEAN: self.booleans, **proofs}
        kind, proven = max(proofs.items(), key=lambda each: each[1])
        return Doubt(kind, proven, self.against) if 2 * proven >= self.cells else None

    def _times(self) -> dict[Kind, int]:
        return {Kind.DATE: self.dates, Kind.TIMESTAMP: self.timestamps, Kind.DATETIME: self.datetimes}


@dataclass(frozen=True, slots=True)
class Profile:
    """A file's facts: `rows_read` data rows, of which `rows_ragged` have not the header's number of cells and are in no column's counts."""

    columns: tuple[ColumnProfile, ...]
    rows_read: int
    rows_ragged: int
    null_words: tuple[str, ...]

    @property
    def doubted(self) -> dict[str, Kind]:
        """The kinds that columns of text nearly have, by column."""
        return {column.name: column.doubt.kind for column in self.columns if column.doubt is not None}

    def with_rows(self, against: Mapping[str, tuple[int, ...]]) -> Profile:
        """The same with the rows that speak against each doubted kind."""
        return replace(self, columns=tuple(replace(each, against=against.get(each.name, ())) for each in self.columns))


def profile(
    path: Path,
    *,
    scratch: Path,
    file_format: Format = Format.CSV,
    null_words: tuple[str, ...] = DEFAULT_NULL_WORDS,
    names: tuple[str, ...] = (),
    memory_limit: str = DEFAULT_MEMORY,
) -> Profile:
    """Profile all rows of a file. `scratch` is a folder for what does not fit in `memory_limit`.

    `names` are the declared ones, for a file of objects that has none to learn them from.

    Raise Invalid (`file_unreadable`) when the file is not of its format.
    """
    source = open_source(path, file_format, None, scratch=scratch, names=names)
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


def kind_proven(cell: str) -> str:
    """Give the expression for the kind that a cell proves, null for none.

    More than 15 digits, a leading zero, a plus, an exponent and spaces prove nothing.
    """
    kinds = (Kind.INTEGER, Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.DATETIME)
    casts = {kind: f"{lexical.cast(ColumnType(kind), cell)} IS NOT NULL" for kind in kinds}
    few = f"length(replace(ltrim({cell}, '-'), '.', '')) <= {MAX_PROVEN_DIGITS}"
    return f"""CASE
            WHEN {casts[Kind.INTEGER]} THEN CASE WHEN {few} THEN '{Kind.INTEGER}' END
            WHEN {casts[Kind.BOOLEAN]} THEN '{Kind.BOOLEAN}'
            WHEN {cell}[1] NOT BETWEEN '-' AND '9' THEN NULL
            WHEN {lexical.is_point_number(cell)} THEN CASE WHEN {few} THEN '{Kind.DECIMAL}' END
            WHEN {casts[Kind.DATE]} THEN '{Kind.DATE}'
            WHEN {casts[Kind.TIMESTAMP]} THEN '{Kind.TIMESTAMP}'
            WHEN {casts[Kind.DATETIME]} THEN '{Kind.DATETIME}'
        END"""


# Each distinct cell is judged once and weighed by its count, which is exact and far less work than judging every cell.
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
        SELECT place, v, n, {kind} AS kind
        FROM different
        WHERE v IS NOT NULL AND NOT list_contains($null_words::VARCHAR[], v)
    )
    GROUP BY place
""".format(
    leading_zero=lexical.has_leading_zero("v"),
    digits=lexical.is_digits("v"),
    kind=kind_proven("v"),
)
_VALUES: Final = """
    SELECT place, list(v ORDER BY v) FROM different
    WHERE list_contains($places::INTEGER[], place::INTEGER) AND v IS NOT NULL AND NOT list_contains($null_words::VARCHAR[], v)
    GROUP BY place
"""
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
    words = {"null_words": list(null_words) if source.has_null_words else []}
    found = {place: facts for place, *facts in connection.execute(_FACTS, words).fetchall()}
    few = [place for place, facts in found.items() if facts[1] <= MOST_CODES and facts[3] <= LONGEST_CODE]
    values = {place: tuple(texts) for place, texts in connection.execute(_VALUES, {"places": few, **words}).fetchall()}
    columns = []
    for place, name in enumerate(source.names):
        cells, *facts = found.get(place, _NO_CELLS)
        columns.append(ColumnProfile(name, cells, rows - cells, *(*facts, source.proposed.get(name), (), values.get(place))))
    return tuple(columns)
