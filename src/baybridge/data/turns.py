"""Whose turn it is with objects: many adopt at once, and whoever collects garbage is alone. Nothing of objects themselves is here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from baybridge.db import Database
from baybridge.errors import Advice, Unavailable

_TURN: Final = 0x6F626A65
"""The advisory lock that is the turn: PostgreSQL keeps these apart by database."""


class Hold(Protocol):
    """A turn that is held."""

    def keep(self, connection: sa.Connection) -> None:
        """Hold it until that transaction has committed. Raise Unavailable where it was lost on the way: someone may have collected."""


class Turn(Protocol):
    """Who may adopt and who may collect: many adopt at once, and whoever collects is alone, in all processes and on all hosts."""

    def shared(self) -> AbstractContextManager[Hold]:
        """Hold it with others who adopt. It is held once by each: a second hold would wait behind a collector who waits for the first."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold it alone, and wait for the others to end."""

    def alone_now(self) -> AbstractContextManager[None]:
        """Hold it alone. Raise BlockingIOError where somebody holds it."""


class FolderHold:
    """A folder's lock: while the process lives it is not lost."""

    def keep(self, connection: sa.Connection) -> None:
        """It is held for longer than the transaction lasts."""


@dataclass(frozen=True, slots=True)
class FolderTurn:
    """The turn as a folder's own lock; the kernel drops it when its holder dies."""

    folder: Path

    @contextmanager
    def shared(self) -> Iterator[Hold]:
        """Hold it with others."""
        with self._locked(fcntl.LOCK_SH):
            yield FolderHold()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it alone."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def alone_now(self) -> Iterator[None]:
        """Hold it alone, without waiting."""
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, how)
            yield
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class CatalogHold:
    """A lock of a session of PostgreSQL: lost when the server restarts, and then nobody knows who has collected meanwhile."""

    session: sa.Connection

    def keep(self, connection: sa.Connection) -> None:
        """Let the transaction hold it too, and then see that the session has not lost it."""
        if not connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock_shared(_TURN))).scalar_one():
            raise _lost()
        try:
            self.session.execute(sa.select(1))
        except DBAPIError as wrong:
            raise _lost() from wrong


@dataclass(frozen=True, slots=True)
class CatalogTurn:
    """The turn as an advisory lock of the catalog, which all hosts share; PostgreSQL drops it when its holder is gone."""

    database: Database

    @contextmanager
    def shared(self) -> Iterator[Hold]:
        """Hold it with others, by a session of its own."""
        with self.database.session() as session:
            session.execute(sa.select(sa.func.pg_advisory_lock_shared(_TURN)))
            yield CatalogHold(session)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it alone, by a session of its own."""
        with self.database.session() as session:
            session.execute(sa.select(sa.func.pg_advisory_lock(_TURN)))
            yield

    @contextmanager
    def alone_now(self) -> Iterator[None]:
        """Hold it alone, without waiting."""
        with self.database.session() as session:
            if not session.execute(sa.select(sa.func.pg_try_advisory_lock(_TURN))).scalar_one():
                raise BlockingIOError
            yield


def _lost() -> Unavailable:
    return Unavailable(
        "catalog_unavailable",
        "The connection that kept the uploaded objects from being collected was lost, so nothing was published.",
        advice=Advice(
            rule="A version names only objects that are surely there.",
            who_can_change="nobody needs to",
            next_step="Publish the same file again.",
        ),
        retry_after=2,
    )
