"""`jobs`: what an exchange does beside the requests, as its operator sees it; and `worker`, which does it apart from the server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Final, NoReturn

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Session, home_option
from baybridge.wire.jobs import JobShape, JobsShape

_STATES: Final = ("queued", "running", "done", "dead", "discarded")


@click.command()
@home_option
def worker(session: Session) -> None:
    """Run the jobs of a home until SIGTERM or SIGINT, apart from its servers.

    It is for a catalog on PostgreSQL. On SQLite one process has the home: `serve` runs the jobs there.
    """
    session.require_home()
    signal.signal(signal.SIGTERM, _stop)
    with session.local() as operator:
        operator.work(lambda name: session.show({"worker": name}, [f"Working as {name}"]))


@click.group()
def jobs() -> None:
    """Jobs: what waits, what runs, what is dead, and what becomes of that."""


@jobs.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(min=1, max=1000), default=50, show_default=True, help="At most so many, the newest first.")
@home_option
def list_jobs(session: Session, *, state: str | None, limit: int) -> None:
    """Show jobs, the newest first, and how many there are in each state."""
    with session.local() as operator:
        found = operator.jobs(state, limit)
    session.show(found, _lines(found))


@jobs.command("show")
@click.argument("number", type=click.IntRange(min=1))
@home_option
def show_job(session: Session, number: int) -> None:
    """Show the job with this NUMBER."""
    with session.local() as operator:
        _show(session, operator.job(number))


@jobs.command("retry")
@click.argument("number", type=click.IntRange(min=1))
@home_option
def retry_job(session: Session, number: int) -> None:
    """Let the dead job with this NUMBER run again, with all its tries."""
    with session.local() as operator:
        _show(session, operator.retry_job(number))


@jobs.command("discard")
@click.argument("number", type=click.IntRange(min=1))
@home_option
def discard_job(session: Session, number: int) -> None:
    """Let the job with this NUMBER, which waits or is dead, never run."""
    with session.local() as operator:
        _show(session, operator.discard_job(number))


def _show(session: Session, job: JobShape) -> None:
    session.show(job, _job_lines(job))


def _lines(found: JobsShape) -> Iterator[str]:
    rows = [[each.number, each.kind, _about(each), each.state, each.run_at, each.failures, each.error or ""] for each in found.jobs]
    yield from table(["number", "kind", "about", "state", "due", "failures", "error"], rows)
    yield ", ".join(f"{number} {state}" for state, number in found.counts.items()) + f"; the longest due waits {found.lag_seconds:.0f} s"


def _job_lines(job: JobShape) -> Iterator[str]:
    yield f"job {job.number}: {job.kind} {_about(job)}".rstrip()
    yield f"  {job.state}, due {job.run_at}, attempt {job.attempt}, {job.failures} failures"
    if job.error is not None:
        yield f"  last failure: {job.error}"
    if job.worker is not None:
        yield f"  in the hands of {job.worker} until {job.lease_until}"
    if job.state == "dead":
        yield f"  run it again: baybridge jobs retry {job.number}"


def _about(job: JobShape) -> str:
    return " ".join(job.payload.values())


def _stop(*_: object) -> NoReturn:
    """SIGTERM ends the process through every `finally`: the jobs at hand are finished or given back."""
    raise SystemExit(0)
