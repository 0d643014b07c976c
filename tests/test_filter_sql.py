"""Filters as SQL: golden pairs for readers, and DuckDB against a plain Python reading of the same conditions.

The oracle shares nothing with the parser, the tree or the printer: a condition is drawn as nested tuples, rendered to CQL2 text here,
judged row by row in three-valued logic here, and compared with the rows that DuckDB gives for the text.
"""

from __future__ import annotations

import math
import random
import time
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from folding import like, without
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.data.sql import Sql, predicate, quote, sql_type
from baybridge.errors import Invalid
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind

GOLDEN = Path(__file__).parent / "fixtures" / "filters.txt"
GOLDEN_COLUMNS = {
    "dest": ColumnType(Kind.TEXT),
    "seats": ColumnType(Kind.INTEGER),
    "fare": ColumnType(Kind.DECIMAL, 10, 2),
    "ratio": ColumnType(Kind.DOUBLE),
    "late": ColumnType(Kind.BOOLEAN),
    "day": ColumnType(Kind.DATE),
    "at": ColumnType(Kind.TIMESTAMP),
    "local": ColumnType(Kind.DATETIME),
    'odd "name"': ColumnType(Kind.TEXT),
}


def golden_blocks() -> list[dict[str, str]]:
    lines = [line for line in GOLDEN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n") if block.strip()]
    return [dict(line.split(maxsplit=1) for line in block if line) for block in blocks]


def shown(parameter: object) -> str:
    if isinstance(parameter, bool):
        return "TRUE" if parameter else "FALSE"
    if isinstance(parameter, str):
        return f'"{parameter}"'
    if isinstance(parameter, list):
        return f"[{', '.join(map(shown, parameter))}]"
    return parameter.isoformat() if isinstance(parameter, date) else str(parameter)


def table(columns: dict[str, ColumnType]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE t (n INTEGER, {', '.join(f'{quote(name)} {sql_type(column)}' for name, column in columns.items())})")
    return connection


@pytest.mark.parametrize("block", golden_blocks(), ids=lambda block: block["filter:"])
def test_each_golden_filter_becomes_its_canonical_text_and_its_sql(block):
    tree = cql2.parse(block["filter:"])
    assert cql2.to_text(tree) == block["canonical:"]
    sql = predicate(tree, GOLDEN_COLUMNS)
    assert sql.text == block["sql:"]
    assert (", ".join(map(shown, sql.parameters)) or "-") == block["parameters:"]
    with table(GOLDEN_COLUMNS) as connection:
        assert rows_of(connection, sql) == []


def test_the_golden_file_is_read_whole():
    assert len(golden_blocks()) == GOLDEN.read_text(encoding="utf-8").count("\nfilter:")
    assert len(golden_blocks()) > 30


def test_a_quoted_identifier_is_one_identifier_whatever_it_holds():
    with duckdb.connect() as connection:
        for name in ["a", 'a"b', '"', '"; DROP TABLE t; --', "select", "日付 \n", "?", "$1"]:
            connection.execute(f"CREATE OR REPLACE TABLE t ({quote(name)} INTEGER)")
            assert connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 't'").fetchall() == [(name,)]
    for bad in ["", "a\0b"]:
        with pytest.raises(ValueError, match="identifier"):
            quote(bad)


def test_no_name_but_a_columns_reaches_the_sql():
    with pytest.raises(Invalid, match="does not have"):
        predicate(cql2.parse('"1 = 1; --" = 5'), GOLDEN_COLUMNS)
    with pytest.raises(Invalid, match="compared with"):
        predicate(cql2.parse("seats = 'x'"), GOLDEN_COLUMNS)


def test_ten_thousand_values_are_one_parameter_and_null_is_in_neither_half():
    values = tuple(Decimal(number) for number in range(0, 20_000, 2))
    inside = cql2.In(cql2.Property("seats"), values)
    with table(GOLDEN_COLUMNS) as connection:
        connection.execute("INSERT INTO t (n, seats) SELECT i, CASE WHEN i % 5 = 0 THEN NULL ELSE i END FROM range(30000) r(i)")
        for tree, expected in [
            (inside, [i for i in range(20_000) if i % 2 == 0 and i % 5]),
            (cql2.Not(inside), [i for i in range(30_000) if (i % 2 or i >= 20_000) and i % 5]),
        ]:
            sql = predicate(tree, GOLDEN_COLUMNS)
            assert len(sql.parameters) == 1
            assert rows_of(connection, sql) == expected


def rows_of(connection: duckdb.DuckDBPyConnection, sql: Sql) -> list[int]:
    return [row[0] for row in connection.execute(f"SELECT n FROM t WHERE {sql.text} ORDER BY n", sql.parameters).fetchall()]


# The oracle. A cell or literal is a plain value of its own: text str, numbers Fraction, doubles float, instants naive datetimes in UTC.

KINDS = {
    "text": ColumnType(Kind.TEXT),
    'odd "n"': ColumnType(Kind.TEXT),
    "whole": ColumnType(Kind.INTEGER),
    "cents": ColumnType(Kind.DECIMAL, 5, 2),
    "wide": ColumnType(Kind.DECIMAL, 38, 0),
    "fine": ColumnType(Kind.DECIMAL, 38, 38),
    "mixed": ColumnType(Kind.DECIMAL, 38, 10),
    "ratio": ColumnType(Kind.DOUBLE),
    "flag": ColumnType(Kind.BOOLEAN),
    "day": ColumnType(Kind.DATE),
    "instant": ColumnType(Kind.TIMESTAMP),
    "local": ColumnType(Kind.DATETIME),
}
NINES = "9" * 38
TEXTS = ["", "a", "A", "a ", "aa", "b", "é", "e\u0301", "\uffff", "\U00010000", "😀", "O'B", 'q"', "\\", "x\ny", "%", "10", "9"]
TEXTS += ["ß", "SS", "\u1e9e", "I", "i", "\u0130", "\u0131", "\u03c2", "\u03a3", "É", "a_b", "A%B", "Å", "각", "a\u0323\u0307"]
FOLDS = [(), ("CASEI",), ("ACCENTI",), ("CASEI", "ACCENTI"), ("ACCENTI", "CASEI")]
WILD = ["%", "_", "\\%", "\\_", "\\\\", "a", "A", "é", "ss", "i", "\u03c3", "\n"]
NUMBERS = {
    "whole": ["0", "1", "-1", "2", "3", "100", "9007199254740993", "9007199254740992", "9223372036854775807", "-9223372036854775808"],
    "cents": ["0", "0.01", "-0.01", "1", "1.5", "-1.5", "2.49", "2.5", "999.99", "-999.99", "100"],
    "wide": ["0", "1", "-1", "9007199254740993", NINES, "-" + NINES, "1" + "0" * 37],
    "fine": ["0", "0." + NINES, "-0." + NINES, "0." + "0" * 37 + "1", "0.5", "0.1", "-0.5"],
    "mixed": ["0", "1.5", "2.0000000001", "9" * 28 + "." + "9" * 10, "-" + "9" * 28 + "." + "9" * 10, "123456789012345678.0123456789"],
}
# Literals beyond what any column holds, besides all of the above: fractions, neighbours of the ends, magnitudes.
STRANGE = [
    "0.5",
    "2.495",
    "2.4949999",
    "-0.005",
    "1e-39",
    "-1e-39",
    "1e-999",
    "-1e-999",
    "1e999",
    "-1e999",
    "1e38",
    "-1e38",
    "1e5",
    "1000",
    "-1000",
]
STRANGE += [
    "9223372036854775808",
    "-9223372036854775809",
    "9223372036854775806.5",
    "9223372036854775807.5",
    "-9223372036854775808.5",
    "999.995",
]
STRANGE += ["0." + NINES + "9", NINES + ".5", "-" + NINES + ".5", "25e-1", "12345678901234567890.12345", "1.50", "1e2", "0.10", "-999.995"]
DOUBLES = [0.0, -0.0, 0.1, 1.5, -1.5, 1e308, 5e-324, 100.0, 9007199254740992.0, math.inf, -math.inf, math.nan]
DATES = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(2020, 2, 29), date(2020, 3, 1)]
TIMES = [
    datetime.fromisoformat(text)
    for text in [
        "0001-01-02T00:00:00",
        "9999-12-30T23:59:59.999999",
        "1970-01-01T00:00:00",
        "2020-03-08T07:00:00",
        "2020-03-08T07:00:00.000001",
        "2020-03-08T07:30:00",
        "2020-11-01T05:30:00",
        "2020-11-01T06:30:00",
    ]
]

cells = {
    "text": st.sampled_from(TEXTS),
    'odd "n"': st.sampled_from(TEXTS),
    "whole": st.sampled_from(NUMBERS["whole"]) | st.integers(-(2**63), 2**63 - 1).map(str),
    "cents": st.sampled_from(NUMBERS["cents"]) | st.integers(-99999, 99999).map(lambda cents: str(Decimal(cents).scaleb(-2))),
    "wide": st.sampled_from(NUMBERS["wide"]) | st.integers(1 - 10**38, 10**38 - 1).map(str),
    "fine": st.sampled_from(NUMBERS["fine"]),
    "mixed": st.sampled_from(NUMBERS["mixed"]),
    "ratio": st.sampled_from(DOUBLES) | st.floats(),
    "flag": st.booleans(),
    "day": st.sampled_from(DATES) | st.dates(),
    "instant": st.sampled_from(TIMES),
    "local": st.sampled_from(TIMES),
}
number_texts = st.sampled_from([*STRANGE, *(text for texts in NUMBERS.values() for text in texts)]) | st.integers(-1100, 1100).map(
    lambda n: f"{n}e-2"
)
literals = {name: number_texts if name in NUMBERS or name == "ratio" else cells[name] for name in KINDS}
rows = st.lists(st.tuples(*(st.none() | cells[name] for name in KINDS)), min_size=1, max_size=8)


foldings = st.sampled_from(FOLDS)
text_conditions = st.one_of(
    st.tuples(st.just("columns"), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), foldings),
    st.tuples(st.sampled_from(["like", "pattern"]), st.just("text"), foldings, st.lists(st.sampled_from(WILD), max_size=4).map("".join)),
    st.tuples(st.just("fold"), st.just("text"), foldings, st.sampled_from(["=", "<>", "<"]), cells["text"]),
    st.tuples(st.just("fold in"), st.just("text"), foldings, st.lists(cells["text"], min_size=1, max_size=3)),
)


@st.composite
def conditions(draw, depth: int = 3):
    shape = draw(
        st.sampled_from(
            ["compare"] * 4 + ["in", "in", "between", "null", "text", "text", "text"] + (["and", "or", "not", "constant"] if depth else [])
        )
    )
    if shape in {"and", "or"}:
        return (shape, *(draw(conditions(depth - 1)) for _ in range(draw(st.integers(2, 3)))))
    if shape == "not":
        return ("not", draw(conditions(depth - 1)))
    if shape == "constant":
        return ("constant", draw(st.booleans()))
    if shape == "text":
        return draw(text_conditions)
    name = draw(st.sampled_from(list(KINDS)))
    if shape == "null":
        return ("null", name)
    if shape == "in":
        return ("in", name, draw(st.lists(literals[name], min_size=1, max_size=5)))
    if shape == "between" and name != "flag":
        return ("between", name, draw(literals[name]), draw(literals[name]))
    return (
        "compare",
        name,
        draw(st.sampled_from(["=", "<>"] if name == "flag" else ["=", "<>", "<", "<=", ">", ">="])),
        draw(literals[name]),
    )


def measure(name: str, value: object) -> object:
    """Give a value that Python's own order judges as the column's type is ordered."""
    if name in NUMBERS:
        return Fraction(str(value))
    if name == "ratio":
        number = float(value)  # a literal's text, or a cell's double
        return (math.isnan(number), 0.0 if math.isnan(number) else number)
    return [ord(character) for character in value] if isinstance(value, str) else value


TEXT_SHAPES = {"columns", "like", "pattern", "fold", "fold in"}


def judge_text(shape: str, rest: list[Any], row: dict[str, object]) -> bool | None:
    if shape == "columns":
        pair = [row["text"], row['odd "n"']]
        return None if None in pair else ordered(rest[0], *(measure("text", without(cell, rest[1])) for cell in pair))
    cell = row[rest[0]]
    if cell is None:
        return None
    if shape == "like":
        return like(without(cell, rest[1]), without(rest[2], rest[1]))
    if shape == "pattern":
        return like(cell, without(rest[2], rest[1]))
    if shape == "fold":
        return ordered(rest[2], *(measure("text", without(text, rest[1])) for text in (cell, rest[3])))
    return any(without(cell, rest[1]) == without(text, rest[1]) for text in rest[2])


def judge(condition: tuple, row: dict[str, object]) -> bool | None:
    shape, *rest = condition
    if shape == "constant":
        return rest[0]
    if shape == "not":
        inner = judge(rest[0], row)
        return None if inner is None else not inner
    if shape in {"and", "or"}:
        answers = [judge(part, row) for part in rest]
        decisive = shape == "or"
        return decisive if decisive in answers else None if None in answers else not decisive
    if shape in TEXT_SHAPES:
        return judge_text(shape, rest, row)
    cell = row[rest[0]]
    if shape == "null":
        return cell is None
    if cell is None:
        return None
    return judge_value(shape, rest, cell)


def judge_value(shape: str, rest: list[Any], cell: object) -> bool:
    name = rest[0]
    held = measure(name, cell)
    if shape == "in":
        return any(held == measure(name, value) for value in rest[1])
    if shape == "between":
        return measure(name, rest[1]) <= held <= measure(name, rest[2])
    return ordered(rest[1], held, measure(name, rest[2]))


def ordered(operator: str, held: Any, other: Any) -> bool:
    return {"=": held == other, "<>": held != other, "<": held < other, "<=": held <= other, ">": held > other, ">=": held >= other}[
        operator
    ]


OTHER = 'odd "n"'


class Renderer:
    """Writes a condition as CQL2 text, with the freedoms that the grammar leaves taken at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def word(self, word: str) -> str:
        return self.dice.choice([word, word.lower(), word.title()])

    def name(self, name: str) -> str:
        bare = name.isalpha() and self.dice.random() < 0.7
        return name if bare else '"' + name.replace('"', '""') + '"'

    def literal(self, name: str, value: object) -> str:
        if isinstance(value, bool):
            return self.word("TRUE" if value else "FALSE")
        if name in NUMBERS or name == "ratio":
            return str(value)
        if isinstance(value, str):
            return "'" + value.replace("\\", "\\\\").replace("'", self.dice.choice(["''", "\\'"])) + "'"
        if isinstance(value, datetime):
            offset = self.dice.choice([0, 0, 345, -300]) if name == "instant" else 0
            zone = {0: "Z", 345: "+05:45", -300: "-05:00"}[offset] if name == "instant" else ""
            return f"{self.word('TIMESTAMP')}('{(value + timedelta(minutes=offset)).isoformat()}{zone}')"
        return f"{self.word('DATE')}('{value.isoformat()}')"

    def folded(self, inner: str, folds: tuple[str, ...]) -> str:
        for fold in self.dice.sample(folds, len(folds)):
            inner = f"{self.word(fold)}({inner})"
        return inner

    def about_text(self, shape: str, *parts: Any) -> str:
        if shape == "columns":
            return f"{self.folded('text', parts[1])} {parts[0]} {self.folded(self.name(OTHER), parts[1])}"
        folds, *rest = parts
        name = self.folded("text", () if shape == "pattern" else folds)
        if shape == "fold in":
            return f"{name} IN ({', '.join(self.folded(self.literal('text', each), folds) for each in rest[0])})"
        operator = "LIKE" if shape in {"like", "pattern"} else rest[0]
        return f"{name} {operator} {self.folded(self.literal('text', rest[-1]), folds)}"

    def text(self, condition: tuple) -> str:
        shape, *rest = condition
        if shape == "constant":
            return self.word("TRUE" if rest[0] else "FALSE")
        if shape == "not":
            return f"{self.word('NOT')} ({self.text(rest[0])})"
        if shape in {"and", "or"}:
            return f" {self.word(shape.upper())} ".join(f"({self.text(part)})" for part in rest)
        if shape in TEXT_SHAPES:
            return self.about_text(shape, *rest[0 if shape == "columns" else 1 :])
        return self.about_value(shape, *rest)

    def about_value(self, shape: str, *rest: Any) -> str:
        name = self.name(rest[0])
        if shape == "null":
            return f"{name} {self.word('IS')} {self.word('NULL')}"
        values = [self.literal(rest[0], value) for value in (rest[1] if shape == "in" else rest[1:] if shape == "between" else rest[2:])]
        if shape == "in":
            return f"{name} {self.word('IN')}({', '.join(values)})"
        if shape == "between":
            return f"{name} {self.word('BETWEEN')} {values[0]} {self.word('AND')} {values[1]}"
        if self.dice.random() < 0.3:
            mirrored = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[rest[1]]
            return f"{values[0]}{mirrored}{name}"
        return f"{name}{self.dice.choice(['', ' '])}{rest[1]} {values[0]}"


NEVER = cql2.parse("whole IS NULL AND whole IS NOT NULL")


def lengthened(condition: tuple) -> tuple:
    """The same condition, with the values of its lists a hundred times over."""
    shape, *rest = condition
    if shape in {"and", "or", "not"}:
        return (shape, *map(lengthened, rest))
    return (shape, *rest[:-1], rest[-1] * 101) if shape in {"in", "fold in"} else condition


def stored(name: str, cell: object) -> object:
    """Give the cell as DuckDB is given it: by text, but for doubles and booleans."""
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ") + ("+00" if name == "instant" else "")
    return cell.isoformat() if isinstance(cell, date) else cell


@pytest.fixture(scope="module")
def engine():
    with table(KINDS) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        yield connection


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(rows, st.lists(conditions(), min_size=1, max_size=5), st.integers(0, 2**32))
def test_duckdb_gives_the_rows_that_plain_three_valued_logic_gives(engine, drawn, asked, seed):
    connection = engine.cursor()
    connection.execute("TRUNCATE t")
    places = ", ".join(["?", *(f"?::{sql_type(column)}" for column in KINDS.values())])
    values = [[n, *(stored(name, cell) for name, cell in zip(KINDS, row, strict=True))] for n, row in enumerate(drawn)]
    insertion = f"INSERT INTO t VALUES {', '.join([f'({places})'] * len(values))}"
    connection.execute(insertion, [cell for row in values for cell in row])
    for condition in asked:
        text = Renderer(seed).text(condition)
        expected = [n for n, row in enumerate(drawn) if judge(condition, dict(zip(KINDS, row, strict=True))) is True]
        sql = predicate(cql2.parse(text), KINDS)
        assert rows_of(connection, sql) == expected, text
        negated = [n for n, row in enumerate(drawn) if judge(condition, dict(zip(KINDS, row, strict=True))) is False]
        assert rows_of(connection, predicate(cql2.Not(cql2.parse(text)), KINDS)) == negated, text
    # A large filter, and a long list, are printed in another way.
    large = cql2.disjunction([cql2.parse(Renderer(seed).text(lengthened(asked[0])), max_bytes=cql2.MAX_JSON_BYTES), *[NEVER] * 51])
    for tree, answer in ((large, True), (cql2.Not(large), False)):
        expected = [n for n, row in enumerate(drawn) if judge(asked[0], dict(zip(KINDS, row, strict=True))) is answer]
        assert rows_of(connection, predicate(tree, KINDS)) == expected, cql2.to_text(tree)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_edge_number_compares_exactly_with_every_edge_literal(engine, name):
    connection = engine.cursor()
    connection.execute("TRUNCATE t")
    held = [None, *NUMBERS[name]]
    insertion = f"INSERT INTO t (n, {name}) VALUES (?, ?::{sql_type(KINDS[name])})"
    connection.executemany(insertion, [[n, cell] for n, cell in enumerate(held)])
    everywhere = {text for texts in NUMBERS.values() for text in texts}
    for literal in sorted({*STRANGE, *everywhere}):
        asked = [("compare", name, operator, literal) for operator in ["=", "<>", "<", "<=", ">", ">="]] + [
            ("in", name, [literal, literal])
        ]
        printed = [predicate(cql2.parse(Renderer(0).text(condition)), KINDS) for condition in asked]
        question = f"SELECT {', '.join(sql.text for sql in printed)} FROM t ORDER BY n"
        answers = connection.execute(question, [parameter for sql in printed for parameter in sql.parameters]).fetchall()
        assert answers == [tuple(judge(condition, {name: cell}) for condition in asked) for cell in held], literal


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_the_sessions_time_zone_decides_nothing(engine, zone):
    connection = engine.cursor()
    connection.execute("TRUNCATE t")
    connection.execute(f"SET TimeZone = '{zone}'")
    connection.execute("INSERT INTO t (n, instant, local, day) VALUES (1, '2020-03-08 07:00:00+00', '2020-03-08 07:00:00', '2020-03-08')")
    moment = datetime(2020, 3, 8, 7, tzinfo=UTC)
    for text in [
        f"instant = TIMESTAMP('{moment.isoformat().replace('+00:00', 'Z')}')",
        "instant IN (TIMESTAMP('2020-03-08T02:00:00-05:00'))",
        "instant BETWEEN TIMESTAMP('2020-03-08T06:59:59.999999Z') AND TIMESTAMP('2020-03-08T07:00:00.000001Z')",
        "local = TIMESTAMP('2020-03-08T07:00:00')",
        "local IN (TIMESTAMP('2020-03-08T07:00:00'))",
        "day = DATE('2020-03-08')",
    ]:
        assert rows_of(connection, predicate(cql2.parse(text), KINDS)) == [1], text


def test_casei_overlooks_exactly_what_it_says_for_every_character(engine):
    """Characters that one of the two sides does not know yet (unassigned in Python's Unicode) are left out."""
    known = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in {"Cn", "Cs", "Co"}]
    sql = predicate(cql2.parse("CASEI(c) = CASEI('x')"), {"c": ColumnType(Kind.TEXT)}).text.partition(" = ")[0]
    found = engine.cursor().execute(f"SELECT c, {sql} FROM (SELECT unnest(?::VARCHAR[]) AS c)", [known]).fetchall()
    differing = {held for held, folded in found if folded != without(held, ("CASEI",))}
    assert differing == set()


def test_a_pattern_of_many_wildcards_takes_no_more_than_its_share_of_time(engine):
    sql = predicate(cql2.parse("text LIKE '" + "%a_" * 1000 + "b'"), KINDS)
    connection = engine.cursor()
    connection.execute("TRUNCATE t")
    connection.execute("INSERT INTO t (n, text) VALUES (1, repeat('a', 20000))")
    began = time.monotonic()
    assert rows_of(connection, sql) == []
    assert time.monotonic() - began < 5
