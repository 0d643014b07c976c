"""Organizations, principals and the hashes of their tokens in the catalog's database. Tokens themselves are never here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Conflict, NotFound
from baybridge.principals.principal import Principal, PrincipalKind, Role

ORGANIZATIONS: Final = sa.Table(
    "organizations",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
)
PRINCIPALS: Final = sa.Table(
    "principals",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.UniqueConstraint("organization", "name", name="one_name_per_organization"),
)
TOKENS: Final = sa.Table(
    "tokens",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("purpose", sa.Text),
    sa.Column("expires", UtcDateTime),
    sa.Column("revoked", UtcDateTime),
    sa.Column("created", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Organization:
    """An agency."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: everything but the token."""

    id: str
    principal: Principal
    expires: datetime | None
    revoked: datetime | None


def add_organization(connection: sa.Connection, organization: Organization, *, now: datetime) -> None:
    """Add an agency. Raise Conflict when the name is taken."""
    if connection.execute(sa.select(ORGANIZATIONS.c.name).where(ORGANIZATIONS.c.name == organization.name)).first():
        raise Conflict("conflict", f'There is an organization "{organization.name}" already.')
    connection.execute(sa.insert(ORGANIZATIONS).values(name=organization.name, title=organization.title, created=now))


def organizations(connection: sa.Connection) -> tuple[Organization, ...]:
    """All agencies by name."""
    rows = connection.execute(sa.select(ORGANIZATIONS.c.name, ORGANIZATIONS.c.title).order_by(ORGANIZATIONS.c.name))
    return tuple(Organization(row.name, row.title) for row in rows)


def require_organization(connection: sa.Connection, name: str) -> None:
    """Raise NotFound unless there is such an agency."""
    if not connection.execute(sa.select(ORGANIZATIONS.c.name).where(ORGANIZATIONS.c.name == name)).first():
        raise NotFound("not_found", f'There is no organization "{name}".')


def add_principal(connection: sa.Connection, principal: Principal, *, now: datetime) -> None:
    """Add a person or service account. Raise Conflict when the organization has one of that name."""
    require_organization(connection, principal.organization)
    taken = sa.select(PRINCIPALS.c.id).where(PRINCIPALS.c.organization == principal.organization, PRINCIPALS.c.name == principal.name)
    if connection.execute(taken).first():
        raise Conflict("conflict", f"{principal.organization} has a principal of that name already.")
    connection.execute(
        sa.insert(PRINCIPALS).values(
            id=principal.id,
            organization=principal.organization,
            name=principal.name,
            kind=principal.kind.value,
            roles=" ".join(sorted(principal.roles)),
            created=now,
        )
    )


def principals(connection: sa.Connection, organization: str) -> tuple[Principal, ...]:
    """An agency's principals by name."""
    rows = connection.execute(_PRINCIPAL.where(PRINCIPALS.c.organization == organization).order_by(PRINCIPALS.c.name))
    return tuple(_principal(row) for row in rows)


def find_principal(connection: sa.Connection, principal_id: str) -> Principal:
    """Give the principal of that id. Raise NotFound."""
    row = connection.execute(_PRINCIPAL.where(PRINCIPALS.c.id == principal_id)).first()
    if row is None:
        raise NotFound("not_found", "There is no principal of that id.")
    return _principal(row)


def add_token(connection: sa.Connection, token: Token, *, sha256: bytes, now: datetime) -> None:
    """Keep a token's hash."""
    connection.execute(
        sa.insert(TOKENS).values(
            id=token.id,
            principal=token.principal.id,
            sha256=sha256,
            purpose=token.principal.purpose,
            expires=token.expires,
            created=now,
        )
    )


def find_token_by_hash(connection: sa.Connection, sha256: bytes) -> Token | None:
    """Give the token of that hash with its principal, or None."""
    row = connection.execute(_TOKEN.where(TOKENS.c.sha256 == sha256)).first()
    return None if row is None else _token(row)


def find_token(connection: sa.Connection, token_id: str) -> Token:
    """Give the token of that id. Raise NotFound."""
    row = connection.execute(_TOKEN.where(TOKENS.c.id == token_id)).first()
    if row is None:
        raise NotFound("not_found", "There is no token of that id.")
    return _token(row)


def revoke_token(connection: sa.Connection, token_id: str, *, now: datetime) -> None:
    """Revoke it from now on; revoking twice keeps the first time."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.revoked.is_(None)).values(revoked=now))


_PRINCIPAL: Final = sa.select(PRINCIPALS.c.id, PRINCIPALS.c.organization, PRINCIPALS.c.name, PRINCIPALS.c.kind, PRINCIPALS.c.roles)
_TOKEN: Final = sa.select(
    TOKENS.c.id.label("token_id"),
    TOKENS.c.purpose,
    TOKENS.c.expires,
    TOKENS.c.revoked,
    PRINCIPALS.c.id,
    PRINCIPALS.c.organization,
    PRINCIPALS.c.name,
    PRINCIPALS.c.kind,
    PRINCIPALS.c.roles,
).join_from(TOKENS, PRINCIPALS, TOKENS.c.principal == PRINCIPALS.c.id)


def _principal(row: Any, purpose: str | None = None) -> Principal:
    return Principal(
        id=row.id,
        organization=row.organization,
        name=row.name,
        kind=PrincipalKind(row.kind),
        roles=frozenset(Role(role) for role in row.roles.split()),
        purpose=purpose,
    )


def _token(row: Any) -> Token:
    return Token(id=row.token_id, principal=_principal(row, row.purpose), expires=row.expires, revoked=row.revoked)
