"""The demo's server: `baybridge serve` as a child process of its own, stopped with SIGTERM, and never left behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from baybridge.errors import Unavailable

_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 20


@contextmanager
def running_server(root: Path) -> Iterator[str]:
    """Serve the home on a free port for the block, and give the address. Raise Unavailable where it does not start or does not end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BAYBRIDGE_")}
    command = [sys.executable, "-m", "baybridge.cli.main", "serve", "--home", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:  # noqa: S603 -- our own command
        try:
            yield _address(process)
        finally:
            _stop(process)
    if process.returncode:
        raise Unavailable("unreachable", f"The server ended with exit code {process.returncode}.")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    if process.stdout is not None and select.select([process.stdout], [], [], _START_SECONDS)[0]:
        line = process.stdout.readline()
        if "http://" in line:
            return line[line.index("http://") :].strip()
    raise Unavailable("unreachable", f"The server did not start within {_START_SECONDS} seconds.")
