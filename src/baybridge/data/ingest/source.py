"""Owns what every source of rows gives, whatever its format: names, a count of rows, text cells as SQL, and the rows that have no cells.

A source says what stands in the file; `profile` and `stage` say what it means. It changes no cell and drops no row unaccounted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import duckdb

from baybridge.data.ingest.lexical import RULES
from baybridge.terms.columns import ColumnType

LISTED: Final = 1_000
KEPT: Final = 100_000
"""So many reasons are kept; a report lists the first LISTED of them."""
VALUE_CHARACTERS: Final = 200
DEFAULT_MEMORY: Final = "1GB"
_THREADS: Final = 2


@dataclass(frozen=True, slots=True, order=True)
class Reject:
    """One reason why a row is not loaded. `row` counts the file's data rows from 1, blank lines not counted.

    `value` is the cell, or the line where the whole row is at fault, cut at 200 characters: show it to the provider only. `offset` is the
    byte of the file at which the row begins, or the byte at fault.
    """

    row: int
    column: str | None
    rule: str
    value: str | None
    offset: int | None = None

    @property
    def message(self) -> str:
        """What the rule asks for, without the value."""
        return RULES[self.rule]


@dataclass(frozen=True, slots=True)
class Ragged:
    """The rows that are not of the source's shape, and so have no cells: how many, and the first 100,000 of them in file order."""

    rows: int
    listed: tuple[Reject, ...]


class Source(Protocol):
    """A file that was read through once: proof that it is of its format.

    `rows` was counted by other means than those that `fill` reads with. `proposed` holds the types that the format itself proves, by name;
    the other columns are texts, whose types their cells prove. `has_null_words` is false for a format that has nulls of its own.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in file order."""

    @property
    def rows(self) -> int:
        """How many rows the file has, those without cells included."""

    @property
    def proposed(self) -> Mapping[str, ColumnType]:
        """The types that the format proves, by column; none for one whose cells are all texts."""

    @property
    def has_null_words(self) -> bool:
        """Whether words mean null; where not, a null cell is NULL."""

    def cells_sql(self) -> str:
        """A table expression whose columns are c0, c1, ... in the order of `names`, all text. `$path` is bound where it stands in it."""

    def content_sql(self) -> str:
        """An expression over those columns for a row's bytes of content, for its own check in `fill`; `NULL::BIGINT` without one."""

    def fill(self, connection: duckdb.DuckDBPyConnection, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
        """Run a CREATE TABLE ... AS over `cells_sql` and account for every row of the file.

        `counts` selects how many rows were read whole, and the sum of their content. Raise Corrupt where rows were lost.
        """


@contextmanager
def engine(database: str, *, scratch: Path, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that spills into `scratch`, in UTC, with no extension but those built in; close and tidy after."""
    with TemporaryDirectory(prefix="spill-", dir=scratch) as spill:
        config: dict[str, str | int | bool | float | list[str]] = {
            "threads": _THREADS,
            "memory_limit": memory_limit,
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(database, config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
