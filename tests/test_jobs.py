"""The job table: a job comes with its fact, is one worker's at a time, and what a worker has lost it cannot change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from baybridge import jobs
from baybridge.db import Database
from baybridge.errors import Conflict, NotFound
from baybridge.jobs import JOBS, LONGEST_WAIT, Job, LeaseLost, Rule, State, back_off

LEASE = timedelta(seconds=60)
ONCE = Rule("once", tries=3)
HOURLY = Rule("hourly", every=timedelta(hours=1))
RULES = (ONCE, HOURLY)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "catalog.sqlite"
    made = Database(f"sqlite:///{path}")
    made.migrate()
    made.close()
    return path


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> Iterator[Database]:
    shutil.copy(migrated, tmp_path / "catalog.sqlite")
    opened = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield opened
    opened.close()


def enqueue(database: Database, *, at: datetime | None = None, key: str | None = None, payload: str = "1") -> None:
    with database.write() as connection:
        jobs.enqueue(connection, "once", {"of": payload}, now=NOON, at=at, key=key)


def claim(database: Database, now: datetime = NOON, worker: str = "first") -> Job | None:
    with database.write() as connection:
        return jobs.claim(connection, RULES, worker=worker, lease=LEASE, now=now)


def claimed(database: Database, now: datetime = NOON, worker: str = "first") -> Job:
    job = claim(database, now, worker)
    assert job is not None
    return job


def complete(database: Database, job: Job, now: datetime, rule: Rule = ONCE) -> None:
    with database.write() as connection:
        jobs.complete(connection, job, rule, now=now)


def fail(database: Database, job: Job, now: datetime, rule: Rule = ONCE) -> bool:
    with database.write() as connection:
        return jobs.fail(connection, job, rule, error="Corrupt corrupt", wait=back_off(job.failures + 1, 0.5), now=now)


def state(database: Database, number: int) -> Job:
    with database.read() as connection:
        return jobs.require(connection, number)


def all_jobs(database: Database) -> tuple[Job, ...]:
    with database.read() as connection:
        return jobs.listing(connection, state=None, limit=100)


def test_a_job_is_undone_with_its_fact(database: Database) -> None:
    def fail_after_enqueuing() -> None:
        with database.write() as connection:
            jobs.enqueue(connection, "once", {}, now=NOON)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_enqueuing()
    assert all_jobs(database) == ()


def test_a_job_is_claimed_when_it_is_due_and_by_one_worker(database: Database) -> None:
    enqueue(database, at=NOON + SECOND)
    assert claim(database) is None
    assert claimed(database, NOON + SECOND).payload == {"of": "1"}
    assert claim(database, NOON + SECOND, "second") is None


def test_what_has_been_due_longest_comes_first(database: Database) -> None:
    enqueue(database, at=NOON, payload="later")
    enqueue(database, at=NOON - SECOND, payload="earlier")
    assert [claimed(database).payload["of"], claimed(database).payload["of"]] == ["earlier", "later"]


def test_a_kind_that_the_worker_does_not_know_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        jobs.enqueue(connection, "of a newer program", {}, now=NOON)
    assert claim(database) is None


def test_a_job_that_waits_stands_for_the_next_of_its_key_and_one_that_runs_does_not(database: Database) -> None:
    enqueue(database, key="warm")
    enqueue(database, key="warm")
    assert len(all_jobs(database)) == 1
    running = claimed(database)
    enqueue(database, key="warm")
    assert len(all_jobs(database)) == 2
    assert fail(database, running, NOON + SECOND)  # and comes back beside the other
    assert sorted(each.state for each in all_jobs(database)) == [State.QUEUED, State.QUEUED]


def test_a_lease_that_is_renewed_lasts_and_one_that_is_not_runs_out(database: Database) -> None:
    enqueue(database)
    job = claimed(database)
    with database.write() as connection:
        assert jobs.heartbeat(connection, job, lease=LEASE, now=NOON + LEASE - SECOND)
    assert claim(database, NOON + LEASE, "second") is None
    taken = claimed(database, NOON + 2 * LEASE, "second")
    assert (taken.number, taken.attempt, taken.failures, taken.error) == (job.number, job.attempt + 1, 1, jobs.WORKER_LOST)


def test_a_worker_that_has_lost_its_lease_changes_nothing(database: Database) -> None:
    def affect(job: Job, now: datetime) -> None:
        with database.write() as connection:
            jobs.enqueue(connection, "once", {"of": "an effect"}, now=now)
            jobs.complete(connection, job, ONCE, now=now)

    enqueue(database)
    lost = claimed(database)
    late = NOON + LEASE
    for another in (False, True):  # nobody has the job, then another has
        if another:
            claimed(database, late, "second")
        with pytest.raises(LeaseLost):
            affect(lost, late)
        with database.write() as connection:
            assert not jobs.heartbeat(connection, lost, lease=LEASE, now=late)
            assert not jobs.give_back(connection, lost, now=late)
            assert not jobs.fail(connection, lost, ONCE, error="E", wait=SECOND, now=late)
    (job,) = all_jobs(database)  # and no effect
    assert (job.state, job.worker, job.attempt) == (State.RUNNING, "second", 2)


def test_a_job_that_fails_waits_longer_each_time_and_is_dead_in_the_end(database: Database) -> None:
    enqueue(database)
    now, waits = NOON, []
    for _ in range(3):
        job = claimed(database, now)
        assert fail(database, job, now)
        waits.append(state(database, job.number).run_at - now)
        now += LONGEST_WAIT
    dead = state(database, job.number)
    assert (dead.state, dead.failures, dead.error) == (State.DEAD, 3, "Corrupt corrupt")
    assert waits == sorted(waits)
    assert claim(database, now + LONGEST_WAIT) is None


def test_a_job_that_kills_its_workers_is_dead_in_the_end_and_holds_up_no_other(database: Database) -> None:
    enqueue(database, payload="poison")
    enqueue(database, at=NOON + 10 * LEASE, payload="other")
    now = NOON
    for _ in range(3):
        assert claimed(database, now).payload == {"of": "poison"}
        now += LEASE
    assert claim(database, now) is None
    assert claimed(database, NOON + 10 * LEASE).payload == {"of": "other"}
    assert [(each.state, each.error) for each in all_jobs(database)] == [(State.RUNNING, None), (State.DEAD, jobs.WORKER_LOST)]


def test_a_lease_that_is_given_back_is_no_failure(database: Database) -> None:
    enqueue(database)
    job = claimed(database)
    with database.write() as connection:
        assert jobs.give_back(connection, job, now=NOON + SECOND)
    again = claimed(database, NOON + SECOND, "second")
    assert (again.attempt, again.failures) == (2, 0)


def test_a_periodic_job_has_one_row_and_one_runner_and_waits_its_time(database: Database) -> None:
    for _ in range(2):
        with database.write() as connection:
            jobs.ensure_periodic(connection, RULES, now=NOON)
    job = claimed(database)
    assert claim(database, worker="second") is None
    with database.write() as connection:
        jobs.ensure_periodic(connection, RULES, now=NOON)  # a second process starts while it runs
    assert claim(database, worker="second") is None
    complete(database, job, NOON + SECOND, HOURLY)
    assert claim(database, NOON + timedelta(hours=1)) is None
    assert claimed(database, NOON + timedelta(hours=1) + SECOND).number == job.number


def test_a_periodic_job_is_never_dead(database: Database) -> None:
    with database.write() as connection:
        jobs.ensure_periodic(connection, RULES, now=NOON)
    now = NOON
    for _ in range(30):
        assert fail(database, claimed(database, now), now, HOURLY)
        now += LONGEST_WAIT
    assert claimed(database, now).failures == 30


def test_a_clock_that_is_set_forward_or_back_stops_no_job_and_doubles_no_completion(database: Database) -> None:
    with database.write() as connection:
        jobs.ensure_periodic(connection, RULES, now=NOON)
        jobs.enqueue(connection, "once", {"of": "1"}, now=NOON)
    jobs_of_first = [claimed(database), claimed(database)]
    forward = NOON + timedelta(days=1)
    for mine in jobs_of_first:
        claimed(database, forward, "second")
        with pytest.raises(LeaseLost):
            complete(database, mine, forward)
    assert claim(database, forward) is None
    back = [claimed(database, NOON, "third"), claimed(database, NOON, "third")]  # leases of a day that has not come
    assert {each.attempt for each in back} == {3}
    complete(database, next(each for each in back if each.kind == "hourly"), NOON, HOURLY)
    yesterday = NOON - timedelta(days=1)
    assert claimed(database, yesterday).kind == "hourly"


def test_what_waits_for_an_instant_waits_for_it_however_far_ahead(database: Database) -> None:
    enqueue(database, at=NOON + timedelta(days=365))
    assert claim(database, NOON + timedelta(days=364)) is None
    assert claim(database, NOON + timedelta(days=365)) is not None


def test_only_a_dead_job_is_retried_and_then_has_all_its_tries(database: Database) -> None:
    enqueue(database)
    number = claimed(database).number
    with pytest.raises(Conflict), database.write() as connection:
        jobs.retry(connection, number, now=NOON)
    with database.write() as connection:
        connection.execute(sa.update(JOBS).values(state="dead", failures=3))
        assert jobs.retry(connection, number, now=NOON).failures == 0
    assert claimed(database).number == number


def test_a_job_that_is_discarded_never_runs_and_a_periodic_one_cannot_be(database: Database) -> None:
    enqueue(database, key="warm")
    with database.write() as connection:
        jobs.ensure_periodic(connection, RULES, now=NOON + SECOND)
        (once, hourly) = (each.number for each in reversed(jobs.listing(connection, state=State.QUEUED, limit=9)))
        assert jobs.discard(connection, once, now=NOON).state is State.DISCARDED
    assert claim(database) is None
    for number, wrong in ((once, Conflict), (hourly, Conflict), (99, NotFound)):
        with pytest.raises(wrong), database.write() as connection:
            jobs.discard(connection, number, now=NOON)
    enqueue(database, key="warm")
    assert claim(database) is not None


def test_what_has_ended_is_forgotten_and_what_is_dead_is_not(database: Database) -> None:
    enqueue(database)
    enqueue(database)
    complete(database, claimed(database), NOON)
    with database.write() as connection:
        connection.execute(sa.update(JOBS).where(JOBS.c.state == "queued").values(state="dead"))
        jobs.forget_ended(connection, now=NOON + jobs.KEPT)
        assert len(jobs.listing(connection, state=None, limit=9)) == 2
        jobs.forget_ended(connection, now=NOON + jobs.KEPT + SECOND)
        assert [each.state for each in jobs.listing(connection, state=None, limit=9)] == [State.DEAD]
    enqueue(database)
    assert max(each.number for each in all_jobs(database)) == 3


def test_the_counts_are_of_every_state_and_the_lag_of_the_longest_due(database: Database) -> None:
    with database.read() as connection:
        assert jobs.counts(connection, now=NOON).lag == timedelta()
    enqueue(database)
    enqueue(database, at=NOON + LEASE)
    with database.read() as connection:
        found = jobs.counts(connection, now=NOON + 2 * LEASE)
    assert (found.lag, found.states[State.QUEUED], found.states[State.DEAD]) == (2 * LEASE, 2, 0)


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_back_off_is_bounded_and_at_least_half_of_its_longest(failures: int, chance: float) -> None:
    longest = min(SECOND * 2 ** min(failures, 40), LONGEST_WAIT)
    assert longest / 2 <= back_off(failures, chance) <= longest
