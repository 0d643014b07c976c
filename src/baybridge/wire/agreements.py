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


class AgreementShape(Shape, frozen=True, kw_only=True):
    """An agreement and where it stands now. `terms` is null when this server does not understand what is stored."""

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
