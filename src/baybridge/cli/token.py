"""Tokens: issued and revoked; and who a token is. A token is never taken from the command line, where others could read it."""

from __future__ import annotations

from pathlib import Path

import click

from baybridge.cli.printing import write_private
from baybridge.cli.session import Session, door_options, server_options


@click.group()
def token() -> None:
    """Tokens."""


@token.command("issue")
@click.argument("principal")
@click.option("--expires", metavar="INSTANT", help="When it ends, with its zone: 2027-01-31T00:00:00-05:00.")
@click.option("--purpose", metavar="CODE", help="Bind it to this purpose.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the token to this file (mode 600) and not to the terminal."
)
@door_options
def issue(session: Session, principal: str, expires: str | None, purpose: str | None, out: Path | None) -> None:
    """Issue a token for PRINCIPAL, an id. It is shown this once; only its hash is kept."""
    with session.door() as door:
        issued = door.issue_token(principal, expires=expires, purpose=purpose)
    if out is not None:
        write_private(out, issued.token + "\n")
    session.show(issued, [issued.token if out is None else f"Wrote {out}."])
    session.note(f"Token {issued.id}, until {issued.expires or 'it is revoked'}. Revoke it with: baybridge token revoke {issued.id}")


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
