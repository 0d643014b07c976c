"""Re-reads a log from the entries themselves and says what does not hold. Pure: whoever has the entries can run it offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baybridge.audit.checkpoint import Checkpoint
from baybridge.audit.entry import decode
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tree over the entries as they are now, and each thing found wrong, in one sentence. No finding: all checks hold."""

    size: int
    root: bytes
    findings: tuple[str, ...]


def replay(entries: Iterable[tuple[int, bytes]], *, origin: str, checkpoints: Sequence[Checkpoint]) -> Replayed:
    """Hash the entries in the order given, and compare with each checkpoint at its own size.

    `entries` are (index, bytes). A missing, moved, altered or foreign entry, a checkpoint of another log, and a log that is shorter
    than a checkpoint are findings.
    """
    findings = [f"a checkpoint is of {each.origin}, not of {origin}" for each in checkpoints if each.origin != origin]
    wanted = {each.size: each.root for each in checkpoints if each.origin == origin}
    findings += _contradictions(checkpoints)
    frontier = Frontier(0, ())
    _compare(frontier, wanted, findings)
    for index, data in entries:
        if index != frontier.size:
            findings.append(f"entry {frontier.size} is missing: index {index} stands in its place")
            break
        findings += _entry_findings(index, data, origin)
        frontier = frontier.append(leaf_hash(data))
        _compare(frontier, wanted, findings)
    longest = max(wanted, default=0)
    if longest > frontier.size:
        findings.append(f"the log has {frontier.size} entries, and a checkpoint was signed over {longest}: entries were removed")
    return Replayed(frontier.size, frontier.root(), tuple(findings))


def _contradictions(checkpoints: Sequence[Checkpoint]) -> list[str]:
    seen: dict[tuple[str, int], bytes] = {}
    return [
        f"two checkpoints of size {each.size} have different roots: the log was forked"
        for each in checkpoints
        if seen.setdefault((each.origin, each.size), each.root) != each.root
    ]


def _compare(frontier: Frontier, wanted: dict[int, bytes], findings: list[str]) -> None:
    expected = wanted.get(frontier.size)
    if expected is not None and frontier.root() != expected:
        findings.append(f"the first {frontier.size} entries are not those that the checkpoint was signed over")


def _entry_findings(index: int, data: bytes, origin: str) -> list[str]:
    try:
        entry = decode(data)
    except Corrupt as wrong:
        return [f"entry {index}: {wrong.detail}"]
    return [] if entry.log == origin else [f"entry {index} is of another log"]
