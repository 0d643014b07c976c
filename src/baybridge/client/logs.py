"""A log checked from the outside: its entries replayed here, against checkpoints that the caller kept. It sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baybridge.audit.replay import open_notes, replay
from baybridge.audit.rotation import KeyChain


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What a verification of one log found; no finding means that everything holds. `root` is in hex."""

    organization: str
    size: int
    root: str
    findings: tuple[str, ...]


def judge(organization: str, entries: Iterable[tuple[int, bytes]], *, keys: KeyChain, notes: Sequence[str]) -> LogVerdict:
    """Replay a log's entries and compare with each note. A note that none of the log's keys signed in its time is a finding."""
    findings: list[str] = []
    checkpoints = open_notes(keys, notes, findings)
    replayed = replay(entries, origin=keys.first.name, checkpoints=checkpoints, keys=keys)
    return LogVerdict(organization, replayed.size, replayed.root.hex(), (*findings, *replayed.findings))
