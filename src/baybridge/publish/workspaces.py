"""Workspaces: the folders in which uploads are staged. They hold cells, so each is gone when its publication ends, however it ends."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspaces:
    """The workspaces in one scratch folder.

    A living publication holds its folder's lock, which the kernel drops when it dies. Folders are made, swept and removed by one
    at a time: a sweep that met a folder on its way out would fail, or fail the other.
    """

    scratch: Path

    @contextmanager
    def one(self) -> Iterator[Path]:
        """A folder of one publication, gone when it ends; what killed publications have left goes first."""
        with self._turn():
            self._sweep()
            workspace = Path(tempfile.mkdtemp(prefix="publish-", dir=self.scratch))
            living = (workspace / "living").open("w")
            fcntl.flock(living, fcntl.LOCK_EX)
        try:
            yield workspace
        finally:
            with living, self._turn():
                shutil.rmtree(workspace)

    def sweep(self) -> None:
        """Remove what killed publications have left."""
        with self._turn():
            self._sweep()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only one among all processes who makes, sweeps or removes folders."""
        with (self.scratch / "lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def _sweep(self) -> None:
        for left in self.scratch.glob("publish-*"):
            with (left / "living").open("w") as living:
                try:
                    fcntl.flock(living, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(left)
