"""What terms mean, however they are written: their one canonical form, their digest, and their masks, history and limits."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from drawn_terms import ZONES, shapes
from hypothesis import given
from hypothesis import strategies as st

from baybridge.errors import BaybridgeError, Invalid
from baybridge.terms.codes import CodeList
from baybridge.terms.columns import ColumnType
from baybridge.terms.history import History
from baybridge.terms.masks import MASKS, check_mask, parse_mask
from baybridge.terms.terms import Terms, check_terms
from baybridge.wire.terms import CodeListShape, TermsShape

GOLDEN_SHAPE: dict[str, Any] = {
    "dataset": "bts.flights",
    "columns": ["tailnum", "flight", "größe"],
    "purposes": ["noise-study", "audit"],
    "provider_authority": "49 U.S.C. § 6302",
    "consumer_authority": 'Charter, "section" 191',
    "start": "2027-01-31T00:00:00-05:00",
    "end": "2028-01-31T00:00:00.250000-05:00",
    "row_filter": "origin='JFK' and (delay>5 or delay is null)",
    "masks": {"tailnum": "pseudonym", "größe": "generalize( sizes )", "flight": "bucket( 02.50, 10)"},
    "code_lists": {"sizes": CodeListShape(codes={"XL": "large", "S": "small"}, otherwise="other")},
    "history": "from(3)",
    "linkage": True,
    "pseudonym_domain": "cohort",
    "rows_per_day": 5000,
}
# Written by hand by RFC 8785: members in the order of their names' UTF-16 units, no spaces, only what must be escaped is.
GOLDEN_TEXT = (
    '{"code_lists":{"sizes":{"codes":{"S":"small","XL":"large"},"otherwise":"other"}},'
    '"columns":["tailnum","flight","größe"],'
    '"consumer_authority":"Charter, \\"section\\" 191",'
    '"dataset":"bts.flights",'
    '"end":"2028-01-31T05:00:00.250000Z",'
    '"format":2,'
    '"history":"from(3)",'
    '"linkage":true,'
    '"masks":{"flight":"bucket(2.5,10)","größe":"generalize(sizes)","tailnum":"pseudonym"},'
    '"provider_authority":"49 U.S.C. § 6302",'
    '"pseudonym_domain":"cohort",'
    '"purposes":["audit","noise-study"],'
    '"requests_per_day":null,'
    '"row_filter":"origin = \'JFK\' AND (delay > 5 OR delay IS NULL)",'
    '"rows_per_day":5000,'
    '"start":"2027-01-31T05:00:00Z"}'
)
GOLDEN_DIGEST = "45d9aa1b9d1419954e6b9a84809524edc2815f51c0a3980d2a8bfd9855ce56eb"


def test_the_digest_of_terms_is_this_one_for_good() -> None:
    terms = Terms.parse(TermsShape(**GOLDEN_SHAPE))
    assert terms.canonical().decode() == GOLDEN_TEXT
    assert terms.digest() == hashlib.sha256(GOLDEN_TEXT.encode()).hexdigest() == GOLDEN_DIGEST


@given(shape=shapes())
def test_terms_survive_each_form_that_they_take(shape: TermsShape) -> None:
    terms = Terms.parse(shape)
    assert Terms.parse(terms.shape()) == terms
    assert Terms.parse(terms.shape()).shape() == terms.shape()
    assert Terms.parse_canonical(terms.canonical()) == terms
    members = msgspec.to_builtins(terms.shape())
    if shape.destroy_within_days is None:
        del members["destroy_within_days"]  # it came after the format, and what was signed before keeps its digest
    assert json.loads(terms.canonical()) == {"format": 2, **members}
    assert terms.digest() == hashlib.sha256(terms.canonical()).hexdigest()


@given(shape=shapes(), zone=ZONES, order=st.randoms(use_true_random=False))
def test_terms_of_one_meaning_have_one_digest(shape: TermsShape, zone: timezone, order: Any) -> None:
    purposes = [*shape.purposes, shape.purposes[0]]
    order.shuffle(purposes)
    masks = list(shape.masks.items())
    order.shuffle(masks)
    other = msgspec.structs.replace(
        shape,
        purposes=purposes,
        masks=dict(masks),
        start=datetime.fromisoformat(shape.start).astimezone(zone).isoformat(),
        end=datetime.fromisoformat(shape.end).astimezone(zone).isoformat(),
        row_filter=None if shape.row_filter is None else f" ( {shape.row_filter} ) ",
        provider_authority=f"  {shape.provider_authority} ",
    )
    assert Terms.parse(other).digest() == Terms.parse(shape).digest()


@given(one=shapes(), other=shapes())
def test_terms_of_another_meaning_have_another_digest(one: TermsShape, other: TermsShape) -> None:
    a, b = Terms.parse(one), Terms.parse(other)
    assert (a.digest() == b.digest()) is (a == b)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["flight", "tailnum", "größe"]},
        {"columns": ["tailnum", "flight", "größe", "dest"]},
        {"purposes": ["noise-study"]},
        {"masks": {"tailnum": "redact", "größe": "generalize(sizes)", "flight": "bucket(2.5,10)"}},
        {"masks": {"tailnum": "pseudonym", "größe": "generalize(sizes)"}},
        {"masks": {"tailnum": "pseudonym", "größe": "generalize(sizes)", "flight": "bucket(2.5,11)"}},
        {"code_lists": {"sizes": CodeListShape(codes={"XL": "large", "S": "small"}, otherwise="else")}},
        {"code_lists": {"sizes": CodeListShape(codes={"XL": "large", "S": "little"}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"XL": "large"}, otherwise="other")}},
        {"history": "all"},
        {"history": "from(4)"},
        {"linkage": False, "pseudonym_domain": None},
        {"requests_per_day": 5000},
        {"rows_per_day": None},
        {"rows_per_day": 5001},
        {"destroy_within_days": 30},
        {"row_filter": None},
        {"row_filter": "origin='JFK' and delay>5 or delay is null"},
        {"end": "2028-01-31T00:00:00-05:00"},
        {"start": "2027-01-31T00:00:00-06:00"},
        {"pseudonym_domain": None},
        {"provider_authority": "49 U.S.C. 6302"},
        {"dataset": "bts.flight"},
    ],
)
def test_each_term_counts_in_the_digest(change: dict[str, Any]) -> None:
    assert Terms.parse(TermsShape(**GOLDEN_SHAPE | change)).digest() != GOLDEN_DIGEST


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"format":2', '"format":1'),
        lambda text: text.replace('"format":2', '"format":"2"'),
        lambda text: text.replace('"format":2,', ""),
        lambda text: text.replace('{"code_lists"', '{ "code_lists"'),
        lambda text: text + "\n",
        lambda text: text.replace('"audit","noise-study"', '"noise-study","audit"'),
        lambda text: text.replace("T05:00:00Z", "T00:00:00-05:00"),
        lambda text: text.replace("AND", "and"),
        lambda text: text.replace("§", "\\u00a7"),
        lambda text: text.replace('"format":2', '"format":2,"quota":5'),
        lambda text: text.replace('"pseudonym"', '"hash"'),
        lambda text: text.replace("bucket(2.5,10)", "bucket(2.50,10)"),
        lambda text: text.replace("bucket(2.5,10)", "bucket(2.5, 10)"),
        lambda text: text.replace('"history":"from(3)",', ""),
        lambda text: text.replace("from(3)", "from(1)"),
        lambda text: text.replace('"linkage":true', '"linkage":false'),
        lambda text: text.replace('"requests_per_day":null,', ""),
        lambda text: text.replace("'JFK'", "'JFK"),
        lambda text: text.replace("bts.flights", "bts"),
        lambda text: text[:-1],
        lambda _: "",
        lambda _: "[]",
    ],
)
def test_stored_terms_that_are_not_exactly_canonical_are_not_understood(change: Callable[[str], str]) -> None:
    assert Terms.parse_canonical(GOLDEN_TEXT.encode())
    with pytest.raises(Invalid):
        Terms.parse_canonical(change(GOLDEN_TEXT).encode())


@given(position=st.integers(0, len(GOLDEN_TEXT.encode()) - 1), byte=st.integers(0, 255))
def test_stored_terms_with_one_byte_changed_are_other_terms_or_none(position: int, byte: int) -> None:
    stored_text = bytearray(GOLDEN_TEXT.encode())
    stored_text[position] = byte
    try:
        terms = Terms.parse_canonical(bytes(stored_text))
    except Invalid:
        return
    assert (terms.digest() == GOLDEN_DIGEST) is (stored_text == GOLDEN_TEXT.encode())


# Masks: how they are written.

UNWRITTEN = [
    *("", " ", "()", "redact()", "redact ", "Redact", "NULL", "null(0)", "year(2020)", "month(1)", "hash", "sha256"),
    *(
        "prefix",
        "prefix()",
        "prefix(0)",
        "prefix(-1)",
        "prefix(+1)",
        "prefix(1.0)",
        "prefix(1,2)",
        "prefix(1001)",
        "prefix(01)",
        "prefix(x)",
    ),
    *("round", "round()", "round(1.5)", "round(--1)", "round(+1)", "round(01)", "round(-0)", "round(1,2)", "round(100)", "round(1))"),
    *("bucket", "bucket()", "bucket(,)", "bucket(1,)", "bucket(2,1)", "bucket(1,1)", "bucket(1,1.0)", "bucket(1e3)", "bucket(nan)"),
    *("bucket(1,2020-01-01)", "bucket(2020-02-30)", "bucket(2021-01-01,2020-01-01)", "bucket(2024-W05-3)", "bucket(2020-1-1)"),
    *(f"bucket({'9' * 39})", f"bucket({','.join(map(str, range(101)))})", "bucket(1;2)", "bucket((1))", "bucket(\u0661)"),
    *("generalize", "generalize()", "generalize(other)", "generalize(areas,areas)", "generalize('areas')", "prefix(3)x", "prefix(3"),
]
AREAS = {"areas": CodeList.parse("areas", CodeListShape(codes={"02116": "Boston"}, otherwise="elsewhere"))}


@pytest.mark.parametrize("text", UNWRITTEN)
def test_a_mask_that_is_not_exactly_one_is_refused_and_told_how_to_write_it(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_mask(text, column="c", code_lists=AREAS)
    assert refused.value.code == "terms_invalid"
    assert [place.parameter for place in refused.value.places] == ["masks"]
    assert refused.value.advice.rule
    assert refused.value.advice.who_can_change
    assert refused.value.advice.next_step


@pytest.mark.parametrize(
    ("mistyped", "meant"), [("pseudonim", "pseudonym"), ("yaer", "year"), ("prefx(3)", "prefix"), ("buckets(1)", "bucket")]
)
def test_a_mistyped_mask_is_told_the_nearest(mistyped: str, meant: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_mask(mistyped, column="c", code_lists={})
    assert [place.hint for place in refused.value.places] == [meant]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("bucket( 0 ,18, 65 )", "bucket(0,18,65)"),
        ("bucket(00.50,1.00)", "bucket(0.5,1)"),
        ("bucket(-0,100)", "bucket(0,100)"),
        ("bucket(2020-01-01, 2021-01-01)", "bucket(2020-01-01,2021-01-01)"),
        ("prefix( 3 )", "prefix(3)"),
        ("round(-2)", "round(-2)"),
        ("generalize( areas )", "generalize(areas)"),
    ],
)
def test_a_mask_has_one_canonical_text(written: str, canonical: str) -> None:
    mask = parse_mask(written, column="c", code_lists=AREAS)
    assert str(mask) == canonical
    assert parse_mask(canonical, column="c", code_lists=AREAS) == mask


# Which column takes which mask, written down once more: promises to stewards, so a change here is a change of the product.
TAKEN = {
    "text": {"redact", "null", "pseudonym", "prefix(2)", "generalize(areas)"},
    "integer": {"redact", "null", "pseudonym", "round(-2)", "round(-3)", "bucket(0,1.5)", "generalize(areas)"},
    "decimal(5,2)": {"redact", "null", "pseudonym", "round(1)", "round(0)", "round(-2)", "bucket(0,1.5)"},
    "decimal(3,3)": {"redact", "null", "pseudonym", "round(1)", "round(2)", "bucket(0,1.5)"},
    "decimal(2,1)": {"redact", "null", "pseudonym", "round(0)", "bucket(0,1.5)"},
    "decimal(1,0)": {"redact", "null", "pseudonym", "bucket(0,1.5)"},
    "decimal(1,1)": {"redact", "null", "pseudonym", "bucket(0,1.5)"},
    "decimal(38,38)": {"redact", "null", "pseudonym", "round(1)", "round(2)", "bucket(0,1.5)"},
    "double": {"redact", "null", "bucket(0,1.5)"},
    "boolean": {"redact", "null", "pseudonym"},
    "date": {"redact", "null", "pseudonym", "year", "month", "bucket(2020-01-01)"},
    "timestamp": {"redact", "null", "pseudonym", "year", "month", "bucket(2020-01-01)"},
    "datetime": {"redact", "null", "pseudonym", "year", "month", "bucket(2020-01-01)"},
}


@pytest.mark.parametrize("column", TAKEN)
def test_each_type_takes_exactly_these_masks(column: str) -> None:
    every = set().union(*TAKEN.values()) | {"round(-19)"}
    assert {text.partition("(")[0] for text in every} == set(MASKS)
    taken = set()
    for text in every:
        with contextlib.suppress(Invalid):
            check_mask(parse_mask(text, column="c", code_lists=AREAS), ColumnType.parse(column), name="c")
            taken.add(text)
    assert taken == TAKEN[column]


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("double", "pseudonym", "Masks for a column of type double: redact, null, bucket."),
        ("date", "bucket(1)", "The edges for a column of type date are dates."),
        ("integer", "bucket(2020-01-01)", "The edges for a column of type integer are numbers."),
        ("integer", "round(0)", "A column of type integer is rounded from round(-18) to round(-1)."),
        ("decimal(5,2)", "round(2)", "A column of type decimal(5,2) is rounded from round(-2) to round(1)."),
        ("decimal(2,1)", "round(1)", "A column of type decimal(2,1) is rounded from round(0) to round(0)."),
        ("decimal(1,0)", "round(0)", "A column of type decimal(1,0) has no digit to be rounded away."),
    ],
)
def test_a_mask_that_does_not_fit_says_what_would(column: str, text: str, rule: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_mask(parse_mask(text, column="c", code_lists=AREAS), ColumnType.parse(column), name="c")
    assert (refused.value.code, refused.value.advice.rule) == ("terms_invalid", rule)


@pytest.mark.parametrize(
    "text", ["", "Latest", "none", "from", "from()", "from(0)", "from(-1)", "from(01)", "from(1.5)", "from( 2 )", "all()"]
)
def test_a_history_that_is_not_exactly_one_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        History.parse(text)
    assert refused.value.code == "terms_invalid"


def test_history_reaches_exactly_the_versions_that_it_names() -> None:
    def reached(text: str) -> list[int]:
        return [version for version in range(1, 6) if History.parse(text).allows(version, latest=5)]

    assert {text: reached(text) for text in ("latest", "all", "from(1)", "from(4)", "from(6)")} == {
        "latest": [5],
        "all": [1, 2, 3, 4, 5],
        "from(1)": [1, 2, 3, 4, 5],
        "from(4)": [4, 5],
        "from(6)": [],
    }
    assert str(History.parse("from(1)")) == "all"


@pytest.mark.parametrize(
    "change",
    [
        {"linkage": False},
        {"rows_per_day": 0},
        {"destroy_within_days": 0},
        {"destroy_within_days": 3651},
        {"requests_per_day": -1},
        {"rows_per_day": 10**12 + 1},
        {"masks": {}},
        {"masks": {"größe": "generalize(size)"}},
        {"code_lists": {"sizes": CodeListShape(codes={}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"": "x"}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"S": ""}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"S": "x"}, otherwise="")}},
        {"code_lists": {"sizes": CodeListShape(codes={"S": "two\nlines"}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"\0": "x"}, otherwise="other")}},
        {"code_lists": {"sizes": CodeListShape(codes={"S": "x" * 201}, otherwise="other")}},
        {"code_lists": {"Sizes": CodeListShape(codes={"S": "x"}, otherwise="other")}},
    ],
)
def test_terms_that_contradict_themselves_are_refused(change: dict[str, Any]) -> None:
    assert Terms.parse(TermsShape(**GOLDEN_SHAPE))
    with pytest.raises(BaybridgeError) as refused:
        Terms.parse(TermsShape(**GOLDEN_SHAPE | change))
    assert refused.value.code in {"terms_invalid", "invalid_request"}


def test_authorities_that_are_both_missing_are_asked_for_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        Terms.parse(TermsShape(**GOLDEN_SHAPE | {"provider_authority": " ", "consumer_authority": ""}))
    assert [place.parameter for place in refused.value.places] == ["provider_authority", "consumer_authority"]


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "soon"])
def test_an_instant_without_its_zone_is_refused_with_the_rule_and_the_way_to_write_it(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Terms.parse(TermsShape(**GOLDEN_SHAPE | {"start": text}))
    advice = refused.value.advice
    assert (bool(advice.rule), advice.who_can_change) == (True, "you")
    assert advice.next_step == "Write start as 2027-01-31T00:00:00-05:00, or with Z for UTC."


@pytest.mark.parametrize(("name", "hint"), [("home.city", "A struct is released whole: name home."), ("hom", "home"), ("tags.first", None)])
def test_a_field_is_not_released_alone_and_is_told_what_is(name: str, hint: str | None) -> None:
    columns = {"home": ColumnType.parse("struct(city text)"), "tags": ColumnType.parse("list(text)")}
    terms = Terms.parse(TermsShape(**GOLDEN_SHAPE | {"columns": [name], "masks": {}, "code_lists": {}, "row_filter": None}))
    with pytest.raises(Invalid) as refused:
        check_terms(terms, columns)
    assert [(place.parameter, place.hint) for place in refused.value.places] == [("columns", hint)]
