"""Agreements as values: the Dataspace Protocol's negotiation, our life after it, and where one stands at an instant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from baybridge.errors import Advice, Conflict
from baybridge.names import DatasetName
from baybridge.terms import cql2
from baybridge.terms.terms import Terms


class State(StrEnum):
    """The first seven are the Dataspace Protocol 2025-1 contract negotiation's; the others follow FINALIZED.

    EXPIRED and SUPERSEDED are never stored: the clock brings them, at the terms' end and at a hand-over.
    """

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"
    CLOSED = "CLOSED"


class Side(StrEnum):
    """The two sides of an agreement."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


class Action(StrEnum):
    """What is done to an agreement. VERIFY, FINALIZE and SUPERSEDE are the server's own steps; all others are a party's."""

    REQUEST = "request"
    OFFER = "offer"
    APPROVE = "approve"
    SIGN_AS_CONSUMER = "sign_as_consumer"
    SIGN_AS_PROVIDER = "sign_as_provider"
    VERIFY = "verify"
    FINALIZE = "finalize"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    SUPERSEDE = "supersede"
    CLOSE = "close"

    @property
    def word(self) -> str:
        """The act as people call it: to sign is one act, whichever side signs."""
        return "sign" if self in (Action.SIGN_AS_CONSUMER, Action.SIGN_AS_PROVIDER) else self.value


_BOTH: Final = (Side.PROVIDER, Side.CONSUMER)
SIDES: Final[dict[Action, tuple[Side, ...]]] = {
    Action.REQUEST: (Side.CONSUMER,),
    Action.OFFER: (Side.PROVIDER,),
    Action.APPROVE: _BOTH,
    Action.SIGN_AS_CONSUMER: (Side.CONSUMER,),
    Action.SIGN_AS_PROVIDER: (Side.PROVIDER,),
    Action.VERIFY: (),
    Action.FINALIZE: (),
    Action.TERMINATE: _BOTH,
    Action.SUSPEND: (Side.PROVIDER,),
    Action.RESUME: (Side.PROVIDER,),
    Action.REVOKE: (Side.PROVIDER,),
    Action.SUPERSEDE: (),
    Action.CLOSE: (Side.CONSUMER,),
}
"""Whose act it is; nobody's where the server takes the step itself."""

# Who signs second verifies what the other signed, and the server takes the steps that are left: both stand over one digest.
# The protocol has no way back from ACCEPTED or AGREED; ours are changes of text, which void what was signed.
TRANSITIONS: Final[dict[tuple[State, Action], State]] = {
    (State.REQUESTED, Action.REQUEST): State.REQUESTED,
    (State.REQUESTED, Action.OFFER): State.OFFERED,
    (State.REQUESTED, Action.APPROVE): State.REQUESTED,
    (State.REQUESTED, Action.SIGN_AS_PROVIDER): State.AGREED,
    (State.REQUESTED, Action.TERMINATE): State.TERMINATED,
    (State.OFFERED, Action.REQUEST): State.REQUESTED,
    (State.OFFERED, Action.OFFER): State.OFFERED,
    (State.OFFERED, Action.APPROVE): State.OFFERED,
    (State.OFFERED, Action.SIGN_AS_CONSUMER): State.ACCEPTED,
    (State.OFFERED, Action.SIGN_AS_PROVIDER): State.AGREED,
    (State.OFFERED, Action.TERMINATE): State.TERMINATED,
    (State.ACCEPTED, Action.REQUEST): State.REQUESTED,
    (State.ACCEPTED, Action.OFFER): State.OFFERED,
    (State.ACCEPTED, Action.APPROVE): State.ACCEPTED,
    (State.ACCEPTED, Action.SIGN_AS_PROVIDER): State.AGREED,
    (State.ACCEPTED, Action.TERMINATE): State.TERMINATED,
    (State.AGREED, Action.REQUEST): State.REQUESTED,
    (State.AGREED, Action.OFFER): State.OFFERED,
    (State.AGREED, Action.APPROVE): State.AGREED,
    (State.AGREED, Action.SIGN_AS_CONSUMER): State.VERIFIED,
    (State.AGREED, Action.VERIFY): State.VERIFIED,
    (State.AGREED, Action.TERMINATE): State.TERMINATED,
    (State.VERIFIED, Action.FINALIZE): State.FINALIZED,
    (State.FINALIZED, Action.SUSPEND): State.SUSPENDED,
    (State.FINALIZED, Action.REVOKE): State.REVOKED,
    (State.FINALIZED, Action.SUPERSEDE): State.SUPERSEDED,
    (State.SUSPENDED, Action.RESUME): State.FINALIZED,
    (State.SUSPENDED, Action.REVOKE): State.REVOKED,
    (State.SUSPENDED, Action.SUPERSEDE): State.SUPERSEDED,
    (State.EXPIRED, Action.SUPERSEDE): State.SUPERSEDED,
    (State.EXPIRED, Action.CLOSE): State.CLOSED,
    (State.REVOKED, Action.CLOSE): State.CLOSED,
}

MESSAGES: Final[dict[Action, str]] = {
    Action.REQUEST: "ContractRequestMessage",
    Action.OFFER: "ContractOfferMessage",
    Action.SIGN_AS_CONSUMER: "ContractNegotiationEventMessage:ACCEPTED",
    Action.SIGN_AS_PROVIDER: "ContractAgreementMessage",
    Action.VERIFY: "ContractAgreementVerificationMessage",
    Action.FINALIZE: "ContractNegotiationEventMessage:FINALIZED",
    Action.TERMINATE: "ContractNegotiationTerminationMessage",
}


Fact: TypeAlias = "str | int | dict[str, str] | None"


class Standing(StrEnum):
    """Where an agreement stands at an instant: a negotiation still open or ended, or its life by the clock."""

    PENDING = "PENDING"
    TERMINATED = "TERMINATED"
    SCHEDULED = "SCHEDULED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    SUPERSEDED = "SUPERSEDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Signature:
    """An authenticated act of one person for one side, over the SHA-256 of the canonical terms."""

    side: Side
    organization: str
    principal: str
    terms_sha256: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """What an officer of one organization says, in a role, of the terms with this digest."""

    organization: str
    role: str
    principal: str
    terms_sha256: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a provider and a consumer sign about one dataset. `terms` is None when this server does not understand what is stored.

    `epoch` counts every change of the agreement; a grant stands only while it has not moved. `domain_key` names the pseudonym
    key that signing has fixed. `requester` is who asked first, `author` who wrote the text as it stands. `supersedes` is the
    agreement that this one shall replace, and `successor` the one that replaces this: at `took_over` of the one, which is
    `handed_over` of the other, so that at every instant exactly one of the two is in their common place.
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
    approvals: tuple[Approval, ...] = ()
    code: str | None = None
    statement: str | None = None
    requester: str | None = None
    author: str | None = None
    umbrella: str | None = None
    supersedes: str | None = None
    took_over: datetime | None = None
    successor: str | None = None
    handed_over: datetime | None = None

    def side_of(self, organization: str) -> Side | None:
        """Which side that organization is of; None for a stranger."""
        return {self.provider: Side.PROVIDER, self.consumer: Side.CONSUMER}.get(organization)

    def party(self, side: Side) -> str:
        """The organization of a side."""
        return self.provider if side is Side.PROVIDER else self.consumer

    def state_at(self, now: datetime) -> State:
        """Its state with what the clock adds: a hand-over ends it, and so does the terms' end, which is exclusive."""
        if self.state not in (State.FINALIZED, State.SUSPENDED):
            return self.state
        if self.handed_over is not None and now >= self.handed_over:
            return State.SUPERSEDED
        if self.terms is not None and now >= self.terms.end:
            return State.EXPIRED
        return self.state

    def standing(self, now: datetime) -> Standing:
        """Where it stands at `now`, evaluated at each request and never by a sweep; the start is inclusive."""
        standing = _STANDING[self.state_at(now)]
        starts = (None if self.terms is None else self.terms.start, self.took_over)
        if standing is Standing.ACTIVE and any(start is not None and now < start for start in starts):
            return Standing.SCHEDULED
        return standing

    def shown_state(self, now: datetime) -> str:
        """The state as parties see it: the negotiation's name while it is open, else the standing."""
        standing = self.standing(now)
        return self.state.value if standing is Standing.PENDING else standing.value

    def destroy_by(self, now: datetime) -> datetime | None:
        """By when the consumer has to state that what it received is destroyed, as it stands: counted from the revocation or the end.

        None where the terms set no date, and where nothing is due: before both have signed, and once it is superseded or closed.
        """
        state = self.state_at(now)
        if self.terms is None or self.terms.destroy_within_days is None or state not in _DUE:
            return None
        ended = self.updated if state is State.REVOKED else self.terms.end
        return ended + timedelta(days=min(self.terms.destroy_within_days, (_LAST - ended).days))

    def overdue(self, now: datetime) -> bool:
        """Whether that date has passed without the statement."""
        due = self.destroy_by(now)
        return due is not None and now >= due

    def tag(self, now: datetime) -> str:
        """What names the agreement as it is shown at `now`: the clock moves it as acts do."""
        return f"{self.id}-{self.epoch}-{self.shown_state(now)}" + ("-overdue" if self.overdue(now) else "")


_DUE: Final = (State.FINALIZED, State.SUSPENDED, State.EXPIRED, State.REVOKED)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_STANDING: Final = {
    State.REQUESTED: Standing.PENDING,
    State.OFFERED: Standing.PENDING,
    State.ACCEPTED: Standing.PENDING,
    State.AGREED: Standing.PENDING,
    State.VERIFIED: Standing.PENDING,
    State.TERMINATED: Standing.TERMINATED,
    State.FINALIZED: Standing.ACTIVE,
    State.SUSPENDED: Standing.SUSPENDED,
    State.REVOKED: Standing.REVOKED,
    State.EXPIRED: Standing.EXPIRED,
    State.SUPERSEDED: Standing.SUPERSEDED,
    State.CLOSED: Standing.CLOSED,
}


def transition(agreement: Agreement, action: Action, now: datetime) -> State:
    """The state after an act at `now`. Raise Conflict, which says what is possible now and whose act that is, for any other."""
    before = agreement.state_at(now)
    after = TRANSITIONS.get((before, action))
    if after is not None:
        return after
    possible = "; ".join(possible_acts(before))
    raise Conflict(
        "conflict",
        f"An agreement in state {agreement.shown_state(now)} cannot take the act {action}.",
        advice=Advice(
            rule="An agreement moves only along its transition table.",
            who_can_change="the two parties",
            next_step=f"Possible now: {possible}." if possible else "This state is final; ask for a new agreement.",
            next_command=f"baybridge agreement show {agreement.id}",
        ),
    )


def possible_acts(state: State) -> list[str]:
    """The acts that parties can do in a state, each with whose it is: `sign (provider)`, `terminate (provider or consumer)`."""
    acts: dict[str, set[Side]] = {}
    for before, action in TRANSITIONS:
        if before is state and SIDES[action]:
            acts.setdefault(action.word, set()).update(SIDES[action])
    if (state, Action.SUPERSEDE) in TRANSITIONS:
        acts["successor"] = set(_BOTH)
    return [f"{word} ({' or '.join(side for side in _BOTH if side in sides)})" for word, sides in acts.items()]


def columns_of(terms: Terms) -> frozenset[str]:
    """Every name in the terms of a column, or of a field in one: released, masked, or looked at by the row filter."""
    filtered = () if terms.row_filter is None else cql2.properties_of(terms.row_filter)
    return frozenset((*terms.columns, *(name for name, _ in terms.masks), *(each.name for each in filtered)))


def act_facts(agreement: Agreement, action: Action, actor: Mapping[str, str], now: datetime) -> dict[str, Fact]:
    """What the entry of an act says of the agreement as the act left it; `message` is what the Dataspace Protocol calls the act."""
    facts: dict[str, Fact] = {
        "act": action.word,
        "actor": dict(actor),
        "agreement": agreement.id,
        "consumer": agreement.consumer,
        "dataset": str(agreement.dataset),
        "epoch": agreement.epoch,
        "message": MESSAGES.get(action),
        "state": agreement.state_at(now).value,
        "terms_sha256": agreement.terms_sha256,
    }
    named = {"umbrella": agreement.umbrella, "supersedes": agreement.supersedes, "successor": agreement.successor}
    return facts | {name: value for name, value in named.items() if value is not None}
