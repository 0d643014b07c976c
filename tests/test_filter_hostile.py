"""Hostile names and values: none of them is ever in the text of the SQL, each arrives as it was sent, and nothing crashes."""

from __future__ import annotations

import json
import re
from typing import Final

import duckdb
import pytest

from baybridge.data.sql import predicate
from baybridge.errors import Invalid
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind

VALUES: Final = [
    "'",
    "''; DROP TABLE t; --",
    '"',
    "\\",
    "\\' OR 1=1 --",
    "/*",
    "$1 ? ?1 :a",
    "{} {0} %s",
    "\u202eabc\u2066",
    "\ufeff\u200b\u2028",
    "\r\n\t\a",
    "日本😀",
    "x" * 8_000,
    "') OR ('1'='1",
]
NAMES: Final = ['a"b', '"; DROP TABLE t; --', "\u202eeman", "?", "{}", "a b", "'", "select", "n" * 500]
# What the SQL of a filter is made of besides columns' names.
WORDS: Final = {
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "LIKE",
    "ESCAPE",
    "IN",
    "VARCHAR",
    "COALESCE",
    "lower",
    "upper",
    "replace",
    "strip_accents",
}
SHAPES: Final = ("{c} = {v}", "{c} <> {v}", "{c} LIKE {p}", "{c} IN ({v}, {v})", "NOT ({c} < {v} AND CASEI({c}) = CASEI({v}))")


def text_of(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def outside(sql: str, column: str) -> str:
    """The SQL without the column's name and without the three constants that are ours."""
    found = sql.replace('"' + column.replace('"', '""') + '"', " ")
    return found.replace("ESCAPE '\\'", " ESCAPE ").replace("'ß', 'ss'", " ")


PAIRS: Final = [*((value, NAMES[at % len(NAMES)]) for at, value in enumerate(VALUES)), *((VALUES[1], name) for name in NAMES)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("value", "name"), PAIRS, ids=ascii)
def test_no_value_is_in_the_sql_and_each_is_a_parameter_as_it_was_sent(value: str, shape: str, name: str) -> None:
    column = '"' + name.replace('"', '""') + '"'
    pattern = re.sub(r"([\\%_])", r"\\\1", value)
    in_pattern = "'" + re.sub(r"\\(?![%_])", r"\\\\", pattern).replace("'", "''") + "'"
    tree = cql2.parse(shape.format(c=column, v=text_of(value), p=in_pattern), max_bytes=cql2.MAX_JSON_BYTES)
    assert cql2.from_json(cql2.to_json(tree)) == tree
    sql = predicate(tree, {name: ColumnType(Kind.TEXT)})
    assert set(sql.parameters) == {pattern if "{p}" in shape else value}
    rest = outside(sql.text, name)
    assert set(re.findall(r"\w+", rest)) <= WORDS
    assert not re.search(r"""["';\\{}$-]""", rest)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (" + column + " VARCHAR)")
        connection.execute("INSERT INTO t VALUES (?), (NULL)", [value])
        found = connection.execute(f"SELECT * FROM t WHERE {sql.text}", sql.parameters).fetchall()
    assert found == ([] if "<>" in shape else [(value,)])


@pytest.mark.parametrize("name", ["\0", "a\0b", "a\x1fb", "\ud800", ""])
def test_a_name_that_no_column_has_is_refused_in_both_languages(name: str) -> None:
    for read in (
        lambda: cql2.parse('"' + name + '" = 1'),
        lambda: cql2.from_json(json.dumps({"op": "=", "args": [{"property": name}, 1]}).encode()),
    ):
        with pytest.raises(Invalid) as refused:
            read()
        assert refused.value.code == "filter_invalid"


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800"], ids=ascii)
def test_a_value_that_cannot_be_sent_on_is_refused_in_both_languages(value: str) -> None:
    for read in (
        lambda: cql2.parse(f"a = '{value}'"),
        lambda: cql2.from_json(json.dumps({"op": "=", "args": [{"property": "a"}, value]}).encode()),
    ):
        with pytest.raises(Invalid) as refused:
            read()
        assert refused.value.code == "filter_invalid"


def test_64_levels_are_sql_that_the_engine_runs() -> None:
    text = "NOT (a = 'x' AND b <> 'y' OR " * 32 + "a IS NULL" + ")" * 32
    sql = predicate(cql2.parse(text), dict.fromkeys("ab", ColumnType(Kind.TEXT)))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a VARCHAR, b VARCHAR)")
        assert connection.execute(f"SELECT a FROM t WHERE {sql.text}", sql.parameters).fetchall() == []
