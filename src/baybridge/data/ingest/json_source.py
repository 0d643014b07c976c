"""Owns how a file of JSON objects becomes text cells: each number the digits that stand there, each struct and list its JSON text.

It changes no value and drops no record unaccounted: a record that is no object of declared names and JSON types has no cells and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import duckdb
import msgspec

from baybridge.catalog.schema import Schema
from baybridge.data.ingest.json_elements import unreadable
from baybridge.data.ingest.json_types import Seen
from baybridge.data.ingest.nested import Digits, read_json, text_of, written
from baybridge.data.ingest.records import MAX_RECORD
from baybridge.data.ingest.source import KEPT, VALUE_CHARACTERS, Ragged, Reject
from baybridge.errors import Corrupt
from baybridge.terms.columns import ColumnType

_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A source whose cells stand in `cells`, a file of one list of texts and nulls a line; `ragged` are the records that it lacks."""

    cells: Path
    names: tuple[str, ...]
    rows: int
    proposed: Mapping[str, ColumnType]
    ragged: Ragged
    has_null_words: bool = False

    def cells_sql(self) -> str:
        """The cells as columns; a record that came before a name was first seen has a null there."""
        columns = ", ".join(f"cells[{place}] AS c{place - 1}" for place in range(1, len(self.names) + 1))
        read = (
            "read_json($path, format = 'newline_delimited', records = false, columns = {cells: 'VARCHAR[]'},"
            f" maximum_object_size = {2 * MAX_RECORD})"
        )
        return f"(SELECT {columns} FROM {read})"

    def content_sql(self) -> str:
        """None: JSON is read here, and the engine reads what was written of it."""
        return "NULL::BIGINT"

    def fill(self, connection: duckdb.DuckDBPyConnection, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
        """Run the statement; raise Corrupt where the engine reads another number of records than were written."""
        connection.execute(statement, {"path": str(self.cells), **values})
        whole = connection.execute(counts).fetchall()[0][0]
        if whole + self.ragged.rows != self.rows:
            raise Corrupt(
                "corrupt", f"Of {self.rows:,} records, {whole:,} were read and {self.ragged.rows:,} refused: they do not balance."
            )
        return self.ragged


def read_json_source(
    records: Iterator[bytes], schema: Schema | None, *, scratch: Path, whole: bool, names: tuple[str, ...] = ()
) -> JsonSource:
    """Read all records, held against the schema where there is one. `whole` says that one broken record breaks the file.

    `names` are those of a file whose records have none.

    Raise Invalid (`file_unreadable`) where the first record is no object, or there is none to learn the names from.
    """
    reader = _Reader(schema, whole)
    target = Path(mkdtemp(prefix="cells-", dir=scratch)) / "cells.ndjson"
    with target.open("wb") as file:
        for record in records:
            cells = reader.cells(record)
            if cells is not None:
                file.write(_ENCODER.encode(cells) + b"\n")
    names = (tuple(reader.seen.fields) or names) if schema is None else tuple(schema.types)
    if not names:
        raise unreadable("No object in the file has a name", "Send at least one object, or declare a schema.")
    proposed = {} if schema is not None else {name: seen.type() for name, seen in reader.seen.fields.items()}
    return JsonSource(target, names, reader.rows, proposed, Ragged(reader.ragged, tuple(reader.listed)))


class _Reader:
    """Turns records into cells one after the other, and keeps what they prove and which were refused."""

    def __init__(self, schema: Schema | None, whole: bool) -> None:  # noqa: FBT001 -- a fact of the format
        self.types = None if schema is None else schema.types
        self.whole = whole
        self.seen = Seen()
        self.rows = self.ragged = 0
        self.listed: list[Reject] = []

    def cells(self, record: bytes) -> list[str | None] | None:
        """The record's cells; None where it is refused."""
        self.rows += 1
        try:
            found = read_json(record)
        except ValueError:
            self._refuse_broken(record)
            return None
        if not isinstance(found, dict):
            if self.rows == 1:
                raise unreadable("The first record is no JSON object", "Send one object a line as NDJSON, an array of objects as JSON.")
            self._refuse(None, "not_object", record)
            return None
        if self.types is None:
            self.seen.add(found)
            return [_loose(found.get(name)) for name in self.seen.fields]
        extra = next((name for name in found if name not in self.types), None)
        if extra is not None:
            self._refuse(extra[:VALUE_CHARACTERS], "unknown_field", record)
            return None
        return self._declared(found, self.types)

    def _declared(self, found: Mapping[str, Any], types: Mapping[str, ColumnType]) -> list[str | None] | None:
        cells: list[str | None] = []
        for name, column in types.items():
            value = found.get(name)
            try:
                cells.append(None if value is None else written(value) if column.is_nested else text_of(value, column.kind))
            except ValueError:
                self._refuse(name, f"not_{column.kind}", written(value).encode())
                return None
        return cells

    def _refuse_broken(self, record: bytes) -> None:
        if self.whole:
            raise unreadable(f"Element {self.rows:,} is no JSON, or has a key twice, a NUL or broken text", "Correct that element.")
        if self.rows == 1:
            raise unreadable("The first line is no JSON object, or has a key twice, a NUL or broken text", "Send one object a line.")
        self._refuse(None, "bad_json", record)

    def _refuse(self, column: str | None, rule: str, text: bytes) -> None:
        self.ragged += 1
        if len(self.listed) < KEPT:
            self.listed.append(Reject(self.rows, column, rule, text[: 4 * VALUE_CHARACTERS].decode("utf-8", "replace")[:VALUE_CHARACTERS]))


def _loose(value: Any) -> str | None:
    """A cell of a record whose schema nobody has said."""
    return value if value is None or type(value) is str else str(value) if isinstance(value, Digits) else written(value)
