"""Agreements, and the acts on them."""

from __future__ import annotations

from baybridge.wire.shape import RequestShape, Shape
from baybridge.wire.terms import TermsShape


class SignatureShape(Shape, frozen=True, kw_only=True):
    """One side's signature: an authenticated act over the digest of the canonical terms."""

    side: str
    organization: str
    principal: str
    terms_sha256: str
    time: str


class ApprovalShape(Shape, frozen=True, kw_only=True):
    """What an officer of one side says, in a role, of the terms with this digest."""

    organization: str
    role: str
    principal: str
    terms_sha256: str
    time: str


class AgreementShape(Shape, frozen=True, kw_only=True):
    """An agreement and where it stands now. `terms` is null when this server does not understand what is stored.

    `epoch` counts its changes. `possible` are the acts that parties can do now, each with whose it is. `supersedes` is the agreement whose
    place it takes at `took_over`; `successor` is the one that takes its own, at `handed_over`.
    `destroy_by` is when the consumer's statement that what it received is destroyed falls due, where the terms set a date; `overdue` says
    that it has passed.
    """

    id: str
    dataset: str
    provider: str
    consumer: str
    state: str
    terms: TermsShape | None
    terms_sha256: str
    signatures: list[SignatureShape]
    reason: str | None
    created: str
    updated: str
    epoch: int
    approvals: list[ApprovalShape]
    code: str | None
    statement: str | None
    umbrella: str | None
    supersedes: str | None
    took_over: str | None
    successor: str | None
    handed_over: str | None
    possible: list[str]
    destroy_by: str | None = None
    overdue: bool = False


class AgreementsShape(Shape, frozen=True, kw_only=True):
    """The agreements that the caller's organization is a party to."""

    agreements: list[AgreementShape]


class SignRequest(RequestShape, frozen=True, kw_only=True):
    """What a signatory signs: the digest of the terms that it read."""

    terms_sha256: str


class ReasonRequest(RequestShape, frozen=True, kw_only=True):
    """Why an agreement is suspended, resumed, revoked or ended."""

    reason: str


class OfferRequest(RequestShape, frozen=True, kw_only=True):
    """Exact terms to offer; null offers the terms as they stand."""

    terms: TermsShape | None = None


class CounterRequest(RequestShape, frozen=True, kw_only=True):
    """Other terms that the consumer asks for."""

    terms: TermsShape


class ApproveRequest(RequestShape, frozen=True, kw_only=True):
    """In which role an officer approves, and the digest of the terms that it read."""

    role: str
    terms_sha256: str


class TerminateRequest(RequestShape, frozen=True, kw_only=True):
    """Why a negotiation is ended; without a code it is `declined` or `withdrawn`."""

    reason: str
    code: str | None = None


class StatementRequest(RequestShape, frozen=True, kw_only=True):
    """The consumer's statement that what it received is destroyed."""

    statement: str


class UmbrellaShape(Shape, frozen=True, kw_only=True):
    """Agreements under one title. `terms_sha256` is what one signing is over: the digest of all their digests, in order."""

    id: str
    title: str
    provider: str
    consumer: str
    created: str
    terms_sha256: str
    agreements: list[AgreementShape]


class UmbrellasShape(Shape, frozen=True, kw_only=True):
    """The umbrellas that the caller's organization is a party to."""

    umbrellas: list[UmbrellaShape]


class UmbrellaRequest(RequestShape, frozen=True, kw_only=True):
    """Several agreements asked of one provider, in the order in which their digests are signed."""

    title: str
    terms: list[TermsShape]


class ApprovalsShape(Shape, frozen=True, kw_only=True):
    """The roles whose approval an organization requires before its signatory signs."""

    organization: str
    roles: list[str]


class ApprovalsRequest(RequestShape, frozen=True, kw_only=True):
    """The roles to require from now on; none for no approval."""

    roles: list[str]
