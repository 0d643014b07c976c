"""Rows as frames of pyarrow, pandas and polars: each column's type is the schema's, and no value is changed. It sends nothing."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from baybridge.errors import Advice, Invalid
from baybridge.terms.columns import ColumnType, Kind

_DECIMAL: Final = re.compile(r"decimal\((\d+),(\d+)\)")
_LOOSE: Final = {"string": "text", "number": "decimal(38,9)", "datetime": "timestamp"}  # of a field without an exact type


@dataclass(frozen=True, slots=True)
class Column:
    """One column's cells in Python, and their type: that of the schema, or of what a mask made of them."""

    kind: str
    cells: list[Any]
    precision: int = 0
    scale: int = 0
    nested: ColumnType | None = None

    @property
    def type(self) -> ColumnType:
        """The type as one value."""
        return self.nested or ColumnType(Kind(self.kind), self.precision, self.scale)


def columns(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> dict[str, Column]:
    """The columns in the order of the rows; without any row, those of the schema."""
    types = {each["name"]: each.get("baybridge:type") or _LOOSE.get(each["type"], each["type"]) for each in schema["fields"]}
    return {name: _column([row[name] for row in rows], types.get(name, "text")) for name in (rows[0] if rows else types)}


def _column(values: list[Any], type_name: str) -> Column:
    if type_name.startswith(("struct(", "list(")):
        return _nested_column(values, ColumnType.parse(type_name))
    exact = _DECIMAL.fullmatch(type_name)
    kind = "decimal" if exact else type_name
    precision, scale = (int(exact[1]), int(exact[2])) if exact else (0, 0)
    with contextlib.suppress(ValueError, TypeError, ArithmeticError):
        return Column(kind, [None if each is None else _READ[kind](each) for each in values], precision, scale)
    present = [each for each in values if each is not None]
    if all(type(each) is int for each in present):
        return Column("integer", values)
    return Column("text", [each if each is None or isinstance(each, str) else json.dumps(each) for each in values])


def _nested_column(values: list[Any], nested: ColumnType) -> Column:
    """Structs as dicts and lists as lists, of values of their types; what a mask made a text is texts."""
    with contextlib.suppress(ValueError, TypeError, ArithmeticError, AttributeError):
        return Column(nested.kind, [_inner(each, nested) for each in values], nested=nested)
    return Column("text", values)


def _inner(value: Any, column: ColumnType) -> Any:
    if value is None:
        return None
    if column.element is not None:
        return [_inner(each, column.element) for each in _just(list)(value)]
    if column.fields:
        return {field.name: _inner(_just(dict)(value)[field.name], field.type) for field in column.fields}
    return _READ[column.kind](value)


def _just(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(kind.__name__)
        return value

    return check


def _double(value: Any) -> float:
    return float(value) if type(value) in {int, float} else _just(float)(value)


def _instant(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError(value)
    return found


def _wall_clock(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is not None:
        raise ValueError(value)
    return found


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _just(str),
    "integer": _just(int),
    "decimal": lambda value: Decimal(_just(str)(value)),
    "double": _double,
    "boolean": _just(bool),
    "date": date.fromisoformat,
    "timestamp": _instant,
    "datetime": _wall_clock,
}


def to_arrow(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], provenance: Mapping[str, Any]) -> Any:
    """A pyarrow Table, exact."""
    with _extra("arrow"):
        import pyarrow as pa  # noqa: PLC0415 -- an extra, paid for by who uses it

    types = {
        "integer": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "datetime": pa.timestamp("us"),
    }
    found = columns(rows, schema)

    def inner(column: ColumnType) -> Any:
        if column.element is not None:
            return pa.list_(inner(column.element))
        if column.fields:
            return pa.struct([(field.name, inner(field.type)) for field in column.fields])
        return pa.decimal128(column.precision, column.scale) if column.kind == "decimal" else types.get(column.kind, pa.string())

    fields = [(name, inner(each.type)) for name, each in found.items()]
    wanted = pa.schema(fields, metadata={"baybridge": json.dumps(provenance)})
    return pa.table({name: each.cells for name, each in found.items()}, schema=wanted)


def to_pandas(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], provenance: Mapping[str, Any]) -> Any:
    """A pandas DataFrame: nullable integers, decimals and dates as Python's own, instants in UTC."""
    with _extra("pandas"):
        import pandas as pd  # noqa: PLC0415 -- an extra, paid for by who uses it

    types = {
        "text": "string",
        "integer": "Int64",
        "double": "Float64",
        "boolean": "boolean",
        "timestamp": "datetime64[us, UTC]",
        "datetime": "datetime64[us]",
    }
    found = columns(rows, schema)
    frame = pd.DataFrame({name: pd.Series(each.cells, dtype=types.get(each.kind, "object")) for name, each in found.items()})
    frame.attrs["baybridge"] = dict(provenance)
    return frame


def to_polars(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> Any:
    """A polars DataFrame, exact."""
    with _extra("polars"):
        import polars as pl  # noqa: PLC0415 -- an extra, paid for by who uses it

    types: dict[str, Any] = {
        "integer": pl.Int64(),
        "double": pl.Float64(),
        "boolean": pl.Boolean(),
        "date": pl.Date(),
        "timestamp": pl.Datetime("us", "UTC"),
        "datetime": pl.Datetime("us"),
    }
    found = columns(rows, schema)

    def inner(column: ColumnType) -> Any:
        if column.element is not None:
            return pl.List(inner(column.element))
        if column.fields:
            return pl.Struct({field.name: inner(field.type) for field in column.fields})
        return pl.Decimal(column.precision, column.scale) if column.kind == "decimal" else types.get(column.kind, pl.String())

    wanted = {name: inner(each.type) for name, each in found.items()}
    return pl.DataFrame({name: each.cells for name, each in found.items()}, schema=wanted)


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra to install where the import in the block finds no package."""
    try:
        yield
    except ModuleNotFoundError as wrong:
        raise Invalid(
            "invalid_request",
            f"Frames of this kind need the extra `{name}`, which is not installed here.",
            advice=Advice(
                rule="The plain package is light; each kind of frame is an extra.",
                who_can_change="you",
                next_step="Install the extra.",
                next_command=f"pip install 'baybridge[{name}]'",
            ),
        ) from wrong
