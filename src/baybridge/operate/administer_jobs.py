"""The operator's look at the jobs: what waits, what runs, what is dead, and what becomes of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from baybridge import jobs
from baybridge.db import Database
from baybridge.errors import Invalid, Place
from baybridge.jobs import Counts, Job, State
from baybridge.principals.principal import Principal, require_operator


@dataclass(frozen=True, slots=True)
class AdministerJobs:
    """The acts on jobs, bound to what they need. Role: the operator."""

    database: Database
    clock: Callable[[], datetime]

    def listing(self, principal: Principal, *, state: str | None, limit: int) -> tuple[Job, ...]:
        """The jobs in a state, or all, the newest first. Raise Invalid for a word that is no state."""
        require_operator(principal)
        wanted = None if state is None else _parse_state(state)
        with self.database.read() as connection:
            return jobs.listing(connection, state=wanted, limit=limit)

    def counts(self) -> Counts:
        """The jobs in numbers, for who measures."""
        with self.database.read() as connection:
            return jobs.counts(connection, now=self.clock())

    def show(self, principal: Principal, number: int) -> Job:
        """One job. Raise NotFound."""
        require_operator(principal)
        with self.database.read() as connection:
            return jobs.require(connection, number)

    def retry(self, principal: Principal, number: int) -> Job:
        """Let a dead job run again. Raise NotFound or Conflict."""
        require_operator(principal)
        with self.database.write() as connection:
            return jobs.retry(connection, number, now=self.clock())

    def discard(self, principal: Principal, number: int) -> Job:
        """Let a job never run. Raise NotFound or Conflict."""
        require_operator(principal)
        with self.database.write() as connection:
            return jobs.discard(connection, number, now=self.clock())


def _parse_state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        rule = f"one of {', '.join(State)}"
        raise Invalid("invalid_request", f"A state is {rule}.", places=(Place("state", rule),)) from None
