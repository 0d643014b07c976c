"""Promises 1 and 4 against kill -9: never half a version, never bytes that left without an entry."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
from conftest import FLIGHTS, Server, World, make_world, start_server, stop_server
from raw_http import Reply, Wire

from baybridge.catalog.dataset import Access
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Upload

pytestmark = pytest.mark.slow

PUBLISH_FOREVER = Path(__file__).with_name("launchers") / "publish_forever.py"
SMALL_ROWS, LARGE_ROWS = 200, 50_000
DATASETS = {"bts.small": SMALL_ROWS, "bts.large": LARGE_ROWS}


# What was written, judged from the files alone: SQLite and DuckDB read them, none of our code does.


def one(connection: sqlite3.Connection, question: str, *values: object) -> int:
    return int(connection.execute(question, values).fetchone()[0])


def check_version(root: Path, catalog: sqlite3.Connection, dataset: str, number: int) -> None:
    """The version is whole: its objects are there and hash to their names, hold its rows and no others, and its entry is in the log."""
    rows, original, size = catalog.execute(
        "SELECT rows, original_sha256, original_size FROM versions WHERE dataset = ? AND number = ?", (dataset, number)
    ).fetchone()
    objects = catalog.execute(
        "SELECT sha256, size, rows FROM manifest_objects WHERE dataset = ? AND number = ? ORDER BY position", (dataset, number)
    ).fetchall()
    assert rows == DATASETS[dataset] == sum(declared for _, _, declared in objects)
    for name, bytes_declared in [*((name, declared) for name, declared, _ in objects), (original, size)]:
        data = (root / "objects" / name[:2] / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (name, bytes_declared)
    paths = [str(root / "objects" / name[:2] / name) for name, _, _ in objects]
    with duckdb.connect() as engine:
        held = engine.execute("SELECT count(*), count(DISTINCT id), min(version), max(version) FROM read_parquet(?)", [paths]).fetchall()
    assert held == [(rows, rows, number, number)]


def published_entries(catalog: sqlite3.Connection, dataset: str) -> list[int]:
    stored = catalog.execute("SELECT data FROM entries WHERE organization = 'bts' ORDER BY number").fetchall()
    entries = [json.loads(data) for (data,) in stored]
    return [entry["version"] for entry in entries if entry["kind"] == "publication" and entry["dataset"] == dataset]


def check_home(root: Path, seen: dict[str, set[int]]) -> None:
    """All versions up to the latest are there, each with its one entry; a version seen whole before is not read again."""
    with sqlite3.connect(root / "catalog.sqlite") as catalog:
        for dataset, checked in seen.items():
            latest = one(catalog, "SELECT latest FROM datasets WHERE name = ?", dataset)
            numbers = [number for (number,) in catalog.execute("SELECT number FROM versions WHERE dataset = ? ORDER BY 1", (dataset,))]
            assert numbers == list(range(1, latest + 1))
            assert published_entries(catalog, dataset) == numbers
            orphans = (
                "SELECT count(*) FROM manifest_objects WHERE dataset = ? AND number NOT IN (SELECT number FROM versions WHERE dataset = ?)"
            )
            assert one(catalog, orphans, dataset, dataset) == 0
            for number in set(numbers) - checked:
                check_version(root, catalog, dataset, number)
                checked.add(number)
    catalog.close()


def check_opens_and_verifies(root: Path) -> None:
    with Exchange.open(root) as exchange:
        assert exchange.watch.verify("bts", ()).findings == ()


@contextmanager
def publishing(root: Path, dataset: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(PUBLISH_FOREVER), str(root), dataset, str(DATASETS[dataset])],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()


def kill_while_publishing(root: Path, dataset: str, moment: float) -> list[int]:
    """Kill it that many seconds after it began to publish; give the numbers that it had said were published."""
    with publishing(root, dataset) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        return [int(line) for line in process.stdout]


def declared_world(root: Path) -> None:
    world = make_world(root, "bts")
    for dataset in DATASETS:
        name = DatasetName.parse(dataset)
        world.exchange.publish.declare(LOCAL_OPERATOR, name, Declaration(title=name.name, access=Access.AGREEMENT))
    world.exchange.close()


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "scratch").glob("publish-*"))


def attack_publishing(root: Path, seed: int, kills: int) -> None:
    declared_world(root)
    moments = random.Random(seed)
    seen: dict[str, set[int]] = {dataset: set() for dataset in DATASETS}
    killed_amid_a_publication = 0
    for kill in range(kills):
        dataset = ("bts.small", "bts.large")[kill % 2]
        said = kill_while_publishing(root, dataset, moments.uniform(0, 1.5 if dataset == "bts.small" else 2.5))
        killed_amid_a_publication += bool(leftovers(root))
        before = max(seen[dataset], default=0)
        check_home(root, seen)
        latest = max(seen[dataset], default=0)
        assert latest - (said[-1] if said else before) in {0, 1}, "what was said is there, and at most the one that was under way"
    check_opens_and_verifies(root)
    assert killed_amid_a_publication >= kills // 2, "the kills must hit publications under way to mean anything"
    check_goes_on(root, seen)


def check_goes_on(root: Path, seen: dict[str, set[int]]) -> None:
    """The home publishes the next version, and sweeps what the killed ones left, none of which was ever taken for data."""
    with Exchange.open(root) as exchange:
        number = len(seen["bts.small"]) + 1
        rows = b"".join(b"%d,%d,words\n" % (row, number) for row in range(SMALL_ROWS))
        upload = Upload([b"id,version,words\n" + rows], null_words=("",), key=(), accept_schema=number == 1, dry_run=False)
        published = exchange.publish.publish(LOCAL_OPERATOR, DatasetName.parse("bts.small"), upload)
        assert published.version == number
    check_home(root, seen)
    assert leftovers(root) == []


def test_twenty_kills_of_publishing_leave_no_half_version(tmp_path: Path) -> None:
    attack_publishing(tmp_path / "home", seed=11, kills=20)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(200, 210))
def test_any_number_of_kills_of_publishing_leave_no_half_version(tmp_path: Path, seed: int) -> None:
    attack_publishing(tmp_path / "home", seed=seed, kills=40)


# Disclosing.


@dataclass
class Witness:
    """Reads pages one after another, and keeps of each answer its entry as soon as its head has come, and its hash once it is whole.

    With a pause it takes 4 KB at a time, so that a kill finds it amid an answer.
    """

    url: str
    token: str
    paths: tuple[str, ...]
    pause: float = 0.0
    received: list[Reply] = field(default_factory=list)

    def run(self) -> None:
        """Until the server is gone."""
        turn = 0
        try:
            with Wire(self.url, receive_buffer=4096 if self.pause else None) as wire:
                while True:
                    wire.ask(self.paths[turn % len(self.paths)], token=self.token, baybridge_purpose="noise-study")
                    reply = wire.head()
                    self.received.append(reply)
                    wire.fill(reply, piece=4096 if self.pause else 262_144, pause=self.pause)
                    if not reply.whole:
                        return
                    turn += 1
        except ConnectionError:
            return


def entered(root: Path) -> dict[str, dict[str, object]]:
    with sqlite3.connect(root / "catalog.sqlite") as catalog:
        stored = catalog.execute("SELECT organization, number, data FROM entries").fetchall()
    catalog.close()
    return {f"{organization}/{number}": json.loads(data) for organization, number, data in stored}


def kill_while_disclosing(server: Server, token: str, paths: tuple[str, ...], moment: float) -> list[Reply]:
    witnesses = [Witness(server.url, token, paths[turn:] + paths[:turn], pause=0.01 if turn % 3 == 1 else 0) for turn in range(6)]
    threads = [threading.Thread(target=witness.run) for witness in witnesses]
    for thread in threads:
        thread.start()
    time.sleep(moment)
    server.process.send_signal(signal.SIGKILL)
    for thread in threads:
        thread.join(timeout=30)
    stop_server(server)
    return [reply for witness in witnesses for reply in witness.received]


def check_entered(root: Path, replies: list[Reply]) -> None:
    """Whatever any client received, in whole or in part, is in the log, with the hash of the bytes that it received."""
    log = entered(root)
    for reply in replies:
        assert reply.status == 200, bytes(reply.body)
        entry = log[reply.headers["baybridge-entry"]]
        assert (entry["kind"], entry["bytes"]) == ("disclosure", reply.promised)
        if reply.whole:
            assert entry["sha256"] == reply.sha256


def attack_disclosing(world: World, seed: int, kills: int) -> None:
    world.exchange.close()
    token = world.secrets["dot", "analyst"]
    pages = "/api/v1/collections/bts.flights/items"
    wide = "/api/v1/collections/bts.wide/items"
    paths = (
        f"{pages}?limit=2",
        f"{wide}?limit=5000",
        f"{pages}?filter=delay>0",
        f"{wide}?limit=10",
        f"{pages}?sortby=-delay",
        f"{wide}?limit=2000",
    )
    moments = random.Random(seed)
    replies: list[Reply] = []
    rounds = 0
    while rounds < kills or (rounds < 3 * kills and sum(not reply.whole for reply in replies) < kills // 2):
        got = kill_while_disclosing(start_server(world.root), token, paths, moments.uniform(0.02, 0.6))
        check_entered(world.root, got)
        replies += got
        rounds += 1
    check_opens_and_verifies(world.root)
    assert sum(not reply.whole for reply in replies) >= kills // 2, "the kills must cut answers to mean anything"
    assert sum(reply.whole for reply in replies) > kills


@pytest.fixture
def readable(flights: World) -> World:
    wide = b"id," + b",".join(b"c%d" % number for number in range(10)) + b"\n"
    wide += b"".join(b"%d" % row + b",some text in a cell" * 10 + b"\n" for row in range(5_000))
    flights.publish("bts.wide", wide, key=("id",))
    flights.sign(flights.terms())
    flights.sign(flights.terms(dataset="bts.wide", columns=["id", *(f"c{number}" for number in range(10))], row_filter=None, masks={}))
    return flights


def test_twenty_kills_of_disclosing_let_no_byte_leave_without_its_entry(readable: World) -> None:
    attack_disclosing(readable, seed=12, kills=20)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(300, 306))
def test_any_number_of_kills_of_disclosing_let_no_byte_leave_without_its_entry(readable: World, seed: int) -> None:
    attack_disclosing(readable, seed=seed, kills=40)


def test_folders_that_a_killed_process_left_are_never_taken_for_data(readable: World) -> None:
    """A half-made extract, a half-made publication and an unreferenced object: each is there, and none is served, listed or kept open."""
    root = readable.root
    half = root / "scratch" / "publish-half"
    half.mkdir()
    (half / "part-0.parquet").write_bytes(b"PAR1 half")
    stray = root / "objects" / "ab" / ("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"PAR1 half")
    for digest in ("00" * 32, "ff" * 32):
        making = root / "extracts" / f"{digest}.making"
        making.mkdir()
        (making / "serve.duckdb").write_bytes(b"half a database")
    server = start_server(root)
    try:
        with Wire(server.url) as wire:
            got = wire.get(
                "/api/v1/collections/bts.flights/items", token=readable.secrets["dot", "analyst"], baybridge_purpose="noise-study"
            )
        assert (got.status, len(json.loads(got.body)["items"])) == (200, 5)
    finally:
        stop_server(server)
    readable.publish("bts.flights", FLIGHTS)
    assert leftovers(root) == []
    assert readable.exchange.watch.verify("bts", ()).findings == ()
