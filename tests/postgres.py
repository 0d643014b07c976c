"""A PostgreSQL of the tests' own: Debian's binaries, a folder and a socket of its own, and no port. One for each process of pytest.

Nothing here survives a power cut, and nothing needs to: what the tests ask of it is order, not durability.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from baybridge.db import Database
from baybridge.exchange import Exchange  # noqa: F401 -- every table of the catalog is declared

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "500",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "autovacuum": "off",
}
_TEMPLATE = "migrated"


def binaries() -> Path:
    """The newest of Debian's PostgreSQLs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is not installed; `make system` says how it is"
    return found[-1].parent


@dataclass
class Cluster:
    """A running server. It refuses to run as root, so there it runs as Debian's postgres."""

    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="bb-pg-", dir="/tmp")))
    numbers: count[int] = field(default_factory=count)
    process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.root, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(self.root / "data"), "-U", "baybridge", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        self.start()
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        database = Database(self.driver(_TEMPLATE))
        database.migrate()
        database.close()

    def start(self) -> None:
        chosen = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [str(binaries() / "postgres"), "-D", str(self.root / "data"), "-k", str(self.root), *chosen]
        log = (self.root / "log").open("ab")
        with log:
            self.process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **_as_owner())
        deadline = time.monotonic() + 30
        while subprocess.run([binaries() / "pg_isready", "-q", "-h", str(self.root)], check=False).returncode:
            assert time.monotonic() < deadline, (self.root / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End every session at once, as a crash does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def database(self, like: str = "") -> str:
        """The URL of a fresh catalog: migrated, or a copy of the one at a URL, which nobody has open."""
        name = f"catalog_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {name_of(like) if like else _TEMPLATE}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://baybridge@/{name}?host={self.root}"

    def driver(self, name: str) -> str:
        return self.url(name).replace("postgresql:", "postgresql+psycopg:", 1)

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name_of(url)} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        engine = sa.create_engine(self.driver("postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run([binaries() / command, *arguments], cwd="/", check=True, stdout=subprocess.DEVNULL, **_as_owner())


def name_of(url: str) -> str:
    found = re.search(r"/(catalog_[0-9]+)\?", url)
    assert found is not None
    return found[1]


def _as_owner() -> dict[str, object]:
    if os.getuid():
        return {}
    owner = pwd.getpwnam("postgres")
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
