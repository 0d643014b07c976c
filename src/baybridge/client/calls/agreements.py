"""Agreements, and the acts on them."""

from __future__ import annotations

import msgspec

from baybridge.client.call import Call, get, send
from baybridge.client.questions import part
from baybridge.wire.agreements import AgreementShape, AgreementsShape, OfferRequest, ReasonRequest, SignRequest
from baybridge.wire.terms import TermsShape


def agreements() -> Call[AgreementsShape]:
    """The agreements that the caller's organization is a party to."""
    return get("/agreements", AgreementsShape)


def agreement(agreement_id: str) -> Call[AgreementShape]:
    """One agreement."""
    return get(f"/agreements/{part(agreement_id)}", AgreementShape)


def request_agreement(terms: TermsShape) -> Call[AgreementShape]:
    """Ask a provider for an agreement with these terms."""
    return send("POST", "/agreements", terms, AgreementShape)


def offer(agreement_id: str, terms: TermsShape | None = None) -> Call[AgreementShape]:
    """Offer exact terms, or those that were asked for."""
    return _act(agreement_id, "offer", OfferRequest(terms=terms))


def sign(agreement_id: str, terms_sha256: str) -> Call[AgreementShape]:
    """Sign for the caller's side, over the digest of the terms that the caller has read."""
    return _act(agreement_id, "sign", SignRequest(terms_sha256=terms_sha256))


def suspend(agreement_id: str, reason: str) -> Call[AgreementShape]:
    """Stop all reading until it is resumed."""
    return _act(agreement_id, "suspend", ReasonRequest(reason=reason))


def resume(agreement_id: str, reason: str) -> Call[AgreementShape]:
    """Lift a suspension."""
    return _act(agreement_id, "resume", ReasonRequest(reason=reason))


def revoke(agreement_id: str, reason: str) -> Call[AgreementShape]:
    """End an agreement for good."""
    return _act(agreement_id, "revoke", ReasonRequest(reason=reason))


def terminate(agreement_id: str, reason: str) -> Call[AgreementShape]:
    """End a negotiation that is not signed by both sides."""
    return _act(agreement_id, "terminate", ReasonRequest(reason=reason))


def _act(agreement_id: str, act: str, body: msgspec.Struct) -> Call[AgreementShape]:
    return send("POST", f"/agreements/{part(agreement_id)}/{act}", body, AgreementShape)
