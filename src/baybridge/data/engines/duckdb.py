"""The confined engine, for questions that we wrote: our own tree, identifiers from the projection's columns, values bound.

One in-memory instance per extract, with the extract attached read-only, then without external access and with its configuration
locked: whatever a question did, there is nothing else in the process's engine to reach.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from baybridge.data.extracts import Extract
from baybridge.data.sql import Sql, fetched, path_literal, predicate, quote
from baybridge.errors import Advice, Corrupt, Unavailable
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind

OLDER: Final = "older"
"""The name under which the second of two extracts is attached; the first is `extract`."""

_INSTANCES: Final = 32
_BATCH: Final = 128
_PAGE_CHARACTERS: Final = 4_000_000
_CONFINED: Final = {"enable_external_access": False, "lock_configuration": True, "temp_directory": "", "threads": 2}


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column to sort by. Nulls come last in both directions; ties are broken by `_row`."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A page of one extract: released columns, a filter, an order, a size, and the `_row` after which it begins in that order."""

    columns: tuple[str, ...]
    row_filter: cql2.Filter | None
    sort: tuple[SortKey, ...]
    limit: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as tuples in the question's column order, and the `_row` of the last one when more follow."""

    rows: Sequence[tuple[Any, ...]]
    next: int | None


@dataclass(slots=True)
class Stop:
    """Stops a running question from another thread: at its time limit, or when the client has left."""

    _fired: threading.Event = field(default_factory=threading.Event)
    _interrupt: Callable[[], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fire(self) -> None:
        """Interrupt what runs now; safe to call again, which a question that was just starting needs."""
        self._fired.set()
        with self._lock:  # nothing is interrupted after its block has ended: its cursor is closed by then
            if self._interrupt is not None:
                self._interrupt()

    @contextmanager
    def watching(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Let `fire` interrupt what runs in this block; raise Unavailable (`query_limit`) when it did, or had before."""
        with self._lock:
            self._interrupt = interrupt
        try:
            if self._fired.is_set():
                raise _stopped()
            yield
        except duckdb.InterruptException:
            raise _stopped() from None
        finally:
            with self._lock:
                self._interrupt = None


class Engine:
    """A pool of instances, the least recently used closed first. Safe to use from many threads."""

    def __init__(self, *, memory_limit: str) -> None:
        """Open nothing yet."""
        self._memory_limit = memory_limit
        self._instances: OrderedDict[str, _Instance] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, extract: Extract, types: Mapping[str, ColumnType], question: Question, stop: Stop) -> Page:
        """Answer a question. `types` are the extract's released columns; the question names no other (KeyError)."""
        statement = page_sql(question, types)
        with self._cursor(extract) as cursor, stop.watching(cursor.interrupt):
            fetched = _fetch(cursor.execute(statement.text, list(statement.parameters)))
        kept = fetched.rows[: question.limit]
        rows = _typed([row[:-1] for row in kept], [types[name] for name in question.columns])
        return Page(rows, kept[-1][-1] if fetched.more or len(fetched.rows) > question.limit else None)

    def rows(self, extracts: tuple[Extract, ...], statement: Sql, types: Sequence[ColumnType], stop: Stop) -> Fetched:
        """Run a statement that we wrote over one or two extracts. `types` are those of what it selects."""
        with self._cursor(*extracts) as cursor, stop.watching(cursor.interrupt):
            found = _fetch(cursor.execute(statement.text, list(statement.parameters)))
        return Fetched(_typed(found.rows, list(types)), more=found.more)

    def close_missing(self) -> None:
        """Close every instance whose file is no longer there: at once, or when its last question has ended."""
        with self._lock:
            for digest in [each for each, instance in self._instances.items() if not all(path.exists() for path in instance.paths)]:
                instance = self._instances.pop(digest)
                instance.dropped = True
                if not instance.users:
                    instance.connection.close()

    def close(self) -> None:
        """Close every instance."""
        with self._lock:
            for instance in self._instances.values():
                instance.connection.close()
            self._instances.clear()

    @contextmanager
    def _cursor(self, *extracts: Extract) -> Iterator[duckdb.DuckDBPyConnection]:
        name = "-".join(extract.sha256 for extract in extracts)
        with self._lock:
            instance = self._instances.get(name)
            if instance is None:
                instance = _Instance(_confined(extracts, self._memory_limit), tuple(extract.path for extract in extracts))
                self._instances[name] = instance
            self._instances.move_to_end(name)
            instance.users += 1
            cursor = instance.connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()
            with self._lock:
                instance.users -= 1
                if instance.dropped and not instance.users:
                    instance.connection.close()
                self._close_idle()

    def _close_idle(self) -> None:
        for digest in list(self._instances):
            if len(self._instances) <= _INSTANCES:
                return
            if not self._instances[digest].users:
                self._instances.pop(digest).connection.close()


@dataclass(slots=True)
class _Instance:
    connection: duckdb.DuckDBPyConnection
    paths: tuple[Path, ...]
    users: int = 0
    dropped: bool = False


def _confined(extracts: tuple[Extract, ...], memory_limit: str) -> duckdb.DuckDBPyConnection:
    """Attach, lock, and read the settings back: an instance that is not confined is never handed out."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 2,
            "async_threads": 0,
            "memory_limit": memory_limit,
            "temp_directory": "",
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    for name, extract in zip(("extract", OLDER), extracts, strict=False):
        connection.execute(f"ATTACH {path_literal(extract.path)} AS {name} (READ_ONLY)")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    for setting, wanted in _CONFINED.items():
        if connection.execute("SELECT current_setting(?)", [setting]).fetchall()[0][0] != wanted:
            connection.close()
            raise Corrupt("corrupt", f"The engine's setting {setting} did not take; nothing is served from it.")
    return connection


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows, and whether the bound of an answer's text cut them short."""

    rows: list[tuple[Any, ...]]
    more: bool


def _fetch(result: duckdb.DuckDBPyConnection) -> Fetched:
    """Rows up to the bound of a page's text, then no more: a page of long cells is cut early, and goes on by its cursor."""
    rows: list[tuple[Any, ...]] = []
    characters = 0
    while batch := result.fetchmany(_BATCH):
        rows += batch
        characters += sum(len(value) for row in batch for value in row if isinstance(value, str))
        if characters > _PAGE_CHARACTERS:
            return Fetched(rows, more=bool(result.fetchmany(1)))
    return Fetched(rows, more=False)


def page_sql(question: Question, types: Mapping[str, ColumnType]) -> Sql:
    """The question as SQL over `extract.items`, one row longer than its limit so that the last page is known as such."""
    selected = ", ".join([*(fetched(f"items.{quote(name)}", types[name]) for name in question.columns), "items._row"])
    source = Sql("extract.items AS items", ())
    conditions: list[Sql] = []
    if question.row_filter is not None:
        conditions.append(predicate(question.row_filter, types))
    if question.row_filter is None and not question.sort:
        conditions.append(_stretch(question))
    elif question.after is not None:
        source = _with_last_row(question.sort, question.after)
        conditions.append(_after(question.sort))
    where = " AND ".join(f"({condition.text})" for condition in conditions)
    order = "".join(f"items.{quote(key.column)} {'DESC' if key.descending else 'ASC'} NULLS LAST, " for key in question.sort)
    return Sql(
        f"SELECT {selected} FROM {source.text}"
        + (f" WHERE {where}" if where else "")
        + f" ORDER BY {order}items._row ASC LIMIT {question.limit + 1:d}",
        source.parameters + tuple(parameter for condition in conditions for parameter in condition.parameters),
    )


def _stretch(question: Question) -> Sql:
    """Rows in their own order, without a filter, are a stretch of the dense `_row`: the engine reads it and nothing else."""
    first = 0 if question.after is None else question.after + 1
    return Sql("_row >= ? AND _row < ?", (first, first + question.limit + 1))


def _with_last_row(sort: tuple[SortKey, ...], row: int) -> Sql:
    """The rows beside the last one of the page before: a cursor carries only its `_row`, so no value ever stands in an address."""
    values = "".join(f", {quote(key.column)} AS {_last(position)}" for position, key in enumerate(sort))
    return Sql(
        f"extract.items AS items, (SELECT _row AS _baybridge_last_row{values} FROM extract.items WHERE _row = ?) AS last",
        (row,),
    )


def _after(sort: tuple[SortKey, ...]) -> Sql:
    """Rows that stand after the last: some sort column is further on while all before it are equal, or all are and `_row` is.

    Null stands last in both directions, so null is after every value and nothing is after null.
    """
    alternatives: list[str] = []
    equal = ""
    for position, key in enumerate(sort):
        column, last = f"items.{quote(key.column)}", f"last.{_last(position)}"
        further = f"({column} {'<' if key.descending else '>'} {last} OR ({column} IS NULL AND {last} IS NOT NULL))"
        alternatives.append(f"({equal}{further})")
        equal += f"{column} IS NOT DISTINCT FROM {last} AND "
    alternatives.append(f"({equal}items._row > last._baybridge_last_row)")
    return Sql(" OR ".join(alternatives), ())


def _last(position: int) -> str:
    """A name that no column has: schemas refuse this prefix."""
    return f"_baybridge_last_{position}"


def _typed(rows: list[tuple[Any, ...]], types: list[ColumnType]) -> list[tuple[Any, ...]]:
    """Give instants their zone back."""
    instants = [position for position, column in enumerate(types) if column.kind is Kind.TIMESTAMP]
    if not instants:
        return rows
    typed = [list(row) for row in rows]
    for row in typed:
        for position in instants:
            value = row[position]
            row[position] = value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
    return [tuple(row) for row in typed]


def _stopped() -> Unavailable:
    return Unavailable(
        "query_limit",
        "The question ran into its time limit and was stopped.",
        advice=Advice(
            rule="A question may take only so long.",
            who_can_change="you, by asking for less, or the operator, who sets the limit",
            next_step="Narrow the filter, or sort by fewer columns.",
        ),
        retry_after=1,
    )
