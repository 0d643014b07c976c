"""The catalog on PostgreSQL: turns, entries, timeouts and crashes, with a real server and real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import World, cluster, make_world, wait_until

from baybridge import jobs
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.side import Side
from baybridge.db import METADATA, Database
from baybridge.errors import Unavailable
from baybridge.jobs import Job, Rule, State
from baybridge.operate import worker as working

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgresql")]

PROCESSES = 4
EACH = 150

ENTER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.side import Side
from baybridge.exchange import Exchange

with Exchange.open(Path(sys.argv[1])) as exchange:
    print("ready", flush=True)
    sys.stdin.readline()
    def enter(turn):
        return exchange.log.record(Draft(("bts", "dot")[turn % 2], Kind.DISCLOSURE, {"turn": turn}), always)
    with ThreadPoolExecutor(16) as threads:
        for index in threads.map(enter, range(int(sys.argv[2]))):
            print(index, flush=True)
"""

INCREMENT = """
import sys
import sqlalchemy as sa
from baybridge.db import Database

database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with database.write() as connection:
        value = connection.execute(sa.text("SELECT value FROM counter")).scalar_one()
        connection.execute(sa.text("UPDATE counter SET value = :value"), {"value": value + 1})
database.close()
"""


@pytest.fixture
def url() -> Iterator[str]:
    made = cluster().database()
    yield made
    cluster().drop(made)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path / "home", on_postgresql=True)
    yield world
    world.exchange.close()
    cluster().drop(world.exchange.settings.catalog)


@pytest.fixture
def database(shared: World) -> Database:
    return shared.exchange.database


def together(program: str, *arguments: str) -> list[list[str]]:
    """What four processes that begin at once print."""
    command = [sys.executable, "-c", program, *arguments]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    return said


def deadlocks(database: Database) -> int:
    with database.read() as connection:
        counted = sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(counted).scalar_one())


def test_the_migrated_schema_is_the_one_that_the_program_uses_and_all_text_is_ordered_by_code_point(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []
        texts = connection.exec_driver_sql(
            "SELECT count(*), count(*) FILTER (WHERE collation_name = 'C') FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'text'"
        ).one()
        assert texts[0] == texts[1] > 50


def test_what_one_process_reads_and_then_writes_no_other_comes_between(database: Database, shared: World) -> None:
    url = shared.exchange.settings.catalog
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (value INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    together(INCREMENT, url.replace("postgresql:", "postgresql+psycopg:", 1), "50")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT value FROM counter").scalar_one() == PROCESSES * 50


def test_four_processes_enter_into_two_logs_without_gap_repeat_or_deadlock(shared: World) -> None:
    before = {name: shared.exchange.watch.verify(name, ()).size for name in ("bts", "dot")}
    acting = threading.Event()

    def act() -> int:
        done = 0
        while not acting.is_set():
            shared.token(shared.person("bts", "analyst"))
            done += 1
        return done

    with ThreadPoolExecutor(1) as beside:
        acts = beside.submit(act)
        said = together(ENTER, str(shared.root), str(EACH))
        acting.set()
        issued = acts.result()
    indexes = sorted(int(index) for lines in said for index in lines)
    verdicts = {name: shared.exchange.watch.verify(name, ()) for name in ("bts", "dot")}
    assert [verdict.findings for verdict in verdicts.values()] == [(), ()]
    grown = {name: verdicts[name].size - before[name] for name in verdicts}
    assert grown == {"bts": PROCESSES * EACH // 2 + issued, "dot": PROCESSES * EACH // 2}
    assert issued > 0
    assert len(indexes) == PROCESSES * EACH
    assert deadlocks(shared.exchange.database) == 0


def test_an_act_waits_for_the_entries_under_way_and_later_entries_wait_for_it(database: Database) -> None:
    order: list[str] = []

    def act() -> None:
        with database.write():
            order.append("act")

    def enter() -> None:
        with database.entering():
            order.append("later entry")

    with ThreadPoolExecutor(2) as threads:
        with database.entering():
            acts = threads.submit(act)
            wait_for_locks(database, 1)
            later = threads.submit(enter)
            wait_for_locks(database, 2)
            order.append("first entry")
        acts.result(timeout=10)
        later.result(timeout=10)
    assert order == ["first entry", "act", "later entry"]


def wait_for_locks(database: Database, waiting: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with database.read() as connection:
            if connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one() >= waiting:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_entries_of_two_logs_are_under_way_at_once(database: Database) -> None:
    with database.entering(), ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: enter_nothing(database)).result(timeout=10)


def enter_nothing(database: Database) -> None:
    with database.entering() as connection:
        connection.execute(sa.text("SELECT 1"))


def test_a_read_sees_one_state_and_writes_nothing(database: Database, shared: World) -> None:
    counted = sa.text("SELECT count(*) FROM tokens")
    with database.read() as connection:
        before = connection.execute(counted).scalar_one()
        shared.token(shared.person("bts", "analyst"))
        assert connection.execute(counted).scalar_one() == before
        with pytest.raises(sa.exc.InternalError, match="read-only"):
            connection.execute(sa.text("DELETE FROM replies"))


@pytest.mark.parametrize("limit", ["statement_timeout", "idle_in_transaction_session_timeout"])
def test_what_stands_still_loses_its_turn_and_says_that_it_passes(limit: str, database: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        stand_still(database, limit)
    assert refused.value.code == "catalog_unavailable"
    with database.write() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def stand_still(database: Database, limit: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(f"SET LOCAL {limit} = '100ms'")
        if limit == "statement_timeout":
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        time.sleep(0.5)
        connection.exec_driver_sql("SELECT 1")


def test_each_connection_waits_for_the_disk_and_has_an_end_to_each_wait(url: str) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    cluster().execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = Database(url.replace("postgresql:", "postgresql+psycopg:", 1))
    with database.write() as connection:
        shown = {
            setting: connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
            for setting in ("synchronous_commit", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "timezone")
        }
    database.close()
    assert shown == {
        "synchronous_commit": "on",
        "lock_timeout": "30s",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "30s",
        "timezone": "UTC",
    }


def test_a_database_that_ends_in_the_middle_refuses_and_is_used_again_when_it_is_back(shared: World) -> None:
    log, draft = shared.exchange.log, Draft("bts", Kind.DISCLOSURE, {"rows": 1})
    first = log.record(draft, always)
    assert first is not None
    cluster().stop()
    try:
        with pytest.raises(Unavailable) as unentered:
            log.record(draft, always)
        with pytest.raises(Unavailable) as unread:
            shared.exchange.administer.organizations()
        with pytest.raises(Unavailable) as undone:
            shared.token(shared.person("bts", "analyst"))
        assert shared.exchange.failing_parts() == ["catalog", "keys"]
    finally:
        cluster().start()
    codes = [each.value.code for each in (unentered, unread, undone)]
    assert codes == ["log_unavailable", "catalog_unavailable", "catalog_unavailable"]
    assert log.record(draft, always) == first + 1
    assert [each.name for each in shared.exchange.administer.organizations()] == ["bts", "dot"]
    assert shared.exchange.failing_parts() == []
    assert shared.exchange.watch.verify("bts", ()).findings == ()


def test_a_worker_and_the_lease_that_it_holds_outlive_a_database_that_ends_in_the_middle(shared: World) -> None:
    database, gate, begun, idle = shared.exchange.database, threading.Event(), threading.Event(), threading.Event()

    def wait_at_the_gate(held: working.Held) -> None:
        begun.set()
        gate.wait(30)
        held.go_on()

    kinds = [working.Kind(Rule("gated"), wait_at_the_gate, is_long=True), working.Kind(Rule("idle"), lambda _: idle.set(), is_long=False)]
    worker = working.Worker(database, kinds, shared.exchange.worker.clock, lambda: 0.0, "worker", timedelta(seconds=6))
    with worker.running():
        enqueue(database, "gated")
        assert begun.wait(10)
        claimed = newest_job(database)
        cluster().stop()
        time.sleep(2.5)  # in which the lease would have been renewed, and the idle lane asks for work
        cluster().start()
        wait_until(lambda: newest_job(database).lease_until != claimed.lease_until)
        gate.set()
        wait_until(lambda: newest_job(database).state is State.DONE)
        assert newest_job(database).attempt == claimed.attempt
        enqueue(database, "idle")
        assert idle.wait(10)


def enqueue(database: Database, kind: str) -> None:
    with database.write() as connection:
        jobs.enqueue(connection, kind, {}, now=datetime.now(UTC))


def newest_job(database: Database) -> Job:
    with database.read() as connection:
        return jobs.listing(connection, state=None, limit=1)[0]


def test_what_was_erased_is_taken_out_of_the_tables(shared: World) -> None:
    database = shared.exchange.database
    shared.exchange.log.record(Draft("bts", Kind.DISCLOSURE, {"rows": 1}, side=Side(b"question")), always)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM side_records")
    assert database.scrub()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT pg_relation_size('side_records')").scalar_one() == 0
