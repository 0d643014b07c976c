"""The job table: work that must be done once more or less soon, and what may happen to it. No job is run here.

A job is enqueued in the transaction of the fact that it follows from. Whoever claims it holds a lease and an attempt number, the fencing
token: every later move of the job names it and needs a lease that has not run out, so a worker that was taken for dead changes nothing.
What is done twice, because a worker died between effect and completion, must be the same as done once: each kind says why it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from baybridge.db import METADATA, UtcDateTime, insert_or
from baybridge.errors import Advice, Conflict, NotFound

LONGEST_WAIT: Final = timedelta(minutes=10)
"""The bound of every back-off, and of every lease: workers may have leases of different lengths."""

KEPT: Final = timedelta(days=7)
"""How long jobs stay listed that are done or discarded. Dead ones stay until the operator has looked at them."""

WORKER_LOST: Final = "worker_lost"
"""What a job failed with whose worker did not come back: it was killed, or it stood still for longer than its lease."""

_FIRST_WAIT: Final = timedelta(seconds=1)

JOBS: Final = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("dedupe", sa.Text, unique=True),
    sa.Column("periodic", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("run_at", UtcDateTime, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("updated", UtcDateTime, nullable=False),
    sa.Index("jobs_by_state", "state", "run_at"),
    sqlite_autoincrement=True,  # a number that was given once is not given again: a paused worker may still hold it
)


class State(StrEnum):
    """Where a job is. A periodic one is never done or dead: it waits for its next turn."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind of job is run: again `every` so often, and dead after so many failures; `tries` of None is never dead."""

    kind: str
    every: timedelta | None = None
    tries: int | None = 8


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `error` is the class and the code of its last failure, never a text: a text may hold a value."""

    number: int
    kind: str
    payload: Mapping[str, str]
    state: State
    run_at: datetime
    attempt: int
    failures: int
    error: str | None
    worker: str | None
    lease_until: datetime | None
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs are in each state, and how long the one has waited that is due and has waited longest."""

    states: Mapping[State, int]
    lag: timedelta


class LeaseLost(Exception):
    """The job is another's by now, or the lease on it ran out: whatever was to be done in this transaction is not."""


def enqueue(
    connection: sa.Connection, kind: str, payload: Mapping[str, str], *, now: datetime, at: datetime | None = None, key: str | None = None
) -> None:
    """Add a job in the transaction of its fact, to be run now or at an instant.

    One of the same key that is still waiting stands for both. One that is running does not: it may have read what was before.
    """
    _insert(connection, kind, payload, now=now, run_at=at or now, key=key, periodic=False)


def ensure_periodic(connection: sa.Connection, rules: Collection[Rule], *, now: datetime) -> None:
    """Make the one row of each periodic kind that has none. Its first turn is now."""
    for rule in rules:
        if rule.every is not None:
            _insert(connection, rule.kind, {}, now=now, run_at=now, key=rule.kind, periodic=True)


def due(connection: sa.Connection, rules: Collection[Rule], *, now: datetime) -> bool:
    """Whether there is something to claim. It only reads, so that an idle worker writes nothing."""
    return connection.execute(sa.select(JOBS.c.number).where(_claimable(rules, now)).limit(1)).first() is not None


def claim(connection: sa.Connection, rules: Collection[Rule], *, worker: str, lease: timedelta, now: datetime) -> Job | None:
    """Take the job that has been due longest, under the next attempt and a lease of that length; None where nothing is due.

    A lease that ran out is a failure of the job: one that kills its workers is dead in the end.
    """
    by_kind = {rule.kind: rule for rule in rules}
    oldest = _JOB.where(_claimable(rules, now)).order_by(JOBS.c.run_at, JOBS.c.number).limit(1).with_for_update(skip_locked=True)
    while (row := connection.execute(oldest).first()) is not None:
        lost = row.state == State.RUNNING
        failures, error = (row.failures + 1, WORKER_LOST) if lost else (row.failures, row.error)
        dead = lost and _is_spent(by_kind[row.kind], failures)
        moved = {"failures": failures, "error": error, "attempt": row.attempt + 1, "updated": now}
        taken = {"state": State.RUNNING.value, "worker": worker, "lease_until": now + lease, "dedupe": row.kind if row.periodic else None}
        ended = {"state": State.DEAD.value, "worker": None, "lease_until": None}
        connection.execute(sa.update(JOBS).where(JOBS.c.number == row.number).values(**moved, **(ended if dead else taken)))
        if not dead:
            return require(connection, row.number)
    return None


def heartbeat(connection: sa.Connection, job: Job, *, lease: timedelta, now: datetime) -> bool:
    """Renew the lease. False where it has run out or is another's: what is lost is not taken back."""
    return _move(connection, job, now, lease_until=now + lease)


def complete(connection: sa.Connection, job: Job, rule: Rule, *, now: datetime) -> None:
    """The job is done; a periodic one waits for its next turn. Raise LeaseLost, which undoes the effect in the same transaction."""
    ended: dict[str, Any] = {"error": None, "failures": 0}
    if rule.every is None:
        ended |= {"state": State.DONE.value}
    else:
        ended |= {"state": State.QUEUED.value, "run_at": now + rule.every}
    if not _move(connection, job, now, **ended, worker=None, lease_until=None):
        raise LeaseLost


def fail(connection: sa.Connection, job: Job, rule: Rule, *, error: str, wait: timedelta, now: datetime) -> bool:
    """The job failed: it waits, and is dead after its tries. False where it is another's by now."""
    failures = job.failures + 1
    state = State.DEAD if _is_spent(rule, failures) else State.QUEUED
    moved = {"state": state.value, "run_at": now + wait, "failures": failures, "error": error}
    return _move(connection, job, now, **moved, worker=None, lease_until=None)


def give_back(connection: sa.Connection, job: Job, *, now: datetime) -> bool:
    """Return the lease unused: the job is due again at once, and has not failed."""
    return _move(connection, job, now, state=State.QUEUED.value, run_at=now, worker=None, lease_until=None)


def back_off(failures: int, chance: float) -> timedelta:
    """Twice as long after each failure, up to a bound, and between half of that and all of it by chance in [0, 1)."""
    longest: timedelta = min(_FIRST_WAIT * 2 ** min(failures, 20), LONGEST_WAIT)
    return longest * (0.5 + chance / 2)


def require(connection: sa.Connection, number: int) -> Job:
    """The job of that number. Raise NotFound."""
    row = connection.execute(_JOB.where(JOBS.c.number == number)).first()
    if row is None:
        raise NotFound("not_found", "There is no job of that number.")
    return _job(row)


def listing(connection: sa.Connection, *, state: State | None, limit: int) -> tuple[Job, ...]:
    """The jobs in a state, or all, the newest first."""
    wanted = _JOB if state is None else _JOB.where(JOBS.c.state == state.value)
    return tuple(_job(row) for row in connection.execute(wanted.order_by(JOBS.c.number.desc()).limit(limit)))


def retry(connection: sa.Connection, number: int, *, now: datetime) -> Job:
    """Let a dead job run again, with all its tries. Raise NotFound, and Conflict for one that is not dead."""
    return _revise(connection, number, (State.DEAD,), now, "retried", state=State.QUEUED.value, run_at=now, failures=0)


def discard(connection: sa.Connection, number: int, *, now: datetime) -> Job:
    """Let a job that is dead or waits never run. Raise NotFound, and Conflict for one that runs, has ended or is periodic."""
    return _revise(connection, number, (State.DEAD, State.QUEUED), now, "discarded", state=State.DISCARDED.value, dedupe=None)


def counts(connection: sa.Connection, *, now: datetime) -> Counts:
    """The jobs in numbers."""
    states = {State(row.state): row.jobs for row in connection.execute(_COUNTED)}
    waiting = sa.select(sa.func.min(JOBS.c.run_at)).where(JOBS.c.state == State.QUEUED.value)
    oldest = connection.execute(waiting).scalar()
    return Counts({state: states.get(state, 0) for state in State}, timedelta() if oldest is None else max(timedelta(), now - oldest))


def forget_ended(connection: sa.Connection, *, now: datetime) -> None:
    """Remove what has been done or discarded for long."""
    ended = JOBS.c.state.in_([State.DONE.value, State.DISCARDED.value])
    connection.execute(sa.delete(JOBS).where(ended, JOBS.c.updated < now - KEPT))


_JOB: Final = sa.select(
    *(JOBS.c.number, JOBS.c.kind, JOBS.c.payload, JOBS.c.periodic, JOBS.c.state, JOBS.c.run_at, JOBS.c.attempt, JOBS.c.failures),
    *(JOBS.c.error, JOBS.c.worker, JOBS.c.lease_until, JOBS.c.created, JOBS.c.updated),
)
_COUNTED: Final = sa.select(JOBS.c.state, sa.func.count().label("jobs")).group_by(JOBS.c.state)


def _insert(
    connection: sa.Connection, kind: str, payload: Mapping[str, str], *, now: datetime, run_at: datetime, key: str | None, periodic: bool
) -> None:
    row = {
        "kind": kind,
        "payload": msgspec.json.encode(dict(payload), order="sorted").decode(),
        "dedupe": key,
        "periodic": periodic,
        "state": State.QUEUED.value,
        "run_at": run_at,
        "attempt": 0,
        "failures": 0,
        "created": now,
        "updated": now,
    }
    # The one that stands for this is touched, which locks it: nobody claims it before the fact of this transaction can be seen.
    connection.execute(insert_or(connection, JOBS).values(**row).on_conflict_do_update(index_elements=["dedupe"], set_={"updated": now}))


def _claimable(rules: Collection[Rule], now: datetime) -> sa.ColumnElement[bool]:
    """Due, or under a lease that ran out. What lies further ahead than it was ever put was put there before the clock was set back."""
    ahead = [(JOBS.c.kind == rule.kind) & (JOBS.c.run_at > now + max(rule.every, LONGEST_WAIT)) for rule in rules if rule.every is not None]
    backed_off = (JOBS.c.failures > 0) & (JOBS.c.run_at > now + LONGEST_WAIT)
    waits = (JOBS.c.state == State.QUEUED.value) & sa.or_(JOBS.c.run_at <= now, backed_off, *ahead)
    ran_out = (JOBS.c.lease_until <= now) | (JOBS.c.lease_until > now + LONGEST_WAIT)
    lost = (JOBS.c.state == State.RUNNING.value) & ran_out
    return JOBS.c.kind.in_([rule.kind for rule in rules]) & (waits | lost)


def _move(connection: sa.Connection, job: Job, now: datetime, **changes: Any) -> bool:
    """Change the job for whoever holds it under this attempt and a lease that has not run out. False for everyone else."""
    held = (JOBS.c.number == job.number) & (JOBS.c.attempt == job.attempt) & (JOBS.c.state == State.RUNNING.value)
    lasting = held & (JOBS.c.lease_until > now)
    return bool(connection.execute(sa.update(JOBS).where(lasting).values(updated=now, **changes)).rowcount)


def _revise(connection: sa.Connection, number: int, states: tuple[State, ...], now: datetime, done: str, **changes: Any) -> Job:
    job = require(connection, number)
    possible = (JOBS.c.number == number) & JOBS.c.state.in_([each.value for each in states]) & JOBS.c.periodic.is_(sa.false())
    if not connection.execute(sa.update(JOBS).where(possible).values(updated=now, **changes)).rowcount:
        raise Conflict(
            "conflict",
            f"Job {number} is {job.state} and cannot be {done}.",
            advice=Advice(
                rule=f"A job is {done} while it is {' or '.join(states)}, and a periodic one never is.",
                who_can_change="the operator",
                next_step="Look at the job.",
                next_command=f"baybridge jobs show {number}",
            ),
        )
    return require(connection, number)


def _is_spent(rule: Rule, failures: int) -> bool:
    return rule.every is None and rule.tries is not None and failures >= rule.tries


def _job(row: Any) -> Job:
    return Job(
        number=row.number,
        kind=row.kind,
        payload=msgspec.json.decode(row.payload, type=dict[str, str]),
        state=State(row.state),
        run_at=row.run_at,
        attempt=row.attempt,
        failures=row.failures,
        error=row.error,
        worker=row.worker,
        lease_until=row.lease_until,
        created=row.created,
        updated=row.updated,
    )
