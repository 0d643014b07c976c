"""Owns how structs and lists are read from JSON text: their shape is proved here, their values by the casts of `lexical`.

Numbers are never read as floats: each is kept as the digits that stand in the text. A key twice, an undeclared key, a value of another
JSON type and a NUL are refused, never passed over. A field that is missing is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

import duckdb
from duckdb.func import FunctionNullHandling

from baybridge.data.ingest import lexical
from baybridge.terms.columns import ColumnType, Kind

_FUNCTION: Final = "baybridge_unpack_{}"
_LITERALS: Final = frozenset({Kind.INTEGER, Kind.DOUBLE})


class Digits(str):
    """A number of a JSON text, as it stands there."""

    __slots__ = ()


def read_json(text: str | bytes) -> Any:
    """The JSON value, numbers as Digits. Raise ValueError for what is no JSON, a key twice in one object, a NUL, or half a surrogate."""
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def unpacked(value: Any, column: ColumnType) -> Any:
    """The value as texts, null, lists, and objects whose keys are the fields' places, as f0, f1, ...

    Raise ValueError where its shape is not the type's. Texts are not yet proved to be of their types.
    """
    if value is None:
        return None
    if column.kind is Kind.STRUCT:
        if not isinstance(value, dict) or not value.keys() <= {field.name for field in column.fields}:
            raise ValueError("no such object")
        return {f"f{place}": unpacked(value.get(field.name), field.type) for place, field in enumerate(column.fields)}
    if column.element is not None:
        if not isinstance(value, list):
            raise ValueError("no list")
        return [unpacked(each, column.element) for each in value]
    return text_of(value, column.kind)


def text_of(value: Any, kind: Kind) -> str:
    """The text of a simple JSON value. Raise ValueError where JSON writes values of that kind otherwise: decimals are both."""
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Digits) and kind in {*_LITERALS, Kind.DECIMAL}:
        return str(value)
    if type(value) is str and kind not in {*_LITERALS, Kind.BOOLEAN}:
        return value
    raise ValueError("another JSON type")


def written(value: Any) -> str:
    """The value as JSON text again, its numbers as they stood."""
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(name)}: {written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return _quoted(value)


def make_unpack(connection: duckdb.DuckDBPyConnection, place: int, column: ColumnType) -> None:
    """Make the function that `unpack` calls for the column at that place."""
    connection.create_function(_FUNCTION.format(place), _packer(column), ["VARCHAR"], "VARCHAR", null_handling=FunctionNullHandling.SPECIAL)


def unpack(cell: str, place: int, column: ColumnType) -> str:
    """Give the SQL expression of a JSON text's parts, all of them texts; null where its shape is not the column's."""
    structure = json.dumps(_structure(column))
    return f"json_transform_strict({_FUNCTION.format(place)}({cell}), '{structure}')"


def cast(column: ColumnType, parts: str) -> str:
    """Give the SQL expression of the typed value of `parts`, or null where a text in them is no value of its type."""
    return f"CASE WHEN NOT {_is_wrong(column, parts, 0)} THEN {_typed(column, parts, 0)} END"


def _typed(column: ColumnType, parts: str, level: int) -> str:
    if column.element is not None:
        return f"list_transform({parts}, lambda x{level}: {_typed(column.element, f'x{level}', level + 1)})"
    if not column.fields:
        return lexical.cast(column, parts)
    fields = (f"{_identifier(f.name)} := {_typed(f.type, f'{parts}.f{place}', level)}" for place, f in enumerate(column.fields))
    return f"CASE WHEN {parts} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"


def _is_wrong(column: ColumnType, parts: str, level: int) -> str:
    if column.element is not None:
        inner = _is_wrong(column.element, f"x{level}", level + 1)
        return f"coalesce(list_bool_or(list_transform({parts}, lambda x{level}: {inner})), false)"
    if not column.fields:
        return "false" if column.kind is Kind.TEXT else f"({parts} IS NOT NULL AND {lexical.cast(column, parts)} IS NULL)"
    return "(" + " OR ".join(_is_wrong(field.type, f"{parts}.f{place}", level) for place, field in enumerate(column.fields)) + ")"


def _structure(column: ColumnType) -> Any:
    if column.element is not None:
        return [_structure(column.element)]
    return {f"f{place}": _structure(field.type) for place, field in enumerate(column.fields)} or "VARCHAR"


def _packer(column: ColumnType) -> Callable[[str | None], str | None]:
    def pack(text: str | None) -> str | None:
        try:
            parts = None if text is None else unpacked(read_json(text), column)
        except ValueError:
            return None
        return None if parts is None else json.dumps(parts)

    return pack


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    for name, value in pairs:
        _check_text(name)
        _check_texts(value)
    return found


def _check_texts(value: Any) -> None:
    """Refuse texts that no column holds, in a member or in lists; objects in it were checked when they were made."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        for each in value:
            _check_texts(each)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a NUL")
    if not text.isascii():
        text.encode("utf-8")  # UnicodeEncodeError, a ValueError, for half a surrogate pair


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


class _Decoder(json.JSONDecoder):
    """Checks the texts of lists that stand at the top as well."""

    def decode(self, s: str, *args: Any) -> Any:
        found = super().decode(s, *args)
        _check_texts(found)
        return found


_DECODER: Final = _Decoder(object_pairs_hook=_members, parse_int=Digits, parse_float=Digits, parse_constant=_refuse)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
