"""Owns what a publication asks of the process that reads its file, and what that process answers. Both are files of JSON in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from baybridge.catalog.dataset import Mode
from baybridge.catalog.manifest import ColumnStatistics
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.formats import Format
from baybridge.data.ingest.limits import Limits
from baybridge.data.ingest.profile import Profile
from baybridge.data.ingest.reading.find import Found
from baybridge.data.ingest.reading.reading import NOTHING_SAID, Wanted
from baybridge.data.ingest.source import Reject
from baybridge.errors import Advice, BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Place, Refused, Unavailable

UPLOAD: Final = "upload"
ORDER: Final = "order.json"
OUTCOME: Final = "outcome.json"
REJECTS: Final = "rejects.csv"


@dataclass(frozen=True, slots=True)
class Threshold:
    """How many rows of a file may be rejected, and the others still be published: a count, or a percentage of the rows read."""

    rows: int = 0
    percent: Decimal = Decimal(0)

    def allows(self, rows_read: int) -> int:
        """How many of so many rows that is."""
        return max(self.rows, int(self.percent * rows_read / 100))


NOTHING_LET_GO: Final = Threshold()


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with the file `upload` of a workspace.

    Without `schema` the profile's proposal, with `key`, is the schema. `base` are the paths of the objects that the upload changes, in
    the order of their manifest; a replacement has none. Unless `write`, nothing is made of the rows but counts. `wanted` says how a CSV is
    read, and where `confirmed` nothing else than that and the plain reading is taken. Rows that do not fit are left out up to `threshold`;
    beyond it no row is written.
    """

    schema: Schema | None
    null_words: tuple[str, ...]
    key: tuple[str, ...]
    mode: Mode
    base: tuple[str, ...]
    write: bool
    limits: Limits
    file_format: Format = Format.CSV
    sheet: str | None = None
    wanted: Wanted = NOTHING_SAID
    confirmed: bool = True
    threshold: Threshold = NOTHING_LET_GO


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file, finished, that becomes an object; its path is within the workspace."""

    path: str
    rows: int
    statistics: tuple[ColumnStatistics, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the loaded rows do to the rows of the base: rows loaded = inserted + updated + deleted + unmatched.

    `unmatched` are keys to delete that the base does not have.
    """

    inserted: int
    updated: int = 0
    deleted: int = 0
    unmatched: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, and made. Rows read = rows loaded + rows rejected.

    `rejects` are the first of `rejects_found` reasons; the file `rejects.csv` of the workspace has the first 100,000, where there are any.
    `kept` are the places of the base's objects that the version shares, and `parts` those that follow them. `notes` say what the reading
    of the file decided, without a value of it.
    """

    schema: Schema
    profile: Profile
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rejects: tuple[Reject, ...]
    changes: Changes
    found: Found | None = None
    kept: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    rejects_found: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way out of the process."""

    kind: str
    code: str
    detail: str
    advice: Advice
    places: tuple[Place, ...]
    retry_after: int | None

    @classmethod
    def of(cls, error: BaybridgeError) -> Failure:
        """The error as it travels."""
        return cls(type(error).__name__, error.code, error.detail, error.advice, error.places, error.retry_after)

    def error(self) -> BaybridgeError:
        """The error again, of the class that it had."""
        return _KINDS[self.kind](self.code, self.detail, advice=self.advice, places=self.places, retry_after=self.retry_after)


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the two."""

    outcome: Outcome | None = None
    failure: Failure | None = None


_KINDS: Final = {kind.__name__: kind for kind in (BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Refused, Unavailable)}
