"""Withdrawal: what is withdrawn is read by nobody, on no door, from the next disclosure on; and comes back exactly as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from raw_http import Wire

from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR

FLIGHTS_NAME = DatasetName("bts", "flights")
AT = "/api/v1/collections/bts.flights"
MORE = FLIGHTS + b"8,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n"


@pytest.fixture
def door(flights: World) -> Iterator[Server]:
    """Two versions of the flights, and an agreement about them."""
    flights.publish("bts.flights", MORE)
    flights.sign(flights.terms(row_filter=None, history="all"))
    with serving(flights.root) as server:
        yield server


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Server]]:
    """The flights of an exchange in which everything that is asked for is refused, so that all those tests share it."""
    world = make_world(tmp_path_factory.mktemp("refusing") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield world, server
    world.exchange.close()


def analyst(world: World, server: Server) -> httpx2.Client:
    return server.client(world.secrets["dot", "analyst"], purpose="noise-study")


def steward(world: World, server: Server) -> httpx2.Client:
    return server.client(world.secrets["bts", "steward"])


def said(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def entries(world: World) -> list[dict[str, object]]:
    run = world.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=1000)
    return [json.loads(data) for _, data in run.entries]


def test_the_latest_is_the_newest_version_that_is_not_withdrawn(flights: World, door: Server) -> None:
    asker, owner = analyst(flights, door), steward(flights, door)
    assert asker.get(f"{AT}/items").json()["version"] == 2
    told = owner.post(f"{AT}/versions/2/withdraw", json={"reason": "Delays were in seconds"}).json()
    assert (told["version"], told["state"], told["reason"]) == (2, "withdrawn", "Delays were in seconds")
    assert asker.get(f"{AT}/items").json()["version"] == 1
    assert owner.get(AT).json()["version"] == 1
    assert said(asker.get(f"{AT}/versions/2/items")) == (403, "version_withdrawn")
    assert said(owner.get(f"{AT}/versions/2/items")) == (403, "version_withdrawn")
    assert [each["state"] for each in owner.get(f"{AT}/versions").json()["versions"]] == ["withdrawn", "published"]
    owner.post(f"{AT}/versions/1/withdraw", json={"reason": "All were"})
    refused = asker.get(f"{AT}/items")
    assert said(refused) == (403, "version_withdrawn")
    assert {"rule", "who_can_change", "next_step"} <= refused.json().keys()
    assert owner.get(AT).json()["version"] is None


def test_what_is_restored_is_exactly_what_it_was(flights: World, door: Server) -> None:
    asker, owner = analyst(flights, door), steward(flights, door)
    before = asker.get(f"{AT}/versions/2/items")
    owner.post(f"{AT}/versions/2/withdraw", json={"reason": "Looking into it"})
    told = owner.post(f"{AT}/versions/2/restore").json()
    assert (told["state"], told["reason"]) == ("published", None)
    after = asker.get(f"{AT}/versions/2/items")
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    assert asker.get(f"{AT}/versions/2/items", headers={"if-none-match": before.headers["etag"]}).status_code == 304


def test_a_known_etag_and_a_cursor_open_nothing_that_is_withdrawn(flights: World, door: Server) -> None:
    asker, owner = analyst(flights, door), steward(flights, door)
    page = asker.get(f"{AT}/items", params={"limit": "2"})
    (following,) = [link["href"] for link in page.json()["links"] if link["rel"] == "next"]
    owner.post(f"{AT}/versions/2/withdraw", json={"reason": "Wrong"})
    assert said(asker.get(following)) == (403, "version_withdrawn")
    assert said(asker.get(f"{AT}/versions/2/items", headers={"if-none-match": "*"})) == (403, "version_withdrawn")


def test_a_withdrawn_dataset_withdraws_every_version_and_takes_no_other(flights: World, door: Server) -> None:
    asker, owner = analyst(flights, door), steward(flights, door)
    assert owner.post(f"{AT}/withdraw", json={"reason": "Under review"}).json()["state"] == "withdrawn"
    for address in (f"{AT}/items", f"{AT}/versions/1/items", f"{AT}/versions/2/items"):
        refused = asker.get(address)
        assert said(refused) == (403, "version_withdrawn")
        assert refused.json()["detail"] == "bts.flights was withdrawn by bts."
        assert refused.json()["next_step"] == "Nothing of bts.flights is read until a steward of bts restores it."
    assert said(owner.post(f"{AT}/versions", content=MORE)) == (409, "conflict")
    assert owner.post(f"{AT}/restore").json()["state"] == "published"
    assert asker.get(f"{AT}/items").json()["version"] == 2
    assert owner.post(f"{AT}/versions", content=MORE).json()["version"] == 3


def test_a_number_is_never_given_out_twice(flights: World, door: Server) -> None:
    owner = steward(flights, door)
    owner.post(f"{AT}/versions/2/withdraw", json={"reason": "Wrong"})
    assert owner.post(f"{AT}/versions", content=FLIGHTS).json()["version"] == 3


@pytest.mark.parametrize("who", [("bts", "analyst"), ("bts", "admin"), ("dot", "steward"), ("dot", "admin")])
@pytest.mark.parametrize("act", ["withdraw", "restore", "purge"])
@pytest.mark.parametrize("at", [AT, f"{AT}/versions/1"])
def test_only_a_steward_of_the_owner_takes_back_and_every_refusal_is_entered(
    refusing: tuple[World, Server], who: tuple[str, str], act: str, at: str
) -> None:
    world, server = refusing
    answer = server.client(world.secrets[who]).post(f"{at}/{act}", json={"reason": "Because"})
    assert said(answer) == (403, "role_required" if who[0] == "bts" else "token_wrong_organisation")
    last = entries(world)[-1]
    assert (last["kind"], last["act"], last["dataset"]) == ("refusal", {"purge": "plan_purge"}.get(act, act), "bts.flights")


def test_every_pair_of_state_and_act_is_in_the_table_or_a_conflict(flights: World) -> None:
    exchange, by = flights.exchange, flights.person("bts", "steward")

    def code(act: str) -> str:
        try:
            if act == "purge":
                plan = exchange.purge.plan(by, FLIGHTS_NAME, 1)
                exchange.purge.purge(by, FLIGHTS_NAME, 1, reason="r", plan_sha256=plan.sha256)
            elif act == "restore":
                exchange.withdraw.restore(by, FLIGHTS_NAME, 1)
            else:
                exchange.withdraw.withdraw(by, FLIGHTS_NAME, 1, "r")
        except BaybridgeError as error:
            return error.code
        return "done"

    walk = [("restore", "conflict"), ("purge", "conflict"), ("withdraw", "done"), ("withdraw", "conflict"), ("restore", "done")]
    walk += [("withdraw", "done"), ("purge", "done"), ("purge", "gone"), ("withdraw", "conflict"), ("restore", "conflict")]
    assert [code(act) for act, _ in walk] == [outcome for _, outcome in walk]


def test_withdrawing_and_restoring_are_entered_without_the_reason(flights: World, door: Server) -> None:
    owner = steward(flights, door)
    owner.post(f"{AT}/versions/1/withdraw", json={"reason": "Mistaken upload"})
    owner.post(f"{AT}/versions/1/restore")
    owner.post(f"{AT}/withdraw", json={"reason": "Mistaken upload"})
    told = [(each["kind"], each["dataset"], each["version"]) for each in entries(flights) if each["kind"] in {"withdrawal", "restoration"}]
    assert told == [("withdrawal", "bts.flights", 1), ("restoration", "bts.flights", 1), ("withdrawal", "bts.flights", None)]
    assert "Mistaken" not in json.dumps(entries(flights))


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "x" * 501])
def test_a_reason_is_a_printable_text(refusing: tuple[World, Server], reason: str) -> None:
    assert said(steward(*refusing).post(f"{AT}/withdraw", json={"reason": reason})) == (400, "invalid_request")


@pytest.mark.slow
@pytest.mark.parametrize("access", ["agreement", "public"])
def test_an_answer_on_its_way_is_cut_within_a_second_of_the_withdrawal(world: World, access: str) -> None:
    wide = b"id,text\n" + b"".join(b"%d,%s\n" % (row, b"some text in a cell " * 50) for row in range(9_000))
    world.publish("bts.wide", wide, key=("id",), access=access)
    with serving(world.root) as server, Wire(server.url, receive_buffer=4096) as wire:
        owner = steward(world, server)
        assert owner.get("/api/v1/collections/bts.wide/items").status_code == 200
        wire.ask("/api/v1/collections/bts.wide/items?limit=9000", token=world.secrets["bts", "steward"])
        reply = wire.head()
        assert reply.status == 200
        assert owner.post("/api/v1/collections/bts.wide/versions/1/withdraw", json={"reason": "Wrong"}).status_code == 200
        answered = time.monotonic()
        wire.fill(reply, piece=4096, pause=0.005)
        assert reply.reset
        assert time.monotonic() - answered < 1.5
        assert len(reply.body) < reply.promised / 2
