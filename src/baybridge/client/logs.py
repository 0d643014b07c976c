"""A log checked from the outside: its entries replayed here, against checkpoints that the caller kept. It sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baybridge.audit.checkpoint import Checkpoint, Verifier, open_note
from baybridge.audit.replay import replay
from baybridge.errors import Corrupt


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What a verification of one log found; no finding means that everything holds. `root` is in hex."""

    organization: str
    size: int
    root: str
    findings: tuple[str, ...]


def judge(organization: str, entries: Iterable[tuple[int, bytes]], *, verifier: Verifier, notes: Sequence[str]) -> LogVerdict:
    """Replay a log's entries and compare with each note. A note that the log's key did not sign is a finding."""
    findings: list[str] = []
    checkpoints: list[Checkpoint] = []
    for note in notes:
        try:
            checkpoints.append(open_note(note, verifier))
        except Corrupt as wrong:
            findings.append(f"a checkpoint is not signed by this log's key, or does not parse: {wrong.detail}")
    replayed = replay(entries, origin=verifier.name, checkpoints=checkpoints)
    return LogVerdict(organization, replayed.size, replayed.root.hex(), (*findings, *replayed.findings))
