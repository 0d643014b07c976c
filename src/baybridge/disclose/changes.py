"""What changed between two versions, told by key over the caller's own two extracts: what a row filter lets in or out is a change too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baybridge.audit.entry import JSON
from baybridge.data.changes import Compared, changes_sql, changes_types, counts_sql
from baybridge.data.engines.duckdb import OLDER, Engine, Stop
from baybridge.disclose.question import Body, Opened
from baybridge.errors import Advice
from baybridge.policy.decision import Grant, Refusal
from baybridge.terms.columns import ColumnType, Kind
from baybridge.terms.masks import Plain


@dataclass(frozen=True, slots=True)
class Change:
    """One row: as it is now (None for a delete) and as it was (None for an insert), by column."""

    after: dict[str, Any] | None
    before: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes from one version to a later one, and the place of the last when more follow."""

    since: int
    version: int
    extract: str
    changes: tuple[Change, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows differ from one version to another."""

    since: int
    version: int
    added: int
    removed: int
    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ListChanges:
    """The question for a page of changes."""

    limit: int
    after: int | None
    encode: Callable[[Changes], bytes]

    def refusal(self, grants: tuple[Grant, ...], keys: tuple[tuple[str, ...], ...]) -> Refusal | None:
        """The whole key must be released, and be the same in both versions."""
        return key_refusal(keys, grants)

    def facts(self) -> dict[str, JSON]:
        """The question as its side record keeps it."""
        return {"after": self.after, "changes": True, "limit": self.limit}

    def answer(self, engine: Engine, opened: tuple[Opened, ...], stop: Stop) -> Body:
        """Join both extracts by key."""
        newer, older = opened
        compared = _compared(newer, older)
        statement = changes_sql(compared, after=self.after, limit=self.limit)
        found = engine.rows(_extracts(newer, older), statement, changes_types(compared), stop)
        kept = found.rows[: self.limit]
        more = found.more or len(found.rows) > self.limit
        changes = tuple(_change(row, tuple(newer.types), tuple(older.types)) for row in kept)
        page = Changes(older.version, newer.version, _both(newer, older), changes, kept[-1][0] if more else None)
        return Body(self.encode(page), len(changes))


@dataclass(frozen=True, slots=True)
class CountChanges:
    """The question how many rows differ."""

    encode: Callable[[Counts], bytes]

    def refusal(self, grants: tuple[Grant, ...], keys: tuple[tuple[str, ...], ...]) -> Refusal | None:
        """The whole key must be released, and be the same in both versions."""
        return key_refusal(keys, grants)

    def facts(self) -> dict[str, JSON]:
        """The question as its side record keeps it."""
        return {"diff": True}

    def answer(self, engine: Engine, opened: tuple[Opened, ...], stop: Stop) -> Body:
        """Join both extracts by key, and count."""
        newer, older = opened
        statement = counts_sql(_compared(newer, older))
        (counts,) = engine.rows(_extracts(newer, older), statement, [ColumnType(Kind.INTEGER)] * 4, stop).rows
        return Body(self.encode(Counts(older.version, newer.version, *counts)), sum(counts[:3]))


def key_refusal(keys: tuple[tuple[str, ...], ...], grants: tuple[Grant, ...]) -> Refusal | None:
    """Rows are told apart by the key alone: one key, of one type, released as it is or as pseudonyms under one domain key."""
    key = keys[0]
    if len(set(keys)) > 1 or any(len({grant.projection.source.get(name) for grant in grants}) > 1 for name in key):
        what = "The two versions have not the same key."
    elif not key:
        what = "The dataset has no key."
    elif all(_tells_apart(name, grants) for name in key):
        return None
    else:
        what = "The whole key is not released, neither as it is nor as pseudonyms of one domain."
    first = grants[0]
    return Refusal(
        "key_not_released",
        what,
        Advice(
            rule="Changes are told by key, so the caller must be allowed the whole key in some form that tells rows apart.",
            who_can_change="nobody, for a dataset without a key" if not key else "both parties, by a new agreement",
            next_step="Read both versions whole, or ask for an agreement that releases the key or its pseudonyms.",
        ),
        agreement=None if first.agreement is None else first.agreement.id,
    )


def _tells_apart(name: str, grants: tuple[Grant, ...]) -> bool:
    released = [{column.name: column for column in grant.projection.columns}.get(name) for grant in grants]
    if any(column is None or column.mask not in {None, Plain.PSEUDONYM} for column in released):
        return False
    masks = {
        (column.mask, grant.projection.domain_key if column.mask else None)
        for column, grant in zip(released, grants, strict=True)
        if column
    }
    return len(masks) == 1


def _compared(newer: Opened, older: Opened) -> Compared:
    return Compared(newer.key, newer.types, older.types, OLDER if len(_extracts(newer, older)) > 1 else "extract")


def _extracts(newer: Opened, older: Opened) -> tuple[Any, ...]:
    """Both, or one where the versions have the same extract: a file is attached once."""
    return (newer.extract,) if newer.extract.sha256 == older.extract.sha256 else (newer.extract, older.extract)


def _both(newer: Opened, older: Opened) -> str:
    return f"{newer.extract.sha256}-{older.extract.sha256}"


def _change(row: tuple[Any, ...], newer: tuple[str, ...], older: tuple[str, ...]) -> Change:
    _, is_now, was, *values = row
    now, before = values[: len(newer)], values[len(newer) :]
    return Change(
        dict(zip(newer, now, strict=True)) if is_now else None,
        dict(zip(older, before, strict=True)) if was else None,
    )
