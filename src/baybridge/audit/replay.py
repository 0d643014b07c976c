"""Re-reads a log from the entries themselves and says what does not hold. Pure: whoever has the entries can run it offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baybridge.audit.checkpoint import Checkpoint
from baybridge.audit.entry import decode
from baybridge.audit.merkle import Frontier, TileRoot, leaf_hash
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tree over the entries as they are now, and each thing found wrong, in one sentence. No finding: all checks hold."""

    size: int
    root: bytes
    tiles: tuple[TileRoot, ...]
    findings: tuple[str, ...]


def open_notes(keys: KeyChain, notes: Iterable[str], findings: list[str]) -> list[Checkpoint]:
    """Give the checkpoints that the log's keys signed. Each note that none of them signed is a finding."""
    opened = []
    for note in notes:
        try:
            opened.append(keys.open(note))
        except Corrupt as wrong:
            findings.append(f"a checkpoint is not signed by this log's key, or does not parse: {wrong.detail}")
    return opened


def replay(entries: Iterable[tuple[int, bytes]], *, origin: str, checkpoints: Sequence[Checkpoint], keys: KeyChain) -> Replayed:
    """Hash the entries in the order given, and compare with each checkpoint at its own size, and with the rotations of its keys.

    `entries` are (index, bytes). A missing, moved, altered or foreign entry, a checkpoint of another log, a log that is shorter
    than a checkpoint, and a rotation that is not entered where it says are findings.
    """
    findings = [f"a checkpoint is of {each.origin}, not of {origin}" for each in checkpoints if each.origin != origin]
    wanted = {each.size: each.root for each in checkpoints if each.origin == origin}
    findings += _contradictions(checkpoints)
    rotated = {each.size: each.text() for each in keys.rotations}
    tiles: list[TileRoot] = []
    frontier = Frontier(0, ())
    _compare(frontier, wanted, findings)
    for index, data in entries:
        if index != frontier.size:
            findings.append(f"entry {frontier.size} is missing: index {index} stands in its place")
            break
        findings += _entry_findings(index, data, origin, rotated.pop(index, None))
        frontier, filled = frontier.grow((leaf_hash(data),))
        tiles += filled
        _compare(frontier, wanted, findings)
    longest = max(wanted, default=0)
    if longest > frontier.size:
        findings.append(f"the log has {frontier.size} entries, and a checkpoint was signed over {longest}: entries were removed")
    findings += [f"the rotation of the key after {size} entries is not entered in the log" for size in rotated]
    return Replayed(frontier.size, frontier.root(), tuple(tiles), tuple(findings))


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


def _entry_findings(index: int, data: bytes, origin: str, rotation: str | None) -> list[str]:
    """`rotation` is the text of the note that this entry must hold, where it is one that hands over to the next key."""
    try:
        entry = decode(data)
    except Corrupt as wrong:
        return [f"entry {index}: {wrong.detail}"]
    if entry.log != origin:
        return [f"entry {index} is of another log"]
    if rotation is not None and not str(entry.facts.get("note")).startswith(rotation + "\n"):
        return [f"entry {index} does not announce the key that follows it"]
    return []
