"""Every way to alter a log that we know of, in each place where it lies: the files that others read, and the database. All are detected.

What is kept elsewhere is one old checkpoint and the first key. Each attack leaves everything else as consistent as its attacker can.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import CONSUMER, PROVIDER, make_world
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit import store as audit_store
from baybridge.audit.checkpoint import Checkpoint, Verifier, sign
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.audit.rotation import KeyChain
from baybridge.audit.tiles import Tile, encode_bundle, tiles_of
from baybridge.client.logs import judge_tiles
from baybridge.exchange import Exchange
from baybridge.operate.home import make_next_key, use_next_key
from baybridge.principals.principal import LOCAL_OPERATOR

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mutations")]

ENTRIES = 600
ORIGIN = f"exchange.example/audit/{PROVIDER}"
Files = dict[str, bytes]


@dataclass(frozen=True)
class Kept:
    """A home whose key was rotated once, its log as files, and what an auditor has kept elsewhere."""

    root: Path
    files: Files
    entries: tuple[bytes, ...]
    keys: KeyChain
    note: str
    first: Verifier
    key: Ed25519PrivateKey


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    world = make_world(tmp_path_factory.mktemp("mutations") / "home")
    exchange = world.exchange
    first = exchange.watch.verifier(PROVIDER)
    fill(exchange, ENTRIES // 2)
    exchange.rotate.rotate(LOCAL_OPERATOR)
    exchange.close()
    with Exchange.open(world.root) as exchange:
        note = exchange.watch.checkpoint(PROVIDER)
        fill(exchange, ENTRIES // 2)
        checkpoint = exchange.watch.checkpoint(PROVIDER)
        with exchange.database.read() as connection:
            entries = tuple(data for _, data in audit_store.entries(connection, PROVIDER))
        keys = exchange.watch.keys(PROVIDER)
        files = {"checkpoint": checkpoint.encode()}
        for tile in tiles_of(len(entries)):
            files[f"tile/{tile.level}/{tile.path()}"] = exchange.prove.tile(PROVIDER, tile)
            if tile.level == 0:
                files[f"tile/entries/{tile.path()}"] = exchange.prove.bundle(LOCAL_OPERATOR, PROVIDER, tile)
        yield Kept(world.root, files, entries, keys, note, first, exchange.watch.key)


def fill(exchange: Exchange, count: int) -> None:
    for number in range(count):
        side = b"question %d" % number
        facts = {"rows": number, "side_sha256": sha256(side).hexdigest()}
        exchange.log.record(Draft(PROVIDER, Kind.DISCLOSURE, facts, side), always)


def found(kept: Kept, files: Files) -> tuple[str, ...]:
    return judge_tiles(PROVIDER, files.get, keys=kept.keys, notes=[kept.note]).findings


def as_files(entries: list[bytes], key: Ed25519PrivateKey) -> Files:
    """A whole log as an attacker with a key would serve it: every file agrees with every other."""
    leaves = [leaf_hash(entry) for entry in entries]
    files = {}
    levels = [leaves]
    while len(levels[-1]) >= 256:
        below = levels[-1]
        levels.append([Frontier().extend(below[at : at + 256]).root() for at in range(0, len(below) - 255, 256)])
    for tile in tiles_of(len(entries)):
        files[f"tile/{tile.level}/{tile.path()}"] = b"".join(levels[tile.level][tile.first : tile.first + tile.width])
        if tile.level == 0:
            files[f"tile/entries/{tile.path()}"] = encode_bundle(entries[tile.first : tile.first + tile.width])
    files["checkpoint"] = sign(Checkpoint(ORIGIN, len(entries), Frontier().extend(leaves).root()), key, ORIGIN).encode()
    return files


def test_the_files_of_an_intact_log_verify(kept: Kept) -> None:
    assert found(kept, kept.files) == ()
    assert found(kept, as_files(list(kept.entries), kept.key)) == ()
    assert sorted(kept.files) == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        f"tile/0/002.p/{len(kept.entries) - 512}",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        f"tile/entries/002.p/{len(kept.entries) - 512}",
    ]


def test_a_flipped_bit_in_any_file_is_detected(kept: Kept) -> None:
    chance = random.Random(7)
    for path, data in kept.files.items():
        for at in [0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(8))]:
            flipped = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            assert found(kept, {**kept.files, path: flipped}), (path, at)


def test_a_file_that_is_missing_cut_doubled_or_in_anothers_place_is_detected(kept: Kept) -> None:
    for path, data in kept.files.items():
        assert found(kept, {name: content for name, content in kept.files.items() if name != path}), path
        for changed in (b"", data[:-1], data[: len(data) // 2], data + data, data[32:], data + bytes(32)):
            assert found(kept, {**kept.files, path: changed}), path
        for other in kept.files:
            if kept.files[other] != data:
                assert found(kept, {**kept.files, path: kept.files[other], other: data}), (path, other)


def rewritten(kept: Kept) -> dict[str, list[bytes]]:
    """Histories that were never this log's, each the true one with something done to it."""
    entries = list(kept.entries)
    return {
        "dropped": [*entries[:100], *entries[101:]],
        "first dropped": entries[1:],
        "swapped": [*entries[:100], entries[101], entries[100], *entries[102:]],
        "doubled": [*entries[:100], entries[100], *entries[100:]],
        "put in": [*entries[:100], entries[50], *entries[100:]],
        "forked": [*entries[:100], entries[50], *entries[101:]],
        "truncated": entries[:100],
        "emptied": [],
    }


@pytest.mark.parametrize("how", ["dropped", "first dropped", "swapped", "doubled", "put in", "forked", "truncated", "emptied"])
def test_a_history_rewritten_with_the_logs_own_key_is_detected_by_one_old_checkpoint(kept: Kept, how: str) -> None:
    assert found(kept, as_files(rewritten(kept)[how], kept.key))


def test_a_log_signed_by_another_key_or_by_the_old_one_is_detected(kept: Kept) -> None:
    assert found(kept, as_files(list(kept.entries), Ed25519PrivateKey.generate()))
    assert kept.keys.rotations[0].old == kept.first
    others = KeyChain(kept.first)  # someone who has not followed the rotation believes nothing that the new key signs
    assert judge_tiles(PROVIDER, kept.files.get, keys=others, notes=[]).findings


def test_a_log_under_anothers_name_is_detected(kept: Kept) -> None:
    name = f"exchange.example/audit/{CONSUMER}"
    foreign = sign(Checkpoint(name, len(kept.entries), bytes(32)), kept.key, name)
    assert found(kept, {**kept.files, "checkpoint": foreign.encode()})


# In the database


Attack = Callable[[sqlite3.Connection], None]


def data_of(connection: sqlite3.Connection) -> list[bytes]:
    return [row[0] for row in connection.execute("SELECT data FROM entries WHERE organization = 'bts' ORDER BY number")]


def settle(connection: sqlite3.Connection, data: list[bytes]) -> None:
    """Write that history, and let everything that the home keeps beside it agree: tile roots, right edge, checkpoints."""
    connection.execute("DELETE FROM side_records WHERE organization = 'bts'")
    connection.execute("DELETE FROM entries WHERE organization = 'bts'")
    connection.executemany("INSERT INTO entries VALUES ('bts', ?, ?)", list(enumerate(data)))
    frontier, filled = Frontier().grow(map(leaf_hash, data))
    connection.execute("DELETE FROM tile_roots WHERE organization = 'bts'")
    connection.executemany("INSERT INTO tile_roots VALUES ('bts', ?, ?, ?)", [tuple(each) for each in filled])
    connection.execute("UPDATE logs SET size = ?, frontier = ? WHERE organization = 'bts'", (frontier.size, frontier.to_bytes()))
    connection.execute("DELETE FROM checkpoints WHERE organization = 'bts'")


def statement(text: str) -> Attack:
    def attack(connection: sqlite3.Connection) -> None:
        connection.execute(text)

    return attack


def flip(table: str, column: str) -> Attack:
    def attack(connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE organization = 'bts'").fetchall()
        rowid, value = random.Random(11).choice(rows)
        data = bytearray(value.encode() if isinstance(value, str) else value)
        data[len(data) // 2] ^= 1
        changed = data.decode(errors="replace") if isinstance(value, str) else bytes(data)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, rowid))

    return attack


ATTACKS: dict[str, Attack] = {
    "entry flipped": flip("entries", "data"),
    "side record flipped": flip("side_records", "data"),
    "tile root flipped": flip("tile_roots", "root"),
    "right edge flipped": flip("logs", "frontier"),
    "checkpoint flipped": flip("checkpoints", "note"),
    "rotation flipped": flip("key_rotations", "note"),
    "tile roots dropped": statement("DELETE FROM tile_roots WHERE organization = 'bts'"),
    "tile roots swapped": statement("UPDATE tile_roots SET root = (SELECT root FROM tile_roots WHERE organization = 'bts' AND number = 1)"),
    "rotation dropped": statement("DELETE FROM key_rotations WHERE organization = 'bts'"),
    "size changed": statement("UPDATE logs SET size = size - 1 WHERE organization = 'bts'"),
    "moved to another log": statement("UPDATE entries SET organization = 'dot' WHERE organization = 'bts' AND number = 600"),
}


@pytest.fixture
def home(kept: Kept, tmp_path: Path) -> Path:
    shutil.copytree(kept.root, tmp_path / "home")
    return tmp_path / "home"


def verified(kept: Kept, home: Path) -> tuple[str, ...]:
    with Exchange.open(home) as exchange:
        return exchange.watch.verify(PROVIDER, (kept.note,), kept.first).findings


def alter(home: Path, attack: Attack) -> None:
    connection = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    attack(connection)
    connection.close()


def test_the_database_of_an_intact_log_verifies_also_after_settling(kept: Kept, home: Path) -> None:
    assert verified(kept, home) == ()
    alter(home, lambda connection: settle(connection, data_of(connection)))
    assert verified(kept, home) == ()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_database_is_detected(kept: Kept, home: Path, name: str) -> None:
    alter(home, ATTACKS[name])
    assert verified(kept, home)


@pytest.mark.parametrize("how", ["dropped", "first dropped", "swapped", "doubled", "put in", "forked", "truncated", "emptied"])
def test_a_database_rewritten_as_a_whole_is_detected_by_one_old_checkpoint(kept: Kept, home: Path, how: str) -> None:
    alter(home, lambda connection: settle(connection, rewritten(kept)[how]))
    assert verified(kept, home)


def test_a_rollback_of_the_whole_home_is_detected_by_a_newer_checkpoint(kept: Kept, home: Path) -> None:
    newest = kept.files["checkpoint"].decode()
    alter(home, lambda connection: settle(connection, list(kept.entries)[:-1]))
    with Exchange.open(home) as exchange:
        assert exchange.watch.verify(PROVIDER, (), kept.first).findings == (), "nothing in the home shows it"
        assert exchange.watch.verify(PROVIDER, (newest,), kept.first).findings


def test_a_key_replaced_with_all_that_it_signed_is_detected_by_the_first_key(kept: Kept, home: Path) -> None:
    with Exchange.open(home) as exchange:
        make_next_key(exchange.home)
        use_next_key(exchange.home)
    alter(home, statement("DELETE FROM key_rotations"))
    alter(home, statement("DELETE FROM checkpoints"))
    with Exchange.open(home) as exchange:
        exchange.watch.checkpoint(PROVIDER)
        assert exchange.watch.verify(PROVIDER, ()).findings == (), "nothing in the home shows it"
        assert exchange.watch.verify(PROVIDER, (), kept.first).findings


def test_tiles_of_a_database_whose_roots_were_altered_do_not_hash_to_the_checkpoint(kept: Kept, home: Path) -> None:
    alter(home, flip("tile_roots", "root"))
    with Exchange.open(home) as exchange:
        changed = {**kept.files, "tile/1/000.p/2": exchange.prove.tile(PROVIDER, Tile(1, 0, 2))}
    assert found(kept, changed)
