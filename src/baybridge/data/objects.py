"""Immutable objects named by their SHA-256: Parquet objects of versions, and original uploads. Nothing here is ever changed in place.

An object that no manifest names is garbage. Whoever adopts objects holds the folder's lock shared until a manifest names them, so that
whoever holds it alone can tell garbage for sure.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from baybridge.errors import Corrupt

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """An object by its SHA-256 (hex) and size in bytes."""

    sha256: str
    size: int


class Objects:
    """The objects of one home, in folders by the first byte of their names."""

    def __init__(self, root: Path) -> None:
        """Touch nothing: the folder is made with the home."""
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where the object of that name is or would be."""
        return self._root / sha256[:2] / sha256

    def adopt(self, source: Path) -> Stored:
        """Move a finished file in under its SHA-256, durably: file and folders are synced before this returns.

        `source` is on the same file system. A file that is here already is kept, and the source removed.
        """
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

    @contextmanager
    def adopting(self) -> Iterator[None]:
        """Keep objects from being collected: they are adopted in this block, and named by a manifest before it ends."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def collect(self, named: Callable[[], frozenset[str]]) -> None:
        """Remove every file here that is not named, also what killed publications left. `named` is asked once nobody is adopting."""
        with self._locked(fcntl.LOCK_EX):
            kept = named()
            folders = [folder for folder in sorted(self._root.iterdir()) if folder.is_dir()]
            for folder in folders:
                garbage = [path for path in sorted(folder.iterdir()) if path.name not in kept]
                for path in garbage:
                    path.unlink()
                if garbage:
                    sync(folder)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the folder's own lock, across processes; the kernel drops it when its holder dies."""
        folder = os.open(self._root, os.O_RDONLY)
        try:
            fcntl.flock(folder, how)
            yield
        finally:
            os.close(folder)

    def check(self, sha256: str) -> None:
        """Raise Corrupt unless the object is here and its bytes hash to its name."""
        if not self.path(sha256).exists() or hash_file(self.path(sha256))[0] != sha256:
            raise Corrupt("corrupt", f"Object {sha256[:12]} is missing or not what was written.")


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
