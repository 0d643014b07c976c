"""Organizations, principals and tokens, added and revoked: each act checks who, and is entered in the organization's log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.db import Database
from baybridge.errors import Invalid, Place, Refused
from baybridge.names import parse_organization, parse_purpose
from baybridge.principals import store
from baybridge.principals.principal import Principal, parse_kind, parse_roles, require_admin
from baybridge.principals.store import Organization, Token
from baybridge.principals.tokens import RANDOM_BYTES, hash_token, make_token, require_valid

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Issued:
    """A token just made: the only moment at which its text exists here."""

    token: Token
    secret: str


@dataclass(frozen=True, slots=True)
class Administer:
    """The acts on organizations, principals and tokens, bound to what they need."""

    database: Database
    log: Log
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]

    def add_organization(self, principal: Principal, name: str, title: str) -> Organization:
        """Add an agency and begin its log. Only the local operator may: an agency joins by an act outside the exchange."""
        if not principal.is_operator():
            raise Refused("role_required", "Only the operator of this server adds organizations.")
        organization = Organization(parse_organization(name), _printable(title or name, "title"))
        with self.database.write() as connection:
            store.add_organization(connection, organization, now=self.clock())
            self.log.open(connection, organization.name)
            self.log.append(connection, _draft(principal, organization.name, Kind.ORGANIZATION_ADDED, {}))
        return organization

    def organizations(self) -> tuple[Organization, ...]:
        """All agencies by name."""
        with self.database.read() as connection:
            return store.organizations(connection)

    def add_principal(self, principal: Principal, organization: str, name: str, kind: str, roles: list[str]) -> Principal:
        """Add a person or service account to an agency. Roles: its admin, or the local operator."""
        added = Principal(
            id="prn_" + self.entropy(8).hex(),
            organization=parse_organization(organization),
            name=_printable(name, "name"),
            kind=parse_kind(kind),
            roles=parse_roles(roles),
        )
        with self._entering_refusals(principal, "add_principal", added.organization), self.database.write() as connection:
            require_admin(principal, added.organization)
            store.add_principal(connection, added, now=self.clock())
            facts: dict[str, JSON] = {"added": added.id, "principal_kind": added.kind.value, "roles": sorted(added.roles)}
            self.log.append(connection, _draft(principal, added.organization, Kind.PRINCIPAL_ADDED, facts))
        return added

    def principals(self, principal: Principal, organization: str) -> tuple[Principal, ...]:
        """An agency's principals, to its admins and the local operator."""
        with self._entering_refusals(principal, "principals", organization):
            require_admin(principal, organization)
        with self.database.read() as connection:
            store.require_organization(connection, organization)
            return store.principals(connection, organization)

    def issue_token(self, principal: Principal, principal_id: str, *, expires: datetime | None, purpose: str | None) -> Issued:
        """Make a token for a principal, with an expiry and bound to a purpose where given. It is shown once."""
        with self.database.read() as connection:
            holder = store.find_principal(connection, principal_id)
        with self._entering_refusals(principal, "issue_token", holder.organization), self.database.write() as connection:
            require_admin(principal, holder.organization)
            now = self.clock()
            if expires is not None and expires <= now:
                raise Invalid(
                    "invalid_request",
                    "The expiry of a new token lies in the future.",
                    places=(Place("expires", "an instant in the future"),),
                )
            bound = None if purpose is None else parse_purpose(purpose)
            secret = make_token(self.entropy(RANDOM_BYTES))
            token = Token("tok_" + self.entropy(8).hex(), replace(holder, purpose=bound), expires, None)
            store.add_token(connection, token, sha256=hash_token(secret), now=now)
            facts: dict[str, JSON] = {"token": token.id, "principal": holder.id, "purpose": bound}
            self.log.append(connection, _draft(principal, holder.organization, Kind.TOKEN_ISSUED, facts))
        return Issued(token, secret)

    def revoke_token(self, principal: Principal, token_id: str) -> None:
        """Revoke a token: by its holder, an admin of its organization, or the local operator."""
        with self.database.read() as connection:
            token = store.find_token(connection, token_id)
        holder = token.principal
        with self._entering_refusals(principal, "revoke_token", holder.organization), self.database.write() as connection:
            if principal.id != holder.id:
                require_admin(principal, holder.organization)
            store.revoke_token(connection, token_id, now=self.clock())
            facts: dict[str, JSON] = {"token": token.id, "principal": holder.id}
            self.log.append(connection, _draft(principal, holder.organization, Kind.TOKEN_REVOKED, facts))

    def authenticate(self, secret: str) -> Principal:
        """Give the principal of a bearer token. Raise Refused (`not_signed_in`, `token_expired`)."""
        with self.database.read() as connection:
            token = store.find_token_by_hash(connection, hash_token(secret))
        return require_valid(token, now=self.clock()).principal

    def _entering_refusals(self, principal: Principal, act: str, organization: str) -> AbstractContextManager[None]:
        return self.log.entering_refusals(organization, {"act": act, "actor": _actor(principal)})


def _actor(principal: Principal) -> dict[str, JSON]:
    return {"organization": principal.organization, "principal": principal.id}


def _draft(principal: Principal, organization: str, kind: Kind, facts: dict[str, JSON]) -> Draft:
    return Draft(organization, kind, {"actor": _actor(principal), **facts})


def _printable(text: str, parameter: str) -> str:
    if 1 <= len(text.strip()) <= MAX_NAME and text.isprintable():
        return text.strip()
    rule = f"a printable text of 1 to {MAX_NAME} characters"
    raise Invalid("invalid_request", f"A {parameter} is {rule}.", places=(Place(parameter, rule),))
