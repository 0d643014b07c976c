"""Owns the Parquet files that a staged upload becomes: a whole version's, or those that differ from the version before.

It runs in the process that reads the upload, and writes into its workspace alone: no file of a version is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from baybridge.catalog.dataset import Mode
from baybridge.catalog.manifest import ColumnStatistics
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.order import Changes, Part
from baybridge.data.sql import path_literal, quote
from baybridge.errors import Corrupt

ROWS_PER_OBJECT: Final = 1_000_000
_ROW_GROUP: Final = 122_880


@dataclass(frozen=True, slots=True)
class Written:
    """The places of the base's objects that stay as they are, the parts beside them, and what became of the rows."""

    kept: tuple[int, ...]
    parts: tuple[Part, ...]
    changes: Changes


@dataclass(frozen=True, slots=True)
class Press:
    """An engine with the staged rows attached as `staged.rows`, which writes into one folder."""

    engine: duckdb.DuckDBPyConnection
    folder: Path

    def replace(self) -> Written:
        """Write all staged rows: the version has no others."""
        parts = tuple(self._slices("staged.rows"))
        return Written((), parts, Changes(inserted=sum(part.rows for part in parts)))

    def append(self, base: Sequence[str]) -> Written:
        """Write the staged rows beside those of the base. Whoever stages them has refused keys that the base has."""
        parts = tuple(self._slices("staged.rows")) if self._count("SELECT count(*) FROM staged.rows") else ()
        return Written(tuple(range(len(base))), parts, Changes(inserted=sum(part.rows for part in parts)))

    def change(self, mode: Mode, base: Sequence[str], schema: Schema) -> Written:
        """Write the objects of the base anew whose rows the staged keys name, and for an upsert the rows whose keys none has."""
        named = ", ".join(quote(name) for name in schema.key)
        columns = ", ".join(quote(column.name) for column in schema.columns)
        self.engine.execute(f"CREATE TEMP TABLE met AS SELECT {named} FROM staged.rows LIMIT 0")
        kept, parts, gone = [], [], 0
        for place, path in enumerate(base):
            rows = f"read_parquet({path_literal(Path(path))}, hive_partitioning = false)"
            self.engine.execute(f"CREATE OR REPLACE TEMP TABLE here AS SELECT {named} FROM {rows} SEMI JOIN staged.rows USING ({named})")
            found = self._count("SELECT count(*) FROM here")
            if not found:
                kept.append(place)
                continue
            gone += found
            self.engine.execute("INSERT INTO met SELECT * FROM here")
            after = f"SELECT {columns} FROM {rows} ANTI JOIN staged.rows USING ({named})"
            if mode is Mode.UPSERT:
                after += f" UNION ALL SELECT {columns} FROM staged.rows SEMI JOIN here USING ({named})"
            parts.append(self._write(f"(SELECT * FROM ({after}) ORDER BY {named})", f"base-{place}"))
        loaded, matched = self._count("SELECT count(*) FROM staged.rows"), self._count("SELECT count(*) FROM met")
        if matched != gone or matched > loaded:
            raise Corrupt("corrupt", "The base has a key twice: its rows and the upload's do not balance.")
        if mode is Mode.DELETE:
            left = tuple(part for part in parts if part.rows)
            if not kept and not left:
                left = tuple(parts[:1])  # a version without rows has one object all the same: it says the columns
            return Written(tuple(kept), left, Changes(inserted=0, deleted=gone, unmatched=loaded - gone))
        if loaded > gone:
            self.engine.execute(
                f"CREATE TEMP TABLE fresh AS SELECT {columns} FROM staged.rows ANTI JOIN met USING ({named}) ORDER BY {named}"
            )
            parts += self._slices("fresh")
        return Written(tuple(kept), tuple(parts), Changes(inserted=loaded - gone, updated=gone))

    def _slices(self, table: str) -> Iterator[Part]:
        """A table in its order, at most 1,000,000 rows to a part, and one part where it has none."""
        total = self._count(f"SELECT count(*) FROM {table}")
        for start in range(0, max(total, 1), ROWS_PER_OBJECT):
            taken = f"(SELECT * FROM {table} WHERE rowid >= {start:d} AND rowid < {start + ROWS_PER_OBJECT:d})"
            yield self._write(taken, f"{table.removeprefix('staged.')}-{start}")

    def _write(self, rows: str, name: str) -> Part:
        part = self.folder / f"{name}.parquet"
        self.engine.execute(f"COPY {rows} TO {path_literal(part)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})")
        read = f"read_parquet({path_literal(part)}, hive_partitioning = false)"
        names = [str(row[0]) for row in self.engine.execute(f"SELECT column_name FROM (DESCRIBE FROM {read})").fetchall()]
        facts = ", ".join(f"count(*) - count({quote(each)}), min({quote(each)})::VARCHAR, max({quote(each)})::VARCHAR" for each in names)
        found = self.engine.execute(f"SELECT count(*), {facts} FROM {read}").fetchall()[0]
        statistics = (ColumnStatistics(each, *found[1 + 3 * place : 4 + 3 * place]) for place, each in enumerate(names))
        return Part(f"{self.folder.name}/{part.name}", found[0], tuple(statistics))

    def _count(self, query: str) -> int:
        return int(self.engine.execute(query).fetchall()[0][0])


@contextmanager
def press(staged: Path, folder: Path, *, memory_limit: str) -> Iterator[Press]:
    """Open a press on a staged DuckDB file."""
    engine = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": memory_limit, "temp_directory": str(folder / "spill")})
    try:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"ATTACH {path_literal(staged)} AS staged (READ_ONLY)")
        yield Press(engine, folder)
    finally:
        engine.close()
