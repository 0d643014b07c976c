"""The catalog's database: engine, transactions and column types. No table is defined and no query is written here.

There are three kinds of transactions, and the rule of each holds on both databases, over all processes and hosts:

- `read` sees one snapshot, and writes nothing.
- `write` is alone: no other transaction that writes is under way beside it. What it reads stays true until it has committed, so that
  acts read, decide and write without locks of their own.
- `entering` is for entries in logs, and what is counted with them. Many may be under way at once, none beside a `write`. It first
  takes the rows of the logs that it enters into, in the order of their names; all else that it changes belongs to one of these logs.

On SQLite both kinds that write take their turn with BEGIN IMMEDIATE, because a deferred transaction that reads and then writes fails at
once when another writer came between, whatever the busy timeout. On PostgreSQL, which is READ COMMITTED for them, the turn is an
advisory lock of the transaction: `write` holds it alone, `entering` shares it. One order of locks and no other (the turn, then logs by
name) leaves no deadlock, so nothing is ever tried again here. See docs/decisions/0008-postgresql.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.compiler import compiles

from baybridge.errors import Advice, Unavailable

METADATA: Final = sa.MetaData()

_BUSY_SECONDS: Final = 30
_STATEMENT_SECONDS: Final = 60
_TURN: Final = 0x62617962
"""The advisory lock that is the turn to write: PostgreSQL keeps these apart by database."""

# SQLSTATE classes and codes of what passes: no connection, no room, a stop of the server, a wait that was too long.
_PASSING: Final = ("08", "53", "57", "55P03", "25P03")
_SCRUB_TRIES: Final = 40
_SCRUB_PAUSE: Final = 0.05


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant. Aware datetimes go in, UTC comes out; SQLite would drop the zone, so it is put back here."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive values with ValueError: they have no instant."""
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError("A naive datetime cannot be stored as an instant.")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give an aware UTC datetime back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@compiles(sa.Text, "postgresql")
def _text(element: sa.Text, compiler: Any, **_: Any) -> str:
    """Text is compared and sorted by code point on both databases, whatever the language of the database is."""
    del element, compiler
    return 'TEXT COLLATE "C"'


class Database:
    """Transactions on one catalog, from many threads. Raise Unavailable (`catalog_unavailable`) where PostgreSQL cannot be reached."""

    def __init__(self, url: str | sa.URL, *, connections: int = 192) -> None:
        """Open nothing yet: at most so many connections are made, each when first needed."""
        self._turn = threading.Lock()
        self._engine = sa.create_engine(
            url, pool_size=min(connections, 32), max_overflow=max(0, connections - 32), pool_timeout=_BUSY_SECONDS, hide_parameters=True
        )
        self._reader: sa.Engine = self._engine
        self._writer: sa.Engine = self._engine
        self.shared = self._engine.dialect.name == "postgresql"
        """Whether other hosts may have the same catalog open."""
        if self.shared:
            _prepare_postgresql(self._engine)
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        else:
            _prepare_sqlite(self._engine)
            self._writer = self._engine.execution_options(baybridge_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read transaction: all its statements see the same state."""
        with _telling(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction, alone: committed and on disk when the block ends, rolled back whole when it raises.

        The threads of one process wait for each other here, so that only one connection of each process waits in the database.
        """
        if not self._turn.acquire(timeout=_BUSY_SECONDS):
            raise _unavailable()
        try:
            with _telling(), self._writer.begin() as connection:
                if self.shared:
                    connection.execute(_ALONE)
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def entering(self) -> Iterator[sa.Connection]:
        """One write transaction beside others of its kind. It first takes the rows of the logs that it enters into, by name."""
        with _telling(), self._writer.begin() as connection:
            if self.shared:
                connection.execute(_BESIDE)
            yield connection

    def scrub(self) -> bool:
        """Empty the write-ahead log, in which pages stand as they were before something was erased. False while a reader needs them.

        It is tried without waiting for anyone inside SQLite, where writers would wait too. On PostgreSQL the dead rows are taken out of
        the tables; its own write-ahead log, and copies made of it, are its operator's.
        """
        if self.shared:
            self._vacuum()
            return True
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=0")
            for _ in range(_SCRUB_TRIES):
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                if cursor.fetchall()[0][0] == 0:  # the first column says busy
                    return True
                time.sleep(_SCRUB_PAUSE)
            return False
        finally:
            connection.invalidate()  # with its timeout, which is not that of the others
            connection.close()

    def _vacuum(self) -> None:
        with _telling(), self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM " + ", ".join(sorted(METADATA.tables)))
            connection.invalidate()  # with its timeout, which is not that of the others

    def migrate(self) -> None:
        """Bring the schema to the newest revision of this program."""
        config = _alembic_config()
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def revisions(self) -> tuple[str | None, str | None]:
        """Give the revision that the database has and the one that this program needs."""
        with self.read() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
        return present, ScriptDirectory.from_config(_alembic_config()).get_current_head()

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def insert_or(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what happens where the row is there already (`on_conflict_do_...`), which no dialect shares with another."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


_ALONE: Final = sa.select(sa.func.pg_advisory_xact_lock(_TURN))
_BESIDE: Final = sa.select(sa.func.pg_advisory_xact_lock_shared(_TURN))


@contextmanager
def _telling() -> Iterator[None]:
    """Say of what passes by itself that it does. A commit that was cut short may have happened: whoever retries reads the state first."""
    try:
        yield
    except NoConnection as wrong:
        raise _unavailable() from wrong
    except DBAPIError as wrong:
        if wrong.connection_invalidated or (getattr(wrong.orig, "sqlstate", None) or "").startswith(_PASSING) or _unconnected(wrong):
            raise _unavailable() from wrong
        raise


def _unconnected(wrong: DBAPIError) -> bool:
    """Whether psycopg says that there is no connection: that failure has no SQLSTATE, for no server gave one."""
    return isinstance(wrong, sa.exc.OperationalError) and getattr(wrong.orig, "sqlstate", "") is None


def _unavailable() -> Unavailable:
    return Unavailable(
        "catalog_unavailable",
        "The catalog cannot be reached, so nothing is served.",
        advice=Advice(
            rule="What cannot be decided and entered is refused.",
            who_can_change="the operator of this server",
            next_step="Try again shortly; where it was an act, read the present state first.",
        ),
        retry_after=2,
    )


def _prepare_postgresql(engine: sa.Engine) -> None:
    """Set what must hold on every connection: instants in UTC, a commit that waits for the disk, and an end to each wait.

    A process that stands still in the middle of a transaction would keep everyone's turn: the server ends such a session.
    """

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        del record
        connection.autocommit = True
        connection.execute("SET timezone = 'UTC'")
        connection.execute(f"SET lock_timeout = '{_BUSY_SECONDS}s'")
        connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_BUSY_SECONDS}s'")
        if connection.execute("SHOW synchronous_commit").fetchone()[0] == "off":
            connection.execute("SET synchronous_commit = on")
        connection.autocommit = False


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Set what must hold on every connection: our own BEGIN, the write-ahead log, a full fsync at each commit, foreign keys.

    What is deleted is overwritten (`secure_delete`), so that a purged value is not left in a free part of the file.
    """

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"busy_timeout={_BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("baybridge_begin", "BEGIN"))
