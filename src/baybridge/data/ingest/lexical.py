"""Owns which texts are values of each column type, as SQL over a text expression; it reads no file and holds no data.

DuckDB's casts are lax (' 5', '1e5', '0x10' and '5.7' are integers to it), so a text is first proved to be in the lexical space that is
written here and only then cast. Nothing is trimmed, rounded, or read by a locale.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from baybridge.terms.columns import ColumnType, Kind

_NUMBER: Final = "-?(0|[1-9][0-9]*)"
_FLOAT: Final = _NUMBER + r"(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_CLOCK: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_ZONE: Final = "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
_BOOLEANS: Final = (("true", "TRUE", "True"), ("false", "FALSE", "False"))

_SQL_TYPES: Final = MappingProxyType(
    {
        Kind.TEXT: "VARCHAR",
        Kind.INTEGER: "BIGINT",
        Kind.DOUBLE: "DOUBLE",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.DATE: "DATE",
        Kind.TIMESTAMP: "TIMESTAMPTZ",
        Kind.DATETIME: "TIMESTAMP",
    }
)

RULES: Final = MappingProxyType(
    {
        "not_integer": "A whole number of 64 bits: digits, a minus before them if need be, no leading zero.",
        "not_decimal": "Digits and at most one point, no leading zero, no more digits before and after the point than the type has.",
        "not_double": "A number as JSON writes it, that a double can hold.",
        "not_boolean": "true or false, in lower case, upper case, or with a capital.",
        "not_date": "YYYY-MM-DD, a day that exists, years 0001 to 9999.",
        "not_timestamp": "YYYY-MM-DD, T or a space, HH:MM with :SS and up to six decimals if need be, then Z or +HH:MM or -HH:MM.",
        "not_datetime": "YYYY-MM-DD, T or a space, HH:MM with :SS and up to six decimals if need be, and no zone.",
        "not_struct": "JSON of one object with declared fields only, each at most once and of its type; numbers as JSON writes them.",
        "not_list": "JSON of one list, each value of the declared type; numbers as JSON writes them.",
        "not_text": "A text in quotes.",
        "not_object": "A record is one JSON object.",
        "bad_json": "A record is JSON in UTF-8, without a key twice in one object and without NUL.",
        "unknown_field": "A record has only names that the schema has.",
        "required": "This column may not be null.",
        "key_missing": "A key column may not be null.",
        "key_repeated": "Two rows may not have the same key; all rows that share one are rejected.",
        "key_taken": "A row that is appended has a key that no row of the version has yet; an upsert changes rows.",
        "cell_error": "A cell of a sheet holds a value, and not an error such as #N/A.",
        "missing_columns": "A row has as many cells as the header.",
        "too_many_columns": "A row has as many cells as the header.",
        "bad_quoting": "A quoted cell ends where its quote closes.",
        "line_too_long": "A row is at most 16 MB.",
        "bad_encoding": "Every byte is a character of the file's encoding.",
        "nul": "No cell holds a NUL byte.",
    }
)


def sql_type(column_type: ColumnType) -> str:
    """Give DuckDB's type for a column: instants are TIMESTAMPTZ, wall-clock times TIMESTAMP."""
    if column_type.kind is Kind.DECIMAL:
        return f"DECIMAL({column_type.precision}, {column_type.scale})"
    return _SQL_TYPES[column_type.kind]


def rule(column_type: ColumnType) -> str:
    """Give the rule that a rejected cell of this type broke, a key of RULES; text has none, since every text is one."""
    return f"not_{column_type.kind}"


def cast(column_type: ColumnType, cell: str) -> str:
    """Give the SQL expression that is the typed value of the text expression `cell`, or null where the text is no value of the type."""
    sql = sql_type(column_type)
    typed = f"TRY_CAST({cell} AS {sql})"
    match column_type.kind:
        case Kind.TEXT:
            return cell
        case Kind.BOOLEAN:
            true, false = (", ".join(f"'{word}'" for word in words) for words in _BOOLEANS)
            return f"CASE WHEN {cell} IN ({true}) THEN true WHEN {cell} IN ({false}) THEN false END"
        case Kind.INTEGER:
            # What prints back the same is canonical: no space, plus, leading zero, exponent or -0 survives this.
            proof = f"{typed}::VARCHAR = {cell}"
        case Kind.DATE:
            # Ten characters keep out year 0 and before (printed with BC), years past 9999, and the words infinity and epoch.
            proof = f"length({cell}) = 10 AND {typed}::VARCHAR = {cell}"
        case Kind.DECIMAL:
            fraction = rf"(\.[0-9]{{1,{column_type.scale}}})?" if column_type.scale else ""
            proof = f"{_matches(cell, _NUMBER + fraction)} AND {cell} <> '-0'"
        case Kind.DOUBLE:
            proof = f"{_matches(cell, _FLOAT)} AND isfinite({typed})"
        case _:  # an instant or a wall-clock time; a kind without an SQL type has failed above
            zone = _ZONE if column_type.kind is Kind.TIMESTAMP else ""
            years = f"BETWEEN {sql} '0001-01-01 00:00:00' AND {sql} '9999-12-31 23:59:59.999999'"
            proof = f"{_matches(cell, _CLOCK + zone)} AND {typed} {years}"
    return f"CASE WHEN {proof} THEN {typed} END"


def has_leading_zero(cell: str) -> str:
    """Hold for digits, signed or not, whose first zero a number would lose."""
    return _matches(cell, "[+-]?0[0-9]+")


def is_digits(cell: str) -> str:
    """Hold for nothing but ASCII digits."""
    return _matches(cell, "[0-9]+")


def is_point_number(cell: str) -> str:
    """Hold for a number with a decimal point and no leading zero, whatever its length."""
    return _matches(cell, _NUMBER + r"\.[0-9]+")


def _matches(cell: str, pattern: str) -> str:
    return f"regexp_full_match({cell}, '{pattern}')"
