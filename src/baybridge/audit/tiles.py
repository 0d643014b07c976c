"""Tiles and entry bundles as paths and bytes (C2SP tlog-tiles). Pure; knows neither where hashes are kept nor who may have entries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from baybridge.audit.merkle import HASH_BYTES, TILE_HEIGHT
from baybridge.errors import Corrupt, NotFound

TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_LEVEL: Final = 7  # a log has at most 2^63 - 1 entries, and a tile of level 7 spans 2^64
_LENGTH_BYTES: Final = 2
_NUMBER: Final = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}")
_WIDTH: Final = re.compile(r"[1-9][0-9]{0,2}")
_MAX_PATH: Final = 40


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a level: the hashes `number * 256` and on, `width` of them. A bundle is the entries under a tile of level 0."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @classmethod
    def parse(cls, level: str, path: str) -> Self:
        """Read `<L>` and `<N>[.p/<W>]`: the inverse of `path`. Raise NotFound for what is not exactly a tile's path.

        There is one path for each tile, so that no cache holds it twice.
        """
        number, partial, width = path.partition(".p/")
        if not _NUMBER.fullmatch(number) or (partial and not _WIDTH.fullmatch(width)) or len(path) > _MAX_PATH:
            raise _no_tile()
        tile = cls(
            int(level) if re.fullmatch("[0-9]", level) else MAX_LEVEL + 1,
            int(number.replace("x", "").replace("/", "")),
            int(width) if partial else TILE_WIDTH,
        )
        if tile.level > MAX_LEVEL or tile.width > TILE_WIDTH or tile.path() != path:
            raise _no_tile()
        return tile

    @property
    def full(self) -> bool:
        """Whether all its hashes are there, so that it never changes."""
        return self.width == TILE_WIDTH

    @property
    def first(self) -> int:
        """The number, within its level, of its first hash."""
        return self.number * TILE_WIDTH

    def path(self) -> str:
        """Give `<N>[.p/<W>]`: groups of three digits, all but the last behind an x, as x001/x234/067 for 1234067."""
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        return "/".join([*("x" + group for group in groups[:-1]), groups[-1]]) + ("" if self.full else f".p/{self.width}")

    def require_in(self, size: int) -> None:
        """Raise NotFound unless a tree of that size has these hashes: at level l it has floor(size / 256^l)."""
        if self.first + self.width > size >> (TILE_HEIGHT * self.level):
            raise _no_tile()


def tiles_of(size: int) -> tuple[Tile, ...]:
    """Give every tile of a tree of that size, the partial ones last in their level."""
    found = []
    for level in range(MAX_LEVEL + 1):
        full, rest = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
        found += [Tile(level, number) for number in range(full)] + ([Tile(level, full, rest)] if rest else [])
    return tuple(found)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Give the entries, each behind its length in two bytes, big-endian."""
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def decode_bundle(data: bytes) -> tuple[bytes, ...]:
    """Read what `encode_bundle` wrote. Raise Corrupt for bytes that end within an entry."""
    entries = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise Corrupt("corrupt", "A bundle of entries is cut short.")
        entries.append(data[start:at])
    return tuple(entries)


def decode_tile(data: bytes) -> tuple[bytes, ...]:
    """Read a tile's hashes. Raise Corrupt for bytes that are not whole hashes."""
    if len(data) % HASH_BYTES:
        raise Corrupt("corrupt", "A tile does not consist of whole hashes.")
    return tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES))


def _no_tile() -> NotFound:
    return NotFound("not_found", "The signed log has no such tile.")
