"""SQL that compares two extracts by key: `extract` is of the newer version, and the older one beside it.

A row is an insert where only the newer extract has its key, a delete where only the older one has it, and an update where another
released column differs. Deletes come first, in the older extract's order, then the others in the newer one's: a change's place is one
number, which is all that a cursor holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from baybridge.data.sql import Sql, fetched, quote
from baybridge.terms.columns import ColumnType, Kind

# Names that no column has: schemas refuse this prefix.
_PLACE: Final = "_baybridge_place"
_ROWS: Final = "_baybridge_rows"


@dataclass(frozen=True, slots=True)
class Compared:
    """The key, the columns of both extracts, and those that both have with one type, which alone can differ."""

    key: tuple[str, ...]
    newer: Mapping[str, ColumnType]
    older: Mapping[str, ColumnType]
    older_name: str

    @property
    def shared(self) -> tuple[str, ...]:
        """Columns beside the key that both extracts have, with one type."""
        return tuple(name for name, column in self.newer.items() if name not in self.key and self.older.get(name) == column)


def changes_sql(compared: Compared, *, after: int | None, limit: int) -> Sql:
    """Changes after that place: place, whether newer and older have the row, the newer row, the older row; one more than the limit."""
    newer = [fetched(f"newer.{quote(name)}", column) for name, column in compared.newer.items()]
    older = [fetched(f"older.{quote(name)}", column) for name, column in compared.older.items()]
    selected = ", ".join([_PLACE, "newer._row IS NOT NULL", "older._row IS NOT NULL", *newer, *older])
    return Sql(
        f"SELECT {selected} FROM {_joined(compared)} CROSS JOIN (SELECT count(*) AS {_ROWS} FROM {compared.older_name}.items) AS counted,"
        f" LATERAL (SELECT CASE WHEN newer._row IS NULL THEN older._row ELSE {_ROWS} + newer._row END AS {_PLACE}) AS placed"
        f" WHERE ({_differs(compared)}) AND {_PLACE} > ? ORDER BY {_PLACE} LIMIT {limit + 1:d}",
        (-1 if after is None else after,),
    )


def changes_types(compared: Compared) -> Sequence[ColumnType]:
    """The types of what `changes_sql` selects."""
    return [
        ColumnType(Kind.INTEGER),
        ColumnType(Kind.BOOLEAN),
        ColumnType(Kind.BOOLEAN),
        *compared.newer.values(),
        *compared.older.values(),
    ]


def counts_sql(compared: Compared) -> Sql:
    """How many rows were added, removed, changed and left as they were."""
    both = "newer._row IS NOT NULL AND older._row IS NOT NULL"
    differs = _differs(compared)
    return Sql(
        "SELECT count(*) FILTER (WHERE older._row IS NULL), count(*) FILTER (WHERE newer._row IS NULL),"
        f" count(*) FILTER (WHERE {both} AND ({differs})), count(*) FILTER (WHERE {both} AND NOT ({differs})) FROM {_joined(compared)}"
    )


def _joined(compared: Compared) -> str:
    equal = " AND ".join(f"newer.{quote(name)} = older.{quote(name)}" for name in compared.key)
    return f"extract.items AS newer FULL OUTER JOIN {compared.older_name}.items AS older ON {equal}"


def _differs(compared: Compared) -> str:
    unequal = [f"newer.{quote(name)} IS DISTINCT FROM older.{quote(name)}" for name in compared.shared]
    return " OR ".join(["newer._row IS NULL", "older._row IS NULL", *unequal])
