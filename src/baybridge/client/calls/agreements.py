"""Agreements, and the acts on them.

An act with `if_match`, an agreement's `etag`, is done on the agreement in that state only, and else raises PreconditionFailed.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from baybridge.client.call import Call, get, get_text, send
from baybridge.client.questions import part
from baybridge.wire.agreements import (
    AgreementShape,
    AgreementsShape,
    ApproveRequest,
    CounterRequest,
    OfferRequest,
    ReasonRequest,
    SignRequest,
    StatementRequest,
    TerminateRequest,
)
from baybridge.wire.terms import CheckedTermsShape, TermsShape


def agreements() -> Call[AgreementsShape]:
    """The agreements that the caller's organization is a party to."""
    return get("/agreements", AgreementsShape)


def agreement(agreement_id: str) -> Call[AgreementShape]:
    """One agreement."""
    return get(f"/agreements/{part(agreement_id)}", AgreementShape)


def agreement_text(agreement_id: str) -> Call[str]:
    """Its terms in plain words: what is signed."""
    return get_text(f"/agreements/{part(agreement_id)}/text")


def request_agreement(terms: TermsShape) -> Call[AgreementShape]:
    """Ask a provider for an agreement with these terms."""
    return send("POST", "/agreements", terms, AgreementShape)


def check_request(terms: TermsShape) -> Call[CheckedTermsShape]:
    """Whether these terms may be asked for: the dry run of `request_agreement`, refused where that would be."""
    return replace(send("POST", "/agreements", terms, CheckedTermsShape), query={"dry_run": "true"})


def offer(agreement_id: str, terms: TermsShape | None = None, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Offer exact terms, or those that were asked for."""
    return _act(agreement_id, "offer", OfferRequest(terms=terms), if_match)


def counter(agreement_id: str, terms: TermsShape, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Ask for other terms than those that stand."""
    return _act(agreement_id, "request", CounterRequest(terms=terms), if_match)


def approve(agreement_id: str, role: str, terms_sha256: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Approve as an officer, in that role, the terms with the digest that the caller has read."""
    return _act(agreement_id, "approve", ApproveRequest(role=role, terms_sha256=terms_sha256), if_match)


def sign(agreement_id: str, terms_sha256: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Sign for the caller's side, over the digest of the terms that the caller has read."""
    return _act(agreement_id, "sign", SignRequest(terms_sha256=terms_sha256), if_match)


def suspend(agreement_id: str, reason: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Stop all reading until it is resumed."""
    return _act(agreement_id, "suspend", ReasonRequest(reason=reason), if_match)


def resume(agreement_id: str, reason: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Lift a suspension."""
    return _act(agreement_id, "resume", ReasonRequest(reason=reason), if_match)


def revoke(agreement_id: str, reason: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """End an agreement for good."""
    return _act(agreement_id, "revoke", ReasonRequest(reason=reason), if_match)


def terminate(agreement_id: str, reason: str, code: str | None = None, *, if_match: str | None = None) -> Call[AgreementShape]:
    """End a negotiation that is not signed by both sides; without a code it is `declined` or `withdrawn`."""
    return _act(agreement_id, "terminate", TerminateRequest(reason=reason, code=code), if_match)


def successor(agreement_id: str, terms: TermsShape | None = None, *, if_match: str | None = None) -> Call[AgreementShape]:
    """Begin the agreement that takes this one's place when both have signed it, with these terms or the same."""
    return _act(agreement_id, "successor", OfferRequest(terms=terms), if_match)


def close_agreement(agreement_id: str, statement: str, *, if_match: str | None = None) -> Call[AgreementShape]:
    """State, for the consumer, that what was received under an ended agreement is destroyed."""
    return _act(agreement_id, "close", StatementRequest(statement=statement), if_match)


def _act(agreement_id: str, act: str, body: msgspec.Struct, if_match: str | None) -> Call[AgreementShape]:
    return send("POST", f"/agreements/{part(agreement_id)}/{act}", body, AgreementShape, if_match=if_match)
