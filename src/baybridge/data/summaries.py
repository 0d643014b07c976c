"""SQL that sums up one extract: counts, bounds and frequent values of its released columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from baybridge.data.sql import Sql, fetched, quote
from baybridge.terms.columns import ColumnType, Kind

AGGREGATES: Final = 4
"""For each column: how many values, how many different ones, the least and the greatest; these two are null of structs and lists."""


def statistics_sql(types: Mapping[str, ColumnType]) -> Sql:
    """The number of rows, then the four aggregates of each column."""
    wanted = ["count(*)"]
    for name, column in types.items():
        value = fetched(quote(name), column)
        ends = ["NULL", "NULL"] if column.is_nested else [f"min({value})", f"max({value})"]
        wanted += [f"count({quote(name)})", f"count(DISTINCT {quote(name)})", *ends]
    return Sql(f"SELECT {', '.join(wanted)} FROM extract.items")


def statistics_types(types: Mapping[str, ColumnType]) -> tuple[ColumnType, ...]:
    """The types of what `statistics_sql` selects."""
    count = ColumnType(Kind.INTEGER)
    return (count, *(each for column in types.values() for each in (count, count, column, column)))


def top_sql(name: str, column: ColumnType, limit: int) -> Sql:
    """The most frequent values with their counts, ties by value."""
    value = quote(name)
    return Sql(
        f"SELECT {fetched(value, column)}, count(*) FROM extract.items WHERE {value} IS NOT NULL"
        f" GROUP BY {value} ORDER BY count(*) DESC, {value} LIMIT {limit:d}"
    )
