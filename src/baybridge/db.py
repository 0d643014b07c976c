"""The catalog's database: engine, transactions and column types. No table is defined and no query is written here.

On SQLite every writer takes its turn with BEGIN IMMEDIATE, because a deferred transaction that reads and then writes fails at
once when another writer came between, whatever the busy timeout.
"""

from __future__ import annotations

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

METADATA: Final = sa.MetaData()

_BUSY_SECONDS: Final = 30
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


class Database:
    """Transactions on one catalog. `read` sees one snapshot; `write` holds the writer's turn from its first statement."""

    def __init__(self, url: str | sa.URL) -> None:
        """Open nothing yet: connections are made when first needed."""
        self._engine = sa.create_engine(url, pool_size=32, max_overflow=160, pool_timeout=_BUSY_SECONDS)
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)
        self._writer = self._engine.execution_options(baybridge_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read transaction: all its statements see the same state."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction: committed and on disk when the block ends, rolled back whole when it raises."""
        with self._writer.begin() as connection:
            yield connection

    def scrub(self) -> bool:
        """Empty the write-ahead log, in which pages stand as they were before something was erased. False while a reader needs them.

        It is tried without waiting for anyone inside SQLite, where writers would wait too.
        """
        if self._engine.dialect.name != "sqlite":
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
