"""The catalog over HTTP: what is public of every dataset and what is not, and how a steward declares and publishes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.principals.principal import LOCAL_OPERATOR

COLLECTIONS = "/api/v1/collections"
AIRLINES = b"carrier,name\nUA,United\nAA,American\n"
SCHEMA = {
    "fields": [
        {"name": "carrier", "type": "string", "description": "IATA", "constraints": {"required": True}},
        {"name": "seats", "type": "integer", "baybridge:unit": "seats"},
    ],
    "primaryKey": "carrier",
}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Governed bts.flights in two versions and public bts.airlines in one."""
    world = make_world(tmp_path_factory.mktemp("catalog") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.flights", FLIGHTS + b"8,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n", key=("flight",))
    world.publish("bts.airlines", AIRLINES, key=("carrier",), access="public")
    yield world
    world.exchange.close()


@pytest.fixture(scope="module")
def door(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as server:
        yield server


@pytest.fixture
def public(door: Server) -> Iterator[httpx2.Client]:
    with door.client() as client:
        yield client


@pytest.fixture
def steward(exchange: World, door: Server) -> Iterator[httpx2.Client]:
    with door.client(exchange.secrets["bts", "steward"]) as client:
        yield client


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> str:
    """The name of a dataset that no other test has."""
    return "bts.d_" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


def said(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


# --- looking ---


def test_everyone_sees_which_datasets_there_are_and_only_of_public_ones_how_large_they_are(public: httpx2.Client) -> None:
    answer = public.get(COLLECTIONS)
    assert answer.headers["cache-control"] == "private, no-cache"
    listed = {each["id"]: each for each in answer.json()["collections"]}
    assert list(listed) == sorted(listed)
    flights, airlines = listed["bts.flights"], listed["bts.airlines"]
    assert (flights["access"], flights["version"], flights["rows"]) == ("agreement", 2, None)
    assert (airlines["access"], airlines["version"], airlines["rows"]) == ("public", 1, 2)
    assert flights["updated"].endswith("Z")
    for each in (flights, airlines):
        assert public.get(f"{COLLECTIONS}/{each['id']}").json() == each
        assert [link["rel"] for link in each["links"]] == ["self", "describedby", "version-history", "items"]
        assert all(public.get(link["href"]).status_code == 200 for link in each["links"][:3])


@pytest.mark.parametrize("role", [("dot", "analyst"), ("bts", "steward"), ("bts", "analyst")])
def test_a_token_shows_no_more_of_the_catalog_than_everyone_sees(exchange: World, door: Server, role: tuple[str, str]) -> None:
    with door.client(exchange.secrets[role]) as client, door.client() as nobody:
        for address in ("", "/bts.flights", "/bts.flights/versions", "/bts.flights/schema"):
            assert client.get(COLLECTIONS + address).content == nobody.get(COLLECTIONS + address).content


def test_versions_are_listed_newest_first_with_rows_only_where_they_are_public(public: httpx2.Client) -> None:
    governed = public.get(f"{COLLECTIONS}/bts.flights/versions").json()
    assert governed["id"] == "bts.flights"
    assert [(each["version"], each["rows"]) for each in governed["versions"]] == [(2, None), (1, None)]
    assert {each["manifest_sha256"] for each in governed["versions"]} == {None}
    for each in governed["versions"]:
        assert public.get(f"{COLLECTIONS}/bts.flights/versions/{each['version']}").json() == each
    (airlines,) = public.get(f"{COLLECTIONS}/bts.airlines/versions").json()["versions"]
    assert (airlines["version"], airlines["rows"], len(airlines["manifest_sha256"])) == (1, 2, 64)


def test_no_count_statistic_or_digest_of_the_file_of_a_governed_dataset_is_public(public: httpx2.Client) -> None:
    original = hashlib.sha256(FLIGHTS).hexdigest()
    for address in (
        "",
        "/bts.flights",
        "/bts.flights/schema",
        "/bts.flights/versions",
        "/bts.flights/versions/1",
        "/bts.flights/versions/1/schema",
    ):
        text = public.get(COLLECTIONS + address).text
        for hidden in ("N14228", "1400.5", "least", "nulls", "distinct", original):
            assert hidden not in text


def test_the_schema_is_public_as_table_schema(public: httpx2.Client) -> None:
    schema = public.get(f"{COLLECTIONS}/bts.flights/schema").json()
    assert [field["name"] for field in schema["fields"]] == FLIGHTS.decode().partition("\n")[0].split(",")
    assert schema["fields"][0] == {"name": "flight", "type": "integer", "baybridge:type": "integer", "constraints": {"required": True}}
    assert (schema["primaryKey"], schema["missingValues"]) == (["flight"], ["", "NA"])
    for number in (1, 2):
        assert public.get(f"{COLLECTIONS}/bts.flights/versions/{number}/schema").json() == schema


@pytest.mark.parametrize("address", ["", "/schema", "/versions", "/versions/1", "/versions/1/schema", "/items"])
def test_an_unknown_dataset_is_not_found(steward: httpx2.Client, public: httpx2.Client, address: str) -> None:
    for name in ("bts.nothing", "nobody.flights"):
        assert said(steward.get(f"{COLLECTIONS}/{name}{address}")) == (404, "not_found")
        assert said(public.get(f"{COLLECTIONS}/{name}{address}")) == (404, "not_found")


@pytest.mark.parametrize("number", ["0", "3", "4294967296", "99999999999999999999999"])
def test_an_unknown_version_is_not_found(public: httpx2.Client, number: str) -> None:
    for rest in ("", "/schema"):
        assert said(public.get(f"{COLLECTIONS}/bts.flights/versions/{number}{rest}")) == (404, "not_found")


@pytest.mark.parametrize(
    "name", ["flights", "bts.", ".flights", "bts.Flights", "bts.flights.x", "bts.fl%20ights", "bts.%27", "bts.fl%00", "b\u0442s.x"]
)
def test_what_is_no_name_of_a_dataset_is_refused(public: httpx2.Client, name: str) -> None:
    answer = public.get(f"{COLLECTIONS}/{name}")
    assert said(answer) == (400, "invalid_request")
    assert answer.json()["errors"][0]["parameter"] == "dataset"
    assert answer.json()["rule"] == "A dataset is named AGENCY.NAME, as building.permits."


@pytest.mark.parametrize("address", ["", "/bts.flights", "/bts.flights/schema", "/bts.flights/versions", "/bts.flights/versions/1"])
def test_a_parameter_that_an_address_does_not_take_is_never_ignored(public: httpx2.Client, address: str) -> None:
    assert said(public.get(COLLECTIONS + address, params={"page": "1"})) == (400, "unknown_parameter")


# --- declaring ---


def test_a_dataset_is_declared_with_what_is_said_and_defaults_for_the_rest(steward: httpx2.Client, fresh: str) -> None:
    answer = steward.put(f"{COLLECTIONS}/{fresh}", json={})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["id"], told["organization"], told["title"], told["description"]) == (fresh, "bts", fresh.removeprefix("bts."), "")
    assert (told["access"], told["version"], told["rows"], told["updated"]) == ("agreement", None, None, None)
    assert steward.get(f"{COLLECTIONS}/{fresh}").json() == told
    assert said(steward.get(f"{COLLECTIONS}/{fresh}/schema")) == (404, "not_found")
    assert steward.get(f"{COLLECTIONS}/{fresh}/versions").json() == {"id": fresh, "versions": [], "links": []}
    unread = steward.get(f"{COLLECTIONS}/{fresh}/items")
    assert said(unread) == (404, "not_found")
    assert unread.json()["next_command"] == f"baybridge publish {fresh} FILE --dry-run"


def test_declaring_again_changes_what_is_said_and_null_leaves_the_rest(steward: httpx2.Client, fresh: str) -> None:
    at = f"{COLLECTIONS}/{fresh}"
    steward.put(at, json={"title": "Carriers", "description": "Who flies", "access": "public", "schema": SCHEMA})
    schema = steward.get(f"{at}/schema").json()
    assert [field["name"] for field in schema["fields"]] == ["carrier", "seats"]
    for body in ({}, {"title": None, "description": None, "access": None, "schema": None}, {"access": "public"}, {"schema": SCHEMA}):
        told = steward.put(at, json=body).json()
        assert (told["title"], told["description"], told["access"]) == ("Carriers", "Who flies", "public")
        assert steward.get(f"{at}/schema").json() == schema
    assert steward.put(at, json={"title": "Airlines"}).json()["title"] == "Airlines"
    assert steward.get(at).json()["description"] == "Who flies"


def test_access_and_a_published_schema_do_not_change(steward: httpx2.Client, exchange: World) -> None:
    before = exchange.stored()
    assert said(steward.put(f"{COLLECTIONS}/bts.flights", json={"access": "public"})) == (409, "conflict")
    assert said(steward.put(f"{COLLECTIONS}/bts.airlines", json={"access": "agreement"})) == (409, "conflict")
    assert said(steward.put(f"{COLLECTIONS}/bts.flights", json={"schema": SCHEMA})) == (409, "schema_is_contract")
    assert exchange.stored() == before


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        ({"access": "publik"}, "invalid_request", {"parameter": "access", "hint": "public"}),
        ({"access": "PUBLIC"}, "invalid_request", {"parameter": "access", "hint": "public"}),
        ({"access": True}, "invalid_request", {"parameter": "$.access"}),
        ({"titel": "x"}, "invalid_request", {"parameter": "$.titel", "message": "not a known member", "hint": "title"}),
        ({"title": 5}, "invalid_request", {"parameter": "$.title"}),
        ([], "invalid_request", {"parameter": "body"}),
        ({"schema": {"fields": []}}, "schema_invalid", {"parameter": "fields"}),
        ({"schema": {"fields": [{"name": "a", "type": "geopoint"}]}}, "schema_invalid", {"parameter": "fields[0].type"}),
        ({"schema": {"fields": [{"name": "a", "type": "string"}], "primaryKey": "b"}}, "schema_invalid", {"parameter": "primaryKey"}),
        ({"title": "two\nlines"}, "invalid_request", {"parameter": "title"}),
        ({"title": ""}, "invalid_request", {"parameter": "title"}),
        ({"title": "x" * 201}, "invalid_request", {"parameter": "title"}),
        ({"description": "x" * 4_001}, "invalid_request", {"parameter": "description"}),
        ({"description": "bell \x07"}, "invalid_request", {"parameter": "description"}),
    ],
)
def test_a_declaration_that_is_not_understood_declares_nothing(  # noqa: PLR0917 -- a row of the table, and what it is tried on
    exchange: World, steward: httpx2.Client, fresh: str, body: Any, code: str, place: dict[str, str]
) -> None:
    before = exchange.stored()
    answer = steward.put(f"{COLLECTIONS}/{fresh}", json=body)
    assert said(answer) == (400, code)
    assert place.items() <= answer.json()["errors"][0].items()
    assert exchange.stored() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        pytest.param(b'{"schema": {"a":' + b"[" * 500_000, id="deep"),
        b'{"title": "\\ud800"}',
        b'{"title": "\xff"}',
        b'{"title": "a", "title": "b"} x',
    ],
)
def test_a_body_that_is_no_json_declares_nothing(exchange: World, steward: httpx2.Client, fresh: str, body: bytes) -> None:
    before = exchange.stored()
    assert said(steward.put(f"{COLLECTIONS}/{fresh}", content=body)) == (400, "invalid_request")
    assert exchange.stored() == before


def test_a_body_of_more_than_a_megabyte_is_refused(steward: httpx2.Client, fresh: str) -> None:
    assert said(steward.put(f"{COLLECTIONS}/{fresh}", json={"description": "x" * (1 << 20)})) == (400, "invalid_request")


def test_a_description_has_lines_and_a_declaration_is_entered_without_it(exchange: World, steward: httpx2.Client, fresh: str) -> None:
    told = steward.put(f"{COLLECTIONS}/{fresh}", json={"title": "Zoë's", "description": "First line.\n\nSecond line.\t\u00a7 5"}).json()
    assert told["description"] == "First line.\n\nSecond line.\t\u00a7 5"
    run = exchange.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=1_000)
    entry = json.loads(run.entries[-1][1])
    assert (entry["kind"], entry["dataset"], entry["access"], entry["has_schema"]) == ("dataset_declared", fresh, "agreement", False)
    assert "Second line" not in run.entries[-1][1].decode()


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (None, (401, "not_signed_in")),
        (("bts", "analyst"), (403, "role_required")),
        (("bts", "admin"), (403, "role_required")),
        (("dot", "steward"), (403, "token_wrong_organisation")),
    ],
)
def test_only_a_steward_of_the_owner_declares_and_publishes(
    exchange: World, door: Server, fresh: str, who: tuple[str, str] | None, code: tuple[int, str]
) -> None:
    with door.client(None if who is None else exchange.secrets[who]) as client:
        assert said(client.put(f"{COLLECTIONS}/{fresh}", json={})) == code
        assert said(client.post(f"{COLLECTIONS}/bts.flights/versions", content=FLIGHTS)) == code
        assert said(client.get(f"{COLLECTIONS}/{fresh}")) == (404, "not_found")
        assert client.get(f"{COLLECTIONS}/bts.flights").json()["version"] == 2


# --- publishing ---


def test_a_first_version_is_looked_at_confirmed_and_then_followed(steward: httpx2.Client, fresh: str) -> None:
    at = f"{COLLECTIONS}/{fresh}"
    steward.put(at, json={})
    asked = {"null": "NA,-", "key": "carrier"}
    data = b"carrier,seats\nUA,5\nAA,-\nB6,NA\n"
    looked = steward.post(f"{at}/versions", content=data, params=asked | {"dry_run": "true"})
    assert looked.status_code == 200
    proposal = looked.json()
    assert (proposal["published"], proposal["version"], proposal["entry"]) == (False, None, None)
    assert (proposal["rows_read"], proposal["rows_loaded"], proposal["rows_rejected"]) == (3, 3, 0)
    assert proposal["schema"]["missingValues"] == ["", "NA", "-"]
    assert [(each["name"], each["proposed"], each["nulls"], each["distinct"]) for each in proposal["profile"]] == [
        ("carrier", "text", 0, 3),
        ("seats", "integer", 2, 1),
    ]
    assert said(steward.post(f"{at}/versions", content=data, params=asked)) == (409, "schema_unconfirmed")
    assert said(steward.post(f"{at}/versions", content=data, params=asked | {"accept_schema": "false"})) == (409, "schema_unconfirmed")
    assert steward.get(at).json()["version"] is None
    published = steward.post(f"{at}/versions", content=data, params=asked | {"accept_schema": "true"})
    assert published.status_code == 201
    report = published.json()
    assert (report["dataset"], report["published"], report["version"]) == (fresh, True, 1)
    assert (report["source_sha256"], report["source_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert isinstance(report["entry"], int)
    assert steward.get(f"{at}/schema").json() == report["schema"] == proposal["schema"]
    assert [row["seats"] for row in steward.get(f"{at}/items").json()["items"]] == [None, None, 5]
    assert steward.post(f"{at}/versions", content=data).json()["version"] == 2
    assert steward.get(at).json()["version"] == 2


def test_a_declared_schema_without_the_empty_word_is_followed(steward: httpx2.Client, fresh: str) -> None:
    at = f"{COLLECTIONS}/{fresh}"
    steward.put(
        at, json={"schema": {"fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "string"}], "missingValues": ["NA"]}}
    )
    assert steward.post(f"{at}/versions", content=b"a,b\n,NA\n").status_code == 201
    assert steward.get(f"{at}/items").json()["items"] == [{"a": "", "b": None}]
    assert said(steward.post(f"{at}/versions", content=b"a,b\n,NA\n", params={"null": "-"})) == (409, "schema_is_contract")
    assert said(steward.post(f"{at}/versions", content=b"a,b\n,NA\n", params={"key": "a"})) == (409, "schema_is_contract")


def test_rejects_come_back_to_who_sent_the_file_and_nothing_is_published(exchange: World, steward: httpx2.Client) -> None:
    before = exchange.stored()
    bad = FLIGHTS + b"9,UA,N1,JFK,IAH,late,1.5,2013-01-01T10:00:00Z\n"
    blocked = steward.post(f"{COLLECTIONS}/bts.flights/versions", content=bad)
    assert said(blocked) == (422, "rows_rejected")
    report = blocked.json()["report"]
    [reject] = report["rejects"]
    assert (reject["row"], reject["column"], reject["rule"], reject["value"]) == (8, "delay", "not_integer", "late")
    assert (reject["offset"], reject["message"][:14]) == (len(FLIGHTS), "A whole number")
    assert (report["rows_read"], report["rows_loaded"], report["rows_rejected"], report["published"]) == (8, 7, 1, False)
    assert "late" not in blocked.json()["detail"]
    looked = steward.post(f"{COLLECTIONS}/bts.flights/versions", content=bad, params={"dry_run": "true"})
    assert looked.status_code == 200
    assert looked.json() == {**report, "rejects_kept": False}, "of a dry run nothing is kept"
    after = exchange.stored()
    assert [line.partition(":")[0] for line in after if line not in before] == ["refused_uploads"]
    assert set(before) <= set(after)


@pytest.mark.parametrize("parameter", ["accept_schema", "dry_run"])
@pytest.mark.parametrize("value", ["", "1", "0", "yes", "True", "TRUE", " true", "on"])
def test_a_switch_is_true_or_false_and_nothing_is_guessed(exchange: World, steward: httpx2.Client, parameter: str, value: str) -> None:
    before = exchange.stored()
    answer = steward.post(f"{COLLECTIONS}/bts.flights/versions", content=FLIGHTS, params={parameter: value})
    assert said(answer) == (400, "invalid_request")
    assert answer.json()["errors"][0]["parameter"] == parameter
    assert exchange.stored() == before


@pytest.mark.parametrize(
    ("query", "code", "hint"),
    [
        ("dryrun=true", "unknown_parameter", "dry_run"),
        ("nulls=NA", "unknown_parameter", "null"),
        ("dry_run=true&dry_run=false", "invalid_request", None),
        ("key=flight&key=carrier", "invalid_request", None),
    ],
)
def test_a_mistyped_or_doubled_parameter_publishes_nothing(
    exchange: World, steward: httpx2.Client, query: str, code: str, hint: str | None
) -> None:
    before = exchange.stored()
    answer = steward.post(f"{COLLECTIONS}/bts.flights/versions?{query}", content=FLIGHTS)
    assert said(answer) == (400, code)
    assert answer.json()["errors"][0]["hint"] == hint
    assert exchange.stored() == before


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"key": "nothing"}, (400, "schema_invalid")),
        ({"null": "NA,NA"}, (400, "schema_invalid")),
        ({"key": "carrier,carrier"}, (400, "schema_invalid")),
    ],
)
def test_a_proposal_that_cannot_be_is_refused(steward: httpx2.Client, fresh: str, asked: dict[str, str], code: tuple[int, str]) -> None:
    steward.put(f"{COLLECTIONS}/{fresh}", json={})
    answer = steward.post(f"{COLLECTIONS}/{fresh}/versions", content=AIRLINES, params=asked | {"accept_schema": "true"})
    assert said(answer) == code
    assert steward.get(f"{COLLECTIONS}/{fresh}").json()["version"] is None


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b'a,b\n"1,2\n', b"a,a\n1,2\n"])
def test_a_body_that_is_no_csv_is_refused(exchange: World, steward: httpx2.Client, body: bytes) -> None:
    before = exchange.stored()
    assert said(steward.post(f"{COLLECTIONS}/bts.flights/versions", content=body)) == (400, "file_unreadable")
    assert exchange.stored() == before


def test_an_upload_may_come_in_chunks_without_a_length(steward: httpx2.Client, fresh: str) -> None:
    steward.put(f"{COLLECTIONS}/{fresh}", json={})
    lines = (f"{number},x\n".encode() for number in range(20_000))

    def chunks() -> Iterator[bytes]:
        yield b"number,word\n"
        yield from lines

    answer = steward.post(f"{COLLECTIONS}/{fresh}/versions", content=chunks(), params={"accept_schema": "true", "key": "number"})
    assert (answer.status_code, answer.json()["rows_loaded"]) == (201, 20_000)


# --- in pages ---


def test_lists_come_in_pages_that_together_are_the_whole_list(public: httpx2.Client) -> None:
    for address, name, key in (("", "collections", "id"), ("/bts.flights/versions", "versions", "version")):
        whole = public.get(COLLECTIONS + address).json()[name]
        found, following = [], f"{COLLECTIONS}{address}?limit=1"
        while following:
            page = public.get(following).json()
            assert len(page[name]) == 1
            found += page[name]
            following = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        assert [each[key] for each in found] == [each[key] for each in whole]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "one"}, {"limit": ""}])
def test_a_page_of_a_list_has_1_to_1000(public: httpx2.Client, query: dict[str, str]) -> None:
    for address in ("", "/bts.flights/versions"):
        assert said(public.get(COLLECTIONS + address, params=query)) == (400, "invalid_request")


def test_a_cursor_of_versions_is_a_number(public: httpx2.Client) -> None:
    assert said(public.get(f"{COLLECTIONS}/bts.flights/versions", params={"cursor": "x"})) == (400, "invalid_request")
    assert public.get(f"{COLLECTIONS}/bts.flights/versions", params={"cursor": "1"}).json()["versions"] == []
