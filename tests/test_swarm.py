"""A storm over servers and workers on one PostgreSQL and a failing store, killed at any moment: what clients received is judged after."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import World, cluster, make_world, wait_until
from stores import CREDENTIALS, running_store
from swarm import oracle
from swarm.clients import Clients, csv_of
from swarm.nodes import Member, Swarm
from swarm.record import Question, ask
from swarm.store import FaultyWay, faulty_way

from baybridge.exchange import Exchange

pytestmark = [pytest.mark.xdist_group("swarm")]

LONG = "number,word\n" + "".join(f"{number},{number:0200d}\n" for number in range(40_000))
KILL_SECONDS = 5
FREEZE_SECONDS = 15
DOWN_SECONDS = 0.5
LEASE_SECONDS = 5


@dataclass(frozen=True)
class Size:
    """How large a storm is. PostgreSQL is restarted `restarts` times, spread over it.

    So are the kills, where they have a number; else there is one every 5 s, and every 15 s a worker stands still for longer than its lease.
    """

    requests: int
    servers: int
    workers: int
    restarts: int
    kills: int | None
    threads: int


SAMPLE = Size(requests=150, servers=2, workers=1, restarts=1, kills=1, threads=4)
WHOLE = Size(requests=int(os.environ.get("SWARM_REQUESTS", "10000")), servers=4, workers=2, restarts=2, kills=None, threads=8)


@pytest.mark.slow
def test_a_storm_over_two_servers_and_a_worker_breaks_no_promise(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    storm(SAMPLE, tmp_path, record_property)


@pytest.mark.prove
def test_a_storm_over_four_servers_and_two_workers_breaks_no_promise(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    storm(WHOLE, tmp_path, record_property)


def storm(size: Size, folder: Path, record_property: pytest.RecordProperty) -> None:
    seed = int(os.environ.get("SWARM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    print(f"the storm's seed: SWARM_SEED={seed}")  # noqa: T201 -- said where the test fails, and kept with its figures
    record_property("swarm_seed", seed)
    limits = {"requests": max(4, size.requests // 30), "rows": max(20, size.requests // 8)}
    with weather(folder, size, limits, seed) as (exchange, clients, way):
        began = time.monotonic()
        rage(size, clients)
        lasted = time.monotonic() - began
        clients.swarm.settle()
        wait_until(lambda: exchange.all(PENDING) == [], seconds=120)
        figures = judge(exchange, clients, limits)
        doubt(exchange, clients, limits)
        said = {
            **figures,
            "requests": len(clients.record.seen),
            "seconds": round(lasted, 1),
            "kills": clients.swarm.kills,
            "freezes": clients.swarm.freezes,
        }
        said |= {f"store {fault}": times for fault, times in sorted(way.drawn.items())}
        for name, value in said.items():
            record_property(f"swarm_{name}".replace(" ", "_"), value)
        print(said)  # noqa: T201 -- the figures


PENDING = "SELECT number FROM jobs WHERE (state = 'running' OR state = 'queued' AND run_at <= now()) AND NOT periodic"


@contextmanager
def weather(folder: Path, size: Size, limits: dict[str, int], seed: int) -> Iterator[tuple[oracle.Exchange, Clients, FaultyWay]]:
    with pytest.MonkeyPatch.context() as environment, running_store() as store, faulty_way(store.url, seed) as way:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        settings = {"BAYBRIDGE_OBJECTS": f"s3://{store.bucket('swarm')}/lake", "BAYBRIDGE_OBJECTS_ENDPOINT": store.url}
        world = make_world(folder / "first", on_postgresql=True)
        catalog = world.exchange.settings.catalog
        stamp = f"u{seed}first"
        roots, agreements = prepare(world, settings, limits, stamp)
        said = {**CREDENTIALS, **settings, "BAYBRIDGE_OBJECTS_ENDPOINT": way.url, "BAYBRIDGE_JOB_LEASE_SECONDS": str(LEASE_SECONDS)}
        names = [*(f"server{each}" for each in range(size.servers)), *(f"worker{each}" for each in range(size.workers))]
        members = [Member(name, roots[place % 2], folder / f"{name}.log", said) for place, name in enumerate(names)]
        swarm = Swarm(members, random.Random(seed))
        try:
            swarm.start()
            verifier = ask("", str(members[0].url), Question("verifier", "GET", "/api/v1/audit/bts/verifier")).body.decode().strip()
            clients = Clients(swarm, world.secrets, agreements, seed, stamps=[stamp])
            yield oracle.Exchange(catalog, store.client, "swarm", verifier, roots), clients, way
        finally:
            swarm.end()
            cluster().drop(catalog)


def prepare(world: World, settings: dict[str, str], limits: dict[str, int], stamp: str) -> tuple[list[Path], dict[str, str]]:
    """Two nodes of one catalog, two datasets, and the agreements that stand throughout, by their purpose."""
    world.exchange.close()
    world.exchange = Exchange.open(world.root, environment=settings)
    world.publish("bts.flow", csv_of(stamp), key=("number",))
    world.publish("bts.long", LONG.encode(), key=("number",))
    given = {"pages": {}, "requests": {"requests_per_day": limits["requests"]}, "rows": {"rows_per_day": limits["rows"]}}
    plain = {"dataset": "bts.flow", "columns": ["number", "stamp", "word"], "row_filter": None, "masks": {}}
    agreements = {purpose: world.sign(world.terms(**plain, purposes=[purpose], **more)).id for purpose, more in given.items()}
    second = world.root.parent / "second"
    second.mkdir(mode=0o700)
    shutil.copytree(world.root / "keys", second / "keys")
    Exchange.make(second, origin="exchange.example", catalog=world.exchange.settings.catalog, environment=settings).close()
    world.exchange.close()
    return [world.root, second], agreements


def rage(size: Size, clients: Clients) -> None:
    """The requests, and beside them what is done to the processes and to PostgreSQL."""
    ended = threading.Event()
    raging = threading.Thread(target=_rage, args=(size, clients, ended))
    raging.start()
    try:
        clients.run(size.requests, threads=size.threads)
    finally:
        ended.set()
        raging.join()


def _rage(size: Size, clients: Clients, ended: threading.Event) -> None:
    def is_past(part: float) -> bool:
        return len(clients.record.seen) >= part * size.requests

    restarts = [(each + 1) / (size.restarts + 1) for each in range(size.restarts)]
    kills = [(each + 0.5) / (size.kills + 0.5) for each in range(size.kills or 0)]
    next_kill, next_freeze = time.monotonic() + KILL_SECONDS, time.monotonic() + FREEZE_SECONDS
    while not ended.wait(0.05):
        if restarts and is_past(restarts[0]):
            restarts.pop(0)
            cluster().stop()
            time.sleep(DOWN_SECONDS)
            cluster().start()
        if kills and is_past(kills[0]):
            kills.pop(0)
            clients.swarm.kill_one()
        if size.kills is None and time.monotonic() > next_kill:
            next_kill += KILL_SECONDS
            clients.swarm.kill_one()
        if size.kills is None and time.monotonic() > next_freeze:
            next_freeze += FREEZE_SECONDS
            clients.swarm.freeze_a_worker(LEASE_SECONDS + 2)


def judge(exchange: oracle.Exchange, clients: Clients, limits: dict[str, int]) -> dict[str, object]:
    """Every promise, one after the other; the figures of what was seen."""
    seen = clients.record.seen
    told = oracle.check_errors(seen)
    log, _ = oracle.log_of(exchange, "bts"), oracle.log_of(exchange, "dot")
    disclosures = oracle.check_disclosures(seen, log)
    oracle.check_rows(clients)
    versions = oracle.check_versions(exchange, clients, log)
    oracle.check_acts(exchange, clients, log)
    oracle.check_jobs(exchange)
    used = oracle.check_quotas(exchange, clients, log, limits)
    receipts = oracle.check_receipts(exchange, clients)
    delays = oracle.check_revocations(clients)
    assert max(delays, default=0.0) <= 1.0, delays
    return {
        "disclosures": disclosures,
        "entries": len(log),
        "versions": versions,
        "receipts": receipts,
        "revocations": len(clients.lives),
        "cut": len(delays),
        "slowest cut": round(max(delays, default=0.0), 3),
        "used": used,
        "told": dict(told),
    }


def doubt(exchange: oracle.Exchange, clients: Clients, limits: dict[str, int]) -> None:
    """The judge is judged: whatever is made false in what was received is found."""
    true = clients.record.seen
    page = next(each for each in true if each.what == "pages" and each.is_granted and "f" not in each.said)
    stream = next(each for each in true if each.what == "pages" and each.is_granted and "f" in each.said)
    receipt = next(each for each in true if each.what == "receipt" and each.is_granted)
    falsehoods = {
        "another byte": (page, {"sha256": "0" * 64}),
        "another entry": (page, {"headers": {**page.headers, "baybridge-entry": "bts/0"}}),
        "no entry": (page, {"headers": {**page.headers, "baybridge-entry": "bts/1000000"}}),
        "another version": (page, {"headers": {**page.headers, "baybridge-version": "1000000"}}),
        "another agreement": (page, {"agreement": "AGR-1000000"}),
        "a half taken for whole": (stream, {"size": stream.size // 2, "sha256": "0" * 64}),
        "another upload's rows": (page, {"said": {**page.said, "stamp": clients.stamps[0] + "x"}}),
        "a failure without a cause": (page, {"status": 500, "body": b'{"code": "internal"}'}),
        "a traceback": (page, {"status": 500, "headers": {"content-type": "text/plain"}}),
        "a client that waited in vain": (page, {"broken": "TimeoutError"}),
        "another receipt": (receipt, {"said": {"index": receipt.said["index"] + 1}}),
        "a read beyond the day's": (page, {"what": "requests"}),
    }
    for name, (seen, change) in falsehoods.items():
        clients.record.seen = [replace(each, **change) if each is seen else each for each in true]
        assert is_doubted(exchange, clients, limits), name
    clients.record.seen = [*true, page]
    assert is_doubted(exchange, clients, limits), "one entry for two answers"
    clients.record.seen = true


def is_doubted(exchange: oracle.Exchange, clients: Clients, limits: dict[str, int]) -> bool:
    try:
        judge(exchange, clients, limits)
    except (AssertionError, IndexError, KeyError):
        return True
    return False
