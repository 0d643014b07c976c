"""The catalog's database: its schema, its transactions and its instants, on real SQLite files and with real processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import World
from hypothesis import given
from hypothesis import strategies as st

from baybridge.db import METADATA, Database, UtcDateTime
from baybridge.errors import Conflict
from baybridge.exchange import Exchange

WRITERS = 8
TURNS = 25

INCREMENT = """
import sys
from baybridge.db import Database
import sqlalchemy as sa

database = Database(sys.argv[1])
with database.read() as connection:
    connection.execute(sa.text("SELECT 1"))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with database.write() as connection:
        value = connection.execute(sa.text("SELECT value FROM counter")).scalar_one()
        connection.execute(sa.text("UPDATE counter SET value = :value"), {"value": value + 1})
database.close()
"""

# A table of this test's own, so that instants are tested where nothing else of the catalog is.
INSTANTS = sa.Table("instants", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True), sa.Column("at", UtcDateTime))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def instants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('instants') / 'catalog.sqlite'}")
    with made.write() as connection:
        INSTANTS.metadata.create_all(connection)
    yield made
    made.close()


def described(connection: sa.Connection) -> dict[str, object]:
    """Everything that SQLAlchemy can find out about the tables that are there, told by name and not by order of making."""
    inspector = sa.inspect(connection)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"], column["primary_key"])
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"]) for key in inspector.get_foreign_keys(table)
            ),
            "indexes": sorted((index["name"], index["column_names"], index["unique"]) for index in inspector.get_indexes(table)),
            "unique": sorted((str(unique["name"]), unique["column_names"]) for unique in inspector.get_unique_constraints(table)),
            "checks": sorted((str(check["name"]), check["sqltext"]) for check in inspector.get_check_constraints(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_the_migrated_schema_is_the_one_that_the_program_uses(database: Database, tmp_path: Path) -> None:
    database.migrate()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []
        migrated = described(connection)
    declared = Database(f"sqlite:///{tmp_path / 'declared.sqlite'}")
    with declared.write() as connection:
        METADATA.create_all(connection)
        wanted = described(connection)
    declared.close()
    assert migrated == wanted
    assert {"agreements", "entries", "tokens", "versions", "pseudonym_domains"} <= wanted.keys()


def test_migrating_twice_changes_nothing(database: Database, tmp_path: Path) -> None:
    database.migrate()
    before = dump(tmp_path / "catalog.sqlite")
    database.migrate()
    assert dump(tmp_path / "catalog.sqlite") == before
    present, needed = database.revisions()
    assert present == needed
    assert present is not None


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_every_pooled_connection_syncs_each_commit_and_keeps_foreign_keys(database: Database) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(database.read()) for _ in range(40)]  # more than the pool holds
        for connection in connections:
            pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")}
            assert pragmas == {"journal_mode": "wal", "synchronous": 2}
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() >= 10_000
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def test_a_row_cannot_refer_to_what_is_not_there(world: World) -> None:
    with pytest.raises(sa.exc.IntegrityError), world.exchange.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO logs (organization, size, frontier) VALUES ('nobody', 0, x'')")


@pytest.mark.slow
def test_eight_processes_that_read_and_then_write_lose_nothing_and_are_never_locked_out(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (value INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    command = [sys.executable, "-c", INCREMENT, f"sqlite:///{tmp_path / 'catalog.sqlite'}", str(TURNS)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [(writer.returncode, text) for writer, text in zip(writers, said, strict=True)] == [(0, "")] * WRITERS
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT value FROM counter").scalar_one() == WRITERS * TURNS


def test_threads_that_read_and_then_write_lose_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (value INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    failures: list[BaseException] = []

    def increment() -> None:
        try:
            for _ in range(10):
                with database.write() as connection:
                    value = connection.exec_driver_sql("SELECT value FROM counter").scalar_one()
                    connection.exec_driver_sql("UPDATE counter SET value = ?", (value + 1,))
        except sa.exc.SQLAlchemyError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=increment) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT value FROM counter").scalar_one() == 80


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (value INTEGER NOT NULL)")

    def interrupted() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO counter VALUES (1)")
            connection.exec_driver_sql("INSERT INTO counter VALUES (NULL)")

    with pytest.raises(sa.exc.IntegrityError):
        interrupted()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM counter").scalar_one() == 0


def test_a_read_sees_one_state_while_others_write(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (value INTEGER NOT NULL)")
    with database.read() as reading:
        assert reading.exec_driver_sql("SELECT count(*) FROM counter").scalar_one() == 0
        with database.write() as writing:
            writing.exec_driver_sql("INSERT INTO counter VALUES (1)")
        with database.read() as other:
            assert other.exec_driver_sql("SELECT count(*) FROM counter").scalar_one() == 1
        assert reading.exec_driver_sql("SELECT count(*) FROM counter").scalar_one() == 0
    with database.read() as after:
        assert after.exec_driver_sql("SELECT count(*) FROM counter").scalar_one() == 1


@given(
    instant=st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 -- hypothesis adds the zone
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001 -- a naive time is what is refused
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_an_instant_comes_back_as_the_same_instant_in_utc(instants: Database, instant: datetime) -> None:
    with instants.write() as connection:
        connection.execute(sa.delete(INSTANTS))
        connection.execute(sa.insert(INSTANTS).values(number=1, at=instant))
    with instants.read() as connection:
        stored = connection.execute(sa.select(INSTANTS.c.at)).scalar_one()
        as_text = connection.exec_driver_sql("SELECT at FROM instants").scalar_one()
    assert stored == instant
    assert stored.tzinfo is UTC
    # What is on the disk, and so what SQL compares, is the time in UTC.
    assert datetime.fromisoformat(as_text).replace(tzinfo=UTC) == instant


def test_instants_of_different_zones_compare_as_instants(instants: Database) -> None:
    early, late = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5))), datetime(2026, 1, 1, 8, tzinfo=UTC)
    with instants.write() as connection:
        connection.execute(sa.delete(INSTANTS))
        connection.execute(sa.insert(INSTANTS), [{"number": 1, "at": late}, {"number": 2, "at": early}, {"number": 3, "at": None}])
        found = connection.execute(sa.select(INSTANTS.c.number).where(INSTANTS.c.at < late)).scalars().all()
        assert connection.execute(sa.select(INSTANTS.c.at).where(INSTANTS.c.number == 3)).scalar_one() is None
    assert found == [2]


def test_a_time_without_a_zone_is_not_stored(instants: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive"), instants.write() as connection:
        connection.execute(sa.insert(INSTANTS).values(number=9, at=datetime(2026, 1, 1)))  # noqa: DTZ001 -- that is the point
    with instants.read() as connection:
        assert connection.execute(sa.select(INSTANTS.c.at).where(INSTANTS.c.number == 9)).first() is None


@pytest.mark.parametrize("revision", ["9999", None])
def test_a_home_of_another_revision_is_not_opened(world: World, revision: str | None) -> None:
    with world.exchange.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if revision is not None:
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (revision,))
    before = dump(world.root / "catalog.sqlite")
    with pytest.raises(Conflict) as refused:
        Exchange.open(world.root)
    assert str(revision) in refused.value.detail
    assert refused.value.advice.rule
    assert refused.value.advice.who_can_change == "the operator"
    assert refused.value.advice.next_step
    assert dump(world.root / "catalog.sqlite") == before
    assert world.exchange.failing_parts() == ["catalog"]
