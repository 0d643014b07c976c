"""Extracts: the files made from one projection, the only thing that is ever served. Always rebuildable; never written after they are made.

The lock's file holds the digest of the manifest that the extract is made from: by it a purge finds what it must destroy.

When it was last read is the time of that file. By it extracts are collected: what nobody refers to or has read for long, and beyond the
disk budget the least recently read, but none that was read a moment ago.

An extract is made by a fresh CREATE TABLE AS in a fresh file, never by deleting, so that its statistics and free blocks know no
hidden value. Two requests for one extract share one build, also across processes (a lock by the extract's digest).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

import duckdb

from baybridge.data.masking import released_rows
from baybridge.data.objects import Objects, sync
from baybridge.data.sql import Sql, path_literal, predicate, quote
from baybridge.errors import Advice, Unavailable
from baybridge.policy.projection import Projection
from baybridge.terms.columns import ColumnType, Kind

BUILDER: Final = "1"
"""Goes into every extract's digest: raise it when the same projection is built differently."""

IN_USE: Final = timedelta(seconds=60)
"""Whoever has found an extract opens its file within this time; from then on the file stays readable even where it is removed."""

_UNREFERRED: Final = timedelta(days=1)
_UNREAD: Final = timedelta(days=30)
_BUILDS_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Extract:
    """An extract by its digest, and where its native DuckDB file is: one table `items` with `_row` and the released columns."""

    sha256: str
    path: Path


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is on the disk under one digest: from which manifest, finished or not, in bytes, and when it was last read."""

    digest: str
    manifest: str
    size: int
    read: float


class Extracts:
    """The extracts on this node's disk, within `budget` bytes."""

    def __init__(self, root: Path, objects: Objects, *, memory_limit: str, budget: int, clock: Callable[[], datetime]) -> None:
        """Start nothing yet; `close` waits for builds under way."""
        self._root = root
        self._objects = objects
        self._memory_limit = memory_limit
        self._budget = budget
        self._clock = clock
        self._builders = ThreadPoolExecutor(_BUILDS_AT_ONCE, thread_name_prefix="extract")
        self._building: dict[str, Future[Extract]] = {}
        self._lock = threading.Lock()

    def digest(self, projection: Projection) -> str:
        """The extract's name."""
        return projection.digest(builder=BUILDER)

    def find(self, projection: Projection, domain_key: Callable[[str], bytes], *, wait: float | None) -> Extract:
        """Give the extract of the projection, making it when it is not there.

        `domain_key` unwraps a pseudonym key by its id, only when the extract is made. Raise Unavailable (`extract_building`) after
        `wait` seconds (None: never); the build goes on, and a later request finds it.
        """
        digest = self.digest(projection)
        self._touch(digest)
        present = self._present(digest)
        if present is not None:
            return present
        with self._lock:
            build = self._building.get(digest)
            if build is None:
                build = self._builders.submit(self._make, digest, projection, domain_key)
                self._building[digest] = build
        try:
            return build.result(timeout=wait)
        except NotYet:
            raise Unavailable(
                "extract_building",
                "The extract for this agreement and version is being made.",
                advice=Advice(
                    rule="Only a finished extract is served.",
                    who_can_change="nobody needs to",
                    next_step="Send the same request again in a moment.",
                ),
                retry_after=2,
            ) from None

    def made_from(self, manifest_sha256: str) -> int:
        """How many extracts there are of that manifest."""
        return sum(self._present(lock.stem) is not None and lock.read_text() == manifest_sha256 for lock in self._root.glob("*.lock"))

    def drop_all_but(self, manifests: Callable[[], frozenset[str]]) -> None:
        """Remove each extract, finished or not, that was not made from one of these manifests. Waits for builds under way.

        Which they are is asked under each extract's lock: a version may have been published while a build was waited for.

        Every build has made its lock before it opened an object, so none escapes that began before the objects of its version went;
        one that begins after finds no objects.
        """
        for path in sorted(self._root.glob("*.lock")):
            with self._alone(path.stem) as lock:
                if lock.read() not in manifests():  # empty where its builder was killed at once, and a stranger's is not kept either
                    shutil.rmtree(self._root / path.stem, ignore_errors=True)
                    shutil.rmtree(self._root / f"{path.stem}.making", ignore_errors=True)
        sync(self._root)

    def is_present(self, projection: Projection) -> bool:
        """Whether the extract is there now."""
        return self._present(self.digest(projection)) is not None

    def collect(self, *, manifests: frozenset[str], referred: frozenset[str]) -> None:
        """Remove what was made from none of these manifests, what nobody has read for a month, or, where no agreement refers to it, a day.

        Then remove what dead builders left, and keep to the budget. Nothing is waited for: what is being made or read now is left.
        """
        now = self._clock().timestamp()
        for each in self._all():
            longest = _UNREAD if each.digest in referred else _UNREFERRED
            if each.manifest not in manifests or now - each.read > longest.total_seconds():
                self._remove(each)
            elif (self._root / f"{each.digest}.making").exists():
                self._remove_unfinished(each)
        self.shrink()

    def shrink(self, *, in_use: timedelta = IN_USE) -> None:
        """Keep to the budget: remove the least recently read, and none that was read within `in_use` or is being made."""
        found = sorted(self._all(), key=lambda each: each.read)
        size, unread_since = sum(each.size for each in found), self._clock().timestamp() - in_use.total_seconds()
        for each in found:
            if size <= self._budget or each.read > unread_since:
                return
            if self._remove(each):
                size -= each.size

    def close(self) -> None:
        """Wait for builds under way, and start no more."""
        self._builders.shutdown(wait=True, cancel_futures=True)

    def _present(self, digest: str) -> Extract | None:
        path = self._root / digest / "serve.duckdb"
        return Extract(digest, path) if path.exists() else None

    def _make(self, digest: str, projection: Projection, domain_key: Callable[[str], bytes]) -> Extract:
        try:
            with self._alone(digest) as lock:
                present = self._present(digest)
                if present is not None:
                    return present
                lock.truncate(0)
                lock.write(projection.manifest_sha256)
                lock.flush()
                made = self._build(digest, projection, domain_key)
            self.shrink()
            return made
        finally:
            with self._lock:
                del self._building[digest]

    @contextmanager
    def _alone(self, digest: str) -> Iterator[TextIO]:
        """Hold the digest's lock across processes; the kernel drops it when a builder dies."""
        while True:
            with (self._root / f"{digest}.lock").open("a+", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self._is_lock_of(digest, lock):  # else it was collected while it was waited for
                    lock.seek(0)
                    yield lock
                    return

    def _remove(self, found: _Kept) -> bool:
        """Remove all of a digest, its lock last, unless it is being made or was read since it was found."""
        return self._if_idle(found, self._unlink)

    def _remove_unfinished(self, found: _Kept) -> bool:
        """Remove what a dead builder left of a digest."""
        return self._if_idle(found, lambda digest: shutil.rmtree(self._root / f"{digest}.making", ignore_errors=True))

    def _if_idle(self, found: _Kept, remove: Callable[[str], None]) -> bool:
        with suppress(FileNotFoundError), (self._root / f"{found.digest}.lock").open("r+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_lock_of(found.digest, lock) and os.fstat(lock.fileno()).st_mtime == found.read:
                remove(found.digest)
                return True
        return False

    def _unlink(self, digest: str) -> None:
        """A reader sees the finished extract or none: it is renamed away before its file goes."""
        going = self._root / f"{digest}.making"
        shutil.rmtree(going, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self._root / digest).rename(going)
        shutil.rmtree(going, ignore_errors=True)
        (self._root / f"{digest}.lock").unlink()

    def _is_lock_of(self, digest: str, lock: TextIO) -> bool:
        try:
            return os.path.samestat(os.fstat(lock.fileno()), (self._root / f"{digest}.lock").stat())
        except FileNotFoundError:
            return False

    def _touch(self, digest: str) -> None:
        """Say that the extract is read now, before it is looked for: a collector that looks later keeps it."""
        with suppress(FileNotFoundError):
            os.utime(self._root / f"{digest}.lock")

    def _all(self) -> list[_Kept]:
        found = []
        for lock in self._root.glob("*.lock"):
            with suppress(FileNotFoundError):
                read = lock.stat().st_mtime
                size = _size(self._root / lock.stem) + _size(self._root / f"{lock.stem}.making")
                found.append(_Kept(lock.stem, lock.read_text("ascii"), size, read))
        return found

    def _build(self, digest: str, projection: Projection, domain_key: Callable[[str], bytes]) -> Extract:
        making = self._root / f"{digest}.making"
        shutil.rmtree(making, ignore_errors=True)  # what a killed builder left
        making.mkdir()
        try:
            _write(making, projection, self._objects, domain_key, memory_limit=self._memory_limit)
            making.rename(self._root / digest)
        finally:
            shutil.rmtree(making, ignore_errors=True)  # of a build that failed, what it had spilled holds hidden values
        return Extract(digest, self._root / digest / "serve.duckdb")


def _size(folder: Path) -> int:
    """The bytes of a folder's files, as far as they are still there while it is looked at."""
    size = 0
    with suppress(FileNotFoundError):
        for path in folder.rglob("*"):
            size += path.stat().st_size
    return size


def _write(making: Path, projection: Projection, objects: Objects, domain_key: Callable[[str], bytes], *, memory_limit: str) -> None:
    """Make the file in this folder, durably, and leave nothing beside it."""
    key = None if projection.domain_key is None else domain_key(projection.domain_key)
    spill, fetched = making / "spill", making / "fetched"
    fetched.mkdir()
    paths = [str(path) for path in objects.fetch(projection.objects, fetched)]
    engine = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": memory_limit, "temp_directory": str(spill)})
    try:
        _fill(engine, making / "serve.duckdb", projection, paths, key)
    finally:
        engine.close()
    shutil.rmtree(spill, ignore_errors=True)
    shutil.rmtree(fetched)
    sync(making / "serve.duckdb")


def _fill(engine: duckdb.DuckDBPyConnection, target: Path, projection: Projection, paths: list[str], key: bytes | None) -> None:
    """Write the projection's rows to a new DuckDB file, in the projection's order, numbered from 0 in `_row`."""
    engine.execute("SET GLOBAL TimeZone = 'UTC'")
    engine.execute(f"ATTACH {path_literal(target)} AS extract")
    # Without hive_partitioning = false a home in a folder `flight=9` would put 9 for every flight.
    kept = Sql("SELECT * FROM read_parquet(?, hive_partitioning = false)", (paths,))
    if projection.row_filter is not None:
        condition = predicate(projection.row_filter, projection.source)
        kept = Sql(f"{kept.text} WHERE {condition.text}", kept.parameters + condition.parameters)
    released = released_rows(engine, projection, kept, key)
    order = ", ".join(_placed(name, projection.types[name]) for name in projection.order)
    engine.execute(
        f"CREATE TABLE extract.items AS SELECT row_number() OVER () - 1 AS _row, * FROM (SELECT * FROM ({released.text}) ORDER BY {order})",
        list(released.parameters),
    )
    engine.execute("CHECKPOINT extract")
    engine.execute("DETACH extract")


def _placed(name: str, column: ColumnType) -> str:
    """One column of the order. The two zeros of a double compare equal and are not, so what stood before them must not decide."""
    ascending = f"{quote(name)} ASC NULLS LAST"
    if column.holds(Kind.DOUBLE) and column.is_nested:
        return f"{ascending}, {quote(name)}::VARCHAR DESC"
    return f"{ascending}, signbit({quote(name)}) DESC" if column.kind is Kind.DOUBLE else ascending
