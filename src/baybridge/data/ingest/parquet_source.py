"""Owns how a Parquet file becomes text cells: each value in the one text that is exactly it, each struct and list as JSON text.

It drops no row and changes no value. A column whose type has no counterpart here refuses the file by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.source import DEFAULT_MEMORY, Ragged, engine
from baybridge.errors import Advice, Corrupt, Invalid
from baybridge.terms.columns import TEXT, ColumnType, Field, Kind

_READ: Final = "read_parquet($path, hive_partitioning = false, union_by_name = false)"
_MAGIC: Final = b"PAR1"
_SIMPLE: Final[Mapping[str, ColumnType]] = {
    **dict.fromkeys(("varchar", "uuid", "enum"), TEXT),
    **dict.fromkeys(
        ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"),
        ColumnType(Kind.INTEGER),
    ),
    "ubigint": ColumnType(Kind.DECIMAL, 20, 0),
    "hugeint": ColumnType(Kind.DECIMAL, 38, 0),
    **dict.fromkeys(("float", "double"), ColumnType(Kind.DOUBLE)),
    "boolean": ColumnType(Kind.BOOLEAN),
    "date": ColumnType(Kind.DATE),
    "timestamp with time zone": ColumnType(Kind.TIMESTAMP),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), ColumnType(Kind.DATETIME)),
}


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A source of typed cells. `rows` is what the file's own footer says."""

    path: Path
    proposed: Mapping[str, ColumnType]
    rows: int
    has_null_words: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in file order."""
        return tuple(self.proposed)

    def cells_sql(self) -> str:
        """The columns as texts."""
        texts = ", ".join(f"{_cell(_quote(name), column)} AS c{place}" for place, (name, column) in enumerate(self.proposed.items()))
        return f"(SELECT {texts} FROM {_READ})"

    def content_sql(self) -> str:
        """None: the footer's count is the check."""
        return "NULL::BIGINT"

    def fill(self, connection: duckdb.DuckDBPyConnection, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
        """Run the statement; raise Corrupt where the engine reads another number of rows than the footer says."""
        try:
            connection.execute(statement, {"path": str(self.path), **values})
        except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException, duckdb.SerializationException):
            raise _unreadable("The file cannot be read as Parquet") from None
        whole = connection.execute(counts).fetchall()[0][0]
        if whole != self.rows:
            raise Corrupt("corrupt", f"Of {self.rows:,} rows in the footer, {whole:,} were read: the counts do not balance.")
        return Ragged(0, ())


def read_parquet_source(path: Path, *, scratch: Path) -> ParquetSource:
    """Read the file's footer. Raise Invalid (`file_unreadable`) for no Parquet, or a column of a type that has no counterpart."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _unreadable("The file is no Parquet: its first bytes are not PAR1")
    with engine(":memory:", scratch=scratch, memory_limit=DEFAULT_MEMORY) as connection:
        try:
            rows = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata($path)", {"path": str(path)}).fetchall()[0][0]
            found = connection.execute(f"SELECT * FROM {_READ} LIMIT 0", {"path": str(path)}).description or []
        except duckdb.Error:
            raise _unreadable("The file cannot be read as Parquet") from None
        if len(found) > MAX_COLUMNS:
            raise _unreadable(f"The file has more than {MAX_COLUMNS:,} columns")
        proposed = {str(name): _ours(type_, number) for number, (name, type_, *_) in enumerate(found, start=1)}
        if len({name.casefold() for name in proposed}) != len(found):
            raise _unreadable("Two columns have the same name (upper and lower case count as the same)")
        _refuse_nul(connection, path, proposed)
    return ParquetSource(path, proposed, int(rows))


def _refuse_nul(connection: duckdb.DuckDBPyConnection, path: Path, columns: Mapping[str, ColumnType]) -> None:
    """A NUL is in no text here, whatever the format; what is in structs and lists is looked at where their JSON is read."""
    texts = [f"contains({_quote(name)}::VARCHAR, chr(0))" for name, column in columns.items() if column == TEXT]
    if not texts:
        return
    try:
        found = connection.execute(f"SELECT count_if({' OR '.join(texts)}) FROM {_READ}", {"path": str(path)}).fetchall()[0][0]
    except duckdb.Error:
        raise _unreadable("The file cannot be read as Parquet") from None
    if found:
        raise _unreadable("A text in the file holds a NUL")


def _ours(type_: Any, number: int) -> ColumnType:
    """The column type of the engine's. Raise Invalid (`file_unreadable`) for none, by the column's number."""
    match type_.id:
        case "decimal":
            digits = dict(type_.children)
            return ColumnType(Kind.DECIMAL, digits["precision"], digits["scale"])
        case "struct":
            return ColumnType(Kind.STRUCT, fields=tuple(Field(name, _ours(inner, number)) for name, inner in type_.children))
        case "list" | "array":
            return ColumnType(Kind.LIST, element=_ours(type_.children[0][1], number))
        case simple if simple in _SIMPLE:
            return _SIMPLE[simple]
    raise _unreadable(f"Column {number} is of a type that has no counterpart here ({type_.id})")


def _cell(value: str, column: ColumnType) -> str:
    return f"to_json({_part(value, column, 0)})::VARCHAR" if column.is_nested else _text(value, column.kind)


def _part(value: str, column: ColumnType, level: int) -> str:
    """A value inside a struct or list, as what JSON writes exactly: numbers only where JSON has them exactly, else texts."""
    if column.element is not None:
        return f"list_transform({value}, lambda x{level}: {_part(f'x{level}', column.element, level + 1)})"
    if column.fields:
        fields = ", ".join(f"{_quote(f.name)} := {_part(f'({value}).{_quote(f.name)}', f.type, level)}" for f in column.fields)
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({fields}) END"
    exact = {Kind.INTEGER: "BIGINT", Kind.DOUBLE: "DOUBLE", Kind.BOOLEAN: "BOOLEAN"}.get(column.kind)
    return _text(value, column.kind) if exact is None else f"{value}::{exact}"


def _text(value: str, kind: Kind) -> str:
    match kind:
        case Kind.DOUBLE:  # a float as the double that it equals: its own shortest text would be another double
            return f"{value}::DOUBLE::VARCHAR"
        case Kind.TIMESTAMP:  # the engine is in UTC
            return rf"regexp_replace({value}::VARCHAR, '\+00$', 'Z')"
    return f"{value}::VARCHAR"


def _quote(name: str) -> str:
    if not name or "\0" in name:
        raise _unreadable("A column or field has no name, or a NUL in it")
    return '"' + name.replace('"', '""') + '"'


def _unreadable(what: str) -> Invalid:
    rule = "A Parquet file is whole, and its columns are texts, numbers, booleans, dates, times, structs and lists."
    return Invalid("file_unreadable", f"{what}.", advice=Advice(rule=rule, who_can_change="you", next_step="Write the file anew."))
