"""Bearer tokens: made, recognised and revoked. Only the SHA-256 of a token is ever kept; 256 random bits need no slow hash."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Final

from baybridge.errors import Advice, Refused
from baybridge.principals.store import Token

PREFIX: Final = "bb_"
RANDOM_BYTES: Final = 32


def make_token(random: bytes) -> str:
    """`bb_` and 256 random bits in URL-safe base64. Raise ValueError for any other number of random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError("A token takes exactly 32 random bytes.")
    return PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")


def hash_token(token: str) -> bytes:
    """SHA-256 of the token's text."""
    return hashlib.sha256(token.encode()).digest()


def require_valid(token: Token | None, *, now: datetime) -> Token:
    """Refuse with `not_signed_in` an unknown or revoked token, with `token_expired` one whose time is over."""
    if token is None or token.revoked is not None:
        raise Refused(
            "not_signed_in",
            "The token is not one that is valid here.",
            advice=Advice(
                rule="Every request that is not public carries a valid token.",
                who_can_change="an admin of your organization",
                next_step="Ask an admin of your organization for a new token.",
                next_command="baybridge token issue PRINCIPAL",
            ),
        )
    if token.expires is not None and now >= token.expires:
        raise Refused(
            "token_expired",
            "The token's expiry has passed.",
            advice=Advice(
                rule="A token is valid until its expiry.",
                who_can_change="an admin of your organization",
                next_step="Ask an admin of your organization for a new token.",
                next_command="baybridge token issue PRINCIPAL",
            ),
        )
    return token
