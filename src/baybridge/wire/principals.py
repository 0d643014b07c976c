"""Organizations, principals and tokens."""

from __future__ import annotations

from baybridge.wire.shape import RequestShape, Shape


class OrganizationShape(Shape, frozen=True, kw_only=True):
    """An agency."""

    name: str
    title: str


class OrganizationsShape(Shape, frozen=True, kw_only=True):
    """All agencies, by name."""

    organizations: list[OrganizationShape]


class PrincipalRequest(RequestShape, frozen=True, kw_only=True):
    """A person or service account to add to an organization."""

    name: str
    kind: str = "person"
    roles: list[str]


class PrincipalShape(Shape, frozen=True, kw_only=True):
    """A principal as its own organization sees it."""

    id: str
    organization: str
    name: str
    kind: str
    roles: list[str]
    purpose: str | None = None


class PrincipalsShape(Shape, frozen=True, kw_only=True):
    """An organization's principals, by name."""

    principals: list[PrincipalShape]


class TokenRequest(RequestShape, frozen=True, kw_only=True):
    """A token to issue: for whom, until when, and bound to which purpose."""

    principal: str
    expires: str | None = None
    purpose: str | None = None


class TokenShape(Shape, frozen=True, kw_only=True):
    """A token just issued; `token` is shown this once and only its hash is kept."""

    id: str
    principal: str
    token: str
    expires: str | None
    purpose: str | None
