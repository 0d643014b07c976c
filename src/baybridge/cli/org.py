"""Agencies: added, suspended, resumed, off-boarded and listed."""

from __future__ import annotations

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Session, door_options, home_option


@click.group()
def org() -> None:
    """Agencies."""


@org.command("add")
@click.argument("name")
@click.option("--title", default="", help="The agency's name as people write it.")
@home_option
def add(session: Session, name: str, title: str) -> None:
    """Add the agency NAME (lower-case letters, digits and _), and begin its log."""
    with session.local() as door:
        added = door.add_organization(name, title)
    session.show(added, [f"Added {added.name}, {added.title}."])
    session.note(f'next: baybridge user add {added.name} "NAME" --role admin')


@org.command("suspend")
@click.argument("name")
@click.option("--reason", required=True, help="Why.")
@home_option
def suspend(session: Session, name: str, reason: str) -> None:
    """Stop all acts of the agency NAME, and all reading of what it provides under agreements, until it is resumed."""
    _move(session, name, "suspend", reason)


@org.command("resume")
@click.argument("name")
@click.option("--reason", required=True, help="Why.")
@home_option
def resume(session: Session, name: str, reason: str) -> None:
    """Lift the suspension of the agency NAME."""
    _move(session, name, "resume", reason)


@org.command("offboard")
@click.argument("name")
@click.option("--reason", required=True, help="Why.")
@home_option
def offboard(session: Session, name: str, reason: str) -> None:
    """End the agency NAME for good: its people, its tokens and its agreements. Its log stays, and its name is never used again."""
    _move(session, name, "offboard", reason)


def _move(session: Session, name: str, act: str, reason: str) -> None:
    with session.local() as door:
        moved = door.move_organization(name, act, reason)
    session.show(moved, [f"{moved.name} is {moved.status}."])


@org.command("list")
@door_options
def list_(session: Session) -> None:
    """List all agencies."""
    with session.door() as door:
        found = door.organizations()
    session.show(found, table(["name", "title", "status"], [[each.name, each.title, each.status] for each in found.organizations]))
