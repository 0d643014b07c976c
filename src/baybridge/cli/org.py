"""Agencies: added and listed."""

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


@org.command("list")
@door_options
def list_(session: Session) -> None:
    """List all agencies."""
    with session.door() as door:
        found = door.organizations()
    session.show(found, table(["name", "title"], [[each.name, each.title] for each in found.organizations]))
