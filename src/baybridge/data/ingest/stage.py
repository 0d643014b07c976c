"""Owns the one cast from text to a schema's types: a typed, keyed table in a scratch file, and the reason for each row that is not in it.

It never rounds, trims or guesses, and no row is dropped that is not counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import duckdb

from baybridge.catalog.schema import Column, Schema
from baybridge.data.ingest import lexical, nested
from baybridge.data.ingest.evidence import NOTHING_DOUBTED, find_against
from baybridge.data.ingest.formats import Format, open_source
from baybridge.data.ingest.source import DEFAULT_MEMORY, KEPT, LISTED, VALUE_CHARACTERS, Ragged, Reject, Source, engine
from baybridge.data.sql import path_literal
from baybridge.errors import Advice, Corrupt, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import Kind

TABLE: Final = "rows"


@dataclass(frozen=True, slots=True)
class Staged:
    """A DuckDB file whose table `rows` has the schema's columns, typed, ordered by the key, or as in the file where there is none.

    rows_read = rows_loaded + rows_rejected. `kept` are the first 100,000 reasons in file order, of `rejects_found`; one row may have
    several. `against` are the first rows that speak against each kind that was doubted, by column.
    """

    path: Path
    schema: Schema
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    kept: tuple[Reject, ...]
    rejects_found: int
    against: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """The first 1,000 reasons, for a report."""
        return self.kept[:LISTED]


def stage(
    path: Path,
    schema: Schema,
    *,
    scratch: Path,
    file_format: Format = Format.CSV,
    memory_limit: str = DEFAULT_MEMORY,
    taken: Sequence[str] = (),
    doubted: Mapping[str, Kind] = NOTHING_DOUBTED,
) -> Staged:
    """Cast the file into a new DuckDB file in a new folder of `scratch`, which the caller owns and deletes.

    `taken` are the paths of Parquet objects whose keys the file's rows may not have. `doubted` are the kinds that columns nearly have.

    Columns are matched by name, in any order. Raise Invalid (`schema_invalid`) when the header has not the schema's names, Invalid
    (`file_unreadable`) when it is not of its format, and Corrupt when the counts do not balance.
    """
    source = open_source(path, file_format, schema, scratch=scratch)
    cells = _cells_by_column(source, schema)
    database = Path(mkdtemp(prefix="stage-", dir=scratch)) / "staged.duckdb"
    with engine(str(database), scratch=scratch, memory_limit=memory_limit) as connection:
        for place, column in _nested(schema):
            nested.make_unpack(connection, place, column.type)
        ragged = source.fill(
            connection,
            statement=_cast_sql(source, schema, cells),
            counts="SELECT count(*), coalesce(sum(content), 0)::BIGINT FROM typed",
            values={"null_words": list(schema.null_words) if source.has_null_words else []},
        )
        _find_repeated_keys(connection, schema)
        _find_taken_keys(connection, schema, taken)
        loaded = _one(connection, _rows_sql(schema))
        rejected = ragged.rows + _one(connection, "SELECT count(*) FROM typed WHERE cells IS NOT NULL OR rowid IN (FROM repeated)")
        if loaded + rejected != source.rows:
            counts = f"Of {source.rows:,} rows, {loaded:,} were loaded and {rejected:,} rejected"
            raise Corrupt("corrupt", f"{counts}: the counts do not balance.")
        rejects = _listed(connection, schema, ragged) if rejected else ()
        found = ragged.rows + (_one(connection, _found_sql(schema)) if rejected else 0)
        behind = _behind(ragged)
        against = {name: tuple(_in_file(row, behind) for row in rows) for name, rows in find_against(connection, schema, doubted).items()}
    return Staged(database, schema, source.rows, loaded, rejected, rejects, found, against)


def _cells_by_column(source: Source, schema: Schema) -> tuple[str, ...]:
    """For each schema column the engine's name of the file's column. Raise Invalid (`schema_invalid`) unless the names are the same set."""
    places = {name: index for index, name in enumerate(source.names)}
    missing = [name for name in schema.types if name not in places]
    extra = [name for name in source.names if name not in schema.types]
    if missing or extra:
        faults = [Place(name, "The schema has this column and the file does not.", hint=_hint(name, extra)) for name in missing]
        faults += [Place(name, "The file has this column and the schema does not.", hint=_hint(name, missing)) for name in extra]
        told = [f"{_some(names)} {fault}" for names, fault in ((missing, "missing"), (extra, "not in the schema")) if names]
        raise Invalid(
            "schema_invalid",
            f"The file's header is not the schema's columns: {', '.join(told)}.",
            advice=Advice(
                rule="A file has the columns of its dataset's schema, by exactly these names, in any order.",
                who_can_change="you",
                next_step="Rename, add or leave out the file's columns, or give a schema that describes this file; "
                "where there are versions, with schema_change (--schema FILE --schema-change).",
            ),
            places=tuple(faults[:LISTED]),
        )
    return tuple(f"c{places[name]}" for name in schema.types)


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown  # noqa: PLR2004 -- as many as one line takes


def _hint(name: str, candidates: list[str]) -> str | None:
    near = nearest(name, candidates)
    return near and f"Did you mean {near!r}?"


def _cast_sql(source: Source, schema: Schema, cells: tuple[str, ...]) -> str:
    """CREATE TABLE typed: t0, t1, ... in schema order, rows in file order; `cells`, the texts where one is rejected; `content`."""
    texts = [f"CASE WHEN NOT list_contains($null_words::VARCHAR[], {cell}) THEN {cell} END AS v{i}" for i, cell in enumerate(cells)]
    typed = [
        f"{nested.cast(column.type, f'u{i}') if column.type.is_nested else lexical.cast(column.type, f'v{i}')} AS t{i}"
        for i, column in enumerate(schema.columns)
    ]
    parts = "".join(f", {nested.unpack(f'v{i}', i, column.type)} AS u{i}" for i, column in _nested(schema))
    bad = [condition for i, column in enumerate(schema.columns) if (condition := _is_bad(column, i))]
    vs, ts = ([f"{letter}{i}" for i in range(len(cells))] for letter in "vt")
    kept = f"CASE WHEN {' OR '.join(bad) or 'false'} THEN [{', '.join(vs)}] END AS cells"
    texts.append(f"{source.content_sql()} AS content")
    return (
        f"CREATE TEMP TABLE typed AS SELECT {', '.join(ts)}, {kept}, content FROM ("
        f"SELECT {', '.join(vs + typed)}, content FROM (SELECT *{parts} FROM (SELECT {', '.join(texts)} FROM {source.cells_sql()})))"
    )


def _nested(schema: Schema) -> list[tuple[int, Column]]:
    return [(place, column) for place, column in enumerate(schema.columns) if column.type.is_nested]


def _is_bad(column: Column, index: int) -> str:
    """Give the condition under which a row's cell is rejected, or '' where no text can be."""
    if column.required:
        return f"t{index} IS NULL"
    return "" if column.type.kind is Kind.TEXT else f"(t{index} IS NULL AND v{index} IS NOT NULL)"


def _find_repeated_keys(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Make the table `repeated` of the rows whose key another row has too, be the rest of the row good or not."""
    keys = ", ".join(f"t{index}" for index in _key_indexes(schema))
    if not keys:
        connection.execute("CREATE TEMP TABLE repeated (r BIGINT)")
        return
    whole = " AND ".join(f"t{index} IS NOT NULL" for index in _key_indexes(schema))
    connection.execute(
        f"CREATE TEMP TABLE repeated AS SELECT typed.rowid AS r FROM typed SEMI JOIN"
        f" (SELECT {keys} FROM typed WHERE {whole} GROUP BY {keys} HAVING count(*) > 1) USING ({keys})"
    )


def _find_taken_keys(connection: duckdb.DuckDBPyConnection, schema: Schema, paths: Sequence[str]) -> None:
    """Make the table `taken` of the rows whose key an object has, and add them to `repeated`."""
    connection.execute("CREATE TEMP TABLE taken (r BIGINT)")
    if schema.key and paths:
        same = " AND ".join(f"typed.t{index} = o.{_identifier(schema.columns[index].name)}" for index in _key_indexes(schema))
        objects = f"read_parquet([{', '.join(path_literal(Path(path)) for path in paths)}], hive_partitioning = false)"
        connection.execute(f"INSERT INTO taken SELECT typed.rowid FROM typed SEMI JOIN {objects} AS o ON {same}")
        connection.execute("INSERT INTO repeated SELECT r FROM taken WHERE r NOT IN (FROM repeated)")


def _rows_sql(schema: Schema) -> str:
    columns = ", ".join(f"t{index} AS {_identifier(column.name)}" for index, column in enumerate(schema.columns))
    order = ", ".join([*(f"t{index}" for index in _key_indexes(schema)), "rowid"])
    return f"CREATE TABLE {TABLE} AS SELECT {columns} FROM typed WHERE cells IS NULL AND rowid NOT IN (FROM repeated) ORDER BY {order}"


def _key_indexes(schema: Schema) -> tuple[int, ...]:
    places = {column.name: index for index, column in enumerate(schema.columns)}
    return tuple(places[name] for name in schema.key)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _faults_sql(schema: Schema) -> str:
    """Give the list, by column, of the rule that a row's cell broke, null where it broke none; for rows whose `cells` are kept."""
    faults = []
    for i, column in enumerate(schema.columns, start=1):
        missing = "'key_missing'" if column.name in schema.key else "'required'" if column.required else "NULL"
        broken = f"CASE WHEN cells[{i}] IS NULL THEN {missing} WHEN t{i - 1} IS NULL THEN '{lexical.rule(column.type)}' END"
        faults.append(broken)
    return f"[{', '.join(faults)}]::VARCHAR[]"


def _found_sql(schema: Schema) -> str:
    return (
        f"SELECT (SELECT coalesce(sum(list_count({_faults_sql(schema)})), 0)::BIGINT FROM typed WHERE cells IS NOT NULL)"
        " + (SELECT count(*) FROM repeated)"
    )


def _listed(connection: duckdb.DuckDBPyConnection, schema: Schema, ragged: Ragged) -> tuple[Reject, ...]:
    names = [column.name for column in schema.columns]
    cells = ", ".join(f"left(cells[{i}], $characters)" for i in range(1, len(names) + 1))
    bad = connection.execute(
        f"SELECT rowid + 1, {_faults_sql(schema)}, [{cells}] FROM typed WHERE cells IS NOT NULL ORDER BY rowid LIMIT $listed",
        {"characters": VALUE_CHARACTERS, "listed": KEPT},
    ).fetchall()
    rejects = [
        Reject(row, name, rule, value)
        for row, rules, values in bad
        for name, rule, value in zip(names, rules, values, strict=True)
        if rule is not None
    ]
    rejects += _repeated(connection, schema)
    behind = _behind(ragged)
    first = [replace(reject, row=_in_file(reject.row, behind)) for reject in sorted(rejects, key=_by_row)[:KEPT]]
    return tuple(sorted([*ragged.listed, *first], key=_by_row)[:KEPT])


def _by_row(reject: Reject) -> int:
    return reject.row


def _repeated(connection: duckdb.DuckDBPyConnection, schema: Schema) -> list[Reject]:
    if not schema.key:
        return []
    values = ", ".join(f"t{index}" for index in _key_indexes(schema))
    found = connection.execute(
        f"SELECT typed.rowid + 1, left(concat_ws(', ', {values}), $characters),"
        " CASE WHEN typed.rowid IN (FROM taken) THEN 'key_taken' ELSE 'key_repeated' END FROM typed"
        " WHERE rowid IN (FROM repeated) ORDER BY typed.rowid LIMIT $listed",
        {"characters": VALUE_CHARACTERS, "listed": KEPT},
    ).fetchall()
    column = ", ".join(schema.key)
    return [Reject(row, column, rule, value) for row, value, rule in found]


def _behind(ragged: Ragged) -> list[int]:
    """For each ragged row, behind how many rows of the header's shape it stands: the i-th one, r, behind r - i.

    Only the first 100,000 ragged rows are known, and enough: what is behind them all is not listed.
    """
    return [reject.row - place for place, reject in enumerate(ragged.listed, start=1)]


def _in_file(row: int, behind: list[int]) -> int:
    """Number a row, counted among those of the header's shape, among all rows of the file."""
    return row + bisect_left(behind, row)


def _one(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    return int(connection.execute(statement).fetchall()[0][0])
