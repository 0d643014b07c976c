"""Terms in plain language: every term has its sentence, no two terms read alike, and a steward reads it without effort."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, get_args

import httpx2
import msgspec
import pytest
from conftest import CONSUMER, PROVIDER, Server, World
from drawn_terms import shapes
from hypothesis import given

from baybridge.errors import Refused
from baybridge.terms import cql2
from baybridge.terms.cql2.nodes import Filter
from baybridge.terms.filter_words import filter_lines, filter_notes
from baybridge.terms.masks import MASKS
from baybridge.terms.terms import Terms
from baybridge.terms.text import plain_text
from baybridge.terms.words import quoted
from baybridge.wire.terms import CodeListShape, TermsShape

PLAIN = TermsShape(
    dataset="health.visits",
    columns=["visit_date", "county", "patient_id", "cost"],
    purposes=["absence-study"],
    provider_authority="Health and Safety Code 120",
    consumer_authority="Education Code 49",
    start="2026-07-01T00:00:00Z",
    end="2027-07-01T00:00:00Z",
    row_filter="age_band = '5-17' AND (county = '06001' OR county IN ('06075', '06081')) AND NOT (reason = 'injury')",
    masks={"visit_date": "month", "county": "generalize(regions)", "patient_id": "pseudonym", "cost": "round(-2)"},
    code_lists={"regions": CodeListShape(codes={"06001": "Bay Area", "06075": "Bay Area"}, otherwise="other")},
    history="latest",
    linkage=True,
    pseudonym_domain="students",
    requests_per_day=1000,
    rows_per_day=50000,
    destroy_within_days=60,
)
LISTS = PLAIN.code_lists
CHANGES: dict[str, list[dict[str, Any]]] = {
    "dataset": [{"dataset": "health.visit"}, {"dataset": "clinic.visits"}],
    "columns": [
        {"columns": [*PLAIN.columns, "reason"]},
        {"columns": ["county", "visit_date", "patient_id", "cost"]},
        {"columns": ["visit_date", "county", "patient_id"], "masks": {each: mask for each, mask in PLAIN.masks.items() if each != "cost"}},
    ],
    "purposes": [{"purposes": ["absence_study"]}, {"purposes": ["absence-study", "audit"]}],
    "provider_authority": [{"provider_authority": "Health and Safety Code 121"}],
    "consumer_authority": [{"consumer_authority": "Education Code 50"}],
    "start": [{"start": "2026-07-01T00:00:00.000001Z"}, {"start": "2026-07-02T00:00:00Z"}],
    "end": [{"end": "2027-07-01T00:01:00Z"}, {"end": "2027-07-01T00:00:01Z"}],
    "row_filter": [
        *({"row_filter": text} for text in (None, "age_band = '5-18'", "age_band <> '5-17'", "TRUE")),
        *({"row_filter": f"age_band LIKE '{pattern}'"} for pattern in ("5%", "%5", "%5%", "5", "%", "5_", "5\\%", "5\\%%", "5\\\\\\\\%")),
        *({"row_filter": f"{fold}(age_band) = {fold}('5-17')"} for fold in ("CASEI", "ACCENTI")),
        {"row_filter": "CASEI(ACCENTI(age_band)) NOT LIKE CASEI(ACCENTI('5_'))"},
        *({"row_filter": f"age_band LIKE {fold}('5%'{end}"} for fold, end in (("CASEI", ")"), ("ACCENTI", ")"), ("CASEI(ACCENTI", "))"))),
        *({"row_filter": f"age_band {operator} county"} for operator in ("=", "<>", "<", "<=", ">", ">=")),
        {"row_filter": "age_band = 'county'"},
        {"row_filter": "CASEI(age_band) >= CASEI(county)"},
    ],
    "masks": [
        *({"masks": PLAIN.masks | {"visit_date": mask}} for mask in ("year", "null", "redact", "pseudonym", "bucket(2020-01-01)")),
        *(
            {"masks": PLAIN.masks | {"cost": mask}}
            for mask in ("round(-1)", "round(0)", "round(1)", "round(-7)", "bucket(0)", "bucket(0,5)")
        ),
        *({"masks": PLAIN.masks | {"patient_id": f"prefix({length})"}} for length in (1, 2)),
        {"masks": {each: mask for each, mask in PLAIN.masks.items() if each != "patient_id"}},
    ],
    "code_lists": [
        {"code_lists": {"regions": CodeListShape(codes={"06001": "Bay Area", "06075": "Bay Area"}, otherwise="elsewhere")}},
        {"code_lists": {"regions": CodeListShape(codes={"06001": "Bay Area", "06075": "South"}, otherwise="other")}},
        {"code_lists": {"regions": CodeListShape(codes={"06001": "Bay Area"}, otherwise="other")}},
        {"code_lists": {"areas": LISTS["regions"]}, "masks": PLAIN.masks | {"county": "generalize(areas)"}},
    ],
    "history": [{"history": "all"}, {"history": "from(2)"}, {"history": "from(3)"}],
    "linkage": [{"linkage": False, "pseudonym_domain": None}],
    "pseudonym_domain": [{"pseudonym_domain": "pupils"}, {"pseudonym_domain": None}],
    "requests_per_day": [{"requests_per_day": None}, {"requests_per_day": 1001}, {"requests_per_day": 1}],
    "rows_per_day": [{"rows_per_day": None}, {"rows_per_day": 1000}],
    "destroy_within_days": [{"destroy_within_days": None}, {"destroy_within_days": 1}, {"destroy_within_days": 61}],
}


def text_of(shape: TermsShape, *, consumer: str = "education") -> str:
    return plain_text(Terms.parse(shape), consumer=consumer)


def test_every_term_there_is_has_changes_here() -> None:
    assert set(CHANGES) == set(TermsShape.__struct_fields__)
    assert all(any(field in change for change in changes) for field, changes in CHANGES.items())
    tried = {mask.partition("(")[0] for change in CHANGES["masks"] for mask in change["masks"].values()}
    assert tried == set(MASKS)


@pytest.mark.parametrize(
    "change", [pytest.param(change, id=f"{term} {at}") for term, all_ in CHANGES.items() for at, change in enumerate(all_)]
)
def test_a_change_of_any_single_term_changes_a_sentence(change: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(PLAIN, **change)
    assert Terms.parse(changed).digest() != Terms.parse(PLAIN).digest()
    assert text_of(changed).splitlines() != text_of(PLAIN).splitlines()


def test_no_two_changes_read_alike() -> None:
    texts = [text_of(msgspec.structs.replace(PLAIN, **change)) for changes in CHANGES.values() for change in changes]
    assert len({text_of(PLAIN), *texts}) == 1 + len(texts)


@given(one=shapes(dataset="a.b"), other=shapes(dataset="a.b"))
def test_terms_read_alike_only_where_they_are_the_same(one: TermsShape, other: TermsShape) -> None:
    alike = Terms.parse(one).digest() == Terms.parse(other).digest()
    assert (text_of(one) == text_of(other)) is alike


@given(shape=shapes())
def test_nothing_in_the_terms_can_add_a_line_or_hide_one(shape: TermsShape) -> None:
    text = text_of(shape)
    assert all(character == "\n" or character.isprintable() for character in text)
    headings = [line for line, after in zip(text.split("\n"), text.split("\n")[1:], strict=False) if line and not after]
    assert headings[::2] == [line for line in text_of(PLAIN).split("\n") if line in headings[::2]]
    assert text.count("\n- ") >= len(shape.columns)


def test_the_terms_are_told_in_these_words() -> None:
    assert text_of(PLAIN).splitlines() == [
        *("What this is", ""),
        "health shares the dataset health.visits with education.",
        "This page says in plain words what both sides sign.",
        "The server checks each read against it, and puts each read on record.",
        *("", "Why", ""),
        "education may use the data for one purpose only: absence-study.",
        "Each read must name its purpose.",
        "The law or rule by which health may share: Health and Safety Code 120",
        "The law or rule by which education may receive: Education Code 49",
        *("", "How long", ""),
        "education may read from 1 July 2026 at 00:00 UTC on.",
        "It can read no more from 1 July 2027 at 00:00 UTC on.",
        *("", "Which rows", ""),
        "education gets a row only if this holds:",
        "- All of these hold:",
        '  - "age_band" is "5-17".',
        "  - At least one of these holds:",
        '    - "county" is "06001".',
        '    - "county" is one of: "06075", "06081".',
        "  - This does not hold:",
        '    - "reason" is "injury".',
        "An empty value fails a test, and it fails the reverse too. Only a test for empty finds it.",
        "The same rule as a filter: age_band = '5-17' AND (county = '06001' OR county IN ('06075', '06081')) AND NOT (reason = 'injury')",
        *("", "Which columns", ""),
        "education gets 4 columns, in this order:",
        '- "visit_date": only the year and the month, as the first day of that month.',
        '- "county": a broader code by the list regions.',
        '  - "06001" becomes "Bay Area".',
        '  - "06075" becomes "Bay Area".',
        '  - Any other code becomes "other".',
        '- "patient_id": a made-up code in its place. The same value has the same code. No one can undo it without the key.',
        '- "cost": rounded to hundreds. A half goes away from zero.',
        "It gets no other column.",
        *("", "Which versions", ""),
        "education can read the latest version only.",
        "When a new version comes, the old one closes.",
        "A read that runs then may go on for 24 hours.",
        *("", "Links to other data", ""),
        "education may link this data with other data.",
        "Made-up codes in it match those that education gets from health in the group students.",
        *("", "How much", ""),
        "education can get at most 1,000 requests a day.",
        "education can get at most 50,000 rows a day.",
        "A day runs from midnight to midnight UTC. What would pass a limit is refused.",
        *("", "How it can end", ""),
        "health can pause this, or revoke it for good, at any time.",
        "One second later the server sends no more.",
        "What education has by then stays with it. The server can not take it back.",
        "When this has ended, education has 60 days to state that it has destroyed the data.",
        "No side can change these terms alone. A change needs both to sign again.",
    ]


# How hard it is to read.


def syllables(word: str) -> int:
    """Groups of vowels, without a silent e at the end."""
    groups = len(re.findall(r"[aeiouy]+", word))
    return max(1, groups - (word.endswith("e") and not word.endswith("le") and groups > 1))


def grade(lines: list[str]) -> float:
    """Flesch and Kincaid's grade: 0.39 x words a sentence + 11.8 x syllables a word - 15.59. A line ends a sentence."""
    sentences = [re.findall(r"[a-z']+", part.lower()) for line in lines for part in re.split(r"[.:](?:\s|$)", line)]
    sentences = [words for words in sentences if words]
    words = [word for sentence in sentences for word in sentence]
    return 0.39 * len(words) / len(sentences) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def told(text: str) -> Iterator[list[str]]:
    """The paragraphs, without what the parties wrote themselves: their law, and the filter as a filter."""
    for paragraph in re.split(r"\n\n[A-Z][a-z ]+\n\n", "\n\n" + text):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith(("The law or rule", "The same rule"))]
        if lines:
            yield lines


@pytest.mark.parametrize("change", [{}, *(change for changes in CHANGES.values() for change in changes)], ids=str)
def test_the_text_is_of_grade_eight_or_lower(change: dict[str, Any]) -> None:
    paragraphs = list(told(text_of(msgspec.structs.replace(PLAIN, **change), consumer="dot")))
    assert len(paragraphs) == 9
    assert grade([line for lines in paragraphs for line in lines]) <= 6
    assert all(grade(lines) <= 8 for lines in paragraphs), [(grade(lines), lines) for lines in paragraphs]


# Filters in words.

WORDS = {
    "a = 1": ['- "a" is 1.'],
    "a <> 1.50": ['- "a" is not 1.5.'],
    "a < -1": ['- "a" is less than -1.'],
    "a <= 1": ['- "a" is 1 or less.'],
    "a > 1e40": ['- "a" is more than 1E+40.'],
    "a >= 1": ['- "a" is 1 or more.'],
    "a = 'it''s'": ['- "a" is "it\'s".'],
    "a < 'b'": ['- "a" sorts before "b".'],
    "a <= 'b'": ['- "a" is "b" or sorts before it.'],
    "a > 'b'": ['- "a" sorts after "b".'],
    "a >= 'b{}'": ['- "a" is "b{}" or sorts after it.'],
    "a = TRUE": ['- "a" is true.'],
    "a <> FALSE": ['- "a" is not false.'],
    "a = DATE('2024-01-31')": ['- "a" is 31 January 2024.'],
    "a < DATE('2024-12-01')": ['- "a" is before 1 December 2024.'],
    "a <= DATE('0999-12-01')": ['- "a" is 1 December 999 or before.'],
    "a > TIMESTAMP('2024-01-31T12:00:00Z')": ['- "a" is after 31 January 2024 at 12:00 UTC.'],
    "a >= TIMESTAMP('2024-01-31T12:00:00.5')": ['- "a" is 31 January 2024 at 12:00:00.500000 local time or after.'],
    "a BETWEEN 1 AND 5": ['- "a" is from 1 to 5, ends included.'],
    "a NOT BETWEEN 1 AND 5": ['- "a" is not from 1 to 5, ends included.'],
    "a IN (1, 2)": ['- "a" is one of: 1, 2.'],
    "a NOT IN ('x', 'y')": ['- "a" is not one of: "x", "y".'],
    "a IS NULL": ['- "a" is empty.'],
    "a IS NOT NULL": ['- "a" is not empty.'],
    "a LIKE 'x%'": ['- "a" is text that starts with "x".'],
    "a LIKE '%50\\%'": ['- "a" is text that ends with "50%".'],
    "a NOT LIKE '%x y%'": ['- "a" is not text that holds "x y".'],
    "a LIKE 'x'": ['- "a" is text that fits the pattern "x".'],
    "a LIKE 'x_%'": ['- "a" is text that fits the pattern "x_%".'],
    "a LIKE '%'": ['- "a" is text that fits the pattern "%".'],
    "NOT (a < b)": ["- This does not hold:", '  - "a" is below the column "b".'],
    "a = b": ['- "a" is the same as the column "b".'],
    "a <> b": ['- "a" is not the same as the column "b".'],
    "a <= b": ['- "a" is below or the same as the column "b".'],
    "a > b": ['- "a" is above the column "b".'],
    "a >= b": ['- "a" is above or the same as the column "b".'],
    "CASEI(a) = CASEI('x')": ['- "a" is "x". Case does not count.'],
    "ACCENTI(a) NOT LIKE ACCENTI('x%')": ['- "a" is not text that starts with "x". Accents do not count.'],
    "a LIKE CASEI('X%')": ['- "a" is text that starts with "X" in small letters.'],
    "a NOT LIKE ACCENTI('\u00e9_')": ['- "a" is not text that fits the pattern "\u00e9_" without accents.'],
    "a LIKE CASEI(ACCENTI('%\u00c9'))": ['- "a" is text that ends with "\u00c9" in small letters without accents.'],
    "CASEI(ACCENTI(a)) IN (CASEI(ACCENTI('x')))": ['- "a" is one of: "x". Case and accents do not count.'],
    "CASEI(a) < CASEI(b)": ['- "a" is below the column "b". Case does not count.'],
    "TRUE": ["- This always holds."],
    "FALSE": ["- This never holds."],
    "NOT (a = 1)": ["- This does not hold:", '  - "a" is 1.'],
    "a = 1 AND b = 2": ["- All of these hold:", '  - "a" is 1.', '  - "b" is 2.'],
    "a = 1 OR NOT (b = 2 AND c = 3)": [
        "- At least one of these holds:",
        '  - "a" is 1.',
        "  - This does not hold:",
        "    - All of these hold:",
        '      - "b" is 2.',
        '      - "c" is 3.',
    ],
    "\"two\u202e words\" = '\u2028'": ['- "two\\u{202e} words" is "\\u{2028}".'],
}
# What the words say of each node. A node, or a field of one, that is not here has no words yet.
TOLD = {
    "And": {"operands"},
    "Or": {"operands"},
    "Not": {"operand"},
    "Always": {"value"},
    "Comparison": {"operator", "property", "value", "kind"},
    "ColumnComparison": {"operator", "property", "other"},
    "Like": {"property", "pattern", "only_pattern", "kind"},
    "Between": {"property", "low", "high", "kind"},
    "In": {"property", "values", "kind"},
    "IsNull": {"property"},
}


@pytest.mark.parametrize("text", WORDS)
def test_each_condition_has_its_words(text: str) -> None:
    assert list(filter_lines(cql2.parse(text))) == WORDS[text]


def test_every_node_of_the_filter_tree_has_words_for_all_that_it_says() -> None:
    assert {node.__name__: {field.name for field in fields(node)} for node in get_args(Filter)} == TOLD
    tried = {type(cql2.parse(text)).__name__ for text in WORDS}
    assert tried == set(TOLD)
    assert {field.name for field in fields(cql2.Property)} == {"name", "position", "folds"}


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("a = 1 AND b LIKE 'x%'", []),
        ("a = b", []),
        (
            "NOT (b LIKE 'x_')",
            ["In a pattern, % is any text, and _ is any one letter or sign.", "With a mark \\\\ before them, they are just signs."],
        ),
        ("TRUE OR a < b", ["Below means less, before, or sorted before. Above is the reverse."]),
    ],
)
def test_what_must_be_known_to_read_a_condition_is_said_below_it(text: str, notes: list[str]) -> None:
    assert list(filter_notes(cql2.parse(text))) == notes


@dataclass(frozen=True)
class Strange:
    """A node that the words do not know."""

    property: cql2.Property
    value: object


@pytest.mark.parametrize(
    "tree",
    [
        Strange(cql2.Property("a"), 1),
        cql2.Not(Strange(cql2.Property("a"), 1)),  # type: ignore[arg-type]  # a node of a later version
        cql2.And((cql2.Always(value=True), Strange(cql2.Property("a"), 1))),  # type: ignore[arg-type]  # as above
    ],
)
def test_a_condition_without_words_refuses_and_is_never_left_out(tree: Any) -> None:
    with pytest.raises(Refused) as refused:
        list(filter_lines(tree))
    assert refused.value.code == "terms_not_understood"


def test_what_cannot_be_seen_is_written_as_its_number() -> None:
    assert quoted('a"\\\n\u202e\u200b é日') == '"a\\"\\\\\\u{a}\\u{202e}\\u{200b} é日"'


# Where it is read.


def test_the_parties_read_the_text_and_nobody_else_does(flights: World, served: Server) -> None:
    flights.add_organization("ohio")
    agreement = flights.sign(flights.terms())
    assert agreement.terms is not None
    path = f"/api/v1/agreements/{agreement.id}/text"

    def get(organization: str, role: str) -> httpx2.Response:
        return served.client(flights.secrets[organization, role]).get(path)

    for organization, role in ((PROVIDER, "steward"), (CONSUMER, "analyst"), (CONSUMER, "auditor")):
        answer = get(organization, role)
        assert answer.text == plain_text(agreement.terms, consumer=CONSUMER)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-cache"
    assert (get("ohio", "steward").status_code, get("ohio", "steward").json()["code"]) == (404, "not_found")
