"""Workers are processes, and processes are killed, stopped and told to go: no job is lost, and none has its effect twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import wait_until

from baybridge import jobs
from baybridge.db import Database
from baybridge.jobs import Job, State

pytestmark = pytest.mark.slow

LAUNCHER = Path(__file__).parent / "launchers" / "work.py"
WORKERS, JOBS = 2, 500


@dataclass
class Yard:
    """A catalog, its workers, and the gate that some jobs wait at."""

    folder: Path
    database: Database
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def enqueue(self, kind: str, number: int = 1) -> None:
        with self.database.write() as connection:
            for each in range(number):
                jobs.enqueue(connection, kind, {"of": str(each)}, now=datetime.now(UTC))

    def work(self, name: str, *, lease: float = 30) -> subprocess.Popen[str]:
        """A worker process, working."""
        arguments = [sys.executable, str(LAUNCHER), str(self.folder / "catalog.sqlite"), name, str(lease), str(self.gate)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert said(process) == "working"
        return process

    def jobs(self) -> tuple[Job, ...]:
        with self.database.read() as connection:
            return jobs.listing(connection, state=None, limit=10_000)

    def are_all(self, state: State) -> bool:
        return all(each.state is state for each in self.jobs())

    def effects(self) -> list[tuple[int, int, str]]:
        with self.database.read() as connection:
            rows = connection.execute(sa.text("SELECT job, attempt, worker FROM effects ORDER BY job")).all()
        return [tuple(row) for row in rows]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> int:
    process.send_signal(how)
    return process.wait(timeout=20)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workers") / "catalog.sqlite"
    made = Database(f"sqlite:///{path}")
    made.migrate()
    with made.write() as connection:
        connection.execute(sa.text("CREATE TABLE effects (job INTEGER, attempt INTEGER, worker TEXT)"))
    made.close()
    return path


@pytest.fixture
def yard(tmp_path: Path, migrated: Path) -> Iterator[Yard]:
    shutil.copy(migrated, tmp_path / "catalog.sqlite")
    made = Yard(tmp_path, Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}"))
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            end(process)
        if process.stdout is not None:
            process.stdout.close()
    made.database.close()


def test_workers_share_the_jobs_and_each_has_its_effect_once(yard: Yard) -> None:
    yard.enqueue("once", JOBS)
    for number in range(WORKERS):
        yard.work(f"worker {number}")
    wait_until(lambda: yard.are_all(State.DONE), seconds=90)
    effects = yard.effects()
    assert [job for job, _, _ in effects] == list(range(1, JOBS + 1))
    assert {attempt for _, attempt, _ in effects} == {1}
    assert {worker for _, _, worker in effects} == {f"worker {number}" for number in range(WORKERS)}


def test_the_job_of_a_worker_that_is_killed_is_done_by_another(yard: Yard) -> None:
    yard.enqueue("gated")
    first = yard.work("first", lease=1)
    assert said(first) == "begun 1"
    end(first)
    yard.gate.touch()
    yard.work("second", lease=1)
    wait_until(lambda: yard.are_all(State.DONE))
    assert yard.effects() == [(1, 2, "second")]
    assert yard.jobs()[0].failures == 0  # it is done: what was before counts no more


def test_a_worker_that_stood_still_for_longer_than_its_lease_changes_nothing(yard: Yard) -> None:
    yard.enqueue("gated")
    first = yard.work("first", lease=1)
    assert said(first) == "begun 1"
    first.send_signal(signal.SIGSTOP)
    second = yard.work("second")
    assert said(second) == "begun 1"
    second.send_signal(signal.SIGSTOP)  # within its lease, so that the job is its own while the first goes on
    yard.gate.touch()
    yard.enqueue("once")
    first.send_signal(signal.SIGCONT)  # it finds the gate open, and would leave its effect
    wait_until(lambda: len(yard.effects()) == 1)
    assert yard.effects() == [(2, 1, "first")]
    second.send_signal(signal.SIGCONT)
    wait_until(lambda: yard.are_all(State.DONE))
    assert yard.effects() == [(1, 2, "second"), (2, 1, "first")]


def test_a_worker_keeps_a_job_that_takes_longer_than_its_lease(yard: Yard) -> None:
    yard.enqueue("gated")
    first = yard.work("first", lease=1)
    assert said(first) == "begun 1"
    yard.work("second", lease=1)
    yard.enqueue("once", 3)
    began = datetime.now(UTC)
    wait_until(lambda: (datetime.now(UTC) - began).total_seconds() > 3)
    yard.gate.touch()
    wait_until(lambda: yard.are_all(State.DONE))
    assert (1, 1, "first") in yard.effects()


def test_a_job_that_kills_its_workers_is_dead_after_its_tries_and_the_others_are_done(yard: Yard) -> None:
    yard.enqueue("poison")
    yard.enqueue("once", 3)

    def is_over() -> bool:
        if not yard.processes or yard.processes[-1].poll() is not None:
            yard.work(f"worker {len(yard.processes)}", lease=0.3)
        return {each.state for each in yard.jobs()} == {State.DONE, State.DEAD}

    wait_until(is_over, seconds=60)
    (dead,) = [each for each in yard.jobs() if each.state is State.DEAD]
    assert (dead.kind, dead.failures, dead.error) == ("poison", 3, jobs.WORKER_LOST)
    assert [process.poll() for process in yard.processes[:3]] == [-signal.SIGKILL] * 3
    assert len(yard.effects()) == 3


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(yard: Yard) -> None:
    yard.enqueue("gated")
    yard.enqueue("once")
    first = yard.work("first")
    assert said(first) == "begun 1"
    first.send_signal(signal.SIGTERM)
    yard.gate.touch()
    assert first.wait(timeout=20) == 0
    assert yard.effects() == [(1, 1, "first")]
    assert [each.state for each in yard.jobs()] == [State.QUEUED, State.DONE]


def test_whenever_workers_are_killed_every_job_is_done_and_each_effect_is_there_once(yard: Yard) -> None:
    yard.enqueue("once", 60)
    yard.gate.mkdir()
    yard.enqueue("touch", 60)
    for number in range(6):
        process = yard.work(f"worker {number}", lease=0.5)
        done = len(yard.effects())
        wait_until(lambda so_far=done: len(yard.effects()) > so_far + 5 or len(yard.effects()) == 60)
        end(process)
    yard.work("last", lease=0.5)
    wait_until(lambda: yard.are_all(State.DONE), seconds=30)
    assert [job for job, _, _ in yard.effects()] == list(range(1, 61))
    assert len(list(yard.gate.iterdir())) == 60
