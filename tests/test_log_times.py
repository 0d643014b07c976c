"""The times of a log stand in the order of its entries, whatever the clock does; side records are found by the version they are about."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from conftest import PROVIDER, World
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.entry import Kind, decode, encode, prepare
from baybridge.audit.log import Draft, Log, always
from baybridge.audit.side import Side, count_side_records_about, erase_side_records, side_records_about
from baybridge.audit.store import entries
from baybridge.db import Database, _alembic_config

START = datetime(2026, 11, 24, 8, tzinfo=UTC)
NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name not in {"format", "log", "kind", "nonce", "time"})


def log_of(world: World, clock: Callable[[], datetime]) -> Log:
    return Log(database=world.exchange.database, origin="test.example", clock=clock, entropy=os.urandom)


def times_since(world: World, first: int) -> list[datetime]:
    with world.exchange.database.read() as connection:
        return [decode(data).time for _, data in entries(connection, PROVIDER, start=first)]


@given(st.dictionaries(NAMES, st.none() | st.integers(-9, 9) | st.text(max_size=3), max_size=6))
def test_an_entry_that_gets_its_time_last_is_the_canonical_one(facts: dict[str, int | str | None]) -> None:
    made = encode(facts, log="l", kind=Kind.REFUSAL, nonce=bytes(16), time=START)
    assert decode(made).facts == facts
    assert prepare(facts, log="l", kind=Kind.REFUSAL, nonce=bytes(16)).at(START) == made


@given(st.lists(st.integers(-3_600, 3_600), min_size=1, max_size=20))
def test_a_log_whose_clock_is_set_back_goes_on_from_its_last_time(world: World, steps: list[int]) -> None:
    """The entry has the clock's time where that is not before the last one, else the last one's."""
    said = [START + timedelta(seconds=step) for step in itertools.accumulate(steps)]
    readings = iter(said)
    log = log_of(world, lambda: next(readings))
    draft = Draft(PROVIDER, Kind.REFUSAL, {"code": "role_required"})
    with world.exchange.database.write() as connection:
        first = log.append(connection, draft)
        for _ in said[1:]:
            log.append(connection, draft)
    before = times_since(world, first - 1)[0]
    assert times_since(world, first) == list(itertools.accumulate(said, max, initial=before))[1:]


@pytest.mark.slow
def test_entries_of_many_threads_have_times_in_the_order_of_their_indices(world: World) -> None:
    """The clock of each reader runs on while it waits, and half of the entries come with another fact's transaction."""
    ticks, turn = itertools.count(), threading.Lock()

    def clock() -> datetime:
        with turn:
            return START + timedelta(days=365, microseconds=next(ticks))

    log = log_of(world, clock)
    draft = Draft(PROVIDER, Kind.REFUSAL, {"code": "role_required"})
    first = log.record(draft, always)
    assert first is not None

    def enter(number: int) -> None:
        for _ in range(20):
            if number % 2:
                log.record(draft, always)
            else:
                with world.exchange.database.write() as connection:
                    log.append(connection, draft)

    writers = [threading.Thread(target=enter, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log.close()
    times = times_since(world, first)
    assert len(times) == 8 * 20 + 1
    assert times == sorted(times)


def test_side_records_are_found_by_either_version_that_they_are_about(world: World) -> None:
    log = world.exchange.log
    about = [("bts.a", 1, None), ("bts.a", 2, None), ("bts.a", 2, 1), ("bts.b", 1, None), (None, None, None), ("bts.a", 1, None)]
    with world.exchange.database.write() as connection:
        drafts = [Draft(PROVIDER, Kind.DISCLOSURE, {"rows": 0}, Side(b"asked", *each)) for each in about]
        first = log.append_all(connection, PROVIDER, drafts)
    with world.exchange.database.read() as connection:
        found = [number - first for number in side_records_about(connection, PROVIDER, "bts.a", 1, limit=9)]
        assert sorted(found) == [0, 2, 5]
        assert len(side_records_about(connection, PROVIDER, "bts.a", 1, limit=2)) == 2
        assert [count_side_records_about(connection, PROVIDER, "bts.a", number) for number in (1, 2, 3)] == [3, 2, 0]
    with world.exchange.database.write() as connection:
        assert erase_side_records(connection, PROVIDER, [first, first + 2]) == 2
        assert erase_side_records(connection, PROVIDER, [first, first + 1]) == 1
    with world.exchange.database.read() as connection:
        assert [count_side_records_about(connection, PROVIDER, "bts.a", number) for number in (1, 2, 3)] == [1, 0, 0]


def test_an_older_home_learns_what_its_side_records_are_about_and_its_last_time(tmp_path: Path) -> None:
    """Entries took their time before they queued, so the latest is not the last one's; one that was altered is left to `audit verify`."""
    database = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    config = _alembic_config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
    times = [START, START + timedelta(hours=1), START + timedelta(minutes=1), START]
    facts = [{"dataset": "bts.a", "version": 2, "since": 1}, {"dataset": "bts.a", "version": 3}, {"code": "role_required"}, {}]
    made = [encode(each, log="l", kind=Kind.DISCLOSURE, nonce=bytes(16), time=time) for each, time in zip(facts, times, strict=True)]
    made[3] = b"altered"
    with sqlite3.connect(tmp_path / "catalog.sqlite") as raw:
        raw.execute("INSERT INTO organizations (name, title, created) VALUES ('bts', 'BTS', '2026-11-24 08:00:00')")
        raw.execute("INSERT INTO logs VALUES ('bts', 4, x'')")
        raw.executemany("INSERT INTO entries VALUES ('bts', ?, ?)", list(enumerate(made)))
        raw.executemany("INSERT INTO side_records VALUES ('bts', ?, x'00')", [(0,), (1,), (3,)])
    raw.close()
    database.migrate()
    with sqlite3.connect(tmp_path / "catalog.sqlite") as raw:
        assert raw.execute("SELECT dataset, version, since FROM side_records ORDER BY number").fetchall() == [
            ("bts.a", 2, 1),
            ("bts.a", 3, None),
            (None, None, None),
        ]
        ((time,),) = raw.execute("SELECT time FROM logs").fetchall()
    raw.close()
    database.close()
    assert datetime.fromisoformat(time).replace(tzinfo=UTC) == max(times)
    assert json.loads(made[1])["time"] == "2026-11-24T09:00:00.000000Z"
