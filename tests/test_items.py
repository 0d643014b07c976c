"""Rows over HTTP, as an analyst's own tools see them: compared with DuckDB on the source file, which shares no code with the exchange."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.agreements import domains

ITEMS = "/api/v1/collections/bts.flights/items"
DESCENDING = "Write -delay: a - before a name is descending, and nothing is ascending."
QUOTES = "Text is written in single quotes, 'text'; double quotes hold a column's name."
COLUMNS = ["flight", "carrier", "tailnum", "origin", "delay"]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Still]:
    """A served exchange that no test changes: one for all tests that only read."""
    world = make_world(tmp_path_factory.mktemp("still") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.airlines", b"carrier,name\nUA,United\nAA,American\n", key=("carrier",), access="public")
    world.sign(world.terms())
    with serving(world.root) as server:
        yield Still(world, server)
    world.exchange.close()


@dataclass(frozen=True)
class Still:
    """The exchange that no test changes."""

    world: World
    server: Server


@pytest.fixture
def reader(still: Still) -> httpx2.Client:
    """The analyst of the exchange that no test changes."""
    return still.server.client(still.world.secrets["dot", "analyst"], purpose="noise-study")


@pytest.fixture
def agreed(flights: World) -> World:
    """An exchange of the test's own."""
    flights.sign(flights.terms())
    return flights


@pytest.fixture
def analyst(agreed: World, served: Server) -> httpx2.Client:
    """The analyst of the test's own exchange."""
    return served.client(agreed.secrets["dot", "analyst"], purpose="noise-study")


def source(world: World, tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """The source with the agreement's terms, done by hand: its rows, columns and pseudonyms."""
    file = tmp_path / "source.csv"
    file.write_bytes(FLIGHTS)
    with world.exchange.database.read() as connection:
        key_id = connection.exec_driver_sql("SELECT key_id FROM pseudonym_domains").scalar_one()
        key = domains.unwrap_key(connection, key_id, wrapping_key=world.exchange.keys.wrapping)
    engine = duckdb.connect(":memory:")
    engine.execute(f"CREATE TABLE raw AS FROM read_csv('{file}', nullstr='NA', header=true)")
    tails = [row[0] for row in engine.execute("SELECT DISTINCT tailnum FROM raw WHERE tailnum IS NOT NULL").fetchall()]
    engine.execute("CREATE TABLE map (original VARCHAR, pseudonym VARCHAR)")
    for tail in tails:
        token = hmac.new(key, f"text:{tail}".encode(), hashlib.sha256).hexdigest()[:32]
        engine.execute("INSERT INTO map VALUES (?, ?)", [tail, token])
    engine.execute(
        "CREATE TABLE agreed AS SELECT flight, carrier, pseudonym AS tailnum, origin, delay FROM raw LEFT JOIN map ON tailnum = original "
        "WHERE origin = 'JFK'"
    )
    return engine


def as_json(engine: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, object]]:
    cursor = engine.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, "SELECT * FROM agreed ORDER BY flight LIMIT 100"),
        ({"filter": "delay > 3", "sortby": "-delay", "limit": "2"}, "SELECT * FROM agreed WHERE delay > 3 ORDER BY delay DESC LIMIT 2"),
        ({"filter": "delay IS NULL"}, "SELECT * FROM agreed WHERE delay IS NULL"),
        (
            {"filter": "carrier IN ('UA','B6') AND NOT delay BETWEEN 0 AND 10", "properties": "carrier,flight"},
            "SELECT carrier, flight FROM agreed WHERE carrier IN ('UA','B6') AND NOT delay BETWEEN 0 AND 10 ORDER BY flight",
        ),
        ({"sortby": "-carrier,flight"}, "SELECT * FROM agreed ORDER BY carrier DESC, flight"),
        ({"sortby": "delay", "properties": "delay"}, "SELECT delay FROM agreed ORDER BY delay NULLS LAST"),
        ({"filter": "origin = 'EWR'"}, "SELECT * FROM agreed WHERE false"),
    ],
)
def test_a_page_is_what_duckdb_answers_on_the_source_under_the_same_terms(
    still: Still, reader: httpx2.Client, tmp_path: Path, parameters: dict[str, str], query: str
) -> None:
    answer = reader.get(ITEMS, params=parameters)
    assert answer.status_code == 200, answer.text
    with source(still.world, tmp_path) as engine:
        assert answer.json()["items"] == as_json(engine, query)


def test_a_filter_in_json_chooses_the_rows_of_the_same_filter_in_text(reader: httpx2.Client) -> None:
    in_text = reader.get(ITEMS, params={"filter": "flight = 2 OR flight IS NULL"}).json()["items"]
    document = '{"op":"or","args":[{"op":"=","args":[{"property":"flight"},2]},{"op":"isNull","args":[{"property":"flight"}]}]}'
    assert reader.get(ITEMS, params={"filter": document, "filter-lang": "cql2-json"}).json()["items"] == in_text
    assert in_text
    refused = reader.get(ITEMS, params={"filter": "flight = 2", "filter-lang": "cql2-json"}).json()
    assert (refused["code"], refused["errors"][0]["parameter"]) == ("filter_invalid", "filter")
    assert reader.get(ITEMS, params={"filter": "TRUE", "filter-lang": "sql"}).json()["code"] == "invalid_request"


def test_a_pseudonym_can_be_filtered_and_an_original_cannot_be_found(reader: httpx2.Client) -> None:
    tail = reader.get(ITEMS, params={"filter": "flight = 2"}).json()["items"][0]["tailnum"]
    found = reader.get(ITEMS, params={"filter": f"tailnum = '{tail}'"}).json()["items"]
    assert [row["flight"] for row in found] == [2, 6]
    assert reader.get(ITEMS, params={"filter": "tailnum = 'N24211'"}).json()["items"] == []


@pytest.mark.parametrize("sortby", [None, "carrier", "-delay", "delay,-carrier", "-origin,tailnum"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_walk_by_cursors_gives_every_row_once_in_order(reader: httpx2.Client, sortby: str | None, limit: int) -> None:
    parameters = {} if sortby is None else {"sortby": sortby}
    whole = reader.get(ITEMS, params=parameters).json()["items"]
    walked: list[object] = []
    address = str(httpx2.URL(ITEMS, params={**parameters, "limit": str(limit)}))
    while address:
        page = reader.get(address).json()
        assert 1 <= len(page["items"]) <= limit
        walked += page["items"]
        address = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
    assert walked == whole
    assert len(whole) == 5


def test_a_walk_stays_on_its_version(agreed: World, analyst: httpx2.Client) -> None:
    first = analyst.get(ITEMS, params={"limit": "2"}).json()
    agreed.publish("bts.flights", FLIGHTS + b"8,UA,N14228,JFK,IAH,2,1400.5,2013-01-03T10:00:00Z\n")
    rest = analyst.get(first["links"][1]["href"]).json()
    assert (first["version"], rest["version"]) == (1, 1)
    assert analyst.get(ITEMS).json()["version"] == 2
    assert len(analyst.get(ITEMS).json()["items"]) == 6
    assert analyst.get("/api/v1/collections/bts.flights/versions/1/items").json()["code"] == "version_not_in_agreement"


def test_an_etag_answers_304_until_the_version_moves(agreed: World, analyst: httpx2.Client) -> None:
    first = analyst.get(ITEMS)
    again = analyst.get(ITEMS, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["baybridge-entry"] != first.headers["baybridge-entry"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert analyst.get(ITEMS, params={"limit": "2"}).headers["etag"] != first.headers["etag"]
    agreed.publish("bts.flights", FLIGHTS)
    assert analyst.get(ITEMS, headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_the_entry_holds_what_left(still: Still, reader: httpx2.Client) -> None:
    answer = reader.get(ITEMS, params={"filter": "delay > 3", "properties": "flight"})
    organization, number = answer.headers["baybridge-entry"].split("/")
    auditor = still.world.person("bts", "auditor")
    ((index, data),) = still.world.exchange.watch.entries(auditor, organization, start=int(number), limit=1).entries
    entry = json.loads(data)
    assert index == int(number)
    assert entry["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert (entry["kind"], entry["rows"], entry["bytes"]) == ("disclosure", 3, len(answer.content))
    assert (entry["dataset"], entry["version"], entry["purpose"]) == ("bts.flights", 1, "noise-study")
    assert entry["columns"] == ["flight", "delay"]
    assert entry["agreement"]["id"] == "AGR-0001"


def refusal(client: httpx2.Client, address: str = ITEMS, **parameters: str) -> tuple[int, str]:
    answer = client.get(address, params=parameters)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem.get("rule"), problem
    assert problem["who_can_change"]
    assert problem["next_step"]
    return answer.status_code, problem["code"]


def test_what_the_agreement_leaves_out_is_refused(still: Still, reader: httpx2.Client) -> None:
    server, secrets = still.server, still.world.secrets
    assert refusal(reader, properties="distance") == (403, "column_not_in_agreement")
    assert refusal(reader, filter="distance > 1") == (403, "column_not_in_agreement")
    assert refusal(reader, sortby="distance") == (403, "column_not_in_agreement")
    assert refusal(server.client(), ITEMS) == (401, "not_signed_in")
    assert refusal(server.client("bb_nonsense"), ITEMS) == (401, "not_signed_in")
    assert refusal(server.client(secrets["dot", "analyst"])) == (403, "purpose_required")
    assert refusal(server.client(secrets["dot", "analyst"], purpose="other")) == (403, "purpose_not_allowed")
    assert refusal(server.client(secrets["dot", "auditor"], purpose="noise-study")) == (403, "role_required")


def test_another_dataset_is_refused(agreed: World, analyst: httpx2.Client) -> None:
    agreed.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    assert refusal(analyst, "/api/v1/collections/bts.airlines/items") == (403, "no_agreement")


def test_life_is_evaluated_at_each_request(agreed: World, analyst: httpx2.Client) -> None:
    agree, steward = agreed.exchange.agree, agreed.person("bts", "steward")
    assert analyst.get(ITEMS).status_code == 200
    agree.suspend(steward, "AGR-0001", "a complaint")
    assert refusal(analyst) == (403, "agreement_suspended")
    agree.resume(steward, "AGR-0001", "settled")
    assert analyst.get(ITEMS).status_code == 200
    agree.revoke(steward, "AGR-0001", "broken terms")
    assert refusal(analyst) == (403, "agreement_revoked")
    agreed.sign(agreed.terms(start="2020-01-01T00:00:00Z", end="2099-01-01T00:00:00+01:00"))
    assert analyst.get(ITEMS).status_code == 200


@pytest.mark.parametrize(
    ("parameters", "code", "place"),
    [
        ({"properties": "delai"}, "unknown_column", {"parameter": "properties", "column": 1, "hint": "delay"}),
        ({"properties": "flight,delai"}, "unknown_column", {"parameter": "properties", "column": 8, "hint": "delay"}),
        ({"filter": "delay > 1 AND carier = 'UA'"}, "unknown_column", {"parameter": "filter", "column": 15, "hint": "carrier"}),
        ({"filter": "delay >"}, "filter_invalid", {"parameter": "filter", "column": 8}),
        ({"filter": "delay = 'UA'"}, "filter_invalid", {"parameter": "filter"}),
        ({"sortby": "-delai"}, "unknown_column", {"parameter": "sortby", "hint": "delay"}),
        ({"sortby": "delay desc"}, "unknown_column", {"parameter": "sortby", "hint": DESCENDING}),
        ({"sortby": "distance ASC"}, "unknown_column", {"parameter": "sortby", "hint": DESCENDING.replace("-delay", "distance")}),
        ({"filter": 'carrier = "UA"'}, "unknown_column", {"parameter": "filter", "column": 11, "hint": QUOTES}),
        ({"filter": "carrier = UA"}, "unknown_column", {"parameter": "filter", "column": 11, "hint": QUOTES}),
        ({"propertys": "delay"}, "unknown_parameter", {"parameter": "propertys", "hint": "properties"}),
        ({"purpose": "audit"}, "unknown_parameter", {"parameter": "purpose", "hint": "Send it as the header Baybridge-Purpose."}),
        ({"limit": "0"}, "invalid_request", {"parameter": "limit"}),
        ({"limit": "10001"}, "invalid_request", {"parameter": "limit"}),
        ({"limit": "ten"}, "invalid_request", {"parameter": "limit"}),
        ({"cursor": "AAAA"}, "cursor_invalid", {"parameter": "cursor"}),
        ({"f": "xml"}, "invalid_request", {"parameter": "f"}),
        ({"properties": "delay,delay"}, "invalid_request", {"parameter": "properties", "column": 7}),
        ({"properties": ""}, "invalid_request", {"parameter": "properties", "column": 1}),
    ],
)
def test_a_request_that_is_not_understood_says_where(
    reader: httpx2.Client, parameters: dict[str, str], code: str, place: dict[str, object]
) -> None:
    answer = reader.get(ITEMS, params=parameters)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, code)
    assert place.items() <= problem["errors"][0].items()


@pytest.mark.parametrize("text", [" " * 20_000 + 'x"', "+" * 20_000 + 'x"', '"' * 20_001, "," * 20_000, '"a,' * 4_000])
def test_a_list_of_names_is_read_in_time_that_grows_with_it_and_no_faster(reader: httpx2.Client, text: str) -> None:
    started = time.monotonic()
    answer = reader.get(ITEMS, params={"properties": text})
    assert answer.status_code == 400
    assert time.monotonic() - started < 5  # the expression that was here first took minutes


def test_a_filter_over_a_masked_column_is_told_what_the_column_is_released_as(flights: World, served: Server) -> None:
    flights.sign(flights.terms(columns=["flight", "departed"], masks={"departed": "year"}))
    reader = served.client(flights.secrets["dot", "analyst"], purpose="noise-study")
    problem = reader.get(ITEMS, params={"filter": "departed < DATE('2013-01-02')"}).json()
    assert "released as its year, of type integer, and it is compared with a date" in problem["detail"]
    assert problem["next_step"] == "Write a number without quotes, like 12 or 0.5."
    assert reader.get(ITEMS, params={"filter": "departed = 2013"}).status_code == 200


def test_a_token_bound_to_a_purpose_serves_no_other_not_even_its_owner(still: Still) -> None:
    steward = still.world.person("bts", "steward")
    bound = still.world.token(steward, purpose="audit")
    assert refusal(still.server.client(bound, purpose="marketing")) == (403, "purpose_not_allowed")
    answer = still.server.client(bound).get(ITEMS)
    organization, number = answer.headers["baybridge-entry"].split("/")
    ((_, data),) = still.world.exchange.watch.entries(
        still.world.person("bts", "auditor"), organization, start=int(number), limit=1
    ).entries
    assert json.loads(data)["purpose"] == "audit"


def test_a_page_of_long_cells_is_cut_early_and_goes_on(world: World) -> None:
    rows = "".join(f"{number},{'x' * 20_000}\n" for number in range(1_000))
    world.publish("bts.texts", f"id,text\n{rows}".encode(), key=("id",), access="public")
    with serving(world.root) as server:
        client = server.client()
        address, seen, pages = "/api/v1/collections/bts.texts/items?limit=10000", [], 0
        while address:
            answer = client.get(address)
            assert len(answer.content) < 8_000_000
            page = answer.json()
            seen += [row["id"] for row in page["items"]]
            address = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
            pages += 1
    assert seen == list(range(1_000))
    assert pages > 2


def test_a_cursor_serves_only_its_own_question(agreed: World, analyst: httpx2.Client) -> None:
    first = analyst.get(ITEMS, params={"limit": "2", "sortby": "carrier"}).json()
    following = httpx2.URL(first["links"][1]["href"])
    cursor = following.params["cursor"]
    assert refusal(analyst, limit="2", cursor=cursor) == (400, "cursor_invalid")
    assert refusal(analyst, limit="2", sortby="carrier", filter="delay > 1", cursor=cursor) == (400, "cursor_invalid")
    for position in random.Random(1).sample(range(len(cursor)), 10):
        other = "A" if cursor[position] != "A" else "B"
        forged = cursor[:position] + other + cursor[position + 1 :]
        answer = analyst.get(ITEMS, params={"limit": "2", "sortby": "carrier", "cursor": forged})
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")
    agreed.exchange.agree.revoke(agreed.person("bts", "steward"), "AGR-0001", "ended")
    agreed.sign(agreed.terms(columns=["flight", "carrier"], masks={}))
    assert refusal(analyst, limit="2", sortby="carrier", cursor=cursor) == (400, "cursor_invalid")


def test_a_public_dataset_needs_no_agreement_and_no_purpose(still: Still) -> None:
    answer = still.server.client().get("/api/v1/collections/bts.airlines/items")
    assert [row["carrier"] for row in answer.json()["items"]] == ["AA", "UA"]
    assert answer.headers["cache-control"] == "public, no-cache"
    assert "baybridge-entry" not in answer.headers
    of_version = still.server.client().get("/api/v1/collections/bts.airlines/versions/1/items")
    assert of_version.headers["cache-control"] == "public, no-cache"


def test_the_owner_reads_under_a_standing_agreement_and_is_entered(still: Still) -> None:
    answer = still.server.client(still.world.secrets["bts", "steward"]).get(ITEMS)
    assert [row["tailnum"] for row in answer.json()["items"]][:2] == ["N14228", "N24211"]
    assert answer.headers["baybridge-entry"].startswith("bts/")


def test_values_leave_with_the_type_of_their_column(still: Still) -> None:
    owner = still.server.client(still.world.secrets["bts", "steward"])
    row = owner.get(ITEMS, params={"filter": "flight = 1"}).json()["items"][0]
    assert row == {
        "flight": 1,
        "carrier": "UA",
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "delay": 2,
        "distance": "1400.5",
        "departed": "2013-01-01T10:00:00Z",
    }


def test_several_agreements_are_told_apart_by_purpose_or_name(flights: World, served: Server) -> None:
    flights.sign(flights.terms())
    flights.sign(flights.terms(purposes=["noise-study", "safety"], columns=["flight", "dest"], masks={}))
    token = flights.secrets["dot", "analyst"]
    assert refusal(served.client(token, purpose="noise-study")) == (403, "agreement_ambiguous")
    safety = served.client(token, purpose="safety").get(ITEMS)
    assert list(safety.json()["items"][0]) == ["flight", "dest"]
    named = served.client(token, purpose="noise-study", **{"baybridge-agreement": "AGR-0001"}).get(ITEMS)
    assert list(named.json()["items"][0]) == COLUMNS
