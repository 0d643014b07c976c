"""Organizations, principals and the hashes of their tokens in the catalog's database. Tokens themselves are never here.

Nothing here is ever deleted: a name that was used once stays taken, and entries go on naming ids that can be looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Conflict, NotFound
from baybridge.principals.principal import Organization, Principal, PrincipalKind, Role, Scope, Status, Token, require_taking_part

ORGANIZATIONS: Final = sa.Table(
    "organizations",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("reason", sa.Text),
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
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("reason", sa.Text),
    sa.Column("pending", sa.Text, nullable=False, server_default=""),
    sa.Column("identity", sa.Text),
    sa.UniqueConstraint("organization", "name", name="one_name_per_organization"),
    sa.Index("one_principal_per_identity", "organization", "identity", unique=True),
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
    sa.Column("scopes", sa.Text),
    sa.Column("last_used", UtcDateTime),
    sa.Index("tokens_of_a_principal", "principal"),
)


def add_organization(connection: sa.Connection, organization: Organization, *, now: datetime) -> None:
    """Add an agency. Raise Conflict when the name is taken, or was once."""
    if connection.execute(sa.select(ORGANIZATIONS.c.name).where(ORGANIZATIONS.c.name == organization.name)).first():
        raise Conflict("conflict", f'There is an organization "{organization.name}" already.')
    connection.execute(sa.insert(ORGANIZATIONS).values(name=organization.name, title=organization.title, created=now))


def organizations(connection: sa.Connection) -> tuple[Organization, ...]:
    """All agencies by name."""
    return tuple(_organization(row) for row in connection.execute(_ORGANIZATION.order_by(ORGANIZATIONS.c.name)))


def find_organization(connection: sa.Connection, name: str) -> Organization:
    """Give the agency of that name. Raise NotFound."""
    row = connection.execute(_ORGANIZATION.where(ORGANIZATIONS.c.name == name)).first()
    if row is None:
        raise NotFound("not_found", f'There is no organization "{name}".')
    return _organization(row)


def require_organization(connection: sa.Connection, name: str) -> None:
    """Raise NotFound unless there is such an agency, and Refused (`organization_suspended`) unless it takes part."""
    require_taking_part(name, find_organization(connection, name).status)


def set_organization_status(connection: sa.Connection, name: str, status: Status, reason: str) -> None:
    """Put the status of an agency in place of the old."""
    connection.execute(sa.update(ORGANIZATIONS).where(ORGANIZATIONS.c.name == name).values(status=status.value, reason=reason))


def add_principal(connection: sa.Connection, principal: Principal, *, now: datetime) -> None:
    """Add a person or service account. Raise Conflict when the organization has, or had, one of that name or identity."""
    require_organization(connection, principal.organization)
    same = PRINCIPALS.c.name == principal.name
    if principal.identity is not None:
        same = sa.or_(same, PRINCIPALS.c.identity == principal.identity)
    if connection.execute(sa.select(PRINCIPALS.c.id).where(PRINCIPALS.c.organization == principal.organization, same)).first():
        raise Conflict("conflict", f"{principal.organization} has a principal of that name or identity already.")
    connection.execute(
        sa.insert(PRINCIPALS).values(
            id=principal.id,
            organization=principal.organization,
            name=principal.name,
            kind=principal.kind.value,
            roles=_words(principal.roles),
            pending=_words(principal.pending),
            identity=principal.identity,
            created=now,
        )
    )


def set_roles(connection: sa.Connection, principal: Principal) -> None:
    """Put the principal's roles, in force and pending, in place of the old."""
    connection.execute(
        sa.update(PRINCIPALS)
        .where(PRINCIPALS.c.id == principal.id)
        .values(roles=_words(principal.roles), pending=_words(principal.pending))
    )


def set_principal_status(connection: sa.Connection, principal_id: str, status: Status, reason: str) -> None:
    """Put the status of a principal in place of the old."""
    connection.execute(sa.update(PRINCIPALS).where(PRINCIPALS.c.id == principal_id).values(status=status.value, reason=reason))


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


def add_token(connection: sa.Connection, token: Token, *, sha256: bytes) -> None:
    """Keep a token's hash."""
    scopes = token.principal.scopes
    connection.execute(
        sa.insert(TOKENS).values(
            id=token.id,
            principal=token.principal.id,
            sha256=sha256,
            purpose=token.principal.purpose,
            scopes=None if scopes is None else _words(scopes),
            expires=token.expires,
            created=token.created,
        )
    )


def find_token_by_hash(connection: sa.Connection, sha256: bytes) -> Token | None:
    """Give the token of that hash with its principal, or None."""
    row = connection.execute(_TOKEN_BY_HASH, {"sha256": sha256}).first()
    return None if row is None else _token(row)


def find_token(connection: sa.Connection, token_id: str) -> Token:
    """Give the token of that id. Raise NotFound."""
    row = connection.execute(_TOKEN.where(TOKENS.c.id == token_id)).first()
    if row is None:
        raise NotFound("not_found", "There is no token of that id.")
    return _token(row)


def tokens(connection: sa.Connection, organization: str, *, holder: str | None = None) -> tuple[Token, ...]:
    """The tokens of an agency's principals, or of one of them, newest first."""
    query = _TOKEN.where(PRINCIPALS.c.organization == organization).order_by(TOKENS.c.created.desc(), TOKENS.c.id)
    if holder is not None:
        query = query.where(PRINCIPALS.c.id == holder)
    return tuple(_token(row) for row in connection.execute(query))


def revoke_token(connection: sa.Connection, token_id: str, *, now: datetime) -> None:
    """Revoke it from now on; revoking twice keeps the first time."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.revoked.is_(None)).values(revoked=now))


def revoke_tokens(connection: sa.Connection, principal_id: str, *, now: datetime) -> None:
    """Revoke every token of a principal."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.principal == principal_id, TOKENS.c.revoked.is_(None)).values(revoked=now))


def end_token(connection: sa.Connection, token_id: str, *, expires: datetime) -> None:
    """Let it end at that instant."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.id == token_id).values(expires=expires))


def note_last_use(connection: sa.Connection, uses: Mapping[str, datetime]) -> None:
    """Keep when these tokens were last used."""
    for token_id, used in uses.items():
        earlier = sa.or_(TOKENS.c.last_used.is_(None), TOKENS.c.last_used < used)  # another process may have seen it later
        connection.execute(sa.update(TOKENS).where(TOKENS.c.id == token_id, earlier).values(last_used=used))


def still_acts(connection: sa.Connection, principal: Principal, *, now: datetime, counterpart: str) -> bool:
    """Whether the principal still acts as when it signed in: one query, for inside the transaction that records a disclosure.

    Its token has not ended, it has no role less, and neither it nor its organization nor the counterpart's is suspended or off-boarded.
    """
    if principal.is_operator():
        return True
    row = connection.execute(
        _STILL,
        {"principal": principal.id, "token": principal.token, "counterpart": counterpart},
    ).first()
    if row is None or {row.status, row.own, row.counterpart} != {Status.ACTIVE.value}:
        return False
    if not {role.value for role in principal.roles} <= set(row.roles.split()):
        return False
    return principal.token is None or (row.token is not None and row.revoked is None and (row.expires is None or now < row.expires))


_ORGANIZATION: Final = sa.select(ORGANIZATIONS.c.name, ORGANIZATIONS.c.title, ORGANIZATIONS.c.status)
_OF_PRINCIPAL: Final = (
    PRINCIPALS.c.id,
    PRINCIPALS.c.organization,
    PRINCIPALS.c.name,
    PRINCIPALS.c.kind,
    PRINCIPALS.c.roles,
    PRINCIPALS.c.pending,
    PRINCIPALS.c.identity,
    PRINCIPALS.c.status,
)
_PRINCIPAL: Final = sa.select(*_OF_PRINCIPAL)
_TOKEN: Final = sa.select(
    TOKENS.c.id.label("token_id"),
    TOKENS.c.purpose,
    TOKENS.c.scopes,
    TOKENS.c.created,
    TOKENS.c.expires,
    TOKENS.c.revoked,
    TOKENS.c.last_used,
    ORGANIZATIONS.c.status.label("organization_status"),
    *_OF_PRINCIPAL,
).select_from(
    TOKENS.join(PRINCIPALS, TOKENS.c.principal == PRINCIPALS.c.id).join(ORGANIZATIONS, PRINCIPALS.c.organization == ORGANIZATIONS.c.name)
)
_TOKEN_BY_HASH: Final = _TOKEN.where(TOKENS.c.sha256 == sa.bindparam("sha256"))
_OWN: Final = ORGANIZATIONS.alias("own")
_COUNTERPART: Final = ORGANIZATIONS.alias("counterpart")
_STILL: Final = (
    sa.select(
        PRINCIPALS.c.status,
        PRINCIPALS.c.roles,
        _OWN.c.status.label("own"),
        _COUNTERPART.c.status.label("counterpart"),
        TOKENS.c.id.label("token"),
        TOKENS.c.revoked,
        TOKENS.c.expires,
    )
    .select_from(PRINCIPALS)
    .join(_OWN, _OWN.c.name == PRINCIPALS.c.organization)
    .join(_COUNTERPART, _COUNTERPART.c.name == sa.bindparam("counterpart"))
    .join(TOKENS, sa.and_(TOKENS.c.principal == PRINCIPALS.c.id, TOKENS.c.id == sa.bindparam("token")), isouter=True)
    .where(PRINCIPALS.c.id == sa.bindparam("principal"))
)


def _words(values: frozenset[Role] | frozenset[Scope]) -> str:
    return " ".join(sorted(values))


def _organization(row: Any) -> Organization:
    return Organization(row.name, row.title, Status(row.status))


def _principal(row: Any) -> Principal:
    return Principal(
        id=row.id,
        organization=row.organization,
        name=row.name,
        kind=PrincipalKind(row.kind),
        roles=_roles(row.roles),
        pending=_roles(row.pending),
        identity=row.identity,
        status=Status(row.status),
    )


def _roles(words: str) -> frozenset[Role]:
    return frozenset(Role(role) for role in words.split())


def _token(row: Any) -> Token:
    holder = replace(
        _principal(row),
        purpose=row.purpose,
        scopes=None if row.scopes is None else frozenset(Scope(scope) for scope in row.scopes.split()),
        token=row.token_id,
    )
    return Token(
        id=row.token_id,
        principal=holder,
        created=row.created,
        expires=row.expires,
        organization=Status(row.organization_status),
        revoked=row.revoked,
        last_used=row.last_used,
    )
