"""The processes of the storm: servers and workers on one catalog, each killed at any time and started again at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 90


@dataclass
class Member:
    """`baybridge serve` or `baybridge worker` on a home. What it says goes to a file. `url` is None while it does not serve."""

    name: str
    root: Path
    said: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    url: str | None = None
    starts: int = 0

    @property
    def serves(self) -> bool:
        return self.name.startswith("server")

    def start(self) -> None:
        """Start it until it has started: while the catalog or the store is away it ends by itself, and says why."""
        deadline = time.monotonic() + START_SECONDS
        while not self._has_started():
            assert time.monotonic() < deadline, self.said.read_text()[-4000:]
            time.sleep(0.2)

    def kill(self) -> None:
        self.url = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """End it as an operator does."""
        self.url = None
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def _has_started(self) -> bool:
        before = self.said.stat().st_size if self.said.exists() else 0
        command = ["serve", "--port", "0", "--no-worker"] if self.serves else ["worker"]
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "baybridge.cli.main", *command, "--home", str(self.root)],
                stdout=said,
                stderr=said,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **self.environment},
            )
        while self.process.poll() is None:
            for line in self.said.read_bytes()[before:].decode().splitlines(keepends=True):
                if line.endswith("\n") and line.startswith("Serving" if self.serves else "Working"):
                    self.url = line[line.index("http://") :].strip() if self.serves else None
                    self.starts += 1
                    return True
            time.sleep(0.02)
        return False


@dataclass
class Swarm:
    """All of them, and what is done to them."""

    members: list[Member]
    chance: random.Random
    kills: int = 0
    freezes: int = 0
    _starting: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "starting"))
    _restarts: list[object] = field(default_factory=list)
    _down: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        for running in [self._starting.submit(member.start) for member in self.members]:
            running.result()

    def living(self) -> dict[str, str]:
        """The servers that serve now, by name."""
        return {member.name: member.url for member in self.members if member.url is not None}

    def kill_one(self) -> None:
        """Kill a process, whichever, and start it again at once."""
        with self._lock:
            member = self.chance.choice([each for each in self.members if each.name not in self._down])
            self._down.add(member.name)
            self.kills += 1
            member.kill()
            self._restarts.append(self._starting.submit(self._start_again, member))

    def freeze_a_worker(self, seconds: float) -> None:
        """Let a worker stand still for so long, in the middle of whatever it does, and then go on."""
        with self._lock:
            found = [each for each in self.members if not each.serves and each.name not in self._down]
            if not found:
                return
            member = self.chance.choice(found)
            self._down.add(member.name)
            self.freezes += 1
            self._restarts.append(self._starting.submit(self._thaw, member, seconds))

    def settle(self) -> None:
        """Wait until all that were killed have started, and see that no other has ended."""
        for running in self._restarts:
            running.result(timeout=START_SECONDS)  # type: ignore[attr-defined] -- what a thread pool gives back
        for member in self.members:
            assert member.process is not None
            assert member.process.poll() is None, f"{member.name} has ended: {member.said.read_text()[-4000:]}"

    def end(self) -> None:
        self._starting.shutdown(wait=True)
        for member in self.members:
            member.kill()

    def _start_again(self, member: Member) -> None:
        member.start()
        with self._lock:
            self._down.discard(member.name)

    def _thaw(self, member: Member, seconds: float) -> None:
        assert member.process is not None
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.process.send_signal(signal.SIGCONT)
        with self._lock:
            self._down.discard(member.name)
