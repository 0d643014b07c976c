"""Owns how a CSV file becomes text cells in DuckDB: its header, the reading, and the rows that are not the header's shape.

It changes no cell and drops no row unaccounted. Callers see cells as columns c0, c1, ... in file order, all text, never null.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.records import MAX_RECORD, read_records, refuse_stray_quote, unreadable
from baybridge.data.ingest.source import KEPT, VALUE_CHARACTERS, Ragged, Reject
from baybridge.errors import Corrupt
from baybridge.terms.columns import ColumnType

MAX_FAULTS: Final = 20_000

_RULES: Final = {
    "MISSING COLUMNS": "missing_columns",
    "TOO MANY COLUMNS": "too_many_columns",
    "UNQUOTED VALUE": "bad_quoting",
    "INVALID STATE": "bad_quoting",
    "LINE SIZE OVER MAXIMUM": "line_too_long",
    "INVALID ENCODING": "bad_encoding",
}


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A source of text cells: a file that was read through once: proof that it is UTF-8 CSV with one header of different, non-blank names.

    `content` is the bytes of its data rows that are neither quotes nor line ends between rows; `quoted`, whether it has any quotes there.
    """

    path: Path
    names: tuple[str, ...]
    rows: int
    content: int
    quoted: bool
    quoted_behind_bom: bool

    @property
    def proposed(self) -> Mapping[str, ColumnType]:
        """None: a CSV has no types."""
        return {}

    @property
    def has_null_words(self) -> bool:
        """True: a CSV has no nulls."""
        return True

    def cells_sql(self) -> str:
        """See the function."""
        return cells_sql(self)

    def content_sql(self) -> str:
        """See the function."""
        return content_sql(self)

    def fill(self, connection: duckdb.DuckDBPyConnection, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
        """See the function."""
        return fill(connection, self, statement=statement, counts=counts, values=values)


def read_source(path: Path) -> CsvSource:
    """Read the file through and take its header. Raise Invalid (`file_unreadable`), saying where, when it is no CSV with a header."""
    records = read_records(path)
    quoted_behind_bom = records.bom and '"' in records.header
    return CsvSource(path, _header(records.header), records.count - 1, records.content, records.quotes > 0, quoted_behind_bom)


def _header(record: str) -> tuple[str, ...]:
    try:
        names = tuple(next(csv.reader(io.StringIO(record, newline=""), strict=True), ()))
    except csv.Error:
        raise unreadable("The header's quotes are wrong, or a name is far too long", "Correct the first row.", line=1) from None
    if len(names) > MAX_COLUMNS:
        raise unreadable(f"The header has more than {MAX_COLUMNS:,} columns", "Check the delimiter, or split the table.", line=1)
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise unreadable(f"The header's column {number} has no name", "Give every column a name.", line=1)
        if "\n" in name or "\r" in name:
            raise unreadable(f"The name of the header's column {number} has a line break", "Keep the header on one line.", line=1)
        if name.casefold() in seen:
            where = f"The header's columns {seen[name.casefold()]} and {number} have the same name (upper and lower case count as the same)"
            raise unreadable(where, "Give every column a name of its own.", line=1)
        seen[name.casefold()] = number
    return names


def cells_sql(source: CsvSource) -> str:
    """Give the table function that reads the file: columns c0, c1, ...; bind its path as `$path`.

    Behind a byte order mark, DuckDB 2.0.0 takes a quoted header and all rows after it for one line when it is told of a header or to skip
    a line; read as a row it is right, and OFFSET keeps the file's order.
    `nullstr` is a line feed, which an unquoted cell cannot hold, so no cell is null here. With '' DuckDB would let a row have more cells
    than the header as long as they are empty. `""` and an empty cell both arrive as ''.
    """
    header = "false" if source.quoted_behind_bom else "true"
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(source.names)))
    read = (
        f"read_csv($path, auto_detect = false, header = {header}, columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"',"
        f" nullstr = E'\\n', allow_quoted_nulls = false, strict_mode = true, null_padding = false,"
        f" store_rejects = true, rejects_limit = {MAX_FAULTS}, max_line_size = {MAX_RECORD + 4096}, buffer_size = {2 * MAX_RECORD + 8192})"
    )
    return f"(SELECT * FROM {read} OFFSET 1)" if source.quoted_behind_bom else read


def content_sql(source: CsvSource) -> str:
    """Give the expression for a row's content in bytes, its commas and quotes left out; null where the file has no quotes to mislead."""
    if not source.quoted:
        return "NULL::BIGINT"
    cells = ", ".join(f"c{index}" for index in range(len(source.names)))
    return f"strlen(replace(concat({cells}), '\"', ''))"


def fill(connection: duckdb.DuckDBPyConnection, source: CsvSource, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
    """Run a CREATE TABLE ... AS over `cells_sql` and account for every row and byte of the file.

    `counts` selects how many rows were read whole, and their content in bytes. Each byte of a file is a quote, a separator or content, so
    content that is less than the file's shows a reader that was misled by quotes: DuckDB is, without a word, by what stands beside them.
    Raise Invalid (`file_unreadable`) where the quotes are such that nobody can tell the rows, and Corrupt where rows were lost.
    """
    try:
        connection.execute(statement, {"path": str(source.path), **values})
    except duckdb.InvalidInputException:
        refuse_stray_quote(source.path)
        raise unreadable("The file cannot be read as CSV", "Check its quotes and line ends.") from None
    whole, content = connection.execute(counts).fetchall()[0]
    faults, ragged, ragged_content, strays = connection.execute(_RAGGED).fetchall()[0]
    if faults >= MAX_FAULTS:
        raise unreadable(f"More than {MAX_FAULTS:,} faults in the shape of rows", "Check the delimiter, and that rows match the header.")
    commas = whole * (len(source.names) - 1)
    if whole + ragged != source.rows or (source.quoted and content + commas + ragged_content != source.content):
        refuse_stray_quote(source.path)
        raise Corrupt("corrupt", f"Of {source.rows:,} rows, {whole:,} were read and {ragged:,} found ragged: rows or bytes do not balance.")
    if strays:
        refuse_stray_quote(source.path)
    return Ragged(ragged, _listed(connection, source) if ragged else ())


# The last number is of rows called too short or too long whose quotes are not RFC 4180's: where they end is a guess.
_RAGGED: Final = """
    SELECT
        coalesce(sum(faults), 0)::BIGINT,
        count(*),
        coalesce(sum(strlen(replace(line, '"', ''))), 0)::BIGINT,
        count_if(shape AND contains(line, '"') AND NOT regexp_full_match(line, '{cell}(,{cell})*'))
    FROM (
        SELECT count(*) AS faults, trim(any_value(csv_line), E'\\r\\n') AS line, bool_and(error_type::VARCHAR LIKE '%COLUMNS') AS shape
        FROM reject_errors GROUP BY line_byte_position
    )
""".format(cell='("[^"]*(""[^"]*)*"|[^",]*)')


def _listed(connection: duckdb.DuckDBPyConnection, source: CsvSource) -> tuple[Reject, ...]:
    found = connection.execute(
        "SELECT line_byte_position - 1, arg_min(error_type::VARCHAR, column_idx), left(any_value(csv_line), $characters)"
        " FROM reject_errors GROUP BY line_byte_position ORDER BY line_byte_position LIMIT $listed",
        {"characters": VALUE_CHARACTERS, "listed": KEPT},
    ).fetchall()
    # The engine's own line numbers count some blank lines; its byte positions are exact, so the rows are counted again up to them.
    rows = read_records(source.path, offsets=[offset for offset, _, _ in found]).before
    return tuple(Reject(row, None, _RULES[error], line) for row, (_, error, line) in zip(rows, found, strict=True))
