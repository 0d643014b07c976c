"""A change that names the state it starts from is made from that state or not at all, also when others change the thing at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from negotiating import log, outcome

from baybridge.expected import WHATEVER, Expected
from baybridge.http.addresses import ADDRESSES

pytestmark = [pytest.mark.xdist_group("if_match")]

API: Final = "/api/v1"
FLIGHTS_AT: Final = f"{API}/collections/bts.flights"
STEWARD: Final = ("bts", "steward")
STALE: Final = '"stale"'


@dataclass
class Desk:
    world: World
    server: Server

    def send(self, method: str, path: str, body: Any = None, *, who: tuple[str, str] = STEWARD, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.server.client(self.world.secrets[who], **sent) as client:
            return client.request(method, path, content=body) if isinstance(body, bytes) else client.request(method, path, json=body)

    def tag(self, path: str) -> str:
        return self.send("GET", path).headers["etag"]

    def signed(self) -> str:
        return f"{API}/agreements/{self.world.sign(self.world.terms()).id}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    world = make_world(tmp_path_factory.mktemp("if_match") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield Desk(world, server)
    world.exchange.close()


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


FAILED: Final = (412, "precondition_failed")
BECAUSE: Final = {"reason": "because"}


@pytest.mark.slow
def test_a_change_from_the_state_that_was_read_is_made_and_answers_with_the_next_tag(desk: Desk) -> None:
    address = desk.signed()
    read = desk.tag(address)
    suspended = desk.send("POST", f"{address}/suspend", BECAUSE, if_match=read)
    assert (suspended.status_code, suspended.headers["etag"]) == (200, desk.tag(address))
    assert suspended.headers["etag"] != read
    resumed = desk.send("POST", f"{address}/resume", BECAUSE, if_match=f'"other", {suspended.headers["etag"]}')
    assert (resumed.status_code, desk.tag(address)) == (200, resumed.headers["etag"])
    assert resumed.headers["etag"] not in {read, suspended.headers["etag"]}, "no state comes back"


@pytest.mark.slow
def test_a_change_from_another_state_changes_nothing(desk: Desk) -> None:
    address = desk.signed()
    read = desk.tag(address)
    assert desk.send("POST", f"{address}/suspend", BECAUSE).status_code == 200
    before = desk.world.stored()
    assert code(desk.send("POST", f"{address}/resume", BECAUSE, if_match=read)) == FAILED
    assert code(desk.send("POST", f"{address}/successor", {"terms": None}, if_match=read)) == FAILED
    assert code(desk.send("PUT", FLIGHTS_AT, {"title": "Lost"}, if_match=STALE)) == FAILED
    assert code(desk.send("POST", f"{FLIGHTS_AT}/versions", FLIGHTS, if_match=STALE)) == FAILED
    assert code(desk.send("POST", f"{FLIGHTS_AT}/withdraw", BECAUSE, if_match=STALE)) == FAILED
    assert code(desk.send("POST", f"{FLIGHTS_AT}/versions/1/withdraw", BECAUSE, if_match=STALE)) == FAILED
    assert desk.world.stored() == before


@pytest.mark.slow
def test_what_would_be_refused_anyhow_is_refused_as_such_and_entered(desk: Desk) -> None:
    address = desk.signed()
    size = len(log(desk.world))
    answer = desk.send("POST", f"{address}/suspend", BECAUSE, who=("bts", "auditor"), if_match=STALE)
    assert code(answer) == (403, "role_required")
    assert [each["code"] for each in log(desk.world)[size:]] == ["role_required"]
    assert code(desk.send("POST", f"{API}/agreements/AGR-9999/suspend", BECAUSE, if_match=STALE)) == (404, "not_found")


@pytest.mark.slow
def test_of_many_changes_from_one_state_one_is_made(desk: Desk) -> None:
    read = desk.tag(FLIGHTS_AT)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: desk.send("PUT", FLIGHTS_AT, {"title": f"Title {n}"}, if_match=read), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + 15 * [412]
    (made,) = (answer for answer in answers if answer.status_code == 200)
    assert desk.send("GET", FLIGHTS_AT).json()["title"] == made.json()["title"]


@pytest.mark.slow
def test_each_change_of_a_dataset_moves_its_tag_and_a_version_restored_gives_it_back(desk: Desk) -> None:
    at = f"{API}/collections/bts.moving"
    changes = (
        ("PUT", at, {}),
        ("PUT", at, {}),
        ("POST", f"{at}/versions?accept_schema=true", b"n\n1\n"),
        ("POST", f"{at}/versions", b"n\n2\n"),
        ("POST", f"{at}/versions/2/withdraw", BECAUSE),
        ("POST", f"{at}/versions/2/restore", None),
        ("POST", f"{at}/withdraw", BECAUSE),
        ("POST", f"{at}/restore", None),
    )
    seen = []
    for method, path, body in changes:
        sent = {"if_match": seen[-1]} if seen and "versions/" not in path else {}
        assert desk.send(method, path, body, **sent).is_success
        seen.append(desk.tag(at))
        assert desk.tag(at) == seen[-1]
    assert seen.pop(5) == seen[3], "it is exactly as it was"
    assert len(set(seen)) == len(seen)


@pytest.mark.slow
def test_a_version_has_a_tag_of_its_own(desk: Desk) -> None:
    at = f"{FLIGHTS_AT}/versions/1"
    read = desk.tag(at)
    desk.send("PUT", FLIGHTS_AT, {"description": "Moved"})
    withdrawn = desk.send("POST", f"{at}/withdraw", BECAUSE, if_match=read)
    assert withdrawn.status_code == 200
    assert code(desk.send("POST", f"{at}/restore", if_match=read)) == FAILED
    assert desk.send("POST", f"{at}/restore", if_match=withdrawn.headers["etag"]).headers["etag"] == desk.tag(at)


@pytest.mark.slow
def test_a_star_is_any_state_of_what_is_there(desk: Desk) -> None:
    assert desk.send("PUT", FLIGHTS_AT, {}, if_match="*").status_code == 200
    assert code(desk.send("PUT", f"{API}/collections/bts.unborn", {}, if_match="*")) == FAILED
    assert desk.send("GET", f"{API}/collections/bts.unborn").status_code == 404


@pytest.mark.slow
def test_a_weak_tag_names_no_state(desk: Desk) -> None:
    assert code(desk.send("PUT", FLIGHTS_AT, {}, if_match=f"W/{desk.tag(FLIGHTS_AT)}")) == FAILED


@pytest.mark.slow
@pytest.mark.parametrize("header", ["", "tag", '"open', '"a" "b"', '*, "a"', '"a",'])
def test_what_is_no_list_of_tags_is_refused(header: str, desk: Desk) -> None:
    assert code(desk.send("PUT", FLIGHTS_AT, {}, if_match=header)) == (400, "invalid_request")


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [each for each in ADDRESSES if each.is_api and each.method != "GET" and not each.conditional],
    ids=lambda address: f"{address.method} {address.template}",
)
def test_a_condition_that_cannot_be_honoured_is_refused_and_not_ignored(address: Any, desk: Desk) -> None:
    names = {"dataset": "bts.flights", "version": "1", "organization": "bts", "agreement": "AGR-0001", "umbrella": "UMB-0001"}
    path = address.template.format_map({**names, "notice": "1", "principal": "prn_1", "token": "tok_1"})
    assert code(desk.send(address.method, path, {}, if_match="*")) == FAILED


@pytest.mark.slow
def test_a_request_that_is_sent_again_under_its_key_gets_the_first_answer_and_not_412(desk: Desk) -> None:
    address = desk.signed()
    read = desk.tag(address)
    sent = [desk.send("POST", f"{address}/suspend", BECAUSE, if_match=read, idempotency_key="once") for _ in range(2)]
    assert [answer.status_code for answer in sent] == [200, 200]
    assert sent[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("tags", "present", "said"),
    [
        ({"a", "b"}, "a", "ok"),
        ({"a"}, "b", "precondition_failed"),
        ({"*"}, "b", "ok"),
        ({"*"}, None, "precondition_failed"),
        ({"a"}, None, "precondition_failed"),
        ((), "a", "precondition_failed"),
    ],
)
def test_only_a_state_that_is_named_is_expected(tags: Any, present: str | None, said: str) -> None:
    assert outcome(lambda: Expected(frozenset(tags)).require(present)) == said
    assert outcome(lambda: WHATEVER.require(present)) == "ok"
