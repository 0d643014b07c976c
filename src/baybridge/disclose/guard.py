"""Promise 5: whether what was granted still stands, asked in the transaction of the entry and every 250 ms while an answer leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from baybridge.agreements import store as agreement_store
from baybridge.agreements.agreement import Standing
from baybridge.agreements.usage import LimitReached, reserve
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import State
from baybridge.policy.decision import Grant
from baybridge.principals.principal import Principal
from baybridge.principals.store import still_acts


@dataclass(frozen=True, slots=True)
class Granted:
    """A read that was granted: to whom, and for each of its versions what."""

    principal: Principal | None
    grants: tuple[Grant, ...]
    key: tuple[str, ...]

    @property
    def first(self) -> Grant:
        """The grant of the version asked for."""
        return self.grants[0]

    @property
    def agreement(self) -> str | None:
        """The id of the agreement that the version asked for is read under."""
        agreement = self.first.agreement
        return None if agreement is None else agreement.id


def holds(granted: Granted, connection: sa.Connection, now: datetime) -> bool:
    """Promise 5: whether each grant still holds, and whether who it was given to still acts."""
    if any(
        catalog.state_of(connection, each.projection.dataset, each.projection.version) is not State.PUBLISHED for each in granted.grants
    ):
        return False
    principal, agreement = granted.principal, granted.first.agreement
    if principal is None or granted.first.standing == "public":
        return True
    if not still_acts(connection, principal, now=now, counterpart=granted.first.projection.dataset.organization):
        return False
    if agreement is None:
        return True
    return agreement_store.epoch(connection, agreement.id) == agreement.epoch and agreement.standing(now) is Standing.ACTIVE


@dataclass(slots=True)
class Guard:
    """Asked inside the transaction that records the disclosure: the grants still hold, and their limits allow one request with these rows.

    What it has counted is undone with the transaction. `reached` tells afterwards which limit said no, where one did.
    """

    granted: Granted
    rows: int
    reached: LimitReached | None = None

    def __call__(self, connection: sa.Connection, now: datetime) -> bool:
        """Whether it may be entered, and so may leave."""
        self.reached = None
        if not holds(self.granted, connection, now):
            return False
        if self.granted.first.agreement is not None:
            self.reached = reserve(connection, self.granted.first.agreement, now, requests=1, rows=self.rows)
        return self.reached is None
