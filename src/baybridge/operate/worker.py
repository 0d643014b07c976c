"""The worker: claims jobs, runs them under a lease that it renews, and says how they ended. It knows no kind of job.

Each lane is a thread with kinds of its own, so that what takes minutes holds up nothing that takes a moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baybridge import jobs
from baybridge.db import Database
from baybridge.errors import BaybridgeError, Unavailable
from baybridge.jobs import Job, LeaseLost, Rule

_IDLE_SECONDS: Final = 0.5
_PASSING: Final = (SQLAlchemyError, Unavailable)
"""What a catalog raises that cannot be reached now: the worker, and the lease that it renews, outlive it."""
_LOG: Final = logging.getLogger("baybridge.worker")


class Returned(Exception):
    """The worker is to stop: the job goes back, and another does it."""


@dataclass(slots=True)
class Held:
    """A job in a worker's hands."""

    job: Job
    rule: Rule
    clock: Callable[[], datetime]
    stopping: threading.Event
    lost: threading.Event = field(default_factory=threading.Event)
    completed: bool = False

    def go_on(self) -> None:
        """Between two steps: raise LeaseLost where the job is another's by now, Returned where the worker is to stop."""
        if self.lost.is_set():
            raise LeaseLost
        if self.stopping.is_set():
            raise Returned

    def complete(self, connection: sa.Connection) -> None:
        """Complete the job in the transaction of its effect: both happen, and once, or neither. Raise LeaseLost, which undoes it."""
        jobs.complete(connection, self.job, self.rule, now=self.clock())
        self.completed = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: its rule, what runs it, and whether that may take minutes."""

    rule: Rule
    run: Callable[[Held], None]
    is_long: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """Runs jobs of these kinds, bound to what it needs. `chance` gives numbers in [0, 1)."""

    database: Database
    kinds: Sequence[Kind]
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    name: str
    lease: timedelta
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run jobs beside the block. When it ends, those at hand are finished or given back, and no more are begun."""
        lanes = [[each for each in self.kinds if each.is_long is is_long] for is_long in (False, True)]
        threads = [threading.Thread(target=self._run, args=(lane,), name="worker") for lane in lanes if lane]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()

    def turn(self, kinds: Sequence[Kind]) -> bool:
        """Run the one job of these kinds that has been due longest. False where none is due."""
        wanted = [each.rule for each in kinds]
        with self.database.read() as connection:
            if not jobs.due(connection, wanted, now=self.clock()):
                return False
        with self.database.write() as connection:
            job = jobs.claim(connection, wanted, worker=self.name, lease=self.lease, now=self.clock())
        if job is None:
            return False
        self._perform(job, next(each for each in kinds if each.rule.kind == job.kind))
        return True

    def _run(self, kinds: Sequence[Kind]) -> None:
        """Until it is told to stop. A catalog that cannot be reached now is tried again: the worker outlives it."""
        begun = False
        while not self.stopping.is_set():
            worked = False
            try:
                if not begun:
                    with self.database.write() as connection:
                        jobs.ensure_periodic(connection, [each.rule for each in kinds], now=self.clock())
                    begun = True
                worked = self.turn(kinds)
            except _PASSING as wrong:
                _LOG.warning("the job table cannot be used now (%s)", type(wrong).__name__)
            if not worked:
                self.stopping.wait(_IDLE_SECONDS)

    def _perform(self, job: Job, kind: Kind) -> None:
        held = Held(job, kind.rule, self.clock, self.stopping)
        try:
            with self._beating(held):
                kind.run(held)
                if not held.completed:
                    with self.database.write() as connection:
                        held.complete(connection)
        except LeaseLost:
            _LOG.warning("job %d (%s): the lease on attempt %d is lost", job.number, job.kind, job.attempt)
        except Returned:
            with self.database.write() as connection:
                jobs.give_back(connection, job, now=self.clock())
        except Exception as failure:  # noqa: BLE001 -- whatever it was, the job failed: that is kept with it, by class and code
            self._failed(job, kind, failure)

    def _failed(self, job: Job, kind: Kind, failure: Exception) -> None:
        error = type(failure).__name__ + (f" {failure.code}" if isinstance(failure, BaybridgeError) else "")
        _LOG.warning("job %d (%s) failed at attempt %d: %s", job.number, job.kind, job.attempt, error)
        known = failure.retry_after if isinstance(failure, BaybridgeError) else None
        wait = timedelta(seconds=known) if known else jobs.back_off(job.failures + 1, self.chance())
        with self.database.write() as connection:
            jobs.fail(connection, job, kind.rule, error=error, wait=wait, now=self.clock())

    @contextmanager
    def _beating(self, held: Held) -> Iterator[None]:
        """Renew the lease beside the block, three times within each, until it ends or the lease is lost."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.lease.total_seconds() / 3):
                try:
                    with self.database.write() as connection:
                        if not jobs.heartbeat(connection, held.job, lease=self.lease, now=self.clock()):
                            held.lost.set()
                            return
                except _PASSING as wrong:
                    _LOG.warning("job %d: the lease cannot be renewed now (%s)", held.job.number, type(wrong).__name__)

        beating = threading.Thread(target=beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
