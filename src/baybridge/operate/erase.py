"""Side records erased, for good: the question texts and literals that entries only name by hash. Entries themselves are never touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from baybridge.audit import side as audit_side
from baybridge.audit import store as audit_store
from baybridge.audit.entry import JSON, Kind, decode
from baybridge.audit.log import Draft, Log
from baybridge.audit.side import BATCH
from baybridge.db import Database
from baybridge.errors import Invalid, NotFound, Place
from baybridge.principals.principal import LOCAL_OPERATOR, Principal, require_admin


@dataclass(frozen=True, slots=True)
class Erased:
    """How many side records were erased, the index of the last entry that says so, and whether no file holds their bytes any more."""

    count: int
    entry: int | None
    gone: bool


@dataclass(frozen=True, slots=True)
class Erase:
    """The erasure of side records, bound to what it needs. `days` is how long they are kept; 0 is until they are erased by hand."""

    database: Database
    log: Log
    clock: Callable[[], datetime]
    days: int
    _left: set[str] = field(default_factory=set)

    def erase(
        self, principal: Principal, organization: str, *, start: int = 0, stop: int | None = None, before: datetime | None = None
    ) -> Erased:
        """Erase the side records of the entries `start` (with) to `stop` (without) that were made before an instant.

        One of both bounds is named. Roles: an admin of the organization, or the local operator. Each batch has an entry of its own; where
        nothing is there to erase, nothing is entered. `gone` is False while a reader of this second still holds what was there; `expire`
        goes on with it.
        """
        if stop is None and before is None:
            raise Invalid("invalid_request", "An erasure has an end.", places=(Place("before", "an instant, or a range of entries"),))
        facts: dict[str, JSON] = {"act": "erase_side_records", "actor": _actor(principal)}
        with self.log.entering_refusals(organization, facts):
            require_admin(principal, organization)
        return self._erase(principal, organization, start=start, stop=stop, before=before)

    def expire(self, now: datetime) -> None:
        """Erase what has been kept for its days, once a day in each log, and what an erasure before this one had to leave."""
        if self._left and self.database.scrub():
            self._left.clear()
        if self.days == 0:
            return
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with self.database.read() as connection:
            logs = audit_store.logs(connection)
        for organization in logs:
            self._erase(LOCAL_OPERATOR, organization, start=0, stop=None, before=midnight - timedelta(days=self.days))

    def _erase(self, principal: Principal, organization: str, *, start: int, stop: int | None, before: datetime | None) -> Erased:
        with self.database.read() as connection:
            if organization not in audit_store.logs(connection):
                raise NotFound("not_found", f'There is no organization "{organization}".')
            size = audit_store.frontier(connection, organization).size
            end = size if stop is None else min(stop, size)
            if before is not None:
                end = min(end, _first_since(connection, organization, before))
        count, entry = self._erase_between(principal, organization, start, end)
        if count and self.database.scrub():
            self._left.clear()
        return Erased(count, entry, gone=not self._left)

    def _erase_between(self, principal: Principal, organization: str, start: int, end: int) -> tuple[int, int | None]:
        """Erase a batch after the other, each in one transaction with its entry; give how many there were, and the last entry."""
        count, entry = 0, None
        while start < end:
            with self.database.read() as connection:
                numbers = audit_side.side_records_from(connection, organization, start=start, stop=end, limit=BATCH)
            if not numbers:
                break
            stop = end if len(numbers) < BATCH else numbers[-1] + 1
            with self.database.write() as connection:
                erased = audit_side.erase_side_records(connection, organization, numbers)
                if erased:  # else another has just done it, and has entered it
                    facts: dict[str, JSON] = {"actor": _actor(principal), "count": erased, "start": start, "stop": stop}
                    entry = self.log.append(connection, Draft(organization, Kind.SIDE_RECORDS_ERASED, facts))
            self._left.add(organization)
            count, start = count + erased, stop
        return count, entry


def _first_since(connection: sa.Connection, organization: str, instant: datetime) -> int:
    """The index of the first entry that is not older than the instant: entries stand in the order of their times."""
    low, high = 0, audit_store.frontier(connection, organization).size
    while low < high:
        middle = (low + high) // 2
        ((_, data),) = audit_store.entries(connection, organization, start=middle, limit=1)
        if decode(data).time < instant:
            low = middle + 1
        else:
            high = middle
    return low


def _actor(principal: Principal) -> dict[str, JSON]:
    return {"organization": principal.organization, "principal": principal.id}
