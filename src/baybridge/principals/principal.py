"""Principals: who acts, for which organization, in which roles, by which token, and who vouches for whom. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from baybridge.errors import Advice, Conflict, Invalid, Place, Refused
from baybridge.names import nearest

MAX_IDENTITY: Final = 200


class Role(StrEnum):
    """What a principal may do for its organization."""

    STEWARD = "steward"  # publishes, offers, suspends, revokes
    ANALYST = "analyst"  # asks for agreements, reads
    AUDITOR = "auditor"  # reads the organization's log
    SIGNATORY = "signatory"  # signs agreements
    ADMIN = "admin"  # people, service accounts, tokens
    PRIVACY_OFFICER = "privacy_officer"  # approves terms before they are signed
    SECURITY_OFFICER = "security_officer"  # approves terms before they are signed
    COUNSEL = "counsel"  # approves terms before they are signed


VOUCHED: Final = frozenset({Role.ADMIN, Role.SIGNATORY})
"""Roles that bind the organization to others, or give roles to others: two people stand behind each."""


class Scope(StrEnum):
    """What a token may be narrowed to. It never gives what its principal's roles do not."""

    READ = "read"
    PUBLISH = "publish"
    AGREE = "agree"
    AUDIT = "audit"
    ADMINISTER = "administer"


class Status(StrEnum):
    """Whether an organization or a principal takes part. Off-boarded is final."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    OFFBOARDED = "offboarded"


class Move(StrEnum):
    """What is done to the status of an organization or a principal."""

    SUSPEND = "suspend"
    RESUME = "resume"
    OFFBOARD = "offboard"


MOVES: Final[dict[tuple[Status, Move], Status]] = {
    (Status.ACTIVE, Move.SUSPEND): Status.SUSPENDED,
    (Status.SUSPENDED, Move.RESUME): Status.ACTIVE,
    (Status.ACTIVE, Move.OFFBOARD): Status.OFFBOARDED,
    (Status.SUSPENDED, Move.OFFBOARD): Status.OFFBOARDED,
}


class PrincipalKind(StrEnum):
    """A person, a service account, or whoever holds the home's files."""

    PERSON = "person"
    SERVICE = "service"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person or service account acting for one organization.

    `roles` are in force, `pending` ones wait for a second person. `identity` says which human a person is, across organizations.
    `purpose` and `scopes` are what its token is bound and narrowed to (None: not at all), and `token` is that token's id.
    """

    id: str
    organization: str
    name: str
    kind: PrincipalKind
    roles: frozenset[Role]
    purpose: str | None = None
    pending: frozenset[Role] = frozenset()
    identity: str | None = None
    status: Status = Status.ACTIVE
    scopes: frozenset[Scope] | None = None
    token: str | None = field(default=None, compare=False)

    def is_operator(self) -> bool:
        """Whether this is the local operator, who administers a home and is party to no agreement."""
        return self.kind is PrincipalKind.OPERATOR

    def acts_for(self, organization: str, *roles: Role) -> bool:
        """Whether it holds one of the roles in that organization."""
        return self.organization == organization and bool(self.roles.intersection(roles))

    def reaches(self, scope: Scope | None) -> bool:
        """Whether its token covers the scope. An act without a scope (None) is only for tokens that are not narrowed."""
        return self.scopes is None or scope in self.scopes

    def is_whole(self) -> bool:
        """Whether its token is neither narrowed nor bound, so that it may stand for any other token of its holder."""
        return self.scopes is None and self.purpose is None


@dataclass(frozen=True, slots=True)
class Organization:
    """An agency."""

    name: str
    title: str
    status: Status = Status.ACTIVE


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: everything but the token.

    Its principal carries its binding, its scopes and its id. `organization` is the status of that principal's organization.
    """

    id: str
    principal: Principal
    created: datetime
    expires: datetime | None
    organization: Status = Status.ACTIVE
    revoked: datetime | None = None
    last_used: datetime | None = None


LOCAL_OPERATOR: Final = Principal(
    id="operator",
    organization="",
    name="local operator",
    kind=PrincipalKind.OPERATOR,
    roles=frozenset(),
)


def require_role(principal: Principal, organization: str, *roles: Role, scope: Scope | None = None) -> None:
    """Refuse unless the principal holds one of the roles there, and its token covers the scope.

    The codes: `scope_required`, `token_wrong_organisation`, `role_unconfirmed`, `role_required`.
    """
    if not principal.reaches(scope):
        raise _scope_refused(scope)
    if principal.acts_for(organization, *roles):
        return
    wanted = _either(roles)
    rule = f"Only {wanted} of {organization or 'an organization'} may do this."
    if principal.is_operator():
        raise Refused(
            "token_wrong_organisation" if organization else "role_required",
            "The local operator acts for no organization.",
            advice=Advice(
                rule=rule,
                who_can_change=f"an admin of {organization or 'the organization'}",
                next_step=f"Use a token of {wanted}.",
                next_command="baybridge token issue PRINCIPAL",
            ),
        )
    if principal.organization != organization:
        raise Refused(
            "token_wrong_organisation",
            f"This act is {organization}'s, and the token acts for another organization.",
            advice=Advice(
                rule=rule,
                who_can_change=f"an admin of {organization}",
                next_step=f"Use a token of {wanted} of {organization}.",
            ),
        )
    if principal.pending.intersection(roles):
        raise Refused(
            "role_unconfirmed",
            f"The role of {wanted} was given, and no second person has confirmed it yet.",
            advice=Advice(
                rule="Two people stand behind each signatory and each admin.",
                who_can_change=f"another person of {organization}",
                next_step=f"Ask a colleague at {organization} to confirm it.",
                next_command=f"baybridge user confirm {principal.id}",
            ),
        )
    raise Refused(
        "role_required",
        f"This act needs the role {' or '.join(roles)}.",
        advice=Advice(
            rule=rule,
            who_can_change=f"an admin of {organization}",
            next_step=f"Ask an admin of {organization} for the role, or for a token of someone who has it.",
        ),
    )


def require_operator(principal: Principal) -> None:
    """Refuse everyone but the local operator with `role_required`."""
    if not principal.is_operator():
        raise Refused(
            "role_required",
            "Only the operator of this server may do this.",
            advice=Advice(
                rule="This act is done on the home itself.", who_can_change="the operator", next_step="Ask the operator of this server."
            ),
        )


def require_admin(principal: Principal, organization: str) -> None:
    """Let the local operator and the organization's admins pass, refuse everyone else."""
    if not principal.is_operator():
        require_role(principal, organization, Role.ADMIN, scope=Scope.ADMINISTER)


def divide_roles(granter: Principal, holder: Principal, wanted: frozenset[Role]) -> tuple[frozenset[Role], frozenset[Role]]:
    """The wanted roles that are in force at once, and those that wait for a second person.

    An admin vouches for the other people of its own organization. What the local operator gives, and what an admin gives to itself,
    waits until another person of the organization confirms it.
    """
    vouches = granter.kind is PrincipalKind.PERSON and granter.acts_for(holder.organization, Role.ADMIN) and granter.id != holder.id
    waiting = frozenset[Role]() if vouches else (wanted & VOUCHED) - holder.roles
    return wanted - waiting, waiting


def require_second_person(principal: Principal, holder: Principal) -> None:
    """Refuse the confirmation of a role by anyone but another person of the same organization."""
    rule = "A role is confirmed by another person of the same organization."
    who = f"another person of {holder.organization}"
    if principal.organization != holder.organization:
        raise Refused(
            "token_wrong_organisation",
            "Only someone of the same organization can confirm a role.",
            advice=Advice(rule=rule, who_can_change=who, next_step=f"Have {who} confirm it."),
        )
    if not principal.reaches(Scope.ADMINISTER):
        raise _scope_refused(Scope.ADMINISTER)
    if principal.kind is not PrincipalKind.PERSON or principal.id == holder.id:
        raise Refused(
            "second_person_required",
            "Nobody confirms a role of their own, and a service account confirms none.",
            advice=Advice(rule=rule, who_can_change=who, next_step=f"Have {who} confirm it."),
        )


def move(status: Status, act: Move) -> Status:
    """The status after an act. Raise Conflict for one that the table does not have."""
    after = MOVES.get((status, act))
    if after is None:
        possible = sorted(each.value for before, each in MOVES if before is status)
        raise Conflict(
            "conflict",
            f"What is {status} cannot take the act {act}.",
            advice=Advice(
                rule="Organizations and principals are suspended, resumed and off-boarded; off-boarding is final.",
                who_can_change="nobody" if not possible else "an admin, or the local operator",
                next_step=f"Possible now: {', '.join(possible)}." if possible else "Add a new one, under another name.",
            ),
        )
    return after


def require_taking_part(organization: str, status: Status) -> None:
    """Refuse with `organization_suspended` unless the organization's status is active."""
    if status is Status.ACTIVE:
        return
    raise Refused(
        "organization_suspended",
        f"The organization {organization} is {status}.",
        advice=Advice(
            rule="Only organizations that take part can act, and be acted with.",
            who_can_change="the operator of this server",
            next_step=f"Ask the operator of this server about {organization}.",
        ),
    )


def parse_identity(text: str) -> str:
    """Which human a person is, normalised (NFKC, case folded), so that one e-mail address or login has one form. Raise Invalid."""
    identity = unicodedata.normalize("NFKC", text).casefold().strip()
    if 1 <= len(identity) <= MAX_IDENTITY and identity.isprintable():
        return identity
    rule = f"a printable text of 1 to {MAX_IDENTITY} characters, as an e-mail address or a login"
    raise Invalid("invalid_request", f"An identity is {rule}.", places=(Place("identity", rule),))


def parse_scopes(names: Iterable[str] | None) -> frozenset[Scope] | None:
    """Give the scopes of those names; None for a token that is not narrowed. Raise Invalid for an unknown one or an empty list."""
    if names is None:
        return None
    given = frozenset(names)
    for name in sorted(given):
        if name not in set(Scope):
            raise Invalid(
                "invalid_request",
                "A scope is not one that exists.",
                places=(Place("scopes", f"Scopes: {', '.join(Scope)}.", hint=nearest(name, Scope)),),
            )
    if not given:
        raise Invalid("invalid_request", "A token has at least one scope.", places=(Place("scopes", f"Scopes: {', '.join(Scope)}."),))
    return frozenset(Scope(name) for name in given)


def parse_roles(names: Iterable[str]) -> frozenset[Role]:
    """Give the roles of those names. Raise Invalid for an unknown one or none at all."""
    given = frozenset(names)
    for name in sorted(given):
        if name not in set(Role):
            raise Invalid(
                "invalid_request",
                "A role is not one that exists.",
                places=(Place("roles", f"Roles: {', '.join(Role)}.", hint=nearest(name, Role)),),
            )
    if not given:
        raise Invalid("invalid_request", "A principal has at least one role.", places=(Place("roles", f"Roles: {', '.join(Role)}."),))
    return frozenset(Role(name) for name in given)


def parse_kind(name: str) -> PrincipalKind:
    """Give person or service. Raise Invalid for anything else."""
    if name in {PrincipalKind.PERSON, PrincipalKind.SERVICE}:
        return PrincipalKind(name)
    raise Invalid("invalid_request", "A principal is a person or a service.", places=(Place("kind", "person or service"),))


def scope_advice(scope: Scope | None) -> Advice:
    """What to do about a token that is too narrow."""
    needed = "all scopes" if scope is None else f"the scope {scope}"
    return Advice(
        rule="A token reaches no further than its scopes.",
        who_can_change="an admin of your organization",
        next_step=f"Use a token with {needed}.",
        next_command="baybridge token issue PRINCIPAL",
    )


def _scope_refused(scope: Scope | None) -> Refused:
    return Refused("scope_required", "The token's scopes do not cover this act.", advice=scope_advice(scope))


def _either(roles: Iterable[Role]) -> str:
    """The roles with their articles: "an analyst or a steward"."""
    return " or ".join(f"{'an' if role[0] in 'aeiou' else 'a'} {role}" for role in roles)
