"""The filter language: what it reads, the one text it writes, and where and how it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from baybridge.errors import Invalid
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, Kind
from baybridge.terms.cql2 import Always, And, Between, ColumnComparison, Comparison, Fold, In, IsNull, Like, Not, Or, Property

A, B = Property("a"), Property("b")
PLENTY = 4_000_000


def refused(text: str) -> tuple[int | None, str, str]:
    with pytest.raises(Invalid) as caught:
        cql2.parse(text)
    error = caught.value
    assert error.code == "filter_invalid"
    (place,) = error.places
    assert place.parameter == "filter"
    assert place.hint
    return place.column, place.message, place.hint


# What it reads.


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1", Comparison("=", A, Decimal(1))),
        ("a<>'x'", Comparison("<>", A, "x")),
        ("a <= TRUE", Comparison("<=", A, value=True)),
        ("5 < a", Comparison(">", A, Decimal(5))),
        ("5 >= a", Comparison("<=", A, Decimal(5))),
        ("false <> a", Comparison("<>", A, value=False)),
        ("a is null", IsNull(A)),
        ("a Is NoT nULL", Not(IsNull(A))),
        ("a between -1 and +2", Between(A, Decimal(-1), Decimal(2))),
        ("a NOT BETWEEN 'p' AND 'q'", Not(Between(A, "p", "q"))),
        ("a IN('x','y')", In(A, ("x", "y"))),
        ("a = b", ColumnComparison("=", A, B)),
        ("a <= \u017ft", ColumnComparison("<=", A, Property("\u017ft"))),
        ("a like 'x%'", Like(A, "x%")),
        (r"a NOT LIKE '\%\_\\\\'", Not(Like(A, r"\%\_\\"))),
        ("casei(a) = CASEI('X')", Comparison("=", Property("a", folds=(Fold.CASEI,)), "X")),
        ("CASEI('X') > CASEI(a)", Comparison("<", Property("a", folds=(Fold.CASEI,)), "X")),
        ("ACCENTI(CASEI(a)) LIKE CASEI(ACCENTI('x%'))", Like(Property("a", folds=(Fold.CASEI, Fold.ACCENTI)), "x%")),
        ("a LIKE ACCENTI(CASEI('X%'))", Like(A, "X%", (Fold.CASEI, Fold.ACCENTI))),
        ("CASEI(a) IS NULL", IsNull(A)),
        ("a not in (1)", Not(In(A, (Decimal(1),)))),
        ("TRUE", Always(value=True)),
        ("(false)", Always(value=False)),
        ("NOT a = 1", Not(Comparison("=", A, Decimal(1)))),
        ("NOT NOT a IS NULL", Not(Not(IsNull(A)))),
        ("\ta\n=\r1 ", Comparison("=", A, Decimal(1))),
        ("date = DATE('2013-01-01')", Comparison("=", Property("date"), date(2013, 1, 1))),
        ("timestamp > timestamp('2013-01-01T10:00:00Z')", Comparison(">", Property("timestamp"), datetime(2013, 1, 1, 10, tzinfo=UTC))),
        ("a = TIMESTAMP('2013-01-01T10:00:00')", Comparison("=", A, datetime(2013, 1, 1, 10))),  # noqa: DTZ001 - without a zone is meant
        ("a = TIMESTAMP('2013-01-01T00:30:00.25+05:45')", Comparison("=", A, datetime(2012, 12, 31, 18, 45, 0, 250000, tzinfo=UTC))),
        ("a = TIMESTAMP('2013-01-01T23:30:00-01:00')", Comparison("=", A, datetime(2013, 1, 2, 0, 30, tzinfo=UTC))),
    ],
)
def test_each_construct_is_read_as_its_node(text, tree):
    assert cql2.parse(text) == tree


def test_not_binds_closer_than_and_and_and_closer_than_or():
    a, b, c = (Comparison("=", Property(name), Decimal(1)) for name in "abc")
    assert cql2.parse("NOT a = 1 AND b = 1 OR c = 1") == Or((And((Not(a), b)), c))
    assert cql2.parse("c = 1 OR NOT (a = 1 AND b = 1)") == Or((c, Not(And((a, b)))))
    assert cql2.parse("a = 1 AND (b = 1 OR c = 1)") == And((a, Or((b, c))))


def test_conjunctions_and_disjunctions_are_flat_however_they_are_parenthesised():
    assert cql2.parse("(a = 1 AND b = 1) AND a = 1") == cql2.parse("a = 1 AND (b = 1 AND a = 1)") == cql2.parse("a = 1 AND b = 1 AND a = 1")
    assert cql2.parse("((a = 1 OR b = 1)) OR a = 1") == cql2.parse("a = 1 OR b = 1 OR a = 1")
    assert cql2.conjunction([]) == Always(value=True)
    assert cql2.disjunction([]) == Always(value=False)
    assert cql2.conjunction([IsNull(A)]) == IsNull(A)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("flights", "flights"),
        ("_x9", "_x9"),
        ("Größe", "Größe"),
        ("日付", "日付"),
        ("eo:cloud.cover", "eo:cloud.cover"),
        ('"odd ""name"" here"', 'odd "name" here'),
        ('"and"', "and"),
        ('"it\'s \\n"', "it's \\n"),
        ("\u0131s", "\u0131s"),  # a dotless i: Python upper-cases it to the keyword IS
    ],
)
def test_names_are_bare_or_quoted(text, name):
    assert cql2.parse(f"{text} = 1") == Comparison("=", Property(name), Decimal(1))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("''", ""),
        ("'O''Brien'", "O'Brien"),
        (r"'O\'Brien'", "O'Brien"),
        (r"'C:\\temp\\'", "C:\\temp\\"),
        (r"'\a\b\t\n\v\f\r'", "\a\b\t\n\v\f\r"),
        ("'a\tb\nc'", "a\tb\nc"),
        ("'%_\"--/*;'", '%_"--/*;'),
        ("'日本 😀'", "日本 😀"),
        ("'' OR a = ''", None),
    ],
)
def test_texts_escape_as_the_standard_says(text, value):
    expected = Comparison("=", A, value) if value is not None else Or((Comparison("=", A, ""), Comparison("=", A, "")))
    assert cql2.parse(f"a = {text}") == expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("12345678901234567890.12345", "12345678901234567890.12345"),
        ("9007199254740993", "9007199254740993"),
        ("0.1", "0.1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("1.00", "1"),
        ("1e5", "100000"),
        ("1.5E+2", "150"),
        ("25e-3", "0.025"),
        ("-0.0", "0"),
        ("0e9999", "0"),
        ("+3", "3"),
        ("1e79", "1" + "0" * 79),
        ("1e80", "1e80"),
        ("-12e998", "-12e998"),
        ("9" * 72, "9" * 72),
        ("1e-999", "1e-999"),
    ],
)
def test_numbers_are_exact_and_have_one_spelling(text, canonical):
    tree = cql2.parse(f"a = {text}")
    assert isinstance(tree, Comparison)
    assert isinstance(tree.value, Decimal)
    assert cql2.to_text(tree) == f"a = {canonical}"
    assert tree == cql2.parse(f"a = {canonical}")


def test_true_is_not_one_and_instants_are_not_wall_clocks():
    assert Comparison("=", A, value=True) != Comparison("=", A, Decimal(1))
    assert In(A, (True,)) != In(A, (Decimal(1),))
    assert Between(A, low=False, high=True) != Between(A, Decimal(0), Decimal(1))
    assert cql2.parse("a = TIMESTAMP('2013-01-01T10:00:00Z')") != cql2.parse("a = TIMESTAMP('2013-01-01T10:00:00')")


def test_positions_are_characters_from_one_and_do_not_count_in_equality():
    found = cql2.properties_of(cql2.parse("'😀' = b AND (NOT a IN (1) OR 5 < \"b\") AND c IS NULL AND a BETWEEN 1 AND 2 AND TRUE"))
    assert [(each.name, each.position) for each in found] == [("b", 7), ("a", 18), ("b", 34), ("c", 43), ("a", 57)]
    assert Property("a", 3) == Property("a", 9)
    assert hash(Property("a", 3)) == hash(Property("a", 9))


def test_no_tree_can_be_built_that_is_not_normal():
    one = Comparison("=", A, Decimal(1))
    impossible = [
        lambda: And((one,)),
        lambda: And((one, And((one, one)))),
        lambda: Or((one, Or((one, one)))),
        lambda: In(A, ()),
        lambda: In(A, (Decimal(1), "x")),
        lambda: In(A, (Decimal(1),) * 10_001),
        lambda: Between(A, Decimal(1), "x"),
        lambda: Comparison("=", A, Decimal("NaN")),
        lambda: Comparison("=", A, Decimal("1e1000")),
        lambda: Comparison("=", A, "\0"),
        lambda: Comparison("=", A, "\udc00"),
        lambda: Property(""),
        lambda: Property("a\nb"),
    ]
    for build in impossible:
        with pytest.raises(ValueError, match=r"."):
            build()


# The one text it writes.

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=6) | st.text(st.sampled_from("a'\"\\\n\t%_ 😀é"), max_size=6)
names = st.sampled_from(
    ["a", "b", "A", "_", "and", "TRUE", "Null", "div", "date", "a.b", "a:b", "1a", "a b", 'q"q', "é", "日付", "\\n", "\u0131s"]
) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
numbers = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.integers(0, 10**72 - 1) | st.integers(0, 1000),
    st.integers(-900, 900) | st.integers(-3, 3),
)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=offsets)  # noqa: DTZ001 - the zone is drawn
kinds = [texts, numbers, st.booleans(), st.dates(), st.datetimes(), instants]
properties = st.builds(Property, names)
foldings = st.sampled_from([(), (Fold.CASEI,), (Fold.ACCENTI,), (Fold.CASEI, Fold.ACCENTI)])
patterns = st.lists(st.sampled_from(["%", "_", r"\%", r"\_", r"\\", "a", "é", "'", "\n"]), max_size=6).map("".join)
operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
leaves = st.one_of(
    st.builds(IsNull, properties),
    st.builds(Always, st.booleans()),
    *(st.builds(Comparison, operators, properties, kind) for kind in kinds),
    st.builds(
        lambda operator, a, b, folds: ColumnComparison(operator, Property(a, 1, folds), Property(b, 1, folds)),
        operators,
        names,
        names,
        foldings,
    ),
    st.builds(lambda name, folds, pattern: Like(Property(name, 1, folds), pattern), names, foldings, patterns),
    st.builds(Like, properties, patterns, foldings),
    st.builds(lambda operator, name, folds, text: Comparison(operator, Property(name, 1, folds), text), operators, names, foldings, texts),
    st.builds(
        lambda name, folds, found: In(Property(name, 1, folds), tuple(found)), names, foldings, st.lists(texts, min_size=1, max_size=3)
    ),
    *(st.builds(Between, properties, kind, kind) for kind in kinds),
    *(st.builds(In, properties, st.lists(kind, min_size=1, max_size=4).map(tuple)) for kind in kinds),
)
trees = st.recursive(
    leaves,
    lambda inner: (
        inner.map(Not)
        | st.lists(inner, min_size=2, max_size=3).map(cql2.conjunction)
        | st.lists(inner, min_size=2, max_size=3).map(cql2.disjunction)
    ),
    max_leaves=12,
)


EXAMPLES = pytest.mark.parametrize("examples", [pytest.param(400, id="sample"), pytest.param(2000, id="all", marks=pytest.mark.prove)])


@EXAMPLES
def test_the_text_of_every_tree_is_read_as_that_tree(examples):
    @seed(20261124)
    @settings(max_examples=examples, deadline=None)
    @given(trees)
    def holds(tree):
        text = cql2.to_text(tree)
        again = cql2.parse(text, max_bytes=PLENTY)
        assert again == tree
        assert cql2.to_text(again) == text

    holds()


@EXAMPLES
def test_the_json_of_every_tree_is_read_as_that_tree(examples):
    @seed(20261124)
    @settings(max_examples=examples, deadline=None)
    @given(trees)
    def holds(tree):
        assert cql2.from_json(cql2.to_json(tree), max_bytes=PLENTY) == tree

    holds()


@settings(max_examples=200, deadline=None)
@given(trees, trees)
def test_two_trees_have_one_text_exactly_when_they_are_equal(one, other):
    assert (one == other) == (cql2.to_text(one) == cql2.to_text(other))


words = ["a", "b", '"c', 'd"', "and", "OR", "not", "In", "BETWEEN", "is", "null", "true", "FALSE", "like", "date(", "timestamp(", "casei("]
marks = [
    "'2020-01-01'",
    "'2020-01-01T00:00:00Z'",
    "'x'",
    "''",
    "'\\'",
    '"',
    "(",
    ")",
    ",",
    "=",
    "<>",
    "<",
    "<=",
    ">=",
    "+",
    "*",
    ";",
    "\0",
    "\x01",
    "é",
]
pieces = st.sampled_from([*words, *marks, "1", "-2", ".5", "1e9", "9"])


@settings(max_examples=600, deadline=None)
@given(st.lists(pieces, max_size=14).map(" ".join) | st.lists(pieces, max_size=14).map("".join) | st.text(max_size=30))
@example("a = '\ud800'")
@example("a = 1e99999999999999999999999999")
@example("a IN (" * 700)
@example("(" * 8000)
@example("a = 1 AND (" * 700)
@example("NOT " * 2000 + "a = 1")
@example("NOT(" * 2000 + "a = 1" + ")" * 100)
def test_any_text_is_a_tree_that_is_read_again_or_is_refused_at_a_place_in_it(text):
    try:
        tree = cql2.parse(text)
    except Invalid:
        column, _, _ = refused(text)
        assert column is not None
        assert 1 <= column <= len(text) + 1
    else:
        assert cql2.parse(cql2.to_text(tree)) == tree


# Where and how it refuses.


@pytest.mark.parametrize(
    ("text", "position", "names", "hint"),
    [
        ("", 1, "starts with a column", "column = 5"),
        ("a", 2, "not a condition", "="),
        ("(a) = 1", 3, "not a condition", "="),
        ("a =", 4, "literal is needed", "'text'"),
        ("a IN (1, b)", 10, "not with another column", "single quotes"),
        ("1 = 1", 5, "not with another literal", "column"),
        ("'a' IS NULL", 5, "starts with a column", "column"),
        ("in = 5", 1, "starts with a column", "double quotes"),
        ("a = 1 + 1", 7, "Arithmetic", "number"),
        ("a - 1 = 1", 3, "Arithmetic", "number"),
        ("a -1 = 1", 3, "Arithmetic", "number"),
        ("(a * 2) = 1", 4, "Arithmetic", "number"),
        ("a div 2 = 1", 3, "Arithmetic", "number"),
        ("a = -b", 5, "Arithmetic", "number"),
        ("a ILIKE 'x%'", 3, "ILIKE", "CASEI(name) LIKE"),
        ("a LIKE 5", 8, "pattern", "Smith%"),
        ("a LIKE b", 8, "not with another column", "single quotes"),
        (r"a LIKE 'x\\d'", 8, "pattern", "Smith%"),
        (r"a LIKE 'x\\'", 8, "pattern", "Smith%"),
        (r"a = '50\%'", 8, "backslash", "Write"),
        ("CASEI(a) = 'x'", 12, "both sides", "CASEI(name)"),
        ("a = casei('x')", 5, "both sides", "CASEI(name)"),
        ("ACCENTI(a) = CASEI('x')", 14, "both sides", "CASEI(name)"),
        ("CASEI(a) LIKE 'x'", 15, "both sides", "CASEI(name)"),
        ("CASEI(a) LIKE CASEI(ACCENTI('x'))", 15, "both sides", "CASEI(name)"),
        ("CASEI(a) = b", 12, "both sides", "CASEI(name)"),
        ("CASEI(a) IN (CASEI('x'), 'y')", 26, "both sides", "CASEI(name)"),
        ("CASEI(a) = CASEI(5)", 18, "one column or one text", "CASEI(ACCENTI"),
        ("CASEI(CASEI(a)) = 'x'", 7, "once", "CASEI(ACCENTI"),
        ("CASEI(a, b) = 'x'", 8, "one column or one text", "CASEI(ACCENTI"),
        ("S_INTERSECTS(g, POINT(1 1))", 1, "Spatial", "lon BETWEEN"),
        ("T_AFTER(t, DATE('2020-01-01'))", 1, "Temporal", "<"),
        ("A_CONTAINS(t, ('x'))", 1, "Array", "IN"),
        ("t = INTERVAL('..', '..')", 5, "INTERVAL", "BETWEEN"),
        ("lower(a) = 'x'", 1, "Functions", "column"),
        ("NOT lower(a)", 5, "Functions", "column"),
        ("a = NULL", 5, "NULL equals nothing", "IS NULL"),
        ("NULL <> a", 1, "NULL equals nothing", "IS NULL"),
        ("a IN (NULL)", 7, "NULL equals nothing", "IS NULL"),
        ("a IS TRUE", 6, "IS is followed", "= TRUE"),
        ("a != 1", 3, "!=", "<>"),
        ("a == 1", 3, "==", "="),
        ("a=1 && b=1", 5, "&&", "AND"),
        ("a=1 || b=1", 5, "||", "OR"),
        ("a = 1 -- x", 7, "comments", "Remove"),
        ("a = 1; b", 6, "character", "quotes"),
        ("a = 1 b", 7, "should have ended", "AND"),
        ("a = 1)", 6, "should have ended", "AND"),
        ("a = 1 = 2", 7, "cannot be compared", "AND"),
        ("(a = 1) = TRUE", 9, "cannot be compared", "AND"),
        ("(a = 1", 7, "for the ( at character 1", ")"),
        ("a IN 1", 6, "IN is followed", "IN ("),
        ("a IN ()", 7, "literal is needed", "'text'"),
        ("a IN (1 2)", 9, "comma", "IN ("),
        ("a IN (1, 'x')", 10, "one kind", "'text'"),
        ("a BETWEEN 1 OR 2", 13, "joined by AND", "BETWEEN 1 AND 9"),
        ("a BETWEEN 1 AND 'x'", 17, "one kind", "'text'"),
        ("a = 'x", 5, "never closed", "''"),
        ("a = 'x''y", 5, "never closed", "''"),
        ("a \u0131s NULL", 3, "not a condition", "="),
        ("a = 'x\\'", 5, "never closed", "\\\\"),
        ("a = 'x\\d'", 7, "backslash", "\\\\"),
        ('"a = 1', 1, "double quotes", '""'),
        ('"" = 1', 1, "double quotes", '""'),
        ('"a\nb" = 1', 1, "double quotes", '""'),
        ("a\0 = 1", 2, "NUL", "Remove"),
        ("a = '\0'", 6, "NUL", "Remove"),
        ("a = '\ud800'", 6, "surrogate", "Remove"),
        ("a\x07 = 1", 2, "control character", "Remove"),
        ("a\x85= 1", 2, "control character", "Remove"),
        ("a\u00a0= 1", 2, "character", "quotes"),
        ("a = 1x", 6, "runs into", "space"),
        ("a = 1.2.3", 8, "runs into", "space"),
        ("a = " + "1" * 73, 5, "72 significant digits", "fewer"),
        ("a = 0" + "." + "0" * 79, 5, "80 characters", "fewer"),
        ("a = 1e1000", 5, "power of ten", "fewer"),
        ("a = 1e-999999999999999999999", 5, "power of ten", "fewer"),
        ("a = DATE('2023-02-29')", 10, "DATE('2024-01-31')", "digits"),
        ("a = DATE('2023-2-9')", 10, "DATE('2024-01-31')", "digits"),
        ("a = DATE(2023)", 10, "DATE('2024-01-31')", "digits"),
        ("a = DATE '2023-02-28'", 5, "DATE('2024-01-31')", "digits"),
        ("a = TIMESTAMP('2023-02-28T24:00:00Z')", 15, "TIMESTAMP('2024", "Z"),
        ("a = TIMESTAMP('2023-02-28T23:59:60Z')", 15, "TIMESTAMP('2024", "Z"),
        ("a = TIMESTAMP('2023-02-28T23:59:59.1234567Z')", 15, "TIMESTAMP('2024", "6 digits"),
        ("a = TIMESTAMP('2023-02-28 23:59:59Z')", 15, "TIMESTAMP('2024", "Z"),
        ("a = TIMESTAMP('0001-01-01T00:00:00+14:00')", 15, "TIMESTAMP('2024", "Z"),
        ("a = TIMESTAMP('٢٠٢٣-02-28T23:59:59Z')", 15, "TIMESTAMP('2024", "Z"),
    ],
)
def test_what_is_left_out_is_refused_by_name_with_its_place_and_the_nearest_allowed_thing(text, position, names, hint):
    column, message, advice = refused(text)
    assert column == position
    assert names in message
    assert hint in advice


def test_a_refusal_repeats_nothing_of_the_filter():
    with pytest.raises(Invalid) as caught:
        cql2.parse("ssn = '078-05-1120' AND name LIKE 'Smith\\d'")
    error = caught.value
    said = " ".join([error.detail, str(error.advice), str(error.places)])
    assert "078" not in said
    assert "Smith" not in said


def test_a_filter_has_at_most_8192_bytes_also_when_written_out():
    room = 8192 - len("a = ''")
    assert cql2.parse("a = '" + "x" * room + "'")
    assert "8192 bytes" in refused("a = '" + "x" * (room + 1) + "'")[1]
    assert "8192 bytes" in refused("a = '" + "é" * (room // 2 + 1) + "'")[1]
    assert "8192 bytes" in refused("a IN(" + ",".join(["1"] * 4000) + ")")[1]
    assert "8192 bytes" in refused("a IN (" + ",".join(["1e70"] * 200) + ")")[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [("(", ")"), ("NOT ", ""), ("NOT (", ")"), ("b = 1 AND (", ")"), ("b = 1 OR NOT (c = 1 AND ", ")")],
)
def test_a_filter_nests_64_levels_and_no_more(before, after):
    deepest = before * 64 + "a = 1" + after * 64
    tree = cql2.parse(deepest)
    assert cql2.parse(cql2.to_text(tree)) == tree
    assert "64 levels" in refused(before * 65 + "a = 1" + after * 65)[1]


def test_an_and_inside_an_or_is_a_level_because_its_text_has_a_parenthesis():
    inner = "a = 1 AND b = 1 OR c = 1"
    tree = cql2.parse("NOT (" * 63 + inner + ")" * 63)
    assert cql2.parse(cql2.to_text(tree)) == tree
    assert "64 levels" in refused("NOT (" * 64 + inner + ")" * 64)[1]


def test_an_in_list_has_at_most_10_000_values():
    def listed(count: int) -> str:
        return f"a IN ({','.join(map(str, range(count)))})"

    tree = cql2.parse(listed(10_000), max_bytes=PLENTY)
    assert isinstance(tree, In)
    assert len(tree.values) == 10_000
    with pytest.raises(Invalid) as caught:
        cql2.parse(listed(10_001), max_bytes=PLENTY)
    assert caught.value.places[0].column == len(listed(10_000)) + 1
    assert "10,000" in caught.value.places[0].message


# Against columns.

COLUMNS = {
    "dest": ColumnType(Kind.TEXT),
    "seats": ColumnType(Kind.INTEGER),
    "fare": ColumnType(Kind.DECIMAL, 10, 2),
    "ratio": ColumnType(Kind.DOUBLE),
    "late": ColumnType(Kind.BOOLEAN),
    "day": ColumnType(Kind.DATE),
    "at": ColumnType(Kind.TIMESTAMP),
    "local": ColumnType(Kind.DATETIME),
}
LITERALS = {
    "text": "'x'",
    "number": "1.5",
    "boolean": "TRUE",
    "date": "DATE('2020-01-01')",
    "instant": "TIMESTAMP('2020-01-01T00:00:00Z')",
    "wall": "TIMESTAMP('2020-01-01T00:00:00')",
}
FITTING = {
    "dest": "text",
    "seats": "number",
    "fare": "number",
    "ratio": "number",
    "late": "boolean",
    "day": "date",
    "at": "instant",
    "local": "wall",
}


@pytest.mark.parametrize("column", FITTING)
@pytest.mark.parametrize("literal", LITERALS)
@pytest.mark.parametrize("shape", ["{c} = {v}", "{c} <> {v}", "{c} < {v}", "{c} BETWEEN {v} AND {v}", "{c} IN ({v})", "NOT ({c} IN ({v}))"])
def test_a_literal_fits_its_column_or_is_refused_with_the_way_to_write_it(column, literal, shape):
    tree = cql2.parse("seats = 1 AND " + shape.format(c=column, v=LITERALS[literal]))
    unordered = column != "late" or shape in {"{c} = {v}", "{c} <> {v}", "{c} IN ({v})", "NOT ({c} IN ({v}))"}
    if FITTING[column] == literal and unordered:
        cql2.check(tree, COLUMNS)
        return
    with pytest.raises(Invalid) as caught:
        cql2.check(tree, COLUMNS)
    (place,) = caught.value.places
    assert caught.value.code == "filter_invalid"
    assert place.column == (20 if shape.startswith("NOT") else 15)
    assert str(COLUMNS[column]) in place.message
    assert place.hint is not None
    if unordered and FITTING[column] != "number":
        assert LITERALS[FITTING[column]][:5] in place.hint.replace("'02116'", "'x'").replace("2024", "2020")


def test_an_unknown_column_is_refused_with_its_place_and_the_nearest_known_name():
    with pytest.raises(Invalid) as caught:
        cql2.check(cql2.parse("seats > 1 AND (late = TRUE OR dset IS NULL)"), COLUMNS)
    (place,) = caught.value.places
    assert (caught.value.code, place.column, place.hint) == ("unknown_column", 31, "dest")
    with pytest.raises(Invalid) as caught:
        cql2.check(cql2.parse("DEST = 'x'"), COLUMNS)
    assert caught.value.places[0].hint == "dest"
    with pytest.raises(Invalid) as caught:
        cql2.check(cql2.parse("zzzzzzzz = 'x'"), COLUMNS)
    assert "single quotes" in (caught.value.places[0].hint or ""), "what is near no name is most likely text"


def test_a_null_test_and_a_constant_fit_every_column():
    cql2.check(cql2.parse("late IS NULL OR at IS NOT NULL OR TRUE"), COLUMNS)
