"""Masks as SQL over the kept rows: the only place where a mask becomes SQL. Keys stay in Python; values are bound, never in the text.

Columns stand without their table's name, as the conditions of `data.sql` do, so everything else in scope is named by a prefix that no
column has. `terms.masks` says what each mask means.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final, assert_never

import duckdb

from baybridge.data.sql import Sql, predicate, quote, sql_type
from baybridge.errors import Corrupt
from baybridge.policy.projection import Projection, ReleasedColumn
from baybridge.terms.columns import ColumnType, Kind
from baybridge.terms.cql2 import Comparison, Property
from baybridge.terms.masks import REDACTED, Bucket, Generalize, Plain, Prefix, Round, pseudonym

_KEYS_AT_ONCE: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Masked:
    """One released column: its expression, and the table that it looks values up in, where it does."""

    expression: Sql
    lookup: str | None = None


def released_rows(engine: duckdb.DuckDBPyConnection, projection: Projection, kept: Sql, key: bytes | None) -> Sql:
    """The projection's columns of the kept rows, in no order. Makes the tables in `engine` that it looks values up in.

    Raise Corrupt for a pseudonym without a key.
    """
    columns = [_masked(engine, f"_baybridge_map_{position}", column, kept, key) for position, column in enumerate(projection.columns)]
    selected = ", ".join(
        f"{masked.expression.text} AS {quote(column.name)}" for masked, column in zip(columns, projection.columns, strict=True)
    )
    joins = "".join(
        f" LEFT JOIN {masked.lookup} ON {masked.lookup}._baybridge_original = {_canonical(column)}"
        for masked, column in zip(columns, projection.columns, strict=True)
        if masked.lookup is not None
    )
    bound = tuple(parameter for masked in columns for parameter in masked.expression.parameters)
    return Sql(f"SELECT {selected} FROM ({kept.text}) AS _baybridge_kept{joins}", bound + kept.parameters)


def _masked(engine: duckdb.DuckDBPyConnection, table: str, column: ReleasedColumn, kept: Sql, key: bytes | None) -> _Masked:
    match column.mask:
        case Plain.PSEUDONYM:
            _map_pseudonyms(engine, table, kept, column, _require_key(key))
            return _Masked(Sql(f"{table}._baybridge_released"), table)
        case Generalize(codes):
            _make_map(engine, table)
            _extend_map(engine, table, [code for code, _ in codes.codes], [broader for _, broader in codes.codes])
            known = f"coalesce({table}._baybridge_released, ?)"
            return _Masked(_unless_null(column, Sql(known, (codes.otherwise,))), table)
        case mask:
            return _Masked(_computed(mask, column))


def _computed(mask: Plain | Prefix | Round | Bucket | None, column: ReleasedColumn) -> Sql:
    value = quote(column.name)
    match mask:
        case None:
            return Sql(value)
        case Plain.REDACT:
            return Sql("?::VARCHAR", (REDACTED,))
        case Plain.NULL:
            return Sql(f"NULL::{sql_type(column.source)}")
        case Plain.YEAR:
            return Sql(f"year({_wall_clock(column)})::BIGINT")
        case Plain.MONTH:
            return Sql(f"date_trunc('month', {_wall_clock(column)})::DATE")
        case Prefix(length):
            return Sql(f"left({value}, ?)", (length,))
        case Round(places):
            return _rounded(value, places, column.source)
        case Bucket():
            return _bucketed(mask, column)
        case Plain.PSEUDONYM:
            raise Corrupt("corrupt", "A pseudonym is looked up, never computed in the engine.")
        case _:
            assert_never(mask)


def _unless_null(column: ReleasedColumn, expression: Sql) -> Sql:
    return Sql(f"CASE WHEN {quote(column.name)} IS NOT NULL THEN {expression.text} END", expression.parameters)


def _wall_clock(column: ReleasedColumn) -> str:
    value = quote(column.name)
    return f"timezone('UTC', {value})" if column.source.kind is Kind.TIMESTAMP else value


def _rounded(value: str, places: int, column: ColumnType) -> Sql:
    """The engine rounds integers and decimals exactly, halves away from zero; what the type cannot hold then is cut off instead."""
    unit = Decimal(1).scaleb(-places)
    type_ = sql_type(column)
    return Sql(
        f"coalesce(TRY(round({value}, {places:d})::{type_}), {value} - {value} % ?::{type_})::{type_}",
        (format(unit, "f"),),
    )


def _bucketed(mask: Bucket, column: ReleasedColumn) -> Sql:
    *below, last = mask.labels()
    edges: tuple[Decimal | date, ...] = mask.edges
    cases = [
        (predicate(Comparison("<", Property(column.name), _edge(edge, column.source.kind)), {column.name: column.source}), label)
        for edge, label in zip(edges, below, strict=True)
    ]
    text = "CASE " + "".join(f"WHEN {condition.text} THEN ? " for condition, _ in cases) + "ELSE ? END"
    bound = tuple(parameter for condition, label in cases for parameter in (*condition.parameters, label))
    return _unless_null(column, Sql(text, (*bound, last)))


def _edge(edge: Decimal | date, kind: Kind) -> Decimal | date:
    """The edge as a value of the column's kind: a day begins at midnight, for instants in UTC."""
    if kind is Kind.TIMESTAMP and isinstance(edge, date):
        return datetime.combine(edge, time(), UTC)
    return datetime.combine(edge, time()) if kind is Kind.DATETIME and isinstance(edge, date) else edge


def _map_pseudonyms(engine: duckdb.DuckDBPyConnection, table: str, kept: Sql, column: ReleasedColumn, key: bytes) -> None:
    """Make a table from canonical text to pseudonym. The key stays in Python: only its results enter the engine, as bound lists."""
    _make_map(engine, table)
    originals = engine.cursor()
    originals.execute(
        f"SELECT DISTINCT {_canonical(column)} FROM ({kept.text}) AS _baybridge_kept WHERE {quote(column.name)} IS NOT NULL",
        list(kept.parameters),
    )
    while batch := [str(row[0]) for row in originals.fetchmany(_KEYS_AT_ONCE)]:
        _extend_map(engine, table, batch, [pseudonym(key, column.source.kind, original) for original in batch])
    originals.close()


def _make_map(engine: duckdb.DuckDBPyConnection, table: str) -> None:
    engine.execute(f"CREATE TEMP TABLE {table} (_baybridge_original VARCHAR, _baybridge_released VARCHAR)")


def _extend_map(engine: duckdb.DuckDBPyConnection, table: str, originals: list[str], released: list[str]) -> None:
    engine.execute(f"INSERT INTO {table} SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", [originals, released])


def _canonical(column: ReleasedColumn) -> str:
    """SQL for the one text of a value that it is looked up by: 1.50 and 1.5 are one decimal, and instants are in UTC."""
    value = quote(column.name)
    match column.source.kind:
        case Kind.TEXT:
            return value
        case Kind.DECIMAL if column.source.scale:
            # The engine writes a type that is all fraction without the zero before its point: .500, and .000 for zero.
            return rf"regexp_replace(rtrim(rtrim({value}::VARCHAR, '0'), '.'), '^(-?)(\.|$)', '\10\2')"
        case Kind.TIMESTAMP:
            return f"strftime(timezone('UTC', {value}), '%Y-%m-%dT%H:%M:%S.%fZ')"
        case Kind.DATETIME:
            return f"strftime({value}, '%Y-%m-%dT%H:%M:%S.%f')"
        case Kind.INTEGER | Kind.DECIMAL | Kind.BOOLEAN | Kind.DATE:
            return f"{value}::VARCHAR"
        case _:
            raise Corrupt("corrupt", f"A {column.source.kind} has no canonical text, and terms that look one up are refused.")


def _require_key(key: bytes | None) -> bytes:
    if key is None:
        raise Corrupt("corrupt", "A signed agreement with a pseudonym names no pseudonym key.")
    return key
