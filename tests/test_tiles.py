"""The laws of tiles as paths and bytes: each has one path, and nothing else is a path; bundles read back as the entries they hold."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.audit.tiles import Tile, decode_bundle, decode_tile, encode_bundle, tiles_of
from baybridge.errors import Corrupt, NotFound

tiles = st.builds(Tile, st.integers(0, 7), st.integers(0, 2**55), st.integers(1, 256))


def test_the_examples_of_the_specification() -> None:
    assert Tile(0, 1234067).path() == "x001/x234/067"
    seventy = tiles_of(70_000)
    assert sum(1 for tile in seventy if tile.level == 0 and tile.full) == 273
    assert [(tile.level, tile.width) for tile in seventy if not tile.full] == [(0, 112), (1, 17), (2, 1)]
    assert [(tile.level, tile.number, tile.width) for tile in tiles_of(256)] == [(0, 0, 256), (1, 0, 1)]
    assert tiles_of(0) == ()


@given(tiles)
def test_a_tile_has_one_path_and_is_read_from_it(tile: Tile) -> None:
    assert Tile.parse(str(tile.level), tile.path()) == tile


@pytest.mark.parametrize(
    ("level", "path"),
    [
        ("0", ""),
        ("0", "0"),
        ("0", "00"),
        ("0", "0000"),
        ("0", "x000/001"),
        ("0", "000/001"),
        ("0", "x001"),
        ("0", "x001/x234/x067"),
        ("0", "001.p"),
        ("0", "001.p/"),
        ("0", "001.p/0"),
        ("0", "001.p/01"),
        ("0", "001.p/256"),
        ("0", "001.p/999"),
        ("0", "001/p/5"),
        ("0", "001.p/5/"),
        ("0", "-01"),
        ("0", "\u0661\u0661\u0661"),
        ("0", "001\n"),
        ("0", "x999/" * 20 + "999"),
        ("00", "001"),
        ("8", "001"),
        ("64", "001"),
        ("", "001"),
        ("+1", "001"),
        ("x", "001"),
    ],
)
def test_nothing_else_is_a_path_of_a_tile(level: str, path: str) -> None:
    with pytest.raises(NotFound):
        Tile.parse(level, path)


@given(st.integers(0, 300_000), tiles)
def test_a_tree_has_a_tile_where_it_has_all_its_hashes(size: int, tile: Tile) -> None:
    there = (tile.number * 256 + tile.width) * 256**tile.level <= size
    try:
        tile.require_in(size)
    except NotFound:
        assert not there
    else:
        assert there


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_reads_back_as_its_entries(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data) == tuple(entries)
    assert data == b"".join(bytes([len(entry) >> 8, len(entry) & 255]) + entry for entry in entries)


def test_a_bundle_that_is_cut_short_is_no_bundle() -> None:
    data = encode_bundle([b"one", b"three"])
    whole = {0, 5, len(data)}
    for length in set(range(len(data))) - whole:
        with pytest.raises(Corrupt):
            decode_bundle(data[:length])


def test_a_tile_is_whole_hashes() -> None:
    assert decode_tile(bytes(64)) == (bytes(32), bytes(32))
    with pytest.raises(Corrupt):
        decode_tile(bytes(63))


@given(st.integers(0, 700), st.integers(0, 700))
def test_a_growing_tree_gives_the_root_of_each_tile_when_it_fills(before: int, more: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(before + more)]
    grown, filled = Frontier().extend(leaves[:before]).grow(leaves[before:])
    assert grown == Frontier().extend(leaves)
    assert [(tile.level, tile.number) for tile in filled] == [(0, number) for number in range(before // 256, (before + more) // 256)]
    assert [tile.root for tile in filled] == [perfect(leaves[tile.number * 256 :][:256]) for tile in filled]


def perfect(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
