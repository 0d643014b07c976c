"""Jobs as the operator meets them: listed, shown, run again and let go; the worker's command, and what the doctor says."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from conftest import FLIGHTS, World, make_world, serving, wait_until

from baybridge import jobs
from baybridge.cli.main import run
from baybridge.errors import Refused
from baybridge.jobs import JOBS, Job, State
from baybridge.principals.principal import LOCAL_OPERATOR


def bay(capfd: pytest.CaptureFixture[str], world: World, *arguments: str) -> tuple[int, dict[str, Any]]:
    capfd.readouterr()
    code = run([*arguments, "--home", str(world.root), "--json"])
    return code, json.loads(capfd.readouterr().out)


def change_all(world: World, **values: object) -> None:
    with world.exchange.database.write() as connection:
        connection.execute(sa.update(JOBS).values(**values))


def all_jobs(world: World) -> tuple[Job, ...]:
    return world.exchange.jobs.listing(LOCAL_OPERATOR, state=None, limit=100)


def test_a_dead_job_is_listed_shown_and_run_again(flights: World, capfd: pytest.CaptureFixture[str]) -> None:
    change_all(flights, state="dead", failures=4, error="Corrupt corrupt")
    code, listed = bay(capfd, flights, "jobs", "list", "--state", "dead")
    assert (code, listed["counts"]["dead"], [each["kind"] for each in listed["jobs"]]) == (0, 1, ["warm"])
    number = str(listed["jobs"][0]["number"])
    code, shown = bay(capfd, flights, "jobs", "show", number)
    assert (code, shown["error"], shown["payload"]) == (0, "Corrupt corrupt", {"dataset": "bts.flights"})
    assert run(["jobs", "list", "--home", str(flights.root)]) == 0
    assert run(["jobs", "show", number, "--home", str(flights.root)]) == 0
    assert f"baybridge jobs retry {number}" in capfd.readouterr().out
    code, retried = bay(capfd, flights, "jobs", "retry", number)
    assert (code, retried["state"], retried["failures"]) == (0, "queued", 0)
    assert bay(capfd, flights, "jobs", "retry", number)[0] == 8


def test_a_job_that_is_discarded_stays_so(flights: World, capfd: pytest.CaptureFixture[str]) -> None:
    number = str(all_jobs(flights)[0].number)
    assert bay(capfd, flights, "jobs", "discard", number)[1]["state"] == "discarded"
    assert bay(capfd, flights, "jobs", "discard", number)[0] == 8
    assert bay(capfd, flights, "jobs", "show", "999")[0] == 7


def test_jobs_are_the_operators(flights: World) -> None:
    admin, at = flights.person("bts", "admin"), flights.exchange.jobs
    for act in (lambda: at.listing(admin, state=None, limit=1), lambda: at.show(admin, 1), lambda: at.retry(admin, 1)):
        with pytest.raises(Refused):
            act()
    with pytest.raises(Refused):
        at.discard(admin, 1)


def test_the_doctor_says_what_is_dead_and_what_nobody_runs(flights: World, capfd: pytest.CaptureFixture[str]) -> None:
    def check() -> tuple[str, str]:
        checks = bay(capfd, flights, "doctor")[1]["checks"]
        (found,) = [each for each in checks if each["id"] == "jobs"]
        return found["state"], found["evidence"]

    change_all(flights, run_at=datetime.now(UTC))  # the home is a copy of one that may have been made a while ago
    assert check() == ("ok", "1 jobs wait, none is dead or late")
    change_all(flights, run_at=datetime.now(UTC) - timedelta(minutes=6))
    state, evidence = check()
    assert (state, evidence.split(" s,")[1]) == ("warn", " and no worker has taken it")
    change_all(flights, state="dead")
    assert check() == ("warn", "1 jobs are dead")


@pytest.mark.slow
def test_a_server_runs_jobs_unless_it_is_told_not_to(flights: World) -> None:
    with serving(flights.root, environment={"BAYBRIDGE_WORKER": "false"}), pytest.raises(AssertionError):
        wait_until(lambda: all_jobs(flights)[-1].state is State.DONE, seconds=2)
    with serving(flights.root):
        wait_until(lambda: all_jobs(flights)[-1].state is State.DONE)
        kinds = {each.rule.kind for each in flights.exchange.worker.kinds if each.rule.every is not None}
        wait_until(lambda: kinds <= {each.kind for each in all_jobs(flights) if each.attempt == 1})


@pytest.mark.slow
def test_a_worker_runs_the_jobs_of_a_home_that_nobody_serves_and_goes_when_it_is_told_to(flights: World) -> None:
    command = [sys.executable, "-m", "baybridge.cli.main", "worker", "--home", str(flights.root)]
    environment = {"PATH": os.environ["PATH"]}
    with serving(flights.root):
        refused = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (refused.returncode, "One process serves a home whose catalog is SQLite" in refused.stderr) == (8, True)
    flights.publish("bts.flights", FLIGHTS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("Working as ")
        wait_until(lambda: {each.state for each in all_jobs(flights) if each.kind == "warm"} == {State.DONE})
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0


@pytest.mark.slow
@pytest.mark.xdist_group("postgresql")
def test_on_postgresql_workers_run_beside_a_server_and_each_job_is_done_once(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", on_postgresql=True)
    command = [sys.executable, "-m", "baybridge.cli.main", "worker", "--home", str(world.root)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}) for _ in range(2)]
    try:
        with serving(world.root, environment={"BAYBRIDGE_WORKER": "false"}):
            assert all(each.stdout is not None and each.stdout.readline().startswith("Working as ") for each in workers)
            for number in range(20):
                world.publish(f"bts.set_{number}", b"number\n1\n")
            wait_until(lambda: {each.state for each in all_jobs(world) if each.kind == "warm"} == {State.DONE}, seconds=30)
        assert [each.attempt for each in all_jobs(world) if each.kind == "warm"] == [1] * 20
    finally:
        for each in workers:
            each.send_signal(signal.SIGTERM)
        assert [each.wait(timeout=20) for each in workers] == [0, 0]
        for each in workers:
            if each.stdout is not None:
                each.stdout.close()
        world.exchange.close()


def test_a_catalog_of_before_the_job_table_gets_the_ends_of_its_agreements(flights: World) -> None:
    flights.sign(flights.terms(start=(datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")))

    def expected() -> list[tuple[str, str, datetime]]:
        clock = [each for each in all_jobs(flights) if each.kind.startswith("agreement")]
        return sorted((each.kind, each.payload["agreement"], each.run_at) for each in clock)

    before = expected()
    assert [kind for kind, _, _ in before] == ["agreement_begins", "agreement_ends"]
    migration = importlib.import_module("baybridge.migrations.versions.r0013_jobs")
    with flights.exchange.database.write() as connection:
        connection.execute(sa.delete(JOBS))
        with Operations.context(MigrationContext.configure(connection)):
            migration._enqueue_ends(JOBS)
    assert expected() == before
    with flights.exchange.database.read() as connection:
        assert jobs.counts(connection, now=datetime.now(UTC)).states[State.QUEUED] == 2
