"""Terms as they are asked for and signed: what is refused, and that one meaning has one digest, however it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from hypothesis import given
from hypothesis import strategies as st
from negotiating import in_state, outcome, stored

from baybridge.errors import CODES, BaybridgeError, Invalid
from baybridge.names import DatasetName
from baybridge.publish import Declaration
from baybridge.terms.terms import Terms
from baybridge.wire.terms import TermsShape


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Provider bts with its flights, and consumer dot."""
    made = make_world(tmp_path_factory.mktemp("terms") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def door(parties: World) -> Iterator[Server]:
    with serving(parties.root) as server:
        yield server


# --- terms that are refused ---

REFUSED_TERMS: list[tuple[dict[str, object], str, str | None, str | None]] = [
    ({"columns": ["flight", "carier"], "masks": {}}, "unknown_column", "columns", "carrier"),
    ({"columns": ["FLIGHT"], "masks": {}}, "unknown_column", "columns", "flight"),
    ({"columns": [], "masks": {}}, "terms_invalid", "columns", None),
    ({"columns": ["flight", "flight"], "masks": {}}, "terms_invalid", "columns", None),
    ({"columns": ["_row"], "masks": {}}, "unknown_column", "columns", None),
    ({"masks": {"tailnum": "hash"}}, "terms_invalid", "masks", None),
    ({"masks": {"tailnum": "pseudonim"}}, "terms_invalid", "masks", "pseudonym"),
    ({"masks": {"dest": "redact"}}, "terms_invalid", "masks", None),
    ({"masks": {"nothing": "redact"}}, "terms_invalid", "masks", None),
    ({"purposes": []}, "terms_invalid", "purposes", None),
    ({"purposes": ["Noise Study"]}, "invalid_request", "purposes", None),
    ({"provider_authority": ""}, "terms_invalid", "provider_authority", None),
    ({"consumer_authority": "  "}, "terms_invalid", "consumer_authority", None),
    ({"consumer_authority": "x" * 501}, "terms_invalid", "consumer_authority", None),
    ({"consumer_authority": "two\nlines"}, "terms_invalid", "consumer_authority", None),
    ({"start": "2030-01-01T00:00:00"}, "invalid_request", "start", None),
    ({"end": "2030-01-01"}, "invalid_request", "end", None),
    ({"end": "9999-12-31T23:59:59-14:00"}, "invalid_request", "end", None),
    ({"start": "0001-01-01T00:00:00+14:00"}, "invalid_request", "start", None),
    ({"start": "2030-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}, "terms_invalid", "end", None),
    ({"start": "2030-01-01T00:00:00Z", "end": "2030-01-01T05:00:00+06:00"}, "terms_invalid", "end", None),
    ({"row_filter": "origin ="}, "filter_invalid", None, None),
    ({"row_filter": ""}, "filter_invalid", None, None),
    ({"row_filter": "orgin = 'JFK'"}, "unknown_column", None, "origin"),
    ({"row_filter": "origin > 5"}, "filter_invalid", None, None),
    ({"row_filter": "flight = 'five'"}, "filter_invalid", None, None),
    ({"row_filter": "departed > DATE('2013-01-01')"}, "filter_invalid", None, None),
    ({"pseudonym_domain": "My Domain"}, "invalid_request", "pseudonym_domain", None),
    ({"dataset": "bts"}, "invalid_request", "dataset", None),
    ({"dataset": "bts.nothing"}, "not_found", None, None),
    ({"dataset": "nobody.flights"}, "not_found", None, None),
]


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_terms_that_mean_nothing_here_are_refused_and_told_where(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    database = stored(parties)
    with pytest.raises(BaybridgeError) as refused:
        parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms(**changes))
    assert refused.value.code == code
    if place is not None:
        assert refused.value.places[0].parameter == place
    if hint is not None:
        assert refused.value.places[0].hint == hint
    assert stored(parties) == database


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_what_cannot_be_asked_for_cannot_be_offered(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    del place, hint
    agreement = in_state(parties, "REQUESTED")
    database = stored(parties)
    wanted = "terms_invalid" if code == "not_found" else code  # another dataset cannot be offered, whether there is one or not
    terms = parties.terms(**changes)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, terms)) == wanted
    assert stored(parties) == database


def test_an_offer_cannot_be_about_another_dataset(parties: World) -> None:
    agreement = in_state(parties, "REQUESTED")
    parties.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    terms = parties.terms(dataset="bts.airlines", columns=["carrier"], masks={}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, terms)) == "terms_invalid"


def test_a_double_cannot_be_pseudonymised(parties: World) -> None:
    schema = {"fields": [{"name": "level", "type": "number", "baybridge:type": "double"}], "missingValues": ["", "NA"]}
    parties.publish("bts.levels", b"level\n1.5\n", schema=schema)
    terms = parties.terms(dataset="bts.levels", columns=["level"], masks={"level": "pseudonym"}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), terms)) == "terms_invalid"
    redacted = parties.terms(dataset="bts.levels", columns=["level"], masks={"level": "redact"}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), redacted)) == "ok"


def test_terms_cannot_be_asked_for_before_there_is_a_schema(parties: World) -> None:
    parties.exchange.publish.declare(parties.person("bts", "steward"), DatasetName("bts", "later"), Declaration())
    terms = parties.terms(dataset="bts.later")
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), terms)) == "conflict"


def test_terms_are_at_most_64_kilobytes(parties: World) -> None:
    purposes = [f"p{number:04d}{'x' * 58}" for number in range(1_100)]
    assert (
        outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms(purposes=purposes)))
        == "terms_invalid"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"quota": 5},
        {"history": "all"},
        {"row_filters": "origin = 'JFK'"},
        {"columns": "flight"},
        {"columns": [1]},
        {"masks": [["tailnum", "redact"]]},
        {"start": 5},
        {"end": None},
        {"provider_authority": None},
    ],
)
def test_a_term_that_is_unknown_or_of_another_type_is_never_skipped(parties: World, door: Server, body: dict[str, object]) -> None:
    database = stored(parties)
    plain = msgspec.to_builtins(parties.terms())
    with door.client(parties.secrets["dot", "analyst"]) as client:
        answer = client.post("/api/v1/agreements", json=plain | body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["errors"][0]["parameter"]
        del plain["end"]
        assert client.post("/api/v1/agreements", json=plain).json()["code"] == "invalid_request"
    assert [line for line in stored(parties) if "agreements" in line] == [line for line in database if "agreements" in line]


# --- what terms mean, and their digest ---

GOLDEN_SHAPE: dict[str, Any] = {
    "dataset": "bts.flights",
    "columns": ["tailnum", "flight", "größe"],
    "purposes": ["noise-study", "audit"],
    "provider_authority": "49 U.S.C. § 6302",
    "consumer_authority": 'Charter, "section" 191',
    "start": "2027-01-31T00:00:00-05:00",
    "end": "2028-01-31T00:00:00.250000-05:00",
    "row_filter": "origin='JFK' and (delay>5 or delay is null)",
    "masks": {"tailnum": "pseudonym", "größe": "redact"},
    "pseudonym_domain": "cohort",
}
# Written by hand by RFC 8785: members in the order of their names' UTF-16 units, no spaces, only what must be escaped is.
GOLDEN_TEXT = (
    '{"columns":["tailnum","flight","größe"],'
    '"consumer_authority":"Charter, \\"section\\" 191",'
    '"dataset":"bts.flights",'
    '"end":"2028-01-31T05:00:00.250000Z",'
    '"format":1,'
    '"masks":{"größe":"redact","tailnum":"pseudonym"},'
    '"provider_authority":"49 U.S.C. § 6302",'
    '"pseudonym_domain":"cohort",'
    '"purposes":["audit","noise-study"],'
    '"row_filter":"origin = \'JFK\' AND (delay > 5 OR delay IS NULL)",'
    '"start":"2027-01-31T05:00:00Z"}'
)
GOLDEN_DIGEST = "bee19b70a35eedfe9511320fa7e1e38115edf976629a1d8042ab64c7126aec93"

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Zs"], include_characters=" "), min_size=1, max_size=20
).filter(lambda text: bool(text.strip()) and text.isprintable())
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
CODES_OF_PURPOSES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
FILTERS = st.sampled_from(
    [
        None,
        "origin = 'JFK'",
        "a=1 and b=2 and c=3",
        "(a=1 or b=2) and not c=3",
        "a not in (1, 2.50, -3e2) or b between DATE('2020-01-01') and DATE('2020-12-31')",
        '"odd ""name""" is not null',
        "t >= TIMESTAMP('2020-01-01T00:00:00Z') and s = 'it''s'",
        "a <> true or false",
    ]
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 -- hypothesis adds the zone


@st.composite
def shapes(draw: st.DrawFn) -> TermsShape:
    columns = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    start, end = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    return TermsShape(
        dataset=draw(st.sampled_from(["bts.flights", "a.b", "o_1.n_2"])),
        columns=columns,
        purposes=draw(st.lists(CODES_OF_PURPOSES, min_size=1, max_size=4)),
        provider_authority=draw(TEXTS),
        consumer_authority=draw(TEXTS),
        start=start.isoformat(),
        end=end.isoformat(),
        row_filter=draw(FILTERS),
        masks=draw(st.dictionaries(st.sampled_from(columns), st.sampled_from(["redact", "pseudonym"]))),
        pseudonym_domain=draw(st.none() | st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)),
    )


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
    assert json.loads(terms.canonical()) == {"format": 1, **msgspec.to_builtins(terms.shape())}
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
        {"masks": {"tailnum": "redact", "größe": "redact"}},
        {"masks": {"tailnum": "pseudonym"}},
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
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: text.replace('"format":1', '"format":"1"'),
        lambda text: text.replace('"format":1,', ""),
        lambda text: text.replace('{"columns"', '{ "columns"'),
        lambda text: text + "\n",
        lambda text: text.replace('"audit","noise-study"', '"noise-study","audit"'),
        lambda text: text.replace("T05:00:00Z", "T00:00:00-05:00"),
        lambda text: text.replace("AND", "and"),
        lambda text: text.replace("§", "\\u00a7"),
        lambda text: text.replace('"format":1', '"format":1,"quota":5'),
        lambda text: text.replace('"pseudonym"', '"hash"'),
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


def test_every_code_that_these_tests_expect_is_one() -> None:
    assert {code for _, code, _, _ in REFUSED_TERMS} <= CODES.keys()
