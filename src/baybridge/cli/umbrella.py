"""Umbrellas: several agreements with one provider, asked for, offered and signed in one act each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from baybridge.cli.agreement import terms_file
from baybridge.cli.printing import next_move, table
from baybridge.cli.session import Session, door_options, read_json
from baybridge.wire.agreements import AgreementShape, UmbrellaShape
from baybridge.wire.terms import TermsShape


@click.group()
def umbrella() -> None:
    """Several agreements with one provider under one title."""


@umbrella.command("request")
@click.option("--title", required=True, metavar="TEXT", help="What holds them together.")
@click.option("--file", "files", type=terms_file, multiple=True, required=True, help="The terms of one agreement, as JSON; repeatable.")
@door_options
def request(session: Session, title: str, files: tuple[Path, ...]) -> None:
    """Ask one provider for several agreements. All are asked for, or none."""
    terms = [read_json(each, TermsShape) for each in files]
    with session.door() as door:
        asked = door.request_umbrella(title, terms)
    session.show(asked, _lines(asked))


@umbrella.command("show")
@click.argument("umbrella_id", metavar="ID")
@door_options
def show(session: Session, umbrella_id: str) -> None:
    """Show an umbrella, and where each of its agreements stands."""
    with session.door() as door:
        found = door.umbrella(umbrella_id)
    session.show(found, _lines(found))


@umbrella.command("list")
@door_options
def list_(session: Session) -> None:
    """List the umbrellas that your agency is a party to."""
    with session.door() as door:
        found = door.umbrellas()
    rows = [[each.id, each.title, each.provider, each.consumer, len(each.agreements)] for each in found.umbrellas]
    session.show(found, table(["id", "title", "provider", "consumer", "agreements"], rows))


@umbrella.command("offer")
@click.argument("umbrella_id", metavar="ID")
@door_options
def offer(session: Session, umbrella_id: str) -> None:
    """Offer each of its agreements as it stands, as the provider's steward."""
    with session.door() as door:
        offered = door.offer_umbrella(umbrella_id)
    session.show(offered, _lines(offered))


@umbrella.command("sign")
@click.argument("umbrella_id", metavar="ID")
@click.option("--digest", required=True, metavar="SHA256", help="The digest of all terms that you have read; `umbrella show` prints it.")
@door_options
def sign(session: Session, umbrella_id: str, digest: str) -> None:
    """Sign all of its agreements for your side, or none."""
    with session.door() as door:
        signed = door.sign_umbrella(umbrella_id, digest)
    session.show(signed, _lines(signed))


def _lines(shape: UmbrellaShape) -> Iterator[str]:
    yield f"{shape.id}: {shape.title}"
    yield f"  provider    {shape.provider}"
    yield f"  consumer    {shape.consumer}"
    yield f"  digest      {shape.terms_sha256}"
    yield ""
    yield from table(
        ["agreement", "state", "dataset", "signed by", "digest"],
        [[each.id, each.state, each.dataset, _signers(each), each.terms_sha256] for each in shape.agreements],
    )
    command = f"umbrella sign {shape.id} --digest {shape.terms_sha256}"
    states = sorted({each.state for each in shape.agreements})
    yield from [line for state in states for line in next_move(state, shape.provider, shape.consumer, command)][:1]


def _signers(agreement: AgreementShape) -> str:
    return ", ".join(each.organization for each in agreement.signatures) or "nobody"
