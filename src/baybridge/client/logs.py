"""A log checked from the outside: its entries replayed here, against checkpoints that the caller kept. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from baybridge.audit.merkle import leaf_hash, root_of
from baybridge.audit.replay import open_notes, replay
from baybridge.audit.rotation import KeyChain
from baybridge.audit.tiles import TILE_WIDTH, Tile, decode_bundle, tiles_of
from baybridge.errors import Corrupt


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


def judge_tiles(organization: str, fetch: Callable[[str], bytes | None], *, keys: KeyChain, notes: Sequence[str]) -> LogVerdict:
    """Verify a log from its files as they were fetched or mirrored (C2SP tlog-tiles): its checkpoint, bundles of entries and tiles.

    `fetch` gives the bytes at a path under the log's address, or None where there is nothing. The entries are hashed again, and every
    tile is held against them.
    """
    findings: list[str] = []
    present = (fetch("checkpoint") or b"").decode(errors="replace")
    opened = open_notes(keys, [present], findings)
    tiles = tiles_of(opened[0].size if opened else 0)
    leaves: list[bytes] = []
    entries: list[tuple[int, bytes]] = []
    for tile in tiles:
        if tile.level == 0:
            bundle = _entries(fetch, tile, findings)
            entries += [(tile.first + offset, data) for offset, data in enumerate(bundle)]
            leaves += [leaf_hash(data) for data in bundle]
    findings += _tile_findings(fetch, tiles, leaves)
    replayed = replay(entries, origin=keys.first.name, checkpoints=[*opened, *open_notes(keys, notes, findings)], keys=keys)
    return LogVerdict(organization, replayed.size, replayed.root.hex(), (*findings, *replayed.findings))


def _entries(fetch: Callable[[str], bytes | None], tile: Tile, findings: list[str]) -> tuple[bytes, ...]:
    data = fetch(f"tile/entries/{tile.path()}")
    try:
        bundle = () if data is None else decode_bundle(data)
    except Corrupt as wrong:
        findings.append(f"bundle {tile.path()}: {wrong.detail}")
        return ()
    if len(bundle) != tile.width:
        findings.append(f"bundle {tile.path()} has {len(bundle)} entries, and not {tile.width}")
    return bundle


def _tile_findings(fetch: Callable[[str], bytes | None], tiles: Sequence[Tile], leaves: list[bytes]) -> list[str]:
    """The tiles that are not what the entries hash to; `leaves` become the hashes of the level above, level by level."""
    findings = []
    level = 0
    for tile in tiles:
        while level < tile.level:
            full = range(0, len(leaves) - TILE_WIDTH + 1, TILE_WIDTH)
            leaves, level = [root_of(leaves[start : start + TILE_WIDTH]) for start in full], level + 1
        if fetch(f"tile/{tile.level}/{tile.path()}") != b"".join(leaves[tile.first : tile.first + tile.width]):
            findings.append(f"tile {tile.level}/{tile.path()} is not what the entries hash to")
    return findings
