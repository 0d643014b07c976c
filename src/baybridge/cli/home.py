"""A home: made, served, and its settings shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Session, home_option, json_option, server_part
from baybridge.errors import CODES

if TYPE_CHECKING:
    from baybridge.operate.doctor import Check

_DEFAULT_ORIGIN: Final = "baybridge.localhost"


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--origin", default=_DEFAULT_ORIGIN, show_default=True, help="The name that the logs are known by for good, usually the host's."
)
@click.option("--catalog", default="", help="A PostgreSQL database, as postgresql://USER@HOST/NAME, in the place of SQLite in the home.")
@json_option
def init(session: Session, directory: Path, origin: str, catalog: str) -> None:
    """Make a home in DIRECTORY.

    It holds catalog, objects, extracts, and signing keys with mode 600. With a catalog on PostgreSQL it is one node of several: copy
    the folder keys of the first node into DIRECTORY before you make the next.
    """
    with server_part():
        from baybridge.cli import local  # noqa: PLC0415 -- the light client has no server to import
    local.make_home(directory, origin=origin, catalog=catalog)
    session.show(
        {"home": str(directory.absolute()), "origin": origin}, [f"Made a home in {directory}; its logs are known as {origin}/audit/..."]
    )
    session.note(f"next: baybridge org add NAME --home {directory}")


@click.command()
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on; 0 takes a free one.")
@click.option("--no-worker", is_flag=True, help="Run no jobs here: leave them to `baybridge worker`.")
@home_option
def serve(session: Session, *, host: str | None, port: int | None, no_worker: bool) -> None:
    """Serve a home until SIGTERM or SIGINT."""
    session.require_home()
    signal.signal(signal.SIGTERM, _stop)
    with session.local({"host": host, "port": port, "worker": False if no_worker else None}) as operator:
        operator.serve(lambda at, taken: _say_where(session, at, taken))


@click.command()
@home_option
def settings(session: Session) -> None:
    """Show every setting of a home, and its origin.

    A setting comes from a flag of `serve`, else BAYBRIDGE_NAME, else baybridge.toml, else its default.
    """
    root = session.require_home()
    with server_part():
        from baybridge.cli import local  # noqa: PLC0415 -- the light client has no server to import
    listed = local.listed_settings(root)
    shape = {"settings": [{"name": each.name, "value": each.value, "origin": each.origin, "doc": each.doc} for each in listed]}
    session.show(shape, table(["name", "value", "from", "what"], [[each.name, str(each.value), each.origin, each.doc] for each in listed]))


@click.command()
@click.option("--url", help="Look at the server at this address too.")
@home_option
def doctor(session: Session, url: str | None) -> None:
    """Look at every part of a home, and say what mends what is not well. It changes nothing.

    Exit code 9 when a check fails; a warning alone is no failure. The objects of a sample are hashed again, and every entry of each log.
    """
    root = session.require_home()
    with server_part():
        from baybridge.cli import local  # noqa: PLC0415 -- the light client has no server to import
    checks = local.examined(root, url)
    failed = sum(each.state == "fail" for each in checks)
    session.show({"ok": not failed, "checks": checks}, (line for each in checks for line in _check_lines(each)))
    if failed:
        session.note(f"{failed} of {len(checks)} checks failed.")
        click.get_current_context().exit(CODES["checks_failed"].exit_code)


def _check_lines(check: Check) -> Iterator[str]:
    yield f"{check.state:<4}  {check.id}: {check.evidence}"
    if check.fix is not None:
        yield f"        try:   {check.fix}"
        yield f"        docs:  {check.docs}"


@click.command()
@click.option("--who", required=True, help="Who put the older state back. It is kept beside the log, not in it.")
@click.option("--reason", required=True, help="Why. It is kept beside the log, not in it.")
@home_option
def restore(session: Session, who: str, reason: str) -> None:
    """Say in every log of a home that the home was set back in time, so that it may serve again.

    It is for a home that stops with log_set_back. The entry names what was lost, and is signed.
    """
    with session.local() as operator:
        lost = operator.restore_home(who=who, reason=reason)
    session.show({"lost": lost}, [f"Entered: {each['lost']}." for each in lost])


def _say_where(session: Session, host: str, port: int) -> None:
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    session.show({"url": url}, [f"Serving {url}"])


def _stop(*_: object) -> NoReturn:
    """SIGTERM ends the process through every `finally`; the server itself has by then finished what was under way."""
    raise SystemExit(0)
