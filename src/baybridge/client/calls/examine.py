"""Questions about a version, or about two, that are not for its rows; each is decided and entered as a read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeVar

from baybridge.client.call import Call, Steps, get
from baybridge.client.calls.collections import path_of
from baybridge.client.questions import Asked, linked
from baybridge.wire.collections import ChangeShape, ChangesShape, DiffShape, SummaryShape

_MOST_CHANGES: Final = "10000"  # on a page

T = TypeVar("T")


def queryables(dataset: str) -> Call[dict[str, Any]]:
    """The columns that a filter may name, as JSON Schema."""
    return get(f"{path_of(dataset)}/queryables", dict[str, Any])


def profile(dataset: str, *, version: int | None = None, agreement: str | None = None, purpose: str | None = None) -> Call[SummaryShape]:
    """The columns that the caller may read, in numbers and with their most frequent values."""
    return _examine(dataset, "profile", SummaryShape, Asked(version=version, agreement=agreement, purpose=purpose))


def statistics(dataset: str, *, version: int | None = None, agreement: str | None = None, purpose: str | None = None) -> Call[SummaryShape]:
    """The same without the frequent values."""
    return _examine(dataset, "statistics", SummaryShape, Asked(version=version, agreement=agreement, purpose=purpose))


def changes(
    dataset: str, since: int, *, version: int | None = None, agreement: str | None = None, purpose: str | None = None
) -> Steps[ChangesShape]:
    """Every row that changed from the version `since` to the one that is read: the latest, or the one pinned."""
    first = _examine(dataset, "changes", ChangesShape, Asked(version=version, agreement=agreement, purpose=purpose))
    return linked(replace(first, query={"since": f"{since:d}", "limit": _MOST_CHANGES}))


def in_page(page: ChangesShape) -> Iterable[ChangeShape]:
    """The changes of one page."""
    return page.changes


def diff(dataset: str, since: int, version: int, *, agreement: str | None = None, purpose: str | None = None) -> Call[DiffShape]:
    """How many rows were added, removed and changed from the version `since` to the other, and how the schema was."""
    return _examine(dataset, f"diff/{version:d}", DiffShape, Asked(version=since, agreement=agreement, purpose=purpose))


def _examine(dataset: str, what: str, shape: type[T], asked: Asked) -> Call[T]:
    return get(f"{path_of(dataset, asked.version)}/{what}", shape, headers=asked.headers())
