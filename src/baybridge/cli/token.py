"""Tokens: issued, rotated, listed and revoked; and who a token is. None is taken from the command line, where others could read it."""

from __future__ import annotations

from pathlib import Path

import click

from baybridge.cli.printing import table, write_private
from baybridge.cli.session import Session, door_options, server_options
from baybridge.wire.principals import TokenFactsShape, TokenShape

_out = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the token to this file (mode 600) and not to the terminal."
)


@click.group()
def token() -> None:
    """Tokens."""


@token.command("issue")
@click.argument("principal")
@click.option("--expires", metavar="INSTANT", help="When it ends, with its zone: 2027-01-31T00:00:00-05:00.")
@click.option("--purpose", metavar="CODE", help="Bind it to this purpose.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE", help="Narrow it to this scope; repeatable. [default: all that its roles reach]"
)
@_out
@door_options
def issue(session: Session, *, principal: str, expires: str | None, purpose: str | None, scopes: tuple[str, ...], out: Path | None) -> None:
    """Issue a token for PRINCIPAL, an id. It is shown this once; only its hash is kept."""
    with session.door() as door:
        issued = door.issue_token(principal, expires=expires, purpose=purpose, scopes=scopes or None)
    _hand_over(session, issued, out)


@token.command("rotate")
@click.argument("token_id", metavar="TOKEN_ID")
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long the old token is valid beside it.",
)
@_out
@door_options
def rotate(session: Session, token_id: str, overlap: int, out: Path | None) -> None:
    """Put a new token in the place of TOKEN_ID (tok_...), with the same purpose, scopes and expiry. It is shown this once."""
    with session.door() as door:
        issued = door.rotate_token(token_id, overlap_seconds=overlap)
    _hand_over(session, issued, out)


@token.command("list")
@click.argument("organization")
@door_options
def list_(session: Session, organization: str) -> None:
    """List what is known of the tokens of ORGANIZATION, newest first; of your own only, unless you are its admin."""
    with session.door() as door:
        found = door.tokens(organization)
    rows = [[each.id, each.principal, each.purpose, _scopes(each), each.expires, each.revoked, each.last_used] for each in found.tokens]
    session.show(found, table(["id", "principal", "purpose", "scopes", "expires", "revoked", "last used"], rows))


@token.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@door_options
def revoke(session: Session, token_id: str) -> None:
    """Revoke a token by its id (tok_...)."""
    with session.door() as door:
        door.revoke_token(token_id)
    session.show({"id": token_id, "revoked": True}, [f"Revoked {token_id}."])


@click.command()
@server_options
def whoami(session: Session) -> None:
    """Say who the token is."""
    with session.client() as client:
        me = client.whoami()
    bound = "" if me.purpose is None else f", bound to the purpose {me.purpose}"
    session.show(me, [f"{me.name}, {', '.join(me.roles)} of {me.organization} ({me.id}){bound}"])


def _hand_over(session: Session, issued: TokenShape, out: Path | None) -> None:
    if out is not None:
        write_private(out, issued.token + "\n")
    session.show(issued, [issued.token if out is None else f"Wrote {out}."])
    session.note(f"Token {issued.id}, until {issued.expires or 'it is revoked'}. Revoke it with: baybridge token revoke {issued.id}")


def _scopes(each: TokenFactsShape) -> str:
    return "all" if each.scopes is None else ", ".join(each.scopes)
