"""Agreements and their life: one transition table with the Dataspace Protocol's state names, and ours after FINALIZED. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from baybridge.errors import Advice, Conflict
from baybridge.names import DatasetName
from baybridge.terms.terms import Terms


class State(StrEnum):
    """What is stored. The first six are the Dataspace Protocol 2025-1 contract negotiation's; the others follow FINALIZED."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"


class Action(StrEnum):
    """What a party does to an agreement."""

    OFFER = "offer"
    SIGN_AS_CONSUMER = "sign_as_consumer"
    SIGN_AS_PROVIDER = "sign_as_provider"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"


class Standing(StrEnum):
    """Where an agreement stands at an instant: a negotiation still open or ended, or its life by the clock."""

    PENDING = "PENDING"
    TERMINATED = "TERMINATED"
    SCHEDULED = "SCHEDULED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Side(StrEnum):
    """The two sides of an agreement."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


# The second signature finalizes at once: both stand over one digest, so that nothing is left to verify by hand.
TRANSITIONS: Final[dict[tuple[State, Action], State]] = {
    (State.REQUESTED, Action.OFFER): State.OFFERED,
    (State.OFFERED, Action.OFFER): State.OFFERED,
    (State.OFFERED, Action.SIGN_AS_CONSUMER): State.ACCEPTED,
    (State.OFFERED, Action.SIGN_AS_PROVIDER): State.AGREED,
    (State.ACCEPTED, Action.SIGN_AS_PROVIDER): State.FINALIZED,
    (State.AGREED, Action.SIGN_AS_CONSUMER): State.FINALIZED,
    (State.REQUESTED, Action.TERMINATE): State.TERMINATED,
    (State.OFFERED, Action.TERMINATE): State.TERMINATED,
    (State.ACCEPTED, Action.TERMINATE): State.TERMINATED,
    (State.AGREED, Action.TERMINATE): State.TERMINATED,
    (State.FINALIZED, Action.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Action.RESUME): State.FINALIZED,
    (State.FINALIZED, Action.REVOKE): State.REVOKED,
    (State.SUSPENDED, Action.REVOKE): State.REVOKED,
}


@dataclass(frozen=True, slots=True)
class Signature:
    """An authenticated act of one person for one side, over the SHA-256 of the canonical terms."""

    side: Side
    organization: str
    principal: str
    terms_sha256: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a provider and a consumer sign about one dataset. `terms` is None when this server does not understand what is stored.

    `epoch` counts every change of the agreement; a grant stands only while it has not moved. `domain_key` names the pseudonym
    key that signing has fixed.
    """

    id: str
    provider: str
    consumer: str
    dataset: DatasetName
    state: State
    terms: Terms | None
    terms_sha256: str
    epoch: int
    domain_key: str | None
    signatures: tuple[Signature, ...]
    reason: str | None
    created: datetime
    updated: datetime

    def standing(self, now: datetime) -> Standing:
        """Where it stands at `now`: start is inclusive, end exclusive, evaluated at each request and never by a sweep."""
        if self.state is not State.FINALIZED or self.terms is None:
            return _STANDING[self.state]
        if now >= self.terms.end:
            return Standing.EXPIRED
        return Standing.ACTIVE if now >= self.terms.start else Standing.SCHEDULED

    def shown_state(self, now: datetime) -> str:
        """The state as parties see it: the negotiation's name while it is open, else the standing."""
        standing = self.standing(now)
        return self.state.value if standing is Standing.PENDING else standing.value


_STANDING: Final = {
    State.REQUESTED: Standing.PENDING,
    State.OFFERED: Standing.PENDING,
    State.ACCEPTED: Standing.PENDING,
    State.AGREED: Standing.PENDING,
    State.TERMINATED: Standing.TERMINATED,
    State.FINALIZED: Standing.ACTIVE,
    State.SUSPENDED: Standing.SUSPENDED,
    State.REVOKED: Standing.REVOKED,
}


def transition(state: State, action: Action) -> State:
    """The state after an act. Raise Conflict for an act that the table does not have."""
    after = TRANSITIONS.get((state, action))
    if after is None:
        possible = sorted({each.value for before, each in TRANSITIONS if before is state})
        raise Conflict(
            "conflict",
            f"An agreement in state {state} cannot take the act {action}.",
            advice=Advice(
                rule="An agreement moves only along its transition table.",
                who_can_change="the two parties",
                next_step=f"Possible now: {', '.join(possible)}." if possible else "This state is final; ask for a new agreement.",
                next_command="baybridge agreement show ID",
            ),
        )
    return after
