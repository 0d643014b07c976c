"""Large filters: what is read, printed and planned takes time that grows with the filter and no faster."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
import pytest

from baybridge.data.sql import predicate
from baybridge.errors import Invalid
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind

PLENTY = cql2.MAX_JSON_BYTES
COLUMNS = {"a": ColumnType(Kind.TEXT), "i": ColumnType(Kind.INTEGER)}
TERMS = {
    "comparisons": "a = 'x{0}'",
    "patterns": "a LIKE 'x{0}%'",
    "folds": "CASEI(a) = CASEI('x{0}')",
    "pairs": "(a = 'x{0}' AND i < {0})",
    "ranges": "i BETWEEN {0} AND 9",
    "negations": "NOT (i = {0} OR i = 9)",
    "lists": "i IN ({0}, 9)",
}


def of(term: str, count: int) -> str:
    return " OR ".join(TERMS[term].format(number) for number in range(count))


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of two tries."""
    tries = []
    for _ in range(2):
        began = time.process_time()
        work()
        tries.append(time.process_time() - began)
    return min(tries)


def plan(tree: cql2.Filter) -> None:
    sql = predicate(tree, COLUMNS)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1; CREATE TABLE t (a VARCHAR, i BIGINT)")
        connection.execute(f"SELECT a FROM t WHERE {sql.text}", sql.parameters).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("term", TERMS)
def test_a_filter_of_eight_times_the_size_takes_no_more_than_twice_eight_times_as_long(term: str) -> None:
    small, large = (cql2.parse(of(term, count), max_bytes=PLENTY) for count in (100, 800))
    for work in (
        lambda tree: cql2.parse(cql2.to_text(tree), max_bytes=PLENTY),
        lambda tree: cql2.from_json(cql2.to_json(tree)),
        plan,
    ):
        assert seconds(lambda: work(large)) < 16 * seconds(lambda: work(small)) + 0.05  # noqa: B023 -- called in this turn


@pytest.mark.parametrize("count", [101, 10_000])
def test_a_long_list_is_one_parameter_and_a_short_one_is_none_of_a_subquery(count: int) -> None:
    sql = predicate(cql2.In(cql2.Property("a"), tuple(map(str, range(count)))), COLUMNS)
    assert (len(sql.parameters), "SELECT" in sql.text) == (1, True)
    short = predicate(cql2.In(cql2.Property("a"), tuple(map(str, range(100)))), COLUMNS)
    assert (len(short.parameters), "SELECT" in short.text) == (100, False)


def test_a_filter_has_at_most_4096_conditions_and_10_000_values_in_all_its_lists() -> None:
    assert cql2.parse(of("comparisons", 4096), max_bytes=PLENTY)
    with pytest.raises(Invalid, match="4,096 conditions"):
        cql2.parse(of("comparisons", 4097), max_bytes=PLENTY)
    lists = [f'{{"op":"in","args":[{{"property":"i"}},[{",".join("1" * count)}]]}}' for count in (5000, 5001)]
    with pytest.raises(Invalid, match="10,000 values"):
        cql2.from_json(f'{{"op":"or","args":[{",".join(lists)}]}}'.encode())
