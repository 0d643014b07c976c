"""The demo: the whole story on real data, told in the terminal, with a check for each step. The steps are in `story.py`."""

from __future__ import annotations

import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NoReturn

import click

from baybridge.cli.printing import printable, write_private
from baybridge.cli.session import Session, json_option, server_part
from baybridge.errors import CODES, Advice, Conflict

_STOPPED = 143  # 128 and the number of SIGTERM
_TOKENS = "demo-tokens"


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the home in this folder, which is new or empty. [default: gone at the end]",
)
@json_option
def demo(session: Session, home: Path | None) -> None:
    """Tell the whole story on real data.

    Three agencies publish 2013's flights from New York, a fourth gets an agreement, reads, is refused and is revoked, and the log is
    verified. A real server runs meanwhile on a free port of this machine. Exit code 9 when a step did not hold.
    """
    if home is not None and home.exists() and any(home.iterdir()):
        raise Conflict(
            "conflict",
            f"{home} is not empty.",
            advice=Advice(rule="The demo makes its own home.", who_can_change="you", next_step="Name a new folder with --home."),
        )
    stopped = Event()

    def stop(*_: object) -> NoReturn:
        """SIGTERM ends the story through every `finally`, so that the server and the scratch folder end with it."""
        stopped.set()
        raise SystemExit(_STOPPED)

    def say(line: str) -> None:
        if stopped.is_set():  # an exit that was raised within a finalizer went nowhere
            raise SystemExit(_STOPPED)
        if not session.as_json:
            click.echo(printable(line))

    signal.signal(signal.SIGTERM, stop)
    with server_part():
        from baybridge.cli import story  # noqa: PLC0415 -- the light client has no server to import
    with _place(home) as root:
        told = story.tell(root, say=say)
        shape = {
            "home": str(root),
            "tokens": told.tokens,
            "datasets": told.datasets,
            "agreements": told.agreements,
            "checks": told.checks,
        }
        failed = [each for each in told.checks if not each.ok]
        if home is not None:
            _keep_tokens(root, told.tokens)
        session.show(shape, _ending(home, len(told.checks), len(failed)))
    if failed:
        click.get_current_context().exit(CODES["checks_failed"].exit_code)


@contextmanager
def _place(home: Path | None) -> Iterator[Path]:
    """The home's folder: the one that was named, else one that is gone at the end."""
    if home is not None:
        yield home.absolute()
        return
    scratch = Path(tempfile.mkdtemp(prefix="baybridge-demo-"))
    try:
        yield scratch / "home"
    finally:
        shutil.rmtree(scratch)


def _keep_tokens(root: Path, tokens: dict[str, str]) -> None:
    """One file each, mode 600, as --token-file takes them."""
    (root / _TOKENS).mkdir(mode=0o700, exist_ok=True)
    for name, token in tokens.items():
        write_private(root / _TOKENS / name, token + "\n")


def _ending(home: Path | None, checks: int, failed: int) -> Iterator[str]:
    yield ""
    yield f"{checks - failed} of {checks} checks held." if failed else f"All {checks} checks held."
    if home is None:
        yield "To keep the home and serve it:"
        yield "  baybridge demo --home DIR"
        yield "  baybridge serve --home DIR"
        return
    folder = shlex.quote(str(home))
    yield "To serve it:"
    yield f"  baybridge serve --home {folder} --port 8080"
    yield "and, in another terminal, to read as the analyst:"
    yield f"  baybridge get bts.flights --limit 5 --token-file {folder}/{_TOKENS}/analyst"
    yield f'  curl -H "Authorization: Bearer $(cat {folder}/{_TOKENS}/analyst)" "http://127.0.0.1:8080/api/v1/collections/bts.flights/items?limit=5"'
