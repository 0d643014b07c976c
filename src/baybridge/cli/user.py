"""People and service accounts: added and listed."""

from __future__ import annotations

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Session, door_options


@click.group()
def user() -> None:
    """People and service accounts of an agency."""


@user.command("add")
@click.argument("organization")
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, metavar="ROLE", help="steward, analyst, auditor, signatory or admin; repeatable."
)
@click.option("--kind", default="person", metavar="KIND", help="person or service.", show_default=True)
@door_options
def add(session: Session, organization: str, name: str, roles: tuple[str, ...], kind: str) -> None:
    """Add NAME to ORGANIZATION."""
    with session.door() as door:
        added = door.add_principal(organization, name, roles=roles, kind=kind)
    session.show(added, [added.id])
    session.note(f"Added {added.name} to {added.organization}: {', '.join(added.roles)}.")
    session.note(f"next: baybridge token issue {added.id}")


@user.command("list")
@click.argument("organization")
@door_options
def list_(session: Session, organization: str) -> None:
    """List the people and service accounts of ORGANIZATION."""
    with session.door() as door:
        found = door.principals(organization)
    rows = [[each.id, each.name, each.kind, ", ".join(each.roles)] for each in found.principals]
    session.show(found, table(["id", "name", "kind", "roles"], rows))
