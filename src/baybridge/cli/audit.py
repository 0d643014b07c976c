"""The log: a checkpoint to keep elsewhere, and every entry verified against those kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from baybridge.cli.session import Session, door_options, home_option
from baybridge.client import Client, LogVerdict
from baybridge.errors import CODES

_NOTE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """The tamper-evident log."""


@audit.command("checkpoint")
@click.argument("organization")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file to write. Keep it where the home's keeper cannot write."
)
@door_options
def checkpoint(session: Session, organization: str, out: Path | None) -> None:
    """Sign the log of ORGANIZATION as it stands now, as a C2SP signed note."""
    with session.door() as door:
        note = door.checkpoint(organization)
        verifier = door.verifier(organization)
    if out is not None:
        out.write_text(note, encoding="utf-8")
    shape = {"organization": organization, "checkpoint": note, "verifier": verifier, "out": None if out is None else str(out)}
    session.show(shape, note.splitlines() if out is None else [f"Wrote {out}: {note.splitlines()[1]} entries of {note.splitlines()[0]}."])
    session.note(f"The key that verifies it: {verifier}")


@audit.command("verify")
@click.argument("organization", required=False)
@click.option("--checkpoint", "checkpoints", multiple=True, type=_NOTE, help="A checkpoint that was kept elsewhere; repeatable.")
@click.option("--key", help="The log's verifier key as it was kept elsewhere: every later key must have been handed over to.")
@door_options
def verify(session: Session, organization: str | None, checkpoints: tuple[Path, ...], key: str | None) -> None:
    """Hash every entry of a log again, and compare with its checkpoints. Exit code 9 when something does not hold.

    With --home: of ORGANIZATION, or of every log. Over HTTP, with an auditor's token: of ORGANIZATION, or of the token's own; the entries
    are fetched and hashed here.
    """
    notes = {path: path.read_text(encoding="utf-8", errors="replace") for path in checkpoints}
    with session.door() as door:
        if organization is not None:
            logs: tuple[str, ...] = (organization,)
        else:
            logs = (door.whoami().organization,) if isinstance(door, Client) else door.logs()
        given = {log: tuple(note for note in notes.values() if len(logs) == 1 or _is_of(note, log)) for log in logs}
        verdicts = [door.verify_log(log, given[log], key) for log in logs]
    strays = [str(path) for path, note in notes.items() if not any(note in kept for kept in given.values())]
    sound = not strays and not any(each.findings for each in verdicts)
    session.show({"ok": sound, "logs": verdicts, "strays": strays}, _lines(verdicts, strays))
    if not sound:
        click.get_current_context().exit(CODES["checks_failed"].exit_code)


@audit.command("rotate-key")
@home_option
def rotate_key(session: Session) -> None:
    """Hand the signing key of all logs of a home over to a new one.

    Each log announces the new key in a note that both keys sign. Keys that were kept elsewhere lead on to it. The home must not be served
    meanwhile.
    """
    with session.local() as operator:
        verifiers = operator.rotate_key()
    session.show(
        {"verifiers": list(verifiers)}, [f"The new key: {each}" for each in verifiers] or ["The new key is in use; there is no log yet."]
    )


def _is_of(note: str, organization: str) -> bool:
    """Whether a note says in its first line, the origin, that it is of that organization's log."""
    return note.partition("\n")[0].endswith(f"/audit/{organization}")


def _lines(verdicts: list[LogVerdict], strays: list[str]) -> Iterator[str]:
    for each in verdicts:
        yield f"{each.organization}: {'FAILED' if each.findings else 'ok'}, {each.size:,} entries, root {each.root}"
        yield from (f"  found: {finding}" for finding in each.findings)
    yield from (f"FAILED: {path} is a checkpoint of no log here" for path in strays)
