"""What the clock does to an agreement: its start and its end come. The standing is computed at each request; this tells, and tidies."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge import jobs
from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement, Standing, State
from baybridge.agreements.notices import tell_begun, tell_ended

BEGINS: Final = "agreement_begins"
ENDS: Final = "agreement_ends"


def expect(connection: sa.Connection, agreement: Agreement, *, now: datetime) -> None:
    """Have its start and its end noticed when they come, in the transaction that puts the agreement in force."""
    if agreement.terms is None:
        return
    starts = max(agreement.terms.start, agreement.took_over or now)
    for kind, instant in ((BEGINS, starts), (ENDS, agreement.terms.end)):
        if instant > now:
            jobs.enqueue(connection, kind, {"agreement": agreement.id}, now=now, at=instant)


def expect_hand_over(connection: sa.Connection, agreement: Agreement, instant: datetime, *, now: datetime) -> None:
    """Have the hand-over to its successor noticed when it comes."""
    jobs.enqueue(connection, ENDS, {"agreement": agreement.id}, now=now, at=instant)


def begin(connection: sa.Connection, agreement_id: str, *, now: datetime) -> None:
    """Its start has come: tell both parties, if it is in force."""
    agreement = store.find(connection, agreement_id)
    standing = agreement.standing(now)
    if standing is Standing.ACTIVE:
        tell_begun(connection, agreement, now=now)
    elif standing is Standing.SCHEDULED and agreement.terms is not None:  # the clock was set back, as it was below
        starts = max(agreement.terms.start, agreement.took_over or now)
        jobs.enqueue(connection, BEGINS, {"agreement": agreement.id}, now=now, at=starts)


def end(connection: sa.Connection, agreement_id: str, *, now: datetime) -> None:
    """Its end or its hand-over has come: let go of its extracts, and tell both parties of an end. A hand-over was told at its signing."""
    agreement = store.find(connection, agreement_id)
    standing = agreement.standing(now)
    if standing in (Standing.EXPIRED, Standing.SUPERSEDED):
        store.drop_references(connection, agreement.id)
    elif agreement.terms is not None and now < agreement.terms.end and agreement.state in (State.FINALIZED, State.SUSPENDED):
        jobs.enqueue(connection, ENDS, {"agreement": agreement.id}, now=now, at=agreement.handed_over or agreement.terms.end)
    if standing is Standing.EXPIRED:
        tell_ended(connection, agreement, now=now)
