"""Principals: who acts, for which organization, in which roles. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from baybridge.errors import Advice, Invalid, Place, Refused
from baybridge.names import nearest


class Role(StrEnum):
    """What a principal may do for its organization."""

    STEWARD = "steward"  # publishes, offers, suspends, revokes
    ANALYST = "analyst"  # asks for agreements, reads
    AUDITOR = "auditor"  # reads the organization's log
    SIGNATORY = "signatory"  # signs agreements
    ADMIN = "admin"  # people, service accounts, tokens


class PrincipalKind(StrEnum):
    """A person, a service account, or whoever holds the home's files."""

    PERSON = "person"
    SERVICE = "service"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person or service account acting for one organization. `purpose` is its token's binding."""

    id: str
    organization: str
    name: str
    kind: PrincipalKind
    roles: frozenset[Role]
    purpose: str | None = None

    def is_operator(self) -> bool:
        """Whether this is the local operator, who administers a home and is party to no agreement."""
        return self.kind is PrincipalKind.OPERATOR

    def acts_for(self, organization: str, *roles: Role) -> bool:
        """Whether it holds one of the roles in that organization."""
        return self.organization == organization and bool(self.roles.intersection(roles))


LOCAL_OPERATOR: Final = Principal(
    id="operator",
    organization="",
    name="local operator",
    kind=PrincipalKind.OPERATOR,
    roles=frozenset(),
)


def require_role(principal: Principal, organization: str, *roles: Role) -> None:
    """Refuse with `token_wrong_organisation` or `role_required` unless the principal holds one of the roles there."""
    if principal.acts_for(organization, *roles):
        return
    wanted = " or ".join(roles)
    if principal.organization != organization:
        raise Refused(
            "token_wrong_organisation",
            f"This act is {organization}'s, and the token acts for another organization.",
            advice=Advice(
                rule=f"Only a {wanted} of {organization} may do this.",
                who_can_change=f"an admin of {organization}",
                next_step=f"Use a token of a {wanted} of {organization}.",
            ),
        )
    raise Refused(
        "role_required",
        f"This act needs the role {wanted}.",
        advice=Advice(
            rule=f"Only a {wanted} of {organization} may do this.",
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
        require_role(principal, organization, Role.ADMIN)


def parse_roles(names: list[str]) -> frozenset[Role]:
    """Give the roles of those names. Raise Invalid for an unknown one or none at all."""
    for name in names:
        if name not in set(Role):
            raise Invalid(
                "invalid_request",
                "A role is not one that exists.",
                places=(Place("roles", f"Roles: {', '.join(Role)}.", hint=nearest(name, Role)),),
            )
    if not names:
        raise Invalid("invalid_request", "A principal has at least one role.", places=(Place("roles", f"Roles: {', '.join(Role)}."),))
    return frozenset(Role(name) for name in names)


def parse_kind(name: str) -> PrincipalKind:
    """Give person or service. Raise Invalid for anything else."""
    if name in {PrincipalKind.PERSON, PrincipalKind.SERVICE}:
        return PrincipalKind(name)
    raise Invalid("invalid_request", "A principal is a person or a service.", places=(Place("kind", "person or service"),))
