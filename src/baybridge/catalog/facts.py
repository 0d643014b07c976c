"""What is remembered of the values of a version's columns, so that the next file can be held against them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_CODES: Final = 50
LONGEST_CODE: Final = 100
REPEATED: Final = 5
"""A column is of codes where it has few different values, and each stands so often on the average."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column: the kind that its values prove, how many are different, and where they are codes, which ones.

    Where rows were let go, or values may have gone by changes, `distinct` is None, and `values` are those that there may be.
    """

    name: str
    proposed: str
    distinct: int | None
    values: tuple[str, ...] | None = None


Facts = tuple[ColumnFacts, ...]


def merged(before: ColumnFacts, arrived: tuple[str, ...] | None, *, exact: bool) -> ColumnFacts:
    """Give the facts of a column to which these values have come, None for too many; where not `exact`, others may have gone."""
    if before.values is None or arrived is None:
        return ColumnFacts(before.name, before.proposed, None)
    values = tuple(sorted({*before.values, *arrived}))
    distinct = len(values) if exact and before.distinct is not None else None
    return ColumnFacts(before.name, before.proposed, distinct, values if len(values) <= MOST_CODES else None)
