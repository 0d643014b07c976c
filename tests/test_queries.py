"""Questions in a body: what a POST gives is what the GET of the same question gives, decided, entered and walked alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

ITEMS = "/api/v1/collections/bts.flights/items"
QUERY = f"{ITEMS}/query"
VERSION = "/api/v1/collections/bts.flights/versions/1/items"


@dataclass(frozen=True)
class Still:
    world: World
    server: Server


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Still]:
    """A served exchange that no test changes."""
    world = make_world(tmp_path_factory.mktemp("queries") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    odd = b'id,"-a","a,b"\n1,2,3\n2,1,4\n'
    world.publish("bts.odd", odd, key=("id",), access="public")
    world.sign(world.terms())
    with serving(world.root) as server:
        yield Still(world, server)
    world.exchange.close()


@pytest.fixture
def reader(still: Still) -> httpx2.Client:
    return still.server.client(still.world.secrets["dot", "analyst"], purpose="noise-study")


def entry(still: Still, answer: httpx2.Response) -> dict[str, Any]:
    organization, number = answer.headers["baybridge-entry"].split("/")
    auditor = still.world.person("bts", "auditor")
    ((_, data),) = still.world.exchange.watch.entries(auditor, organization, start=int(number), limit=1).entries
    found: dict[str, Any] = json.loads(data)
    return found


ALIKE: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"filter": None, "properties": None}, {}),
    ({"filter": "delay > 3", "sortby": ["-delay"], "limit": 2}, {"filter": "delay > 3", "sortby": "-delay", "limit": "2"}),
    (
        {"filter": {"op": ">", "args": [{"property": "delay"}, 3]}, "properties": ["flight"]},
        {"filter": "delay > 3", "properties": "flight"},
    ),
    ({"filter": "carrier IN ('UA')", "filter-lang": "cql2-text"}, {"filter": "carrier IN ('UA')"}),
    ({"filter": False, "filter-lang": "cql2-json"}, {"filter": "FALSE"}),
    ({"sortby": ["+carrier", "flight"], "properties": ["flight", "carrier"]}, {"sortby": "carrier,flight", "properties": "flight,carrier"}),
]


@pytest.mark.parametrize(("posted", "got"), ALIKE, ids=str)
@pytest.mark.parametrize("address", [ITEMS, VERSION])
def test_a_question_in_a_body_has_the_rows_and_the_entry_of_the_same_in_an_address(
    still: Still, reader: httpx2.Client, address: str, posted: dict[str, Any], got: dict[str, str]
) -> None:
    by_post, by_get = reader.post(f"{address}/query", json=posted), reader.get(address, params=got)
    assert (by_post.status_code, by_get.status_code) == (200, 200), by_post.text
    assert by_post.json()["items"] == by_get.json()["items"]
    own = {"bytes", "sha256", "time", "nonce", "side_sha256"}
    assert {key: value for key, value in entry(still, by_post).items() if key not in own} == {
        key: value for key, value in entry(still, by_get).items() if key not in own
    }


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_a_stream_that_is_asked_for_in_a_body_has_the_bytes_of_the_same_in_an_address(reader: httpx2.Client, format_: str) -> None:
    streamed = reader.post(QUERY, json={"filter": "delay > 3", "f": format_})
    whole = reader.get(ITEMS, params={"filter": "delay > 3", "f": format_})
    assert (streamed.content, streamed.headers["content-type"]) == (whole.content, whole.headers["content-type"])
    assert reader.post(QUERY, json={"filter": "delay > 3"}, headers={"accept": whole.headers["content-type"]}).content == whole.content
    assert reader.post(QUERY, json={"f": format_, "cursor": "x"}).json()["code"] == "invalid_request"


def test_a_walk_by_the_links_of_a_body_gives_every_row_once(reader: httpx2.Client) -> None:
    body: dict[str, Any] = {
        "sortby": ["-delay"],
        "limit": 2,
        "filter": {"op": "not", "args": [{"op": "isNull", "args": [{"property": "carrier"}]}]},
    }
    walked, asked, address = [], body, QUERY
    while address:
        page = reader.post(address, json=asked).json()
        assert {(link["method"], link["merge"]) for link in page["links"]} == {("POST", True)}
        walked += page["items"]
        following = [link for link in page["links"] if link["rel"] == "next"]
        address, asked = (following[0]["href"], body | following[0]["body"]) if following else ("", {})
    assert walked == reader.get(ITEMS, params={"sortby": "-delay"}).json()["items"]


def test_a_cursor_serves_only_its_own_question(reader: httpx2.Client) -> None:
    cursor = reader.post(QUERY, json={"limit": 2, "filter": "flight > 0"}).json()["links"][1]["body"]["cursor"]
    assert reader.post(QUERY, json={"limit": 3, "filter": "flight > 0", "cursor": cursor}).status_code == 200
    for other in (
        {"filter": "flight > 1"},
        {"filter": "flight > 0", "sortby": ["carrier"]},
        {"filter": "flight > 0", "properties": ["flight"]},
    ):
        assert reader.post(QUERY, json={**other, "cursor": cursor}).json()["code"] == "cursor_invalid"


def test_two_questions_have_one_etag_only_if_they_are_one(reader: httpx2.Client) -> None:
    bodies = [
        {},
        {"limit": 1},
        {"filter": "flight > 0"},
        {"filter": "flight > 1"},
        {"sortby": ["carrier"]},
        {"properties": ["flight"]},
        {"f": "csv"},
    ]
    tags = [reader.post(QUERY, json=body).headers["etag"] for body in bodies]
    assert len(set(tags)) == len(bodies)
    assert [reader.post(QUERY, json=body).headers["etag"] for body in bodies] == tags
    again = reader.post(QUERY, json={}, headers={"if-none-match": tags[0]})
    assert (again.status_code, len(again.json()["items"])) == (200, 5)  # RFC 9110, section 15.4.5: a 304 answers GET and HEAD


def test_names_in_a_list_need_no_quotes(still: Still) -> None:
    odd = still.server.client()
    address = "/api/v1/collections/bts.odd/items/query"
    assert odd.post(address, json={"properties": ["-a", "a,b"], "sortby": ["+-a"]}).json()["items"] == [
        {"-a": 1, "a,b": 4},
        {"-a": 2, "a,b": 3},
    ]
    assert odd.post(address, json={"properties": ["id"], "sortby": ["-a,b"]}).json()["items"] == [{"id": 2}, {"id": 1}]


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        ({"properties": ["flight", "delai"]}, "unknown_column", {"parameter": "properties", "column": 2, "hint": "delay"}),
        ({"properties": []}, "invalid_request", {"parameter": "properties"}),
        ({"properties": [""]}, "invalid_request", {"parameter": "properties"}),
        ({"properties": ["flight", "flight"]}, "invalid_request", {"parameter": "properties", "column": 2}),
        ({"sortby": ["-"]}, "invalid_request", {"parameter": "sortby"}),
        ({"sortby": ["-distance"]}, "column_not_in_agreement", {"parameter": "sortby", "column": 1}),
        ({"filter": "distance > 1"}, "column_not_in_agreement", {"parameter": "filter", "column": 1}),
        ({"filter": "delay >"}, "filter_invalid", {"parameter": "filter", "column": 8}),
        ({"filter": {"op": ">", "args": [{"property": "delay"}]}}, "filter_invalid", {"parameter": "filter"}),
        ({"filter": 5}, "filter_invalid", {"parameter": "filter"}),
        ({"filter": "TRUE", "filter-lang": "cql2-json"}, "invalid_request", {"parameter": "filter-lang"}),
        ({"filter": True, "filter-lang": "cql2-text"}, "invalid_request", {"parameter": "filter-lang"}),
        ({"filter": "TRUE", "filter-lang": "sql"}, "invalid_request", {"parameter": "filter-lang"}),
        ({"limit": 0}, "invalid_request", {"parameter": "limit"}),
        ({"limit": -5}, "invalid_request", {"parameter": "limit"}),
        ({"limit": "5"}, "invalid_request", {"parameter": "$.limit"}),
        ({"cursor": "AAAA"}, "cursor_invalid", {"parameter": "cursor"}),
        ({"f": "xml"}, "invalid_request", {"parameter": "f"}),
        ({"colour": "red"}, "invalid_request", {}),
    ],
    ids=str,
)
def test_a_body_that_is_not_understood_says_where(reader: httpx2.Client, body: dict[str, Any], code: str, place: dict[str, Any]) -> None:
    problem = reader.post(QUERY, json=body).json()
    assert problem["code"] == code
    assert place.items() <= problem["errors"][0].items()


def test_a_filter_in_a_body_has_at_most_256_kilobytes(reader: httpx2.Client) -> None:
    def text(size: int) -> str:
        return "carrier IN ('UA', '" + "x" * (size - len("carrier IN ('UA', '')")) + "')"

    found = reader.post(QUERY, json={"filter": text(256 * 1024), "properties": ["flight"]})
    assert [row["flight"] for row in found.json()["items"]] == [2, 6]
    for large in (text(256 * 1024 + 1), {"op": "in", "args": [{"property": "carrier"}, ["x" * 256 * 1024]]}):
        assert reader.post(QUERY, json={"filter": large}).json()["code"] == "filter_invalid"
    values = {"op": "in", "args": [{"property": "flight"}, list(range(10_000))]}
    assert len(reader.post(QUERY, json={"filter": values}).json()["items"]) == 5


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b'{"filter":' + b"[" * 100_000,
        b'{"filter":"\xff"}',
        b'{"filter":"\\ud800"}',
        b'{"filter":NaN}',
        b'{"filter":' + b"9" * 400_000 + b"}",
    ],
)
def test_a_body_that_is_no_question_is_refused(reader: httpx2.Client, document: bytes) -> None:
    answer = reader.post(QUERY, content=document)
    assert (answer.status_code, answer.json()["code"]) in {(400, "invalid_request"), (400, "filter_invalid")}
