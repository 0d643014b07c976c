"""Which agreements in force a changed schema takes a column from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from baybridge.agreements.agreement import Agreement, Standing, columns_of
from baybridge.terms.columns import ColumnType, column_of


@dataclass(frozen=True, slots=True)
class Affected:
    """An agreement in force, and the columns that it names and that are dropped or retyped."""

    agreement: Agreement
    columns: tuple[str, ...]


def affected(
    agreements: Iterable[Agreement], before: Mapping[str, ColumnType], after: Mapping[str, ColumnType], now: datetime
) -> tuple[Affected, ...]:
    """Those in force or to come that name a column of `before` which `after` lacks, or has with another type."""
    changed = {name for name, column_type in before.items() if after.get(name) != column_type}
    found = [
        Affected(each, tuple(sorted(changed.intersection(column_of(name, before) for name in columns_of(each.terms)))))
        for each in agreements
        if each.terms is not None and each.standing(now) in {Standing.ACTIVE, Standing.SCHEDULED}
    ]
    return tuple(each for each in found if each.columns)
