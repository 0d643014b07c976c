"""The log under attack by someone who holds the database: each alteration is caught by `audit verify`, with exit code 9."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import PROVIDER, World, make_world
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from baybridge.audit.checkpoint import Checkpoint, sign
from baybridge.audit.entry import MAX_ENTRY_BYTES, Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.audit.side import Side
from baybridge.audit.store import entries
from baybridge.exchange import Exchange
from baybridge.principals.principal import LOCAL_OPERATOR

pytestmark = pytest.mark.slow

ENTRIES = 40
SIDE = b"a side record"
Attack = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True)
class Kept:
    """A home with a log of some length, and a checkpoint of it that was kept elsewhere."""

    root: Path
    checkpoint: Path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("audit")
    world = make_world(folder / "home", PROVIDER)
    for number in range(ENTRIES):
        world.exchange.log.record(
            Draft(PROVIDER, Kind.DISCLOSURE, {"rows": number, "side_sha256": sha256(SIDE).hexdigest()}, Side(SIDE)), always
        )
    (folder / "kept.checkpoint").write_text(world.exchange.watch.checkpoint(PROVIDER))
    world.exchange.close()
    return Kept(folder / "home", folder / "kept.checkpoint")


@pytest.fixture
def home(original: Kept, tmp_path: Path) -> Path:
    """A copy of the home, for one attack."""
    shutil.copytree(original.root, tmp_path / "home")
    return tmp_path / "home"


def verify(home: Path, *checkpoints: Path) -> tuple[int, str]:
    options = [option for path in checkpoints for option in ("--checkpoint", str(path))]
    done = subprocess.run(
        [sys.executable, "-m", "baybridge.cli.main", "audit", "verify", PROVIDER, "--home", str(home), *options],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def alter(home: Path, attack: Attack) -> None:
    connection = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    attack(connection)
    connection.close()


def stored(connection: sqlite3.Connection) -> list[bytes]:
    query = "SELECT data FROM entries WHERE organization = ? ORDER BY number"
    return [row[0] for row in connection.execute(query, (PROVIDER,))]


def make_consistent(connection: sqlite3.Connection) -> None:
    """What a careful attacker does after an alteration: everything in the database agrees with the entries as they are now."""
    data = stored(connection)
    frontier = Frontier(0, ()).extend([leaf_hash(each) for each in data])
    row = (frontier.size, frontier.to_bytes(), PROVIDER)
    connection.execute("UPDATE logs SET size = ?, frontier = ? WHERE organization = ?", row)
    connection.execute("DELETE FROM checkpoints WHERE organization = ?", (PROVIDER,))


def drop(number: int) -> Attack:
    def attack(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM side_records WHERE organization = ? AND number = ?", (PROVIDER, number))
        connection.execute("DELETE FROM entries WHERE organization = ? AND number = ?", (PROVIDER, number))

    return attack


def drop_and_close_the_gap(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM side_records")
    connection.execute("DELETE FROM entries WHERE organization = ? AND number = 7", (PROVIDER,))
    connection.execute("UPDATE entries SET number = number - 1 WHERE organization = ? AND number > 7", (PROVIDER,))
    connection.execute("UPDATE logs SET size = size - 1 WHERE organization = ?", (PROVIDER,))


def swap(connection: sqlite3.Connection) -> None:
    data = stored(connection)
    for number, other in ((5, 6), (6, 5)):
        connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = ?", (data[other], PROVIDER, number))


def retype(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE entries SET data = CAST(data AS TEXT) WHERE organization = ? AND number = 9", (PROVIDER,))


def alter_side(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE side_records SET data = x'00' WHERE number = (SELECT max(number) FROM side_records)")


def foreign_checkpoint(connection: sqlite3.Connection) -> None:
    origin = f"exchange.example/audit/{PROVIDER}"
    data = stored(connection)
    frontier = Frontier(0, ()).extend([leaf_hash(each) for each in data])
    note = sign(Checkpoint(origin, frontier.size, frontier.root()), Ed25519PrivateKey.generate(), origin)
    connection.execute("UPDATE checkpoints SET note = ? WHERE organization = ?", (note, PROVIDER))


def test_an_intact_log_verifies_also_when_it_has_grown_since(original: Kept, home: Path) -> None:
    assert verify(home, original.checkpoint)[0] == 0
    with opened(home) as exchange:
        exchange.log.record(Draft(PROVIDER, Kind.DISCLOSURE, {"rows": 1}), always)
    code, said = verify(home, original.checkpoint)
    assert (code, "ok" in said) == (0, True)


@pytest.mark.parametrize(
    "attack",
    [drop(0), drop(20), drop(ENTRIES), drop_and_close_the_gap, swap, retype, alter_side, foreign_checkpoint],
    ids=["first dropped", "middle dropped", "one of the last dropped", "gap closed", "swapped", "retyped", "side altered", "foreign key"],
)
def test_an_altered_log_fails_its_verification(home: Path, attack: Attack) -> None:
    alter(home, attack)
    code, said = verify(home)
    assert code == 9, said
    assert "FAILED" in said


def test_a_flipped_bit_anywhere_in_any_entry_is_caught(home: Path) -> None:
    chance = random.Random(5)
    with opened(home) as exchange, exchange.database.read() as connection:
        size = len(list(entries(connection, PROVIDER)))
    for number in [0, size - 1, *(chance.randrange(size) for _ in range(20))]:
        connection = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
        data = stored(connection)[number]
        position, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        flipped = data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]
        where = (PROVIDER, number)
        connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = ?", (flipped, *where))
        with opened(home) as exchange:
            assert exchange.watch.verify(PROVIDER, ()).findings, (number, position, bit)
        connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = ?", (data, *where))
        connection.close()
    assert verify(home)[0] == 0
    alter(home, lambda connection: flip_one(connection, number=3))
    assert verify(home)[0] == 9


def flip_one(connection: sqlite3.Connection, *, number: int) -> None:
    data = bytearray(stored(connection)[number])
    data[len(data) // 2] ^= 1
    connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = ?", (bytes(data), PROVIDER, number))


def truncate(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM side_records WHERE number >= 30")
    connection.execute("DELETE FROM entries WHERE organization = ? AND number >= 30", (PROVIDER,))
    make_consistent(connection)


def fork(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM side_records")
    data = stored(connection)
    connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = 30", (data[31], PROVIDER))
    make_consistent(connection)


@pytest.mark.parametrize("attack", [truncate, fork])
def test_a_log_rewritten_as_a_whole_is_caught_by_a_checkpoint_kept_outside(original: Kept, home: Path, attack: Attack) -> None:
    alter(home, attack)
    assert verify(home)[0] == 0  # nothing in the home can show it: that is why a checkpoint is kept elsewhere
    assert verify(home, original.checkpoint)[0] == 9


def test_a_checkpoint_file_of_a_foreign_key_and_a_changed_home_key_are_caught(original: Kept, home: Path, tmp_path: Path) -> None:
    origin = f"exchange.example/audit/{PROVIDER}"
    forged = tmp_path / "forged.checkpoint"
    forged.write_text(sign(Checkpoint(origin, 10, bytes(32)), Ed25519PrivateKey.generate(), origin))
    assert verify(home, forged)[0] == 9
    other = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / "keys" / "log.pem").write_bytes(other)
    assert verify(home)[0] == 9
    assert verify(home, original.checkpoint)[0] == 9


@contextmanager
def opened(root: Path) -> Iterator[Exchange]:
    """The exchange on a home, for the block."""
    exchange = Exchange.open(root)
    try:
        yield exchange
    finally:
        exchange.close()


def test_writers_at_once_share_commits_and_get_every_index_once(world: World) -> None:
    writers, each = 32, 10
    numbers: list[int | None] = []
    gathered = threading.Lock()

    def write() -> None:
        mine = [world.exchange.log.record(Draft("bts", Kind.DISCLOSURE, {"rows": 1}), always) for _ in range(each)]
        with gathered:
            numbers.extend(mine)

    commits = Commits(world.root)
    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entered = sorted(number for number in numbers if number is not None)
    assert len(entered) == writers * each
    assert entered == list(range(entered[0], entered[0] + writers * each))
    assert commits.seen() <= writers * each / 2
    assert world.exchange.watch.verify("bts", ()).findings == ()


class Commits:
    """Counts transactions from outside: the change counter that SQLite keeps in the log's frames would need a checkpoint, so the
    write-ahead log's commit frames are read (https://www.sqlite.org/fileformat2.html#wal_file_format)."""

    def __init__(self, root: Path) -> None:
        self.path = root / "catalog.sqlite-wal"
        self.before = self.count()

    def count(self) -> int:
        data = self.path.read_bytes()
        page = int.from_bytes(data[8:12], "big")
        frames = range(32, len(data) - 24 - page + 1, 24 + page)
        salt = data[16:24]
        return sum(1 for at in frames if data[at + 8 : at + 16] == salt and int.from_bytes(data[at + 4 : at + 8], "big"))

    def seen(self) -> int:
        return abs(self.count() - self.before)


def test_no_entry_holds_a_value_a_name_or_a_secret(flights: World) -> None:
    flights.sign(flights.terms())
    with flights.exchange.database.read() as connection:
        data = b"".join(each for _, each in entries(connection, "bts"))
        longest = max(len(each) for _, each in entries(connection, "bts"))
    secrets = [secret.encode() for secret in flights.secrets.values()]
    for marker in [b"N14228", b"N24211", b"steward of bts", b"analyst of dot", b"49 U.S.C.", *secrets]:
        assert marker not in data
    assert longest <= MAX_ENTRY_BYTES


def test_a_token_stands_nowhere_in_the_home(flights: World) -> None:
    person = flights.person("dot", "analyst")
    issued = flights.exchange.administer.issue_token(LOCAL_OPERATOR, person.id, expires=None, purpose="noise-study")
    everything = b"".join(path.read_bytes() for path in flights.root.rglob("*") if path.is_file())
    assert issued.token.id.encode() in everything
    assert issued.secret.encode() not in everything
