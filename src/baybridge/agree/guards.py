"""Who may act on an agreement, and on what: each guard gives what it found, or refuses with the rule. Nothing is written here."""

from __future__ import annotations

import re
from typing import Final

import sqlalchemy as sa

from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement, Side
from baybridge.agreements.approvals import required_approvals
from baybridge.errors import Advice, Conflict, Invalid, NotFound, Place, Refused
from baybridge.names import nearest
from baybridge.principals.principal import Principal, PrincipalKind, Role
from baybridge.principals.store import find_principal
from baybridge.terms.terms import Terms

MAX_REASON: Final = 500
APPROVERS: Final = (Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.COUNSEL)
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def visible(connection: sa.Connection, principal: Principal, agreement_id: str) -> Agreement:
    """The agreement, to its parties and to the local operator. Raise NotFound for everyone else."""
    agreement = store.find(connection, agreement_id)
    if principal.is_operator() or agreement.side_of(principal.organization) is not None:
        return agreement
    raise NotFound("not_found", "There is no agreement of that id that you are a party to.")


def side_of(principal: Principal, agreement: Agreement) -> Side:
    """The principal's side. Raise Refused for the local operator, who is party to none."""
    side = agreement.side_of(principal.organization)
    if side is not None:
        return side
    raise Refused(
        "token_wrong_organisation",
        "Only a party to an agreement can do this; the local operator is party to none.",
        advice=Advice(
            rule="Agreements are made between their two parties.",
            who_can_change=f"{agreement.provider} and {agreement.consumer}",
            next_step="Use a token of one of the two parties.",
        ),
    )


def require_person(principal: Principal, act: str) -> None:
    """Refuse service accounts: some acts are a person's."""
    if principal.kind is not PrincipalKind.PERSON:
        raise Refused(
            "role_required",
            f"Only a person can {act}, not a service account.",
            advice=Advice(
                rule="Signatures, approvals and statements are a person's acts.",
                who_can_change="a person who holds the role",
                next_step="Have a person do it.",
            ),
        )


def require_understood(agreement: Agreement) -> Terms:
    """The terms. Refuse where this server does not understand what is stored."""
    if agreement.terms is None:
        raise Refused(
            "terms_not_understood",
            f"Agreement {agreement.id} holds a term that this server does not understand.",
            advice=Advice(
                rule="A term that is not understood refuses; it is never skipped.",
                who_can_change="the operator of this server, by an upgrade, or the provider, by offering other terms",
                next_step="Offer the terms again.",
            ),
        )
    return agreement.terms


def require_digest(given: str, present: str, command: str) -> None:
    """Raise Conflict unless the digest that somebody has read is the one that stands."""
    if given != present:
        raise Conflict(
            "conflict",
            "The digest is not that of the terms as they stand; they may have changed since you read them.",
            advice=Advice(
                rule="A signature or an approval is over the exact terms.",
                who_can_change="you",
                next_step="Read the terms again, then use their digest.",
                next_command=command,
            ),
        )


def require_two_persons(connection: sa.Connection, principal: Principal, agreement: Agreement) -> None:
    """Refuse where the same human has signed already, for the other side: an identity may stand in two organizations."""
    if any(_same_human(connection, principal, each.principal) for each in agreement.signatures):
        raise Refused(
            "second_person_required",
            "The other side's signature is by the same person.",
            advice=Advice(
                rule="One person never signs for both sides.",
                who_can_change=f"another signatory of {principal.organization}",
                next_step="Have another signatory sign.",
            ),
        )


def _same_human(connection: sa.Connection, principal: Principal, other: str) -> bool:
    return principal.id == other or find_principal(connection, other).identity == principal.identity


def require_other_person(connection: sa.Connection, principal: Principal, agreement: Agreement) -> None:
    """Who asked for the terms or wrote them does not approve them, and nobody approves in two roles."""
    if any(each is not None and _same_human(connection, principal, each) for each in (agreement.requester, agreement.author)):
        raise _not_separate("Who asked for the terms, or wrote them as they stand, does not approve them.", principal)
    if any(_same_human(connection, principal, each.principal) for each in agreement.approvals):
        raise _not_separate("One person approves in one role only.", principal)


def _not_separate(rule: str, principal: Principal) -> Refused:
    return Refused(
        "duties_not_separate",
        f"You cannot approve these terms. {rule}",
        advice=Advice(
            rule=rule,
            who_can_change=f"an admin of {principal.organization}, who gives the role to someone else",
            next_step="Have another person approve.",
        ),
    )


def require_approved(connection: sa.Connection, organization: str, agreement: Agreement) -> None:
    """Refuse a signature while an approval is missing that the signatory's organization requires."""
    present = {each.role for each in agreement.approvals if each.organization == organization}
    missing = [role for role in required_approvals(connection, organization) if role not in present]
    if missing:
        raise Refused(
            "approvals_missing",
            f"{organization} signs after these have approved the terms: {', '.join(missing)}.",
            advice=Advice(
                rule=f"{organization} requires approvals before its signatory signs.",
                who_can_change=f"the {' and the '.join(missing)} of {organization}",
                next_step=f"Have them approve {agreement.id}.",
                next_url=f"/api/v1/agreements/{agreement.id}/approve",
            ),
        )


def parse_approvers(names: list[str]) -> tuple[Role, ...]:
    """Give the roles of those names. Raise Invalid for one that approves nothing."""
    for name in names:
        if name not in APPROVERS:
            raise Invalid(
                "invalid_request",
                "A role is not one that approves terms.",
                places=(Place("role", f"Roles that approve: {', '.join(APPROVERS)}.", hint=nearest(name, APPROVERS)),),
            )
    return tuple(sorted({Role(name) for name in names}))


def parse_text(text: str, name: str) -> str:
    """Give a reason, statement or title back: printable, 1 to 500 characters. Raise Invalid otherwise."""
    if 1 <= len(text.strip()) <= MAX_REASON and text.isprintable():
        return text.strip()
    rule = f"a printable text of 1 to {MAX_REASON} characters"
    raise Invalid("invalid_request", f"A {name} is {rule}.", places=(Place(name, rule),))


def parse_code(code: str) -> str:
    """Give a reason's code back. Raise Invalid for anything but lower-case letters, digits and `_`, first a letter."""
    if _CODE.fullmatch(code):
        return code
    rule = "lower-case letters, digits and _, first a letter, at most 63"
    raise Invalid("invalid_request", f"A reason's code is {rule}.", places=(Place("code", rule),))
