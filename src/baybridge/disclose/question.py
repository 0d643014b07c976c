"""What every question but a page is to the door: it reads granted extracts and nothing else, and makes the bytes that may leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from baybridge.audit.entry import JSON
from baybridge.data.engines.duckdb import Engine, Stop
from baybridge.data.extracts import Extract
from baybridge.policy.decision import Grant, Refusal
from baybridge.terms.columns import ColumnType


@dataclass(frozen=True, slots=True)
class Opened:
    """A granted version, ready to be read: its extract, and nothing of what the extract was made from."""

    grant: Grant
    extract: Extract
    key: tuple[str, ...]

    @property
    def types(self) -> Mapping[str, ColumnType]:
        """The released columns and their types, in order."""
        return self.grant.projection.types

    @property
    def version(self) -> int:
        """The version's number."""
        return self.grant.projection.version


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of an answer, and how many rows they tell of."""

    data: bytes
    rows: int


class Question(Protocol):
    """A kind of question. Its grants are those of the version asked for, and of the older one where it compares two."""

    def refusal(self, grants: tuple[Grant, ...], keys: tuple[tuple[str, ...], ...]) -> Refusal | None:
        """Why these grants are not enough for versions with those keys, or None."""

    def facts(self) -> dict[str, JSON]:
        """The question as its side record keeps it."""

    def answer(self, engine: Engine, opened: tuple[Opened, ...], stop: Stop) -> Body:
        """Compute the answer over the extracts of the grants."""
