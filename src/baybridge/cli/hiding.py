"""Who may know of a dataset: hidden from all but those invited, and shown again."""

from __future__ import annotations

import click

from baybridge.cli.session import Session, door_options
from baybridge.wire.collections import CollectionShape, DeclareRequest


@click.command()
@click.argument("dataset")
@click.option("--invite", multiple=True, metavar="AGENCY", help="An agency that may know of it and ask for it; repeatable.")
@door_options
def hide(session: Session, dataset: str, invite: tuple[str, ...]) -> None:
    """Hide DATASET: to others than its own agency it is as if it were not there.

    Only those named with --invite, and those that have an agreement about it, see it. Who was invited before and is not named now sees it
    no more.
    """
    with session.door() as door:
        shown = door.declare(dataset, DeclareRequest(hidden=True, invited=list(invite)))
    session.show(shown, [_stands(shown)])


@click.command()
@click.argument("dataset")
@door_options
def unhide(session: Session, dataset: str) -> None:
    """Let everyone know of DATASET again. Who may read it does not change."""
    with session.door() as door:
        shown = door.declare(dataset, DeclareRequest(hidden=False, invited=[]))
    session.show(shown, [_stands(shown)])


def _stands(shown: CollectionShape) -> str:
    if not shown.hidden:
        return f"{shown.id}: everyone may know of it"
    return f"{shown.id}: hidden; invited are {', '.join(shown.invited or ()) or 'none'}"
