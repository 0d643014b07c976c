"""Bearer tokens: made, recognised and revoked. Only the SHA-256 of a token is ever kept; 256 random bits need no slow hash."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.errors import Advice, Refused
from baybridge.principals.principal import Principal, Status, Token, require_taking_part
from baybridge.principals.store import find_organization, find_principal, find_token, require_organization

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
    """Refuse with `not_signed_in` an unknown or revoked token, with `token_expired` one whose time is over.

    Refuse with `principal_suspended` or `organization_suspended` one whose holder takes no part now.
    """
    if token is None or token.revoked is not None:
        raise _refused(
            "not_signed_in", "The token is not one that is valid here.", "Every request that is not public carries a valid token."
        )
    if token.expires is not None and now >= token.expires:
        raise _refused("token_expired", "The token's expiry has passed.", "A token is valid until its expiry.")
    _require_taking_part(token.principal, token.organization)
    return token


def present(connection: sa.Connection, principal: Principal, *, now: datetime, counterpart: str) -> Principal:
    """The principal as it stands now. Raise Refused where its token, itself, its organization or the counterpart's takes no part now."""
    if principal.is_operator():
        return principal
    require_organization(connection, counterpart)
    if principal.token is not None:
        return require_valid(find_token(connection, principal.token), now=now).principal
    found = find_principal(connection, principal.id)
    _require_taking_part(found, find_organization(connection, found.organization).status)
    return found


def _require_taking_part(principal: Principal, organization: Status) -> None:
    require_taking_part(principal.organization, organization)
    if principal.status is not Status.ACTIVE:
        raise Refused(
            "principal_suspended",
            f"This principal is {principal.status}.",
            advice=Advice(
                rule="Only principals that take part can act.",
                who_can_change=f"an admin of {principal.organization}",
                next_step=f"Ask an admin of {principal.organization}.",
            ),
        )


def _refused(code: str, detail: str, rule: str) -> Refused:
    return Refused(
        code,
        detail,
        advice=Advice(
            rule=rule,
            who_can_change="an admin of your organization",
            next_step="Ask an admin of your organization for a new token.",
            next_command="baybridge token issue PRINCIPAL",
        ),
    )
