"""People and service accounts: added, given roles, confirmed, suspended, resumed, off-boarded and listed."""

from __future__ import annotations

from collections.abc import Callable

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Door, Session, door_options, server_options
from baybridge.wire.principals import PrincipalShape


@click.group()
def user() -> None:
    """People and service accounts of an agency."""


@user.command("add")
@click.argument("organization")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    metavar="ROLE",
    help="steward, analyst, auditor, signatory, admin, or an officer: privacy_officer, security_officer, counsel; repeatable.",
)
@click.option("--kind", default="person", metavar="KIND", help="person or service.", show_default=True)
@click.option("--identity", metavar="LOGIN", help="Who the person is, as an e-mail address. [default: NAME]")
@door_options
def add(session: Session, organization: str, name: str, *, roles: tuple[str, ...], kind: str, identity: str | None) -> None:
    """Add NAME to ORGANIZATION.

    Two people stand behind each admin and each signatory: what the local operator gives of these waits for `user confirm`.
    """
    with session.door() as door:
        added = door.add_principal(organization, name, roles=roles, kind=kind, identity=identity)
    session.show(added, [added.id])
    session.note(
        f"Added {added.name} to {added.organization}: {', '.join([*added.roles, *(f'{role} (waits)' for role in added.pending)])}."
    )
    if added.pending:
        session.note(f"A colleague confirms: baybridge user confirm {added.id}")
    session.note(f"next: baybridge token issue {added.id}")


@user.command("confirm")
@click.argument("principal")
@server_options
def confirm(session: Session, principal: str) -> None:
    """Confirm the roles that PRINCIPAL, an id, was given.

    Another person of the same agency does this, with a token of their own: two people stand behind each admin and each signatory.
    """
    with session.client() as client:
        confirmed = client.confirm_roles(principal)
    session.show(confirmed, [f"{confirmed.name} of {confirmed.organization}: {', '.join(confirmed.roles)}."])


@user.command("roles")
@click.argument("principal")
@click.option("--role", "roles", multiple=True, required=True, metavar="ROLE", help="A role that PRINCIPAL is to have; repeatable.")
@door_options
def roles(session: Session, principal: str, roles: tuple[str, ...]) -> None:
    """Give PRINCIPAL, an id, exactly these roles. What needs a second person waits for `user confirm`."""
    with session.door() as door:
        changed = door.set_roles(principal, roles)
    session.show(changed, [_standing(changed)])
    if changed.pending:
        session.note(f"A colleague confirms: baybridge user confirm {changed.id}")


def _ended(name: str, rule: str, act: Callable[[Door, str, str], PrincipalShape]) -> None:
    """Add the command of an act on a principal that takes a reason."""

    @user.command(name, help=rule)
    @click.argument("principal")
    @click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the principal.")
    @door_options
    def command(session: Session, principal: str, reason: str) -> None:
        with session.door() as door:
            moved = act(door, principal, reason)
        session.show(moved, [_standing(moved)])


_ended("suspend", "Refuse everything to PRINCIPAL, an id, until it is resumed.", lambda door, who, why: door.suspend_principal(who, why))
_ended("resume", "Lift the suspension of PRINCIPAL, an id.", lambda door, who, why: door.resume_principal(who, why))
_ended(
    "offboard",
    "End PRINCIPAL, an id, for good, with its tokens. Its name stays taken.",
    lambda door, who, why: door.offboard_principal(who, why),
)


@user.command("list")
@click.argument("organization")
@door_options
def list_(session: Session, organization: str) -> None:
    """List the people and service accounts of ORGANIZATION."""
    with session.door() as door:
        found = door.principals(organization)
    rows = [[each.id, each.name, each.kind, each.status, ", ".join(each.roles), ", ".join(each.pending)] for each in found.principals]
    session.show(found, table(["id", "name", "kind", "status", "roles", "waiting"], rows))


def _standing(shape: PrincipalShape) -> str:
    waiting = [f"{role} (waits)" for role in shape.pending]
    return f"{shape.name} of {shape.organization}, {shape.status}: {', '.join([*shape.roles, *waiting]) or 'no role'}."
