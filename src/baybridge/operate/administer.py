"""Organizations, principals and tokens: added, changed and ended. Each act checks who, and is entered in the organization's log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from baybridge.agree import Agree
from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.db import Database
from baybridge.errors import Advice, Conflict, Invalid, Place, Refused
from baybridge.names import parse_organization, parse_purpose
from baybridge.principals import store
from baybridge.principals.principal import (
    Move,
    Organization,
    Principal,
    PrincipalKind,
    Role,
    Scope,
    Status,
    Token,
    divide_roles,
    move,
    parse_identity,
    parse_kind,
    parse_roles,
    parse_scopes,
    require_admin,
    require_second_person,
)
from baybridge.principals.tokens import RANDOM_BYTES, hash_token, make_token, require_valid

MAX_NAME: Final = 200
MAX_REASON: Final = 500
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Issued:
    """A token just made: the only moment at which its text exists here."""

    token: Token
    secret: str


@dataclass(frozen=True, slots=True)
class Administer:
    """The acts on organizations, principals and tokens, bound to what they need. `_used` and `_noted` are minutes of tokens' last use."""

    database: Database
    log: Log
    agree: Agree
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    _used: dict[str, datetime] = field(default_factory=dict)
    _noted: dict[str, datetime] = field(default_factory=dict)

    def add_organization(self, principal: Principal, name: str, title: str) -> Organization:
        """Add an agency and begin its log. Only the local operator may: an agency joins by an act outside the exchange."""
        _require_operator(principal)
        organization = Organization(parse_organization(name), _printable(title or name, "title", MAX_NAME))
        with self.database.write() as connection:
            store.add_organization(connection, organization, now=self.clock())
            self.log.open(connection, organization.name)
            self._enter(connection, principal, organization.name, Kind.ORGANIZATION_ADDED, {})
        return organization

    def organizations(self) -> tuple[Organization, ...]:
        """All agencies by name."""
        with self.database.read() as connection:
            return store.organizations(connection)

    def move_organization(self, principal: Principal, name: str, act: Move, reason: str) -> Organization:
        """Suspend, resume or off-board an agency. Only the local operator may.

        Off-boarding ends its people, its tokens and its agreements in the same transaction. Its name stays taken, and its log stays.
        """
        organization, why = parse_organization(name), _printable(reason, "reason", MAX_REASON)
        with self._entering_refusals(principal, f"{act}_organization", organization), self.database.write() as connection:
            _require_operator(principal)
            before = store.find_organization(connection, organization)
            after = replace(before, status=move(before.status, act))
            store.set_organization_status(connection, organization, after.status, why)
            if after.status is Status.OFFBOARDED:
                self.agree.end_all(connection, principal, organization, why)
                for each in store.principals(connection, organization):
                    if each.status is not Status.OFFBOARDED:
                        self._end_principal(connection, each, Status.OFFBOARDED, why)
            facts: dict[str, JSON] = {"act": act.value, "status": after.status.value}
            self._enter(connection, principal, organization, Kind.ORGANIZATION_ACT, facts)
        return after

    def add_principal(
        self, principal: Principal, organization: str, name: str, kind: str, roles: Sequence[str], *, identity: str | None = None
    ) -> Principal:
        """Add a person or service account to an agency. Roles: its admin, or the local operator.

        A person without an identity is known by its name: whoever has one identity in two agencies is one human.
        """
        wanted, given = parse_roles(roles), _printable(name, "name", MAX_NAME)
        blank = Principal("prn_" + self.entropy(8).hex(), parse_organization(organization), given, parse_kind(kind), frozenset())
        in_force, pending = divide_roles(principal, blank, wanted)
        added = replace(blank, roles=in_force, pending=pending, identity=_identity(blank, identity))
        with self._entering_refusals(principal, "add_principal", added.organization), self.database.write() as connection:
            require_admin(principal, added.organization)
            store.add_principal(connection, added, now=self.clock())
            facts: dict[str, JSON] = {"added": added.id, "principal_kind": added.kind.value, **_roles(added)}
            self._enter(connection, principal, added.organization, Kind.PRINCIPAL_ADDED, facts)
        return added

    def principals(self, principal: Principal, organization: str) -> tuple[Principal, ...]:
        """An agency's principals, to its admins and the local operator."""
        with self._entering_refusals(principal, "principals", organization):
            require_admin(principal, organization)
        with self.database.read() as connection:
            store.find_organization(connection, organization)
            return store.principals(connection, organization)

    def principal(self, principal: Principal, principal_id: str) -> Principal:
        """One principal, to itself, to the admins of its agency, and to the local operator."""
        holder = self._holder(principal_id)
        if principal.id != holder.id:
            with self._entering_refusals(principal, "principal", holder.organization):
                require_admin(principal, holder.organization)
        return holder

    def set_roles(self, principal: Principal, principal_id: str, roles: Sequence[str]) -> Principal:
        """Give a principal exactly these roles. Roles: its agency's admin, or the local operator; see `divide_roles` for what waits."""
        wanted = parse_roles(roles)

        def changed(connection: sa.Connection, holder: Principal) -> Principal:
            require_admin(principal, holder.organization)
            if holder.status is Status.OFFBOARDED:
                raise Conflict("conflict", "A principal that is off-boarded has no roles any more.")
            in_force, pending = divide_roles(principal, holder, wanted)
            after = replace(holder, roles=in_force, pending=pending)
            store.set_roles(connection, after)
            return after

        return self._act(principal, principal_id, "set_roles", changed)

    def confirm(self, principal: Principal, principal_id: str) -> Principal:
        """Stand as the second person behind the roles that wait. Another person of the same agency may, in any role."""

        def confirmed(connection: sa.Connection, holder: Principal) -> Principal:
            require_second_person(principal, holder)
            if not holder.pending:
                raise Conflict("conflict", "No role of this principal waits for a second person.")
            after = replace(holder, roles=holder.roles | holder.pending, pending=frozenset())
            store.set_roles(connection, after)
            return after

        return self._act(principal, principal_id, "confirm", confirmed)

    def move_principal(self, principal: Principal, principal_id: str, act: Move, reason: str) -> Principal:
        """Suspend, resume or off-board a principal; off-boarding ends its tokens. Roles: its agency's admin, or the local operator."""
        why = _printable(reason, "reason", MAX_REASON)

        def moved(connection: sa.Connection, holder: Principal) -> Principal:
            require_admin(principal, holder.organization)
            return self._end_principal(connection, holder, move(holder.status, act), why)

        return self._act(principal, principal_id, act.value, moved)

    def issue_token(
        self,
        principal: Principal,
        principal_id: str,
        *,
        expires: datetime | None,
        purpose: str | None,
        scopes: Iterable[str] | None = None,
    ) -> Issued:
        """Make a token for a principal: with an expiry, bound to a purpose, narrowed to scopes, where given. It is shown once."""
        bound = None if purpose is None else parse_purpose(purpose)
        narrowed = parse_scopes(scopes)
        holder = self._holder(principal_id)
        with self._entering_refusals(principal, "issue_token", holder.organization), self.database.write() as connection:
            require_admin(principal, holder.organization)
            _require_no_wider(principal, holder, purpose=bound, scopes=narrowed)
            _require_future(expires, now=self.clock())
            issued = self._make_token(connection, replace(holder, purpose=bound, scopes=narrowed), expires)
            facts: dict[str, JSON] = {
                "token": issued.token.id,
                "principal": holder.id,
                "purpose": bound,
                "scopes": None if narrowed is None else sorted(narrowed),
            }
            self._enter(connection, principal, holder.organization, Kind.TOKEN_ISSUED, facts)
        return issued

    def rotate_token(self, principal: Principal, token_id: str, *, overlap_seconds: int) -> Issued:
        """Make a token that takes the place of another, with the same binding, scopes and expiry; the old one ends after the overlap.

        Its holder may, with the token itself or one that is neither narrowed nor bound; so may another admin of its agency and the local
        operator.
        """
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            rule = f"from 0 to {MAX_OVERLAP_SECONDS}"
            raise Invalid("invalid_request", f"An overlap is {rule} seconds.", places=(Place("overlap_seconds", rule),))
        organization = self._token(token_id).principal.organization
        with self._entering_refusals(principal, "rotate_token", organization), self.database.write() as connection:
            old = store.find_token(connection, token_id)
            if principal.id != old.principal.id:
                require_admin(principal, organization)
            elif principal.token != old.id:
                _require_no_wider(principal, old.principal, purpose=old.principal.purpose, scopes=old.principal.scopes)
            now = self.clock()
            if old.revoked is not None or (old.expires is not None and old.expires <= now):
                raise Conflict("conflict", "A token that has ended cannot be rotated; issue a new one.")
            issued = self._make_token(connection, old.principal, old.expires)
            until = now + timedelta(seconds=overlap_seconds)
            store.end_token(connection, old.id, expires=until if old.expires is None else min(until, old.expires))
            facts: dict[str, JSON] = {
                "token": issued.token.id,
                "replaces": old.id,
                "principal": old.principal.id,
                "overlap_seconds": overlap_seconds,
            }
            self._enter(connection, principal, organization, Kind.TOKEN_ROTATED, facts)
        return issued

    def tokens(self, principal: Principal, organization: str) -> tuple[Token, ...]:
        """An agency's tokens, newest first: all to its admins and the local operator, to everyone else of the agency their own."""
        own = principal.organization == organization and not _administers(principal, organization)
        if not own:
            with self._entering_refusals(principal, "tokens", organization):
                require_admin(principal, organization)
        with self.database.read() as connection:
            store.find_organization(connection, organization)
            return store.tokens(connection, organization, holder=principal.id if own else None)

    def revoke_token(self, principal: Principal, token_id: str) -> None:
        """Revoke a token: by its holder, an admin of its organization, or the local operator."""
        holder = self._token(token_id).principal
        with self._entering_refusals(principal, "revoke_token", holder.organization), self.database.write() as connection:
            if principal.id != holder.id:
                require_admin(principal, holder.organization)
            store.revoke_token(connection, token_id, now=self.clock())
            facts: dict[str, JSON] = {"token": token_id, "principal": holder.id}
            self._enter(connection, principal, holder.organization, Kind.TOKEN_REVOKED, facts)

    def authenticate(self, secret: str) -> Principal:
        """Give the principal of a bearer token. Raise what `require_valid` raises. Its minute is remembered, and written later."""
        now = self.clock()
        with self.database.read() as connection:
            token = require_valid(store.find_token_by_hash(connection, hash_token(secret)), now=now)
        self._used[token.id] = now.replace(second=0, microsecond=0)
        return token.principal

    def note_last_use(self) -> None:
        """Write the minutes in which tokens were used and that are not written yet; nothing where there are none."""
        fresh = {token: used for token, used in list(self._used.items()) if self._noted.get(token) != used}
        if fresh:
            with self.database.write() as connection:
                store.note_last_use(connection, fresh)
            self._noted.update(fresh)

    def _act(self, principal: Principal, principal_id: str, act: str, change: Callable[[sa.Connection, Principal], Principal]) -> Principal:
        """Load a principal, change it, and enter the act with what it left, in one transaction; a refusal is entered as such."""
        organization = self._holder(principal_id).organization
        with self._entering_refusals(principal, act, organization), self.database.write() as connection:
            after = change(connection, store.find_principal(connection, principal_id))
            facts: dict[str, JSON] = {"act": act, "principal": after.id, "status": after.status.value, **_roles(after)}
            self._enter(connection, principal, organization, Kind.PRINCIPAL_ACT, facts)
        return after

    def _end_principal(self, connection: sa.Connection, holder: Principal, status: Status, reason: str) -> Principal:
        """Put the status in place, and with off-boarding end every token."""
        store.set_principal_status(connection, holder.id, status, reason)
        if status is Status.OFFBOARDED:
            store.revoke_tokens(connection, holder.id, now=self.clock())
        return replace(holder, status=status)

    def _make_token(self, connection: sa.Connection, holder: Principal, expires: datetime | None) -> Issued:
        if holder.status is not Status.ACTIVE:
            raise Conflict("conflict", f"A principal that is {holder.status} gets no token.")
        store.require_organization(connection, holder.organization)
        secret, token_id = make_token(self.entropy(RANDOM_BYTES)), "tok_" + self.entropy(8).hex()
        token = Token(token_id, replace(holder, token=token_id), self.clock(), expires)
        store.add_token(connection, token, sha256=hash_token(secret))
        return Issued(token, secret)

    def _holder(self, principal_id: str) -> Principal:
        with self.database.read() as connection:
            return store.find_principal(connection, principal_id)

    def _token(self, token_id: str) -> Token:
        with self.database.read() as connection:
            return store.find_token(connection, token_id)

    def _entering_refusals(self, principal: Principal, act: str, organization: str) -> AbstractContextManager[None]:
        return self.log.entering_refusals(organization, {"act": act, "actor": _actor(principal)})

    def _enter(self, connection: sa.Connection, principal: Principal, organization: str, kind: Kind, facts: dict[str, JSON]) -> None:
        self.log.append(connection, Draft(organization, kind, {"actor": _actor(principal), **facts}))


def _actor(principal: Principal) -> dict[str, JSON]:
    return {"organization": principal.organization, "principal": principal.id}


def _roles(principal: Principal) -> dict[str, JSON]:
    return {"roles": sorted(principal.roles), "pending": sorted(principal.pending)}


def _administers(principal: Principal, organization: str) -> bool:
    return principal.acts_for(organization, Role.ADMIN) and principal.reaches(Scope.ADMINISTER)


def _identity(holder: Principal, identity: str | None) -> str | None:
    if holder.kind is PrincipalKind.PERSON:
        return parse_identity(holder.name if identity is None else identity)
    if identity is not None:
        raise Invalid("invalid_request", "Only a person has an identity.", places=(Place("identity", "not for a service account"),))
    return None


def _require_operator(principal: Principal) -> None:
    if not principal.is_operator():
        raise Refused(
            "role_required",
            "Only the operator of this server adds, suspends and off-boards organizations.",
            advice=Advice(
                rule="Organizations join and leave by an act of the operator.",
                who_can_change="the operator of this server",
                next_step="Ask the operator.",
            ),
        )


def _require_no_wider(principal: Principal, holder: Principal, *, purpose: str | None, scopes: frozenset[Scope] | None) -> None:
    """Nobody gets out of a token that is narrowed or bound by making itself another."""
    if principal.id != holder.id or principal.is_whole():
        return
    within = principal.scopes is None or (scopes is not None and scopes <= principal.scopes)
    if not within or principal.purpose not in (None, purpose):
        raise Refused(
            "scope_required",
            "A token that is narrowed or bound makes none for its own holder that reaches further.",
            advice=Advice(
                rule="A token reaches no further than its scopes and its purpose.",
                who_can_change="another admin of your organization",
                next_step="Use a token that is neither narrowed nor bound, or ask for no more than this one has.",
            ),
        )


def _require_future(expires: datetime | None, *, now: datetime) -> None:
    if expires is not None and expires <= now:
        raise Invalid(
            "invalid_request",
            "The expiry of a new token lies in the future.",
            places=(Place("expires", "an instant in the future"),),
        )


def _printable(text: str, parameter: str, longest: int) -> str:
    if 1 <= len(text.strip()) <= longest and text.isprintable():
        return text.strip()
    rule = f"a printable text of 1 to {longest} characters"
    raise Invalid("invalid_request", f"A {parameter} is {rule}.", places=(Place(parameter, rule),))
