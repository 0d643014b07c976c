"""Re-reads a log from the entries themselves and says what does not hold. Pure: whoever has the entries can run it offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from baybridge.audit.checkpoint import Checkpoint
from baybridge.audit.entry import decode
from baybridge.audit.merkle import Frontier, TileRoot, leaf_hash
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt

MOST_NAMED: Final = 20
"""So many malformed entries are named one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tree over the entries as they are now, and each thing found wrong, in one sentence. No finding: all checks hold.

    A finding is a first cause. What only follows from it, as that no later checkpoint holds, is counted in its sentence.
    """

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
    held = {0: frontier.root() == wanted.get(0, frontier.root())}
    malformed: list[str] = []
    missing: list[str] = []
    for index, data in entries:
        if index != frontier.size:
            missing.append(f"entry {frontier.size} is missing: index {index} stands in its place")
            break
        malformed += _entry_findings(index, data, origin, rotated.pop(index, None))
        frontier, filled = frontier.grow((leaf_hash(data),))
        tiles += filled
        if frontier.size in wanted:
            held[frontier.size] = frontier.root() == wanted[frontier.size]
    longest = max(wanted, default=0)
    if longest > frontier.size and not missing:
        missing.append(f"the log has {frontier.size} entries, and a checkpoint was signed over {longest}: entries were removed")
    findings += [*_first(malformed), *_not_held(held), *missing]
    if not missing:
        findings += [f"the rotation of the key after {size} entries is not entered in the log" for size in rotated]
    return Replayed(frontier.size, frontier.root(), tuple(tiles), tuple(findings))


def _contradictions(checkpoints: Sequence[Checkpoint]) -> list[str]:
    seen: dict[tuple[str, int], bytes] = {}
    return [
        f"two checkpoints of size {each.size} have different roots: the log was forked"
        for each in checkpoints
        if seen.setdefault((each.origin, each.size), each.root) != each.root
    ]


def _not_held(held: Mapping[int, bool]) -> list[str]:
    """The smallest checkpoint that does not hold, and between which two the change is. `held` says of each size whether it does."""
    broken = sorted(size for size, holds in held.items() if not holds)
    if not broken:
        return []
    first, later = broken[0], len(broken) - 1
    known = max((size for size, holds in held.items() if holds and size < first), default=0)
    finding = f"the first {first} entries are not those that the checkpoint was signed over"
    if known:
        finding += f"; the first {known} are, so the change begins with entry {known} or after it"
    if later:
        finding += f"; {later} larger {'checkpoint does' if later == 1 else 'checkpoints do'} not hold either"
    return [finding]


def _first(findings: list[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = len(findings) - MOST_NAMED
    return findings if more <= 0 else [*findings[:MOST_NAMED], f"{more} more entries are not as they were written"]


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
