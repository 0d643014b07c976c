"""Terms that cannot be asked for or offered: each is refused, and told where."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from negotiating import in_state, outcome

from baybridge.errors import CODES, BaybridgeError
from baybridge.names import DatasetName
from baybridge.publish import Declaration


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
    ({"masks": {"dest": "redact"}}, "terms_invalid", "masks", '"dest" is not in columns.'),
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
    ({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}, "terms_invalid", "end", None),
    ({"row_filter": "origin ="}, "filter_invalid", None, None),
    ({"row_filter": ""}, "filter_invalid", None, None),
    ({"row_filter": "orgin = 'JFK'"}, "unknown_column", None, "origin"),
    ({"row_filter": "origin > 5"}, "filter_invalid", None, None),
    ({"row_filter": "flight = 'five'"}, "filter_invalid", None, None),
    ({"row_filter": "departed > DATE('2013-01-01')"}, "filter_invalid", None, None),
    ({"linkage": True, "pseudonym_domain": "My Domain"}, "invalid_request", "pseudonym_domain", None),
    ({"dataset": "bts"}, "invalid_request", "dataset", None),
    ({"dataset": "bts.nothing"}, "not_found", None, None),
    ({"dataset": "nobody.flights"}, "not_found", None, None),
]


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_terms_that_mean_nothing_here_are_refused_and_told_where(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    database = parties.stored()
    with pytest.raises(BaybridgeError) as refused:
        parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms(**changes))
    assert refused.value.code == code
    if place is not None:
        assert refused.value.places[0].parameter == place
    if hint is not None:
        assert refused.value.places[0].hint == hint
    assert parties.stored() == database


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_what_cannot_be_asked_for_cannot_be_offered(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    del place, hint
    agreement = in_state(parties, "REQUESTED")
    database = parties.stored()
    wanted = "terms_invalid" if code == "not_found" else code  # another dataset cannot be offered, whether there is one or not
    terms = parties.terms(**changes)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, terms)) == wanted
    assert parties.stored() == database


def test_terms_that_have_ended_are_neither_countered_nor_taken_on(parties: World) -> None:
    agree, analyst = parties.exchange.agree, parties.person("dot", "analyst")
    ended = parties.terms(start="2020-01-01T00:00:00Z", end="2021-01-01T00:00:00Z")
    asked, signed = in_state(parties, "REQUESTED"), in_state(parties, "FINALIZED")
    assert outcome(lambda: agree.counter(analyst, asked.id, ended)) == "terms_invalid"
    assert outcome(lambda: agree.succeed(analyst, signed.id, ended)) == "terms_invalid"


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
        {"history": 1},
        {"linkage": "yes"},
        {"rows_per_day": "5"},
        {"code_lists": {"makers": {"codes": {"N1": "N"}}}},
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
    database = parties.stored()
    plain = msgspec.to_builtins(parties.terms())
    with door.client(parties.secrets["dot", "analyst"]) as client:
        answer = client.post("/api/v1/agreements", json=plain | body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["errors"][0]["parameter"]
        del plain["end"]
        assert client.post("/api/v1/agreements", json=plain).json()["code"] == "invalid_request"
    assert [line for line in parties.stored() if "agreements" in line] == [line for line in database if "agreements" in line]


def test_every_code_that_these_tests_expect_is_one() -> None:
    assert {code for _, code, _, _ in REFUSED_TERMS} <= CODES.keys()
