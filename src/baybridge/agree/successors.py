"""Who may take an agreement's place: one at a time, and nobody once it has ended for good. Inside a transaction that is already open."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.agree.desk import Desk
from baybridge.agreements import store
from baybridge.agreements.agreement import TRANSITIONS, Action, Agreement, State, transition
from baybridge.errors import Advice, Conflict

_RULE: Final = "An agreement has one successor at a time."


def require_replaceable(connection: sa.Connection, agreement: Agreement, now: datetime) -> None:
    """Raise Conflict unless another agreement may take its place: it has come to life, has not ended for good, and has no successor."""
    transition(agreement, Action.SUPERSEDE, now)
    if agreement.successor is None:
        return
    successor = store.find(connection, agreement.successor)
    if successor.state is not State.REVOKED:
        raise Conflict(
            "conflict",
            f"Agreement {successor.id} is to take the place of {agreement.id} already.",
            advice=Advice(
                rule=_RULE,
                who_can_change="the two parties",
                next_step=f"Begin the successor of {successor.id}.",
                next_command=f"baybridge agreement show {successor.id}",
            ),
        )


def require_none_open(connection: sa.Connection, agreement: Agreement) -> None:
    """Raise Conflict while a successor of the agreement is being negotiated."""
    for rival in _open(connection, agreement):
        raise Conflict(
            "conflict",
            f"Agreement {rival.id} is being negotiated already, to take the place of {agreement.id}.",
            advice=Advice(
                rule=_RULE,
                who_can_change="the two parties",
                next_step=f"Propose your terms in {rival.id}, or terminate it and begin another.",
                next_command=f"baybridge agreement show {rival.id}",
            ),
        )


def require_predecessor(connection: sa.Connection, agreement: Agreement, now: datetime) -> None:
    """Raise Conflict, before the first signature, where the place that the agreement shall take cannot be taken any more."""
    if agreement.supersedes is None:
        return
    before = store.find(connection, agreement.supersedes)
    try:
        require_replaceable(connection, before, now)
    except Conflict as wrong:
        raise Conflict(
            "conflict",
            f"{agreement.id} cannot take the place of {before.id}, which is {before.shown_state(now)}"
            + ("." if before.successor is None else f" and has the successor {before.successor}."),
            advice=Advice(
                rule=_RULE if before.successor is not None else "What has ended for good has no successor.",
                who_can_change="the two parties, by a new agreement",
                next_step=f"Terminate {agreement.id}, and ask for a new agreement.",
                next_command=f"baybridge agreement show {before.id}",
            ),
        ) from wrong


def end_open(desk: Desk, connection: sa.Connection, agreement: Agreement, *, code: str, but: str | None = None) -> None:
    """Terminate every open successor of an agreement whose place is taken or gone, with the act that made it so."""
    for rival in _open(connection, agreement):
        if rival.id != but:
            ended = replace(rival, state=State.TERMINATED, reason=f"{agreement.id}, whose place it was to take, is {code}.", code=code)
            desk.step(connection, None, ended, Action.TERMINATE, {"code": code})


def _open(connection: sa.Connection, agreement: Agreement) -> list[Agreement]:
    """The agreements that are being negotiated to take that one's place."""
    theirs = store.of_consumer(connection, agreement.consumer, agreement.dataset)
    return [each for each in theirs if each.supersedes == agreement.id and (each.state, Action.TERMINATE) in TRANSITIONS]
