"""What is unlike the version before, told before a file is published. Pure: figures of both, and no value in a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from baybridge.catalog.dataset import Mode, Version
from baybridge.catalog.facts import REPEATED, ColumnFacts, Facts, merged
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.order import Changes, Outcome
from baybridge.data.ingest.profile import ColumnProfile, Profile
from baybridge.terms.columns import TEXT, Kind

FEWEST: Final = 20
"""Of fewer rows no share is compared: it says nothing."""
NULLS: Final = Fraction(1, 10)
TIMES: Final = 2
COLLAPSED: Final = 10
_NUMBERS: Final = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE})
_CODES: Final = frozenset({Kind.TEXT, Kind.INTEGER})

RULES: Final = MappingProxyType(
    {
        "rows": "The version has fewer than half, or more than twice the rows of the one before, and one of both has 20.",
        "column_added": "A column is new.",
        "column_removed": "A column is gone.",
        "column_retyped": "A column has another type.",
        "proposed_type": "The values of a column of text prove another kind than those before, in a file of all rows or of 20 values.",
        "nulls": "The share of nulls in a column is 10 percentage points higher or lower, and both files have 20 rows.",
        "distinct": "A column has a tenth of the different values, and a tenth of them for each value, or less.",
        "new_values": "A column of codes has a value that it did not have.",
        "lost_values": "A column of codes has lost a value that it had.",
    }
)


_WORDS: Final = MappingProxyType(
    {
        "rows": "{after:,} rows, {before:,} before",
        "column_added": "{column}: new, {after}",
        "column_removed": "{column}: gone, {before} before",
        "column_retyped": "{column}: {after}, {before} before",
        "proposed_type": "{column}: the values prove {after}, those before proved {before}",
        "nulls": "{column}: {after:.1%} are null, {before:.1%} before",
        "distinct": "{column}: {after:,} different values, {before:,} before",
        "new_values": "{column}: values that were not there before; with them {after:,} are different, {before:,} before",
        "lost_values": "{column}: values are gone; {after:,} of {before:,} are left",
    }
)


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is unlike before, with the figures of both. `values` are cells: they are for whoever sent the file."""

    rule: str
    column: str | None
    before: int | float | str | None
    after: int | float | str | None
    values: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The figures in words, without a value."""
        return _WORDS[self.rule].format(column=self.column, before=self.before, after=self.after)


@dataclass(frozen=True, slots=True)
class Arriving:
    """A file that was read: what it is to the version before, its profile under a schema, and what its rows do.

    The profile is `exact` where no row of it was rejected.
    """

    mode: Mode
    schema: Schema
    profile: Profile
    rows_loaded: int
    changes: Changes
    exact: bool


def arriving_of(mode: Mode, outcome: Outcome) -> Arriving:
    """Give what a reading found, as it is held against the version before."""
    return Arriving(
        mode=mode,
        schema=outcome.schema,
        profile=outcome.profile,
        rows_loaded=outcome.rows_loaded,
        changes=outcome.changes,
        exact=not outcome.rows_rejected,
    )


def facts_of(arriving: Arriving, before: Version | None) -> Facts:
    """Give what is remembered of the version that the file makes."""
    if arriving.mode is Mode.REPLACE or before is None:
        return tuple(_facts(column, arriving) for column in arriving.profile.columns)
    come = {} if arriving.mode is Mode.DELETE else {each.name: each.values for each in arriving.profile.columns}
    exact = arriving.exact and arriving.mode is Mode.APPEND
    return tuple(merged(each, come.get(each.name, ()), exact=exact) for each in before.facts)


def find_drift(before: Version, arriving: Arriving) -> tuple[Drift, ...]:
    """Give what is unlike the version before, by the rules of the table above."""
    return (*_rows(before, arriving), *_columns(before.schema, arriving.schema), *_values(before, arriving))


def _rows(before: Version, arriving: Arriving) -> Iterator[Drift]:
    was, changes = before.manifest.rows, arriving.changes
    now = arriving.rows_loaded if arriving.mode is Mode.REPLACE else was + changes.inserted - changes.deleted
    if max(was, now) >= FEWEST and (now * TIMES < was or now > was * TIMES):
        yield Drift("rows", None, was, now)


def _columns(before: Schema, after: Schema) -> Iterator[Drift]:
    for name, column_type in after.types.items():
        if name not in before.types:
            yield Drift("column_added", name, None, str(column_type))
        elif before.types[name] != column_type:
            yield Drift("column_retyped", name, str(before.types[name]), str(column_type))
    for name, column_type in before.types.items():
        if name not in after.types:
            yield Drift("column_removed", name, str(column_type), None)


def _values(before: Version, arriving: Arriving) -> Iterator[Drift]:
    """What is unlike in the columns of both, but for a deletion, whose file has keys only."""
    if arriving.mode is Mode.DELETE:
        return
    nulls, facts = _nulls(before), {each.name: each for each in before.facts}
    for column in arriving.profile.columns:
        if before.schema.types.get(column.name) != arriving.schema.types.get(column.name):
            continue
        if column.name in nulls:
            yield from _null_drift(column, nulls[column.name], before.manifest.rows)
        if column.name in facts and column.cells:
            known = facts[column.name]
            yield from _kind_drift(column, known, arriving)
            yield from _distinct_drift(column, known, before.manifest.rows - nulls.get(column.name, 0), arriving.mode)
            yield from _code_drift(column, known, arriving.mode)


def _nulls(before: Version) -> Mapping[str, int]:
    counted: dict[str, int] = {}
    for each in before.manifest.objects:
        for column in each.statistics:
            counted[column.name] = counted.get(column.name, 0) + column.nulls
    return counted


def _null_drift(column: ColumnProfile, nulls: int, rows: int) -> Iterator[Drift]:
    arrived = column.cells + column.nulls
    if min(rows, arrived) >= FEWEST and abs(Fraction(column.nulls, arrived) - Fraction(nulls, rows)) >= NULLS:
        yield Drift("nulls", column.name, round(nulls / rows, 4), round(column.nulls / arrived, 4))


def _kind_drift(column: ColumnProfile, known: ColumnFacts, arriving: Arriving) -> Iterator[Drift]:
    """Only text: of any other type the schema has seen to it. Whole numbers and decimals are one kind."""
    now = column.proposed.kind
    if arriving.schema.types[column.name] != TEXT or (arriving.mode is not Mode.REPLACE and column.cells < FEWEST):
        return
    if known.proposed != now.value and not {known.proposed, now} <= _NUMBERS:
        yield Drift("proposed_type", column.name, known.proposed, now.value)


def _distinct_drift(column: ColumnProfile, known: ColumnFacts, cells: int, mode: Mode) -> Iterator[Drift]:
    was, now = known.distinct, column.distinct
    if mode is not Mode.REPLACE or was is None or not cells or was < COLLAPSED or now * COLLAPSED > was:
        return
    if Fraction(now, column.cells) * COLLAPSED <= Fraction(was, cells):
        yield Drift("distinct", column.name, was, now)


def _code_drift(column: ColumnProfile, known: ColumnFacts, mode: Mode) -> Iterator[Drift]:
    if known.values is None:
        return
    if column.values is None:
        yield Drift("new_values", column.name, len(known.values), column.distinct)
        return
    new = sorted(set(column.values) - set(known.values))
    if new:
        yield Drift("new_values", column.name, len(known.values), len(known.values) + len(new), tuple(new))
    lost = sorted(set(known.values) - set(column.values))
    if lost and mode is Mode.REPLACE and known.distinct is not None:
        yield Drift("lost_values", column.name, len(known.values), len(known.values) - len(lost), tuple(lost))


def _facts(column: ColumnProfile, arriving: Arriving) -> ColumnFacts:
    schema, distinct = arriving.schema, column.distinct if arriving.exact else None
    repeated = column.cells >= REPEATED * column.distinct > 0
    are_codes = schema.types[column.name].kind in _CODES and column.name not in schema.key and repeated
    return ColumnFacts(column.name, column.proposed.kind.value, distinct, column.values if are_codes else None)
