"""Immutable objects named by their SHA-256: Parquet objects of versions, and original uploads. Nothing here is ever changed in place.

An object that no manifest names is garbage. Whoever adopts objects holds the turn shared until a manifest names them, so that whoever
holds it alone can tell garbage for sure. They are in a folder, here, or in a bucket (`data.bucket`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from baybridge.errors import Corrupt

_CHUNK: Final = 1 << 20
PROBE: Final = b"written and read back\n"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object by its SHA-256 (hex) and size in bytes."""

    sha256: str
    size: int


class Turn(Protocol):
    """Who may adopt and who may collect: many adopt at once, and whoever collects is alone, in all processes and on all hosts."""

    def shared(self) -> AbstractContextManager[None]:
        """Hold it with others who adopt."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold it alone, and wait for the others to end."""

    def alone_now(self) -> AbstractContextManager[None]:
        """Hold it alone. Raise BlockingIOError where somebody holds it."""


@dataclass(frozen=True, slots=True)
class FolderTurn:
    """The turn as a folder's own lock; the kernel drops it when its holder dies."""

    folder: Path

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it with others."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it alone."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def alone_now(self) -> Iterator[None]:
        """Hold it alone, without waiting."""
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, how)
            yield
        finally:
            os.close(folder)


class Objects(Protocol):
    """Where objects are. Every method may raise Unavailable (`objects_unreachable`) where they are on another machine."""

    def adopt(self, source: Path) -> Stored:
        """Move a finished file in under its SHA-256, durable when this returns. What is there already is kept; `source` is gone."""

    def adopting(self) -> AbstractContextManager[None]:
        """Keep objects from being collected: they are adopted in this block, and named by a manifest before it ends."""

    def collect(self, named: Callable[[], frozenset[str]]) -> None:
        """Remove everything that is not named, also what killed publications left. `named` is asked once nobody is adopting."""

    def collect_unless_adopting(self, named: Callable[[], frozenset[str]]) -> None:
        """Collect where nobody is adopting now, and do nothing where somebody is: no publication waits for it."""

    def fetch(self, names: Sequence[str], into: Path) -> tuple[Path, ...]:
        """Give files that hold these objects, in that order: where they are, or copies in the folder `into`, which is the caller's.

        Raise Corrupt for a copy that does not hash to its name.
        """

    def sizes(self) -> dict[str, int]:
        """The objects that are there, with their sizes in bytes."""

    def check(self, sha256: str) -> None:
        """Raise Corrupt unless the object is there and its bytes hash to its name."""

    def reach(self) -> None:
        """Raise OSError or Unavailable where objects cannot be read now."""

    def require_fit(self) -> None:
        """Raise Invalid (`settings_invalid`) for a store that could lose an object, or keep one that was deleted."""

    def probe(self) -> None:
        """Write something, read it back and remove it. Raise OSError or Unavailable where that fails, Corrupt where it differs."""

    def restored(self, sha256: str) -> str:
        """The command that brings this object back from a backup."""


class Folder:
    """The objects of one home, in folders by the first byte of their names."""

    def __init__(self, root: Path, turn: Turn) -> None:
        """Touch nothing: the folder is made with the home."""
        self._root = root
        self._turn = turn

    def path(self, sha256: str) -> Path:
        """Where the object of that name is or would be."""
        return self._root / sha256[:2] / sha256

    def adopt(self, source: Path) -> Stored:
        """Rename the file, which is on the same file system: file and folders are synced before this returns."""
        digest, size = hash_file(source)
        target = self.path(digest)
        if target.exists():
            source.unlink()
        else:
            target.parent.mkdir(exist_ok=True)
            sync(source)
            source.chmod(0o440)
            source.rename(target)
        sync(target.parent)  # also where the file was there: whoever put it there may have died before it was sure to stay
        sync(self._root)
        return Stored(digest, size)

    def adopting(self) -> AbstractContextManager[None]:
        """Hold the turn with others who adopt."""
        return self._turn.shared()

    def collect(self, named: Callable[[], frozenset[str]]) -> None:
        """Unlink every file that is not named, and sync its folder."""
        with self._turn.alone():
            self._collect(named())

    def collect_unless_adopting(self, named: Callable[[], frozenset[str]]) -> None:
        """The same, where nobody is adopting now."""
        with contextlib.suppress(BlockingIOError), self._turn.alone_now():
            self._collect(named())

    def _collect(self, kept: frozenset[str]) -> None:
        for folder in self._folders():
            garbage = [path for path in sorted(folder.iterdir()) if path.name not in kept]
            for path in garbage:
                path.unlink()
            if garbage:
                sync(folder)

    def fetch(self, names: Sequence[str], into: Path) -> tuple[Path, ...]:
        """The files themselves. They are not hashed: `check` does that, and the operator's `doctor` with it."""
        del into
        return tuple(self.path(name) for name in names)

    def sizes(self) -> dict[str, int]:
        """What the folders list."""
        return {path.name: path.stat().st_size for folder in self._folders() for path in folder.iterdir()}

    def check(self, sha256: str) -> None:
        """Hash the file again."""
        if not self.path(sha256).exists() or hash_file(self.path(sha256))[0] != sha256:
            raise not_written(sha256)

    def reach(self) -> None:
        """Look at the folder."""
        self._root.stat()

    def require_fit(self) -> None:
        """A folder is fit: it does what its file system does."""

    def probe(self) -> None:
        """Do it with a file that has no other name."""
        with tempfile.NamedTemporaryFile(dir=self._root, prefix="doctor-") as file:
            file.write(PROBE)
            file.flush()
            os.fsync(file.fileno())
            if Path(file.name).read_bytes() != PROBE:
                raise Corrupt("corrupt", "What was written is not what was read back.")

    def restored(self, sha256: str) -> str:
        """Copy the file."""
        path = self.path(sha256)
        return f"cp -p BACKUP/{path.relative_to(self._root.parent)} {path}"

    def _folders(self) -> list[Path]:
        return [folder for folder in sorted(self._root.iterdir()) if folder.is_dir()]


def not_written(sha256: str) -> Corrupt:
    """The error for an object that is missing, or whose bytes are not those of its name."""
    return Corrupt("corrupt", f"Object {sha256[:12]} is missing or not what was written.")


def spool(chunks: Iterable[bytes], target: Path) -> Stored:
    """Write a stream to a file, hashing on the way. The file is not durable until it is adopted."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return Stored(digest.hexdigest(), size)


def read_chunks(source: Path) -> Iterator[bytes]:
    """A file's bytes, a megabyte at a time."""
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file."""
    digest, size = hashlib.sha256(), 0
    for chunk in read_chunks(path):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def sync(path: Path) -> None:
    """Return once the file's or folder's present content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
