"""Immutable objects named by their SHA-256: Parquet objects of versions, and original uploads. Nothing here is ever changed in place.

An object that no manifest names is garbage. Whoever adopts objects holds the folder's lock shared until a manifest names them, so that
whoever holds it alone can tell garbage for sure.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from baybridge.catalog.manifest import ColumnStatistics, ManifestObject
from baybridge.data.sql import path_literal, quote
from baybridge.errors import Corrupt

ROWS_PER_OBJECT: Final = 1_000_000
_ROW_GROUP: Final = 122_880
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

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """Keep objects from being collected: they are adopted in this block, and named by a manifest before it ends."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def collect(self, named: Callable[[], frozenset[str]]) -> None:
        """Remove every file here that is not named, also what killed publications left. `named` is asked once nobody is adopting."""
        with self._locked(fcntl.LOCK_EX):
            self._collect(named())

    def collect_unless_adopting(self, named: Callable[[], frozenset[str]]) -> None:
        """Collect where nobody is adopting now, and do nothing where somebody is: no publication waits for it."""
        with contextlib.suppress(BlockingIOError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._collect(named())

    def _collect(self, kept: frozenset[str]) -> None:
        for folder in sorted(each for each in self._root.iterdir() if each.is_dir()):
            garbage = [path for path in sorted(folder.iterdir()) if path.name not in kept]
            for path in garbage:
                path.unlink()
            if garbage:
                sync(folder)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the folder's own lock, across processes; the kernel drops it when its holder dies."""
        folder = os.open(self._root, os.O_RDONLY)
        try:
            fcntl.flock(folder, how)  # BlockingIOError where it is not to be waited for
            yield
        finally:
            os.close(folder)

    def check(self, sha256: str) -> None:
        """Raise Corrupt unless the object is here and its bytes hash to its name."""
        if not self.path(sha256).exists() or hash_file(self.path(sha256))[0] != sha256:
            raise Corrupt("corrupt", f"Object {sha256[:12]} is missing or not what was written.")


def write_rows(staged: Path, objects: Objects, *, scratch: Path, memory_limit: str) -> tuple[ManifestObject, ...]:
    """Write the table `rows` of a staged DuckDB file as Parquet objects of at most 1,000,000 rows, in the table's order."""
    engine = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": memory_limit, "temp_directory": str(scratch)})
    try:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"ATTACH {path_literal(staged)} AS staged (READ_ONLY)")
        total = _count(engine, "SELECT count(*) FROM staged.rows")
        columns = [str(row[0]) for row in engine.execute("SELECT column_name FROM (DESCRIBE staged.rows)").fetchall()]
        starts = range(0, max(total, 1), ROWS_PER_OBJECT)
        return tuple(_write_slice(engine, objects, columns, start, scratch) for start in starts)
    finally:
        engine.close()


def _write_slice(engine: duckdb.DuckDBPyConnection, objects: Objects, columns: list[str], start: int, scratch: Path) -> ManifestObject:
    part = scratch / f"part-{start}.parquet"
    taken = f"(SELECT * FROM staged.rows WHERE rowid >= {start:d} AND rowid < {start + ROWS_PER_OBJECT:d})"
    engine.execute(f"COPY {taken} TO {path_literal(part)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})")
    statistics = ", ".join(f"count(*) - count({quote(name)}), min({quote(name)})::VARCHAR, max({quote(name)})::VARCHAR" for name in columns)
    rows = f"read_parquet({path_literal(part)}, hive_partitioning = false)"
    found = engine.execute(f"SELECT count(*), {statistics} FROM {rows}").fetchall()[0]
    stored = objects.adopt(part)
    return ManifestObject(
        sha256=stored.sha256,
        size=stored.size,
        rows=found[0],
        statistics=tuple(
            ColumnStatistics(name, found[1 + 3 * position], found[2 + 3 * position], found[3 + 3 * position])
            for position, name in enumerate(columns)
        ),
    )


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


def _count(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(engine.execute(query).fetchall()[0][0])


def sync(path: Path) -> None:
    """Return once the file's or folder's present content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
