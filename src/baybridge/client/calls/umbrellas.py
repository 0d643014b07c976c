"""Umbrellas: several agreements with one provider, in one act each."""

from __future__ import annotations

from collections.abc import Sequence

from baybridge.client.call import Call, get, send
from baybridge.client.questions import part
from baybridge.wire.agreements import SignRequest, UmbrellaRequest, UmbrellaShape, UmbrellasShape
from baybridge.wire.terms import TermsShape


def umbrellas() -> Call[UmbrellasShape]:
    """The umbrellas that the caller's organization is a party to."""
    return get("/umbrellas", UmbrellasShape)


def umbrella(umbrella_id: str) -> Call[UmbrellaShape]:
    """One umbrella, with its agreements."""
    return get(f"/umbrellas/{part(umbrella_id)}", UmbrellaShape)


def request_umbrella(title: str, terms: Sequence[TermsShape]) -> Call[UmbrellaShape]:
    """Ask a provider for several agreements under one title."""
    return send("POST", "/umbrellas", UmbrellaRequest(title=title, terms=list(terms)), UmbrellaShape)


def offer_umbrella(umbrella_id: str) -> Call[UmbrellaShape]:
    """Offer each of its agreements as it stands."""
    return send("POST", f"/umbrellas/{part(umbrella_id)}/offer", None, UmbrellaShape)


def sign_umbrella(umbrella_id: str, terms_sha256: str) -> Call[UmbrellaShape]:
    """Sign all of its agreements or none, over the digest of all their digests."""
    return send("POST", f"/umbrellas/{part(umbrella_id)}/sign", SignRequest(terms_sha256=terms_sha256), UmbrellaShape)
