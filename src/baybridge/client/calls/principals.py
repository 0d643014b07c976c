"""Who there is: organizations, their principals, and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from baybridge.client.answers import require_success
from baybridge.client.call import API, Call, get, send
from baybridge.client.questions import part
from baybridge.wire.agreements import ReasonRequest
from baybridge.wire.principals import (
    OrganizationsShape,
    PrincipalRequest,
    PrincipalShape,
    PrincipalsShape,
    RolesRequest,
    RotateRequest,
    TokenRequest,
    TokenShape,
    TokensShape,
)


def whoami() -> Call[PrincipalShape]:
    """The principal of the token."""
    return get("/whoami", PrincipalShape)


def organizations() -> Call[OrganizationsShape]:
    """All agencies."""
    return get("/organizations", OrganizationsShape)


def principals(organization: str) -> Call[PrincipalsShape]:
    """An agency's principals, to its admins."""
    return get(f"/organizations/{part(organization)}/principals", PrincipalsShape)


def principal(principal_id: str) -> Call[PrincipalShape]:
    """One principal."""
    return get(f"/principals/{part(principal_id)}", PrincipalShape)


def add_principal(
    organization: str, name: str, *, roles: Sequence[str], kind: str = "person", identity: str | None = None
) -> Call[PrincipalShape]:
    """Add a person or a service account."""
    asked = PrincipalRequest(name=name, kind=kind, roles=list(roles), identity=identity)
    return send("POST", f"/organizations/{part(organization)}/principals", asked, PrincipalShape)


def set_roles(principal_id: str, roles: Sequence[str]) -> Call[PrincipalShape]:
    """Give a principal these roles, and no others."""
    return send("PUT", f"/principals/{part(principal_id)}/roles", RolesRequest(roles=list(roles)), PrincipalShape)


def confirm_roles(principal_id: str) -> Call[PrincipalShape]:
    """Stand as the second person behind a colleague's roles that wait for one."""
    return send("POST", f"/principals/{part(principal_id)}/confirm", None, PrincipalShape)


def suspend_principal(principal_id: str, reason: str) -> Call[PrincipalShape]:
    """Refuse everything to a principal until it is resumed."""
    return send("POST", f"/principals/{part(principal_id)}/suspend", ReasonRequest(reason=reason), PrincipalShape)


def resume_principal(principal_id: str, reason: str) -> Call[PrincipalShape]:
    """Lift the suspension of a principal."""
    return send("POST", f"/principals/{part(principal_id)}/resume", ReasonRequest(reason=reason), PrincipalShape)


def offboard_principal(principal_id: str, reason: str) -> Call[PrincipalShape]:
    """End a principal for good, with its tokens; its entries stay."""
    return send("POST", f"/principals/{part(principal_id)}/offboard", ReasonRequest(reason=reason), PrincipalShape)


def tokens(organization: str) -> Call[TokensShape]:
    """What is known of an agency's tokens, to its admins."""
    return get(f"/organizations/{part(organization)}/tokens", TokensShape)


def issue_token(
    principal: str, *, expires: str | None = None, purpose: str | None = None, scopes: Sequence[str] | None = None
) -> Call[TokenShape]:
    """Issue a token for a principal's id; its text is in this answer and in no other."""
    narrowed = None if scopes is None else list(scopes)
    return send("POST", "/tokens", TokenRequest(principal=principal, expires=expires, purpose=purpose, scopes=narrowed), TokenShape)


def rotate_token(token_id: str, *, overlap_seconds: int = 0) -> Call[TokenShape]:
    """Put a new token in the place of one, which stays valid beside it for the overlap."""
    return send("POST", f"/tokens/{part(token_id)}/rotate", RotateRequest(overlap_seconds=overlap_seconds), TokenShape)


def revoke_token(token_id: str) -> Call[None]:
    """Revoke a token by its id."""
    return Call(method="DELETE", path=f"{API}/tokens/{part(token_id)}", read=require_success)
