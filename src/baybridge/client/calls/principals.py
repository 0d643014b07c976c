"""Who there is: organizations, their principals, and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from baybridge.client.answers import require_success
from baybridge.client.call import API, Call, get, send
from baybridge.client.questions import part
from baybridge.wire.principals import OrganizationsShape, PrincipalRequest, PrincipalShape, PrincipalsShape, TokenRequest, TokenShape


def whoami() -> Call[PrincipalShape]:
    """The principal of the token."""
    return get("/whoami", PrincipalShape)


def organizations() -> Call[OrganizationsShape]:
    """All agencies."""
    return get("/organizations", OrganizationsShape)


def principals(organization: str) -> Call[PrincipalsShape]:
    """An agency's principals, to its admins."""
    return get(f"/organizations/{part(organization)}/principals", PrincipalsShape)


def add_principal(
    organization: str, name: str, *, roles: Sequence[str], kind: str = "person", identity: str | None = None
) -> Call[PrincipalShape]:
    """Add a person or a service account."""
    asked = PrincipalRequest(name=name, kind=kind, roles=list(roles), identity=identity)
    return send("POST", f"/organizations/{part(organization)}/principals", asked, PrincipalShape)


def confirm_roles(principal: str) -> Call[PrincipalShape]:
    """Stand as the second person behind a colleague's roles that wait for one."""
    return send("POST", f"/principals/{part(principal)}/confirm", None, PrincipalShape)


def issue_token(principal: str, *, expires: str | None = None, purpose: str | None = None) -> Call[TokenShape]:
    """Issue a token for a principal's id; its text is in this answer and in no other."""
    return send("POST", "/tokens", TokenRequest(principal=principal, expires=expires, purpose=purpose), TokenShape)


def revoke_token(token_id: str) -> Call[None]:
    """Revoke a token by its id."""
    return Call(method="DELETE", path=f"{API}/tokens/{part(token_id)}", read=require_success)
