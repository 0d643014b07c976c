"""The confined engine, for questions that we wrote: our own tree, identifiers from the projection's columns, values bound.

One in-memory instance per extract, with the extract attached read-only, then without external access and with its configuration
locked: whatever a question did, there is nothing else in the process's engine to reach.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb

from baybridge.data.extracts import Extract
from baybridge.data.sql import Sql, fetched, path_literal, predicate, quote
from baybridge.errors import Advice, BaybridgeError, Corrupt, Unavailable
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind

OLDER: Final = "older"
"""The name under which the second of two extracts is attached; the first is `extract`."""

_INSTANCES: Final = 32
_BATCH: Final = 128
_PAGE_CHARACTERS: Final = 4_000_000
_STREAM_BATCH_CHARACTERS: Final = 250_000
_STREAM_BATCH_ROWS: Final = 4096
_CONFINED: Final = {
    "enable_external_access": False,
    "lock_configuration": True,
    "temp_directory": "",
    "threads": 2,
    "preserve_insertion_order": True,  # rows that are not sorted come as they lie: in the order of `_row`
}


Rows: TypeAlias = "Generator[list[tuple[Any, ...]], None, None]"
"""Batches of rows as tuples in the question's column order."""


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
class Whole:
    """All rows of one extract that a question leaves: released columns, a filter, an order, and at most so many rows (None: all)."""

    columns: tuple[str, ...]
    row_filter: cql2.Filter | None
    sort: tuple[SortKey, ...]
    limit: int | None = None


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
        """Let `fire` interrupt what runs in this block; raise Unavailable (`query_limit`) when it did, or had before.

        Raise Corrupt where the extract cannot be read, and BaybridgeError (`internal`) where a question of ours is wrong.
        """
        with self._lock:
            self._interrupt = interrupt
        try:
            if self._fired.is_set():
                raise _stopped()
            yield
        except duckdb.InterruptException:
            raise _stopped() from None
        except duckdb.OutOfMemoryException:
            raise _too_large() from None
        except duckdb.IOException as damaged:  # its text names a file of ours, and no value
            raise Corrupt("corrupt", "An extract cannot be read; the operator deletes it, and it is made anew.") from damaged
        except duckdb.Error as failure:  # its text may hold a value, so neither it nor the failure goes on from here
            raise BaybridgeError("internal", f"The engine failed at a question of ours: {type(failure).__name__}.") from None
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

    def count(self, extract: Extract, types: Mapping[str, ColumnType], whole: Whole, stop: Stop) -> int:
        """How many rows `stream` will give: an extract never changes."""
        statement = count_sql(whole, types)
        with self._cursor(extract) as cursor, stop.watching(cursor.interrupt):
            found = cursor.execute(statement.text, list(statement.parameters)).fetchall()[0][0]
        return int(found) if whole.limit is None else min(int(found), whole.limit)

    def stream(self, extract: Extract, types: Mapping[str, ColumnType], whole: Whole, stop: Stop) -> Rows:
        """Give all rows, a batch at a time and none of them before it is asked for. Closing the iterator ends the question.

        A batch is a few hundred KB of text, whatever the rows' length, once the first has shown it.
        """
        statement = stream_sql(whole, types)
        released = [types[name] for name in whole.columns]
        size = _BATCH
        with self._cursor(extract) as cursor:
            with stop.watching(cursor.interrupt):
                result = cursor.execute(statement.text, list(statement.parameters))
                batch = result.fetchmany(size)
            while batch:
                yield _typed(batch, released)
                size = min(_STREAM_BATCH_ROWS, max(1, size * _STREAM_BATCH_CHARACTERS // (_characters(batch) + 16 * len(batch))))
                with stop.watching(cursor.interrupt):
                    batch = result.fetchmany(size)

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
        characters += _characters(batch)
        if characters > _PAGE_CHARACTERS:
            return Fetched(rows, more=bool(result.fetchmany(1)))
    return Fetched(rows, more=False)


def _characters(rows: list[tuple[Any, ...]]) -> int:
    return sum(len(value) for row in rows for value in row if isinstance(value, str)) + sum(
        len(str(value)) for row in rows for value in row if isinstance(value, dict | list)
    )


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


def stream_sql(whole: Whole, types: Mapping[str, ColumnType]) -> Sql:
    """All rows that the question leaves. Without a sort there is no ORDER BY: rows lie in their order, and sorting would hold them all."""
    where = _where(whole, types)
    selected = ", ".join(fetched(f"items.{quote(name)}", types[name]) for name in whole.columns)
    order = ", ".join(f"items.{quote(key.column)} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in whole.sort)
    return Sql(
        f"SELECT {selected} FROM extract.items AS items{where.text}"
        + (f" ORDER BY {order}, items._row ASC" if order else "")
        + ("" if whole.limit is None else f" LIMIT {whole.limit:d}"),
        where.parameters,
    )


def count_sql(whole: Whole, types: Mapping[str, ColumnType]) -> Sql:
    """How many rows the filter leaves."""
    where = _where(whole, types)
    return Sql(f"SELECT count(*) FROM extract.items AS items{where.text}", where.parameters)


def _where(whole: Whole, types: Mapping[str, ColumnType]) -> Sql:
    if whole.row_filter is None:
        return Sql("")
    condition = predicate(whole.row_filter, types)
    return Sql(f" WHERE {condition.text}", condition.parameters)


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
    """Give instants their zone back, and decimals as text: Python would write a small one as 1.2E-7."""
    printers = [(position, printed) for position, column in enumerate(types) if (printed := _printer(column)) is not None]
    if not printers:
        return rows
    typed = [list(row) for row in rows]
    for position, printed in printers:
        for row in typed:
            if row[position] is not None:
                row[position] = printed(row[position])
    return [tuple(row) for row in typed]


def _printer(column: ColumnType) -> Callable[[Any], object] | None:
    """What the driver's value is made into, inside structs and lists too; None where it stays what it is."""
    if not any(column.holds(kind) for kind in _PRINTERS):
        return None
    if column.element is not None:
        inner = _printer(column.element)
        return lambda values: [_printed(inner, value) for value in values]
    if column.fields:
        printers = {field.name: _printer(field.type) for field in column.fields}
        return lambda value: {name: _printed(printers[name], each) for name, each in value.items()}
    return _PRINTERS[column.kind]


def _printed(printer: Callable[[Any], object] | None, value: Any) -> object:
    return value if value is None or printer is None else printer(value)


_PRINTERS: Final[dict[Kind, Callable[[Any], object]]] = {
    Kind.TIMESTAMP: lambda instant: instant.replace(tzinfo=UTC),
    Kind.DECIMAL: lambda number: format(number, "f"),
}


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


def _too_large() -> Unavailable:
    return Unavailable(
        "query_limit",
        "The question needs more memory than the operator allows, and was stopped.",
        advice=Advice(
            rule="The questions on one extract share a bound of memory.",
            who_can_change="you, by asking for less, or the operator, by the setting engine_memory",
            next_step="Narrow the filter, or leave the sort out.",
        ),
        retry_after=1,
    )
