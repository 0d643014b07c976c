"""The log: a checkpoint to keep elsewhere, every entry verified against those kept, and proofs of one's own entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from baybridge.audit.checkpoint import Checkpoint, Verifier, encode_base64
from baybridge.audit.entry import JSON
from baybridge.cli.printing import write_private
from baybridge.cli.session import Session, door_options, home_option, json_option, server_options
from baybridge.client import Client, LogVerdict, receipts
from baybridge.errors import CODES, Corrupt

_BLANK: Final = "\n\n"
_NOTE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _key(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    """A verifier key as it was given, or as the file has it that was named in its place."""
    if given is None or not Path(given).is_file():
        return given
    return Path(given).read_text(encoding="utf-8", errors="replace").strip()


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
@click.option(
    "--key", callback=_key, help="The log's key (or a file with it) as kept elsewhere: every later key must have been handed over to."
)
@door_options
def verify(session: Session, organization: str | None, checkpoints: tuple[Path, ...], key: str | None) -> None:
    """Hash every entry of a log again, and compare with its checkpoints. Exit code 9 when something does not hold.

    With --home: of ORGANIZATION, or of every log. Over HTTP, with an auditor's token: of ORGANIZATION, or of the token's own; the entries
    are fetched and hashed here.
    """
    notes = {path: _note(path) for path in checkpoints}
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


@audit.command("prove")
@click.argument("organization")
@click.option("--checkpoint", "checkpoints", multiple=True, required=True, type=_NOTE, help="A checkpoint that you kept; repeatable.")
@click.option(
    "--key", callback=_key, help="The log's key (or a file with it) as kept elsewhere: every later key must have been handed over to."
)
@server_options
def prove(session: Session, organization: str, checkpoints: tuple[Path, ...], key: str | None) -> None:
    """Prove that the log of ORGANIZATION only grew since the checkpoints that you kept. It needs no role, and fetches no entries.

    The server proves it by hashes, and they are checked here. Exit code 9 when it does not hold.
    """
    notes = [_note(path) for path in checkpoints]
    with session.client() as client:
        keys = client.keys(organization)
        if key is not None:
            keys.require(Verifier.parse(key))
        present, kept = keys.open(client.checkpoint(organization)), [keys.open(note) for note in notes]
        proofs = [client.consistency_proof(organization, each.size, present.size) for each in kept]
    roots = [(encode_base64(each.root), encode_base64(present.root)) for each in kept]
    sound = [(each.old_root, each.new_root) for each in proofs] == roots
    shape = {
        "ok": sound,
        "organization": organization,
        "size": present.size,
        "root": present.root.hex(),
        "kept": [each.size for each in kept],
    }
    held = "goes on from" if sound else "FAILED: does not go on from"
    session.show(shape, [f"{organization}: {present.size:,} entries, {held} {', '.join(f'{each.size:,}' for each in kept)}"])
    if not sound:
        click.get_current_context().exit(CODES["checks_failed"].exit_code)


@audit.command("receipt")
@click.argument("organization")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file to write (mode 600), best named *.tlog-proof.")
@door_options
def receipt(session: Session, organization: str, index: int, out: Path | None) -> None:
    """Get the receipt of an entry of your own in the log of ORGANIZATION: the entry, and the proof that it is there (C2SP tlog-proof)."""
    with session.door() as door:
        proof = door.receipt(organization, index)
    if out is not None:
        write_private(out, proof)
    shape = {"organization": organization, "index": index, "receipt": proof, "out": None if out is None else str(out)}
    session.show(shape, proof.splitlines() if out is None else [f"Wrote {out}: entry {index} of {organization}."])


@audit.command("check-receipt")
@click.argument("file", type=_NOTE)
@click.option(
    "--key",
    required=True,
    callback=_key,
    help="The log's verifier key (or a file with it), from elsewhere than the receipt; `audit checkpoint` says it.",
)
@click.option(
    "--rotation", "rotations", multiple=True, type=_NOTE, help="A note by which the key handed over to the next; repeatable, in order."
)
@json_option
def check_receipt(session: Session, file: Path, key: str, rotations: tuple[Path, ...]) -> None:
    """Check a receipt with the network off, and say what it proves. Exit code 9 when it does not hold."""
    found = receipts.verify(
        file.read_text(encoding="utf-8", errors="replace"), key, [each.read_text(encoding="utf-8") for each in rotations]
    )
    session.show(
        {
            "ok": True,
            "log": found.log,
            "index": found.index,
            "size": found.size,
            "kind": found.kind,
            "time": found.time,
            "facts": found.facts,
        },
        [f"Entry {found.index} of {found.log}, when it had {found.size:,}: {found.kind}, {found.time.isoformat()}", *_told(found.facts)],
    )


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


def _note(path: Path) -> str:
    """The text of a checkpoint's file; whether it holds is not looked at. Raise UsageError for a file that is none."""
    note = path.read_text(encoding="utf-8", errors="replace")
    try:
        Checkpoint.parse(f"{note.rpartition(_BLANK)[0]}\n")
    except Corrupt:
        raise click.UsageError(f"{path} is not a checkpoint.") from None
    return note


def _told(facts: Mapping[str, JSON]) -> Iterator[str]:
    """What a read's entry says of what was read, where the entry is of one."""
    agreement = facts.get("agreement")
    told = {**facts, "agreement": agreement["id"]} if isinstance(agreement, dict) else facts
    for name in ("agreement", "dataset", "version", "rows"):
        if told.get(name) is not None:
            yield f"  {name:<11} {told[name]}"


def _is_of(note: str, organization: str) -> bool:
    """Whether a note says in its first line, the origin, that it is of that organization's log."""
    return note.partition("\n")[0].endswith(f"/audit/{organization}")


def _lines(verdicts: list[LogVerdict], strays: list[str]) -> Iterator[str]:
    for each in verdicts:
        yield f"{each.organization}: {'FAILED' if each.findings else 'ok'}, {each.size:,} entries, root {each.root}"
        yield from (f"  found: {finding}" for finding in each.findings)
    yield from (f"FAILED: {path} is a checkpoint of no log here" for path in strays)
