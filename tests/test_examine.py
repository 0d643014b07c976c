"""Profiles, statistics, changes and diffs: computed over the caller's own extracts alone, through the one door, each with its entry."""

from __future__ import annotations

import collections
import csv
import io
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.catalog.schema import parse_table_schema
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Upload

AT = "/api/v1/collections/bts.flights"
HEADER = "id,place,amount,person"
TERMS = {
    "history": "all",
    "dataset": "bts.people",
    "columns": ["id", "place", "amount", "person"],
    "row_filter": "place = 'here'",
    "masks": {"id": "pseudonym", "person": "redact"},
}


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def people(seed: int, count: int = 300) -> tuple[bytes, bytes]:
    """Two versions: some rows go, some come, some change their place, which is what the filter looks at, or their amount."""
    chance = random.Random(seed)
    before = {n: [chance.choice(["here", "there"]), str(chance.randint(0, 5)), f"p{n}"] for n in chance.sample(range(10 * count), count)}
    after = {n: list(cells) for n, cells in before.items() if chance.random() > 0.1}
    for cells in after.values():
        if chance.random() < 0.2:
            cells[0] = chance.choice(["here", "there"])
        if chance.random() < 0.2:
            cells[1] = chance.choice(["", "7"])
    after |= {n: ["here", "9", f"p{n}"] for n in range(10 * count, 10 * count + 20)}
    return as_csv(before), as_csv(after)


def as_csv(rows: dict[int, list[str]]) -> bytes:
    return "\n".join([HEADER, *(",".join([str(number), *cells]) for number, cells in rows.items()), ""]).encode()


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = make_world(tmp_path_factory.mktemp("examine") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.sign(world.terms(history="all"))
    first, second = people(3)
    world.publish("bts.people", first, key=("id",))
    world.publish("bts.people", second, key=("id",))
    world.sign(world.terms(**TERMS))
    yield world
    world.exchange.close()


@pytest.fixture(scope="module")
def door(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as server:
        yield server


@pytest.fixture
def analyst(exchange: World, door: Server) -> Iterator[httpx2.Client]:
    with door.client(exchange.secrets["dot", "analyst"], purpose="noise-study") as client:
        yield client


@pytest.fixture
def steward(exchange: World, door: Server) -> Iterator[httpx2.Client]:
    with door.client(exchange.secrets["bts", "steward"]) as client:
        yield client


def last_entry(world: World) -> dict[str, Any]:
    run = world.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=1000)
    found: dict[str, Any] = json.loads(run.entries[-1][1])
    return found


def summary(client: httpx2.Client, address: str) -> dict[str, dict[str, Any]]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return {column["name"]: column for column in answer.json()["columns"]}


# --- in numbers ---


def test_an_owners_profile_is_what_the_file_says(steward: httpx2.Client) -> None:
    rows = rows_of(FLIGHTS)
    told = summary(steward, f"{AT}/profile")
    assert list(told) == list(rows[0])
    for name, column in told.items():
        values = [row[name] for row in rows if row[name] not in {"", "NA"}]
        assert (column["nulls"], column["distinct"]) == (len(rows) - len(values), len(set(values)))
        counts = collections.Counter(values)
        frequent = {entry["count"] for entry in column["top"]}
        assert frequent == (set(counts.values()) if len(counts) < len(values) else set())
    assert (told["delay"]["min"], told["delay"]["max"]) == (-6, 120)
    assert told["carrier"]["top"][:2] == [{"value": "UA", "count": 3}, {"value": "AA", "count": 2}]
    assert (told["departed"]["min"], told["departed"]["max"]) == ("2013-01-01T10:00:00Z", "2013-01-02T11:00:00Z")


def test_a_profile_is_of_the_callers_own_extract(analyst: httpx2.Client, steward: httpx2.Client) -> None:
    """Only rows that the filter leaves, only columns that are released, and pseudonyms where values are masked."""
    told, kept = summary(analyst, f"{AT}/profile"), [row for row in rows_of(FLIGHTS) if row["origin"] == "JFK"]
    assert list(told) == ["flight", "carrier", "tailnum", "origin", "delay"]
    assert told["carrier"]["distinct"] == len({row["carrier"] for row in kept})
    assert (told["delay"]["min"], told["delay"]["max"]) == (-1, 120)
    tails = {row["tailnum"] for row in rows_of(FLIGHTS)}
    assert told["tailnum"]["min"] not in tails
    assert not {entry["value"] for entry in told["tailnum"]["top"]} & tails
    assert "EWR" not in json.dumps(told)
    assert "EWR" in json.dumps(summary(steward, f"{AT}/profile"))


def test_statistics_are_the_profile_without_frequent_values(analyst: httpx2.Client) -> None:
    with_top, without = summary(analyst, f"{AT}/profile"), summary(analyst, f"{AT}/versions/1/statistics")
    assert without == {name: {**column, "top": None} for name, column in with_top.items()}


@pytest.mark.parametrize("what", ["profile", "statistics"])
def test_each_summary_is_decided_and_entered_like_rows(exchange: World, door: Server, analyst: httpx2.Client, what: str) -> None:
    answer = analyst.get(f"{AT}/{what}")
    entry = last_entry(exchange)
    assert answer.headers["baybridge-entry"].startswith("bts/")
    assert (entry["kind"], entry["channel"], entry["rows"], entry["version"]) == ("disclosure", what, 5, 1)
    assert analyst.get(f"{AT}/{what}", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    assert last_entry(exchange)["status"] == 304
    with door.client(exchange.secrets["dot", "analyst"], purpose="marketing") as elsewhere:
        assert elsewhere.get(f"{AT}/{what}").json()["code"] == "purpose_not_allowed"
    assert (last_entry(exchange)["kind"], last_entry(exchange)["channel"]) == ("refusal", what)


def test_queryables_are_the_public_columns_as_json_schema(door: Server) -> None:
    answer = door.client().get(f"{AT}/queryables")
    assert answer.headers["content-type"] == "application/schema+json"
    told = answer.json()
    assert list(told["properties"]) == list(rows_of(FLIGHTS)[0])
    assert (told["type"], told["$id"], told["additionalProperties"]) == ("object", f"{AT}/queryables", False)
    assert told["properties"]["flight"]["type"] == "integer"
    assert told["properties"]["departed"] == {"title": "departed", "type": "string", "format": "date-time", "baybridge:type": "timestamp"}


# --- what changed ---


def walked(client: httpx2.Client, address: str, **query: Any) -> list[dict[str, Any]]:
    """All pages, by their links."""
    found: list[dict[str, Any]] = []
    answer = client.get(address, params=query or None)
    while True:
        assert answer.status_code == 200, answer.text
        found += answer.json()["changes"]
        following = [link["href"] for link in answer.json()["links"] if link["rel"] == "next"]
        if not following:
            return found
        answer = client.get(following[0])


def expected(seed: int, visible: Any) -> dict[str, tuple[str, Any, Any]]:
    """By plain Python over the two files: what a reader who sees only those rows finds changed, by key."""
    before, after = ({row["id"]: row for row in rows_of(data) if visible(row)} for data in people(seed))
    told: dict[str, tuple[str, Any, Any]] = {}
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        if was != now:
            told[key] = ("insert" if was is None else "delete" if now is None else "update", now, was)
    return told


def plain(item: dict[str, Any] | None) -> dict[str, str] | None:
    return None if item is None else {name: "" if value is None else str(value) for name, value in item.items()}


@pytest.mark.parametrize("limit", [7, 100, 10_000])
def test_changes_are_those_that_plain_python_finds(steward: httpx2.Client, limit: int) -> None:
    found = walked(steward, "/api/v1/collections/bts.people/changes", since=1, limit=limit)
    wanted = expected(3, lambda _: True)
    told = {str((each["item"] or each["before"])["id"]): (each["change"], plain(each["item"]), plain(each["before"])) for each in found}
    assert len(found) == len(told)
    assert told == wanted
    assert {kind for kind, _, _ in told.values()} == {"insert", "delete", "update"}


def test_a_row_that_enters_the_filter_is_an_insert_and_one_that_leaves_a_delete(analyst: httpx2.Client) -> None:
    found = walked(analyst, "/api/v1/collections/bts.people/changes", since=1, limit=13)
    wanted = expected(3, lambda row: row["place"] == "here")
    both = [{row["id"]: row for row in rows_of(data)} for data in people(3)]
    crossing = [key for key in both[0].keys() & both[1].keys() if both[0][key]["place"] != both[1][key]["place"]]
    assert len(crossing) > 10
    assert {wanted[key][0] for key in crossing} == {"insert", "delete"}
    told = sorted((each["change"], (plain(each["item"] or each["before"]) or {})["amount"]) for each in found)
    assert told == sorted((change, (now or was)["amount"]) for change, now, was in wanted.values())
    assert {(each["item"] or each["before"])["place"] for each in found} == {"here"}
    keys = {str((each["item"] or each["before"])["id"]) for each in found}
    assert len(keys) == len(found)
    assert not keys & (both[0].keys() | both[1].keys()), "the key is a pseudonym"


def test_a_diff_counts_what_changes_lists(analyst: httpx2.Client, steward: httpx2.Client, exchange: World) -> None:
    for client in (analyst, steward):
        told = client.get("/api/v1/collections/bts.people/versions/1/diff/2").json()
        entry = last_entry(exchange)
        assert (entry["channel"], entry["version"], entry["since"]) == ("diff", 2, 1)
        kinds = collections.Counter(each["change"] for each in walked(client, told["links"][0]["href"]))
        assert (told["added"], told["removed"], told["changed"]) == (kinds["insert"], kinds["delete"], kinds["update"])
        assert (told["since"], told["version"], told["schema_changes"]) == (1, 2, [])
        rows = client.get("/api/v1/collections/bts.people/items", params={"limit": "10000"}).json()["items"]
        assert told["added"] + told["changed"] + told["unchanged"] == len(rows)


def test_between_a_version_and_itself_nothing_changed(steward: httpx2.Client) -> None:
    assert walked(steward, "/api/v1/collections/bts.people/versions/1/changes", since=1) == []
    told = steward.get("/api/v1/collections/bts.people/versions/1/diff/1").json()
    assert (told["added"], told["removed"], told["changed"], told["unchanged"]) == (0, 0, 0, 300)


def test_changes_need_the_whole_key_in_a_form_that_tells_rows_apart(exchange: World, door: Server) -> None:
    exchange.publish("bts.keyless", b"a\n1\n")
    for number, changes in enumerate(({"columns": ["place", "amount"], "masks": {}}, {"masks": {"id": "redact"}})):
        purpose = f"study-{number}"
        exchange.sign(exchange.terms(**{**TERMS, **changes, "purposes": [purpose]}))
        with door.client(exchange.secrets["dot", "analyst"], purpose=purpose) as client:
            for address in ("/changes?since=1", "/versions/1/diff/2"):
                answer = client.get(f"/api/v1/collections/bts.people{address}")
                assert (answer.status_code, answer.json()["code"]) == (403, "key_not_released")
                assert {"rule", "who_can_change", "next_step"} <= answer.json().keys()
                assert last_entry(exchange)["code"] == "key_not_released"
    with door.client(exchange.secrets["bts", "steward"]) as owner:
        assert owner.get("/api/v1/collections/bts.keyless/changes?since=1").json()["code"] == "key_not_released"


def test_versions_whose_keys_differ_are_not_compared(exchange: World, steward: httpx2.Client) -> None:
    """Texts would be cast to numbers in silence, or fail with a value in the failure's text."""
    exchange.publish("bts.rekeyed", b"id,other\n007,1\nSSN-1,2\n", key=("id",), null_words=("",))
    name, by = DatasetName("bts", "rekeyed"), exchange.person("bts", "steward")
    for fields, key in (("integer", "id"), ("string", "other")):
        schema = {
            "fields": [{"name": "id", "type": fields}, {"name": "other", "type": "integer"}],
            "primaryKey": [key],
            "missingValues": [""],
        }
        exchange.exchange.publish.declare(by, name, Declaration(schema=parse_table_schema(schema), schema_change=True))
        upload = Upload(chunks=[b"id,other\n7,1\n8,2\n"], null_words=("",), key=(), accept_schema=False, dry_run=False, suspend=True)
        number = exchange.exchange.publish.publish(by, name, upload).version
        for address in (f"/changes?since={number - 1}", f"/versions/{number - 1}/diff/{number}"):
            answer = steward.get(f"/api/v1/collections/bts.rekeyed{address}")
            assert (answer.status_code, answer.json()["code"]) == (403, "key_not_released")


def test_changes_need_both_versions(exchange: World, steward: httpx2.Client) -> None:
    for data in people(4):
        exchange.publish("bts.taken", data, key=("id",))
    at = "/api/v1/collections/bts.taken"
    assert steward.get(f"{at}/changes", params={"since": "1"}).status_code == 200
    steward.post(f"{at}/versions/1/withdraw", json={"reason": "Wrong"})
    for address in (f"{at}/changes?since=1", f"{at}/versions/1/diff/2"):
        assert steward.get(address).json()["code"] == "version_withdrawn"
    assert steward.get(f"{at}/changes?since=3").json()["code"] == "not_found"


@pytest.mark.parametrize("since", ["", "0x1", "-1", "1" * 12])
def test_since_is_the_number_of_a_version(steward: httpx2.Client, since: str) -> None:
    assert steward.get(f"{AT}/changes", params={"since": since}).json()["code"] == "invalid_request"


def test_a_cursor_of_changes_goes_on_with_the_same_question_alone(steward: httpx2.Client) -> None:
    first = steward.get("/api/v1/collections/bts.people/changes", params={"since": "1", "limit": "2"}).json()
    (following,) = [link["href"] for link in first["links"] if link["rel"] == "next"]
    assert steward.get(following.replace("since=1", "since=2")).json()["code"] == "cursor_invalid"
    assert steward.get(following.replace("/changes", "/items").replace("&since=1", "")).json()["code"] == "cursor_invalid"
