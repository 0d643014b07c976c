"""What is done beside the requests: extracts made ahead and collected, garbage removed, the clock's work on agreements told once."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import FLIGHTS, World, make_world, serving, wait_until
from test_workers import end, said

from baybridge import jobs
from baybridge.agreements import store
from baybridge.agreements.readers import note_reader
from baybridge.catalog import holdings
from baybridge.disclose import Ask, Request, Stop
from baybridge.jobs import Job
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Principal

READ_FOREVER = Path(__file__).parent / "launchers" / "read_forever.py"
FLIGHTS_OF_BTS = DatasetName("bts", "flights")
DAY = timedelta(days=1)


def work(world: World) -> None:
    """Run every job that is due, and the periodic ones once."""
    worker = world.exchange.worker
    with world.exchange.database.write() as connection:
        jobs.ensure_periodic(connection, [each.rule for each in worker.kinds], now=datetime.now(UTC))
    while worker.turn(worker.kinds):
        pass


def all_jobs(world: World) -> tuple[Job, ...]:
    return world.exchange.jobs.listing(LOCAL_OPERATOR, state=None, limit=1000)


def read(world: World, principal: Principal | None, dataset: str = "bts.flights", *, agreement: str | None = None) -> bytes:
    purpose = None if principal is None else "noise-study"
    request = Request(
        ask=Ask(DatasetName.parse(dataset), purpose=purpose, agreement=agreement),
        version=None,
        sort=(),
        limit=100,
        after=None,
        cursor_extract=None,
        known=frozenset(),
        representation="rows",
        channel="test",
        encode=lambda page: str(len(page.page.rows)).encode(),
    )
    body = world.exchange.disclose.read(request, principal, Stop()).body
    assert body is not None
    return body


def extracts(world: World) -> set[Path]:
    return {path.parent for path in world.exchange.home.extracts.glob("*/serve.duckdb")}


def age(world: World, age: timedelta) -> None:
    """Make every extract that is there be read that long ago, if not longer."""
    for lock in world.exchange.home.extracts.glob("*.lock"):
        then = time.time() - age.total_seconds()
        with suppress(FileNotFoundError):
            if lock.stat().st_mtime > then + 1:
                os.utime(lock, (then, then))


class Lock(AbstractContextManager[None]):
    """The lock of a file or folder, held as another process would; it may be let go before the block ends."""

    def __init__(self, path: Path, how: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(self._descriptor, how)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


# Warming.


def test_a_new_version_is_made_ready_for_who_read_of_late_and_for_no_other(flights: World) -> None:
    read_under = flights.sign(flights.terms())
    flights.sign(flights.terms(columns=["carrier"], masks={}, purposes=["other"]))
    read(flights, flights.person("dot", "analyst"), agreement=read_under.id)
    read(flights, flights.person("bts", "steward"))
    work(flights)
    before = extracts(flights)
    flights.publish("bts.flights", FLIGHTS + b"8,UA,N1,JFK,ORD,1,719.0,2013-01-03T10:00:00Z\n")
    work(flights)
    made = extracts(flights) - before
    assert len(made) == 2  # the owner's, and the one agreement's
    assert read(flights, flights.person("dot", "analyst"), agreement=read_under.id) == b"6"
    assert read(flights, flights.person("bts", "steward")) == b"8"
    assert extracts(flights) - before == made


def test_who_has_not_read_for_a_week_is_not_made_ready_for(flights: World) -> None:
    signed = flights.sign(flights.terms())
    read(flights, flights.person("dot", "analyst"))
    with flights.exchange.database.write() as connection:
        note_reader(connection, FLIGHTS_OF_BTS, signed, now=datetime.now(UTC) - 7 * DAY)
    flights.publish("bts.flights", FLIGHTS)
    before = extracts(flights)
    work(flights)
    assert extracts(flights) == before


def test_nothing_is_made_under_an_agreement_that_was_revoked_meanwhile(flights: World) -> None:
    signed = flights.sign(flights.terms())
    read(flights, flights.person("dot", "analyst"))
    before = extracts(flights)
    flights.publish("bts.flights", FLIGHTS)
    flights.exchange.agree.revoke(flights.person("bts", "steward"), signed.id, "because")
    work(flights)
    assert extracts(flights) == before


def test_a_publication_that_fails_enqueues_nothing(flights: World) -> None:
    work(flights)
    before = len(all_jobs(flights))
    report = flights.publish("bts.flights", FLIGHTS.replace(b"1400.5", b"far"))
    assert report.version is None
    assert len(all_jobs(flights)) == before


# The clock's work on agreements.


def told(world: World, organization: str) -> list[str]:
    person = world.person(organization, "steward")
    return [each.kind for each in world.exchange.inbox.notices(person, before=None, limit=100) if each.kind in ("begin", "end")]


def test_both_sides_are_told_once_when_an_agreement_begins_and_ends(flights: World) -> None:
    now = datetime.now(UTC)
    flights.sign(flights.terms(start=(now + timedelta(seconds=4)).isoformat(), end=(now + timedelta(seconds=7)).isoformat()))
    work(flights)
    assert (told(flights, "bts"), told(flights, "dot")) == ([], [])
    wait_until(lambda: datetime.now(UTC) > now + timedelta(seconds=4))
    work(flights)
    assert (told(flights, "bts"), told(flights, "dot")) == (["begin"], ["begin"])
    wait_until(lambda: datetime.now(UTC) > now + timedelta(seconds=7))
    work(flights)
    work(flights)
    assert (told(flights, "bts"), told(flights, "dot")) == (["end", "begin"], ["end", "begin"])


def test_an_agreement_that_has_ended_refers_to_no_extract(flights: World) -> None:
    now = datetime.now(UTC)
    flights.sign(flights.terms(end=(now + timedelta(seconds=4)).isoformat()))
    read(flights, flights.person("dot", "analyst"))
    wait_until(lambda: datetime.now(UTC) > now + timedelta(seconds=4))
    work(flights)
    with flights.exchange.database.read() as connection:
        assert store.referred_extracts(connection) == frozenset()


def test_of_an_agreement_that_was_revoked_nobody_is_told_that_it_ends(flights: World) -> None:
    now = datetime.now(UTC)
    signed = flights.sign(flights.terms(end=(now + timedelta(seconds=3)).isoformat()))
    flights.exchange.agree.revoke(flights.person("bts", "steward"), signed.id, "because")
    wait_until(lambda: datetime.now(UTC) > now + timedelta(seconds=3))
    work(flights)
    assert told(flights, "dot") == []


# Garbage.


def test_garbage_is_collected_and_what_a_version_names_is_not(flights: World) -> None:
    objects = flights.exchange.home.objects
    named = set(objects.glob("*/*"))
    garbage, dead = objects / "ab" / ("ab" * 32), flights.exchange.home.scratch / "publish-dead"
    garbage.parent.mkdir(exist_ok=True)
    garbage.write_bytes(b"left by a killed publication")
    dead.mkdir()
    work(flights)
    flights.exchange.upkeep.tidy()
    assert set(objects.glob("*/*")) == named
    assert not dead.exists()


def test_what_is_being_published_is_no_garbage(flights: World) -> None:
    left = flights.exchange.home.objects / "ab" / ("ab" * 32)
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"of a publication under way")
    with flights.exchange.objects.adopting():
        work(flights)
        assert left.exists()


# Extracts collected.


def test_an_extract_goes_a_day_after_its_last_reference_and_a_month_after_its_last_reading(flights: World) -> None:
    signed = flights.sign(flights.terms())
    analyst = flights.person("dot", "analyst")
    read(flights, analyst)
    for old, there in ((2 * DAY, True), (31 * DAY, False)):
        age(flights, old)
        flights.exchange.upkeep.tidy()
        assert bool(extracts(flights)) is there
    assert read(flights, analyst) == b"5"
    flights.exchange.agree.revoke(flights.person("bts", "steward"), signed.id, "because")
    for old, there in ((0.9 * DAY, True), (1.1 * DAY, False)):
        age(flights, old)
        flights.exchange.upkeep.tidy()
        assert bool(extracts(flights)) is there
    assert list(flights.exchange.home.extracts.iterdir()) == []


def test_what_a_dead_builder_left_is_collected_and_what_a_living_one_makes_is_not(flights: World) -> None:
    home = flights.exchange.home.extracts
    with flights.exchange.database.read() as connection:
        (manifest,) = holdings.named_manifests(connection)
    for name in ("aa", "bb"):
        (home / f"{name * 32}.making").mkdir()
        (home / f"{name * 32}.lock").write_text(manifest)
    with Lock(home / f"{'bb' * 32}.lock", fcntl.LOCK_EX):
        flights.exchange.upkeep.tidy()
    assert [path.name for path in home.glob("*.making")] == [f"{'bb' * 32}.making"]


def test_beyond_the_budget_the_least_recently_read_go_and_none_that_was_just_read(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", "bts")
    with (tmp_path / "home" / "baybridge.toml").open("a") as settings:
        settings.write('extract_budget = "1500KB"\n')
    for number in range(8):
        world.publish(f"bts.set_{number}", b"number\n%d\n" % number)
    world.exchange.close()
    with type(world.exchange).open(tmp_path / "home") as exchange:
        world.exchange = exchange
        owner = world.person("bts", "steward")
        read(world, owner, "bts.set_0")
        size = sum(path.stat().st_size for path in (tmp_path / "home" / "extracts").rglob("*") if path.is_file())
        fits = 1_500_000 // size
        assert fits < 7
        for number in range(1, 8):
            read(world, owner, f"bts.set_{number}")
        exchange.disclose.extracts.shrink()
        assert len(extracts(world)) == 8  # all were read within the minute
        for position, lock in enumerate(sorted((tmp_path / "home" / "extracts").glob("*.lock"), key=lambda path: path.stat().st_mtime)):
            then = time.time() - 600 + position
            os.utime(lock, (then, then))
        read(world, owner, "bts.set_0")  # the oldest, read again
        exchange.disclose.extracts.shrink()
        assert len(extracts(world)) == fits
        before = extracts(world)
        for number in (0, *range(9 - fits, 8)):
            assert read(world, owner, f"bts.set_{number}") == b"1"
        assert extracts(world) == before


@pytest.mark.slow
def test_while_processes_read_and_build_the_disk_stays_within_the_budget_and_no_read_fails(tmp_path: Path) -> None:
    root, datasets, megabytes = tmp_path / "home", 16, 1
    world = make_world(root, "bts")
    for number in range(datasets):
        world.publish(f"bts.set_{number}", b"number\n%d\n" % number)
    token, folder = world.secrets["bts", "steward"], root / "extracts"
    environment = {"PATH": os.environ["PATH"], "BAYBRIDGE_EXTRACT_BUDGET": f"{megabytes}MB", "BAYBRIDGE_EXTRACT_WAIT_SECONDS": "60"}
    readers = [
        subprocess.Popen(
            [sys.executable, str(READ_FOREVER), str(root), token, str(datasets), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for seed in range(2)
    ]
    assert [said(reader) for reader in readers] == ["reading"] * 2
    sizes, until = [], time.monotonic() + 15
    while time.monotonic() < until:
        age(world, timedelta(minutes=2))  # as though all had been read a while ago, while they are being read
        sizes.append(folder_size(folder))
        time.sleep(0.05)
    assert [end(reader, signal.SIGTERM) for reader in readers] == [0, 0]
    reports = ["" if reader.stdout is None else reader.stdout.read() for reader in readers]
    for reader in readers:
        if reader.stdout is not None:
            reader.stdout.close()
    assert all(report.endswith(" right\n") and report.count("\n") == 1 for report in reports), reports
    one = folder_size(folder) / max(1, len(list(folder.glob("*/serve.duckdb"))))
    assert datasets * one > 2 * megabytes * 1_000_000  # else nothing would have to go
    assert max(sizes) <= megabytes * 1_000_000 + 6 * one  # two builds in each process, and what is read at that moment
    world.exchange.close()


def folder_size(folder: Path) -> int:
    """The bytes that are there, as far as they stay while they are counted."""
    size = 0
    for within, _, names in os.walk(folder):  # which does not mind that a folder goes
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(within, name).stat().st_size
    return size


@pytest.mark.slow
def test_a_request_for_what_another_process_is_making_gets_503_after_two_seconds_and_then_the_rows(flights: World) -> None:
    flights.sign(flights.terms())
    read(flights, flights.person("dot", "analyst"))
    (extract,) = extracts(flights)
    (extract / "serve.duckdb").unlink()
    extract.rmdir()
    building = Lock(extract.with_suffix(".lock"), fcntl.LOCK_EX)
    with building, serving(flights.root) as server:
        client = server.client(flights.secrets["dot", "analyst"], purpose="noise-study")
        address = "/api/v1/collections/bts.flights/items"
        began = time.monotonic()
        answer = client.get(address)
        waited = time.monotonic() - began
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "extract_building", "2")
        assert 2 <= waited < 10
        building.close()
        wait_until((extract / "serve.duckdb").exists)  # the build goes on without the client
        assert client.get(address).status_code == 200
