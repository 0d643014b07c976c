"""Organizations, principals and tokens."""

from __future__ import annotations

import msgspec

from baybridge.wire.shape import RequestShape, Shape


class OrganizationShape(Shape, frozen=True, kw_only=True):
    """An agency."""

    name: str
    title: str
    status: str = "active"


class OrganizationsShape(Shape, frozen=True, kw_only=True):
    """All agencies, by name."""

    organizations: list[OrganizationShape]


class PrincipalRequest(RequestShape, frozen=True, kw_only=True):
    """A person or service account to add to an organization."""

    name: str
    kind: str = "person"
    roles: list[str]
    identity: str | None = None


class RolesRequest(RequestShape, frozen=True, kw_only=True):
    """The roles that a principal is to have, and no others."""

    roles: list[str]


class PrincipalShape(Shape, frozen=True, kw_only=True):
    """A principal as its own organization sees it.

    `pending` roles wait for a second person. `purpose` and `scopes` are those of the token that asks, where it asks who it is.
    """

    id: str
    organization: str
    name: str
    kind: str
    roles: list[str]
    purpose: str | None = None
    pending: list[str] = msgspec.field(default_factory=list)
    identity: str | None = None
    status: str = "active"
    scopes: list[str] | None = None


class PrincipalsShape(Shape, frozen=True, kw_only=True):
    """An organization's principals, by name."""

    principals: list[PrincipalShape]


class TokenRequest(RequestShape, frozen=True, kw_only=True):
    """A token to issue: for whom, until when, bound to which purpose, narrowed to which scopes."""

    principal: str
    expires: str | None = None
    purpose: str | None = None
    scopes: list[str] | None = None


class RotateRequest(RequestShape, frozen=True, kw_only=True):
    """How long the old token is valid beside the new one."""

    overlap_seconds: int = 0


class TokenFactsShape(Shape, frozen=True, kw_only=True):
    """What is known of a token; the token itself is kept nowhere. `last_used` is to the minute."""

    id: str
    principal: str
    purpose: str | None
    scopes: list[str] | None
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None


class TokensShape(Shape, frozen=True, kw_only=True):
    """Tokens, newest first."""

    tokens: list[TokenFactsShape]


class TokenShape(Shape, frozen=True, kw_only=True):
    """A token just issued; `token` is shown this once and only its hash is kept."""

    id: str
    principal: str
    token: str
    expires: str | None
    purpose: str | None
    scopes: list[str] | None = None
