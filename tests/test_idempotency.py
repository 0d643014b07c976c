"""A request that is sent again under its Idempotency-Key is not done again, whatever happened to the first."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
import msgspec
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.db import Database
from baybridge.errors import BaybridgeError
from baybridge.operate.replies import HELD, KEPT, Kept, Replies, Reply

pytestmark = [pytest.mark.xdist_group("idempotency")]

ASKING: Final = "/api/v1/agreements"
TERMS: Final = {
    "dataset": "bts.flights",
    "columns": ["flight"],
    "purposes": ["noise-study"],
    "provider_authority": "49 U.S.C. 6302",
    "consumer_authority": "Charter, section 191",
    "start": "2026-01-01T00:00:00Z",
    "end": "2099-01-01T00:00:00Z",
}


@dataclass
class Sender:
    world: World
    server: Server

    def post(self, path: str, body: Any, key: str | None, *, who: tuple[str, str] = ("dot", "analyst")) -> httpx2.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        with self.server.client(self.world.secrets[who], **headers) as client:
            return client.post(path, content=content)

    def asked(self) -> int:
        return len(self.world.exchange.agree.listing(self.world.person("dot", "analyst")))


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    world = make_world(tmp_path_factory.mktemp("idempotency") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield Sender(world, server)
    world.exchange.close()


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.slow
def test_a_request_sent_again_gets_the_first_answer_and_is_not_done_again(sender: Sender) -> None:
    before = sender.asked()
    first, again = (sender.post(ASKING, TERMS, "again") for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert sender.asked() == before + 1


@pytest.mark.slow
def test_a_body_that_the_address_has_no_use_for_belongs_to_the_request(sender: Sender) -> None:
    sender.world.publish("bts.restored", b"a\n1\n")
    with sender.server.client(sender.world.secrets["bts", "steward"]) as steward:
        at = "/api/v1/collections/bts.restored"
        assert steward.post(f"{at}/withdraw", json={"reason": "Wrong"}).status_code == 200
        sent = [steward.post(f"{at}/restore", json={"reason": "Right"}, headers={"idempotency-key": "restored"}) for _ in range(2)]
        other = steward.post(f"{at}/restore", json={"reason": "Other"}, headers={"idempotency-key": "restored"})
    assert [each.status_code for each in sent] == [200, 200]
    assert sent[0].content == sent[1].content
    assert code(other) == (422, "idempotency_key_reused")


def test_without_a_key_each_request_is_done(sender: Sender) -> None:
    before = sender.asked()
    assert [sender.post(ASKING, TERMS, None).status_code for _ in range(2)] == [201, 201]
    assert sender.asked() == before + 2


@pytest.mark.slow
def test_a_key_stands_for_one_address_and_one_body(sender: Sender) -> None:
    assert sender.post(ASKING, TERMS, "one").status_code == 201
    assert code(sender.post(ASKING, {**TERMS, "columns": ["carrier"]}, "one")) == (422, "idempotency_key_reused")
    assert code(sender.post("/api/v1/tokens", TERMS, "one")) == (422, "idempotency_key_reused")


@pytest.mark.slow
def test_two_callers_may_choose_the_same_key(sender: Sender) -> None:
    first = sender.post(ASKING, TERMS, "ours")
    other = sender.post(ASKING, TERMS, "ours", who=("dot", "steward"))
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]


@pytest.mark.slow
def test_twins_sent_at_once_are_done_once(sender: Sender) -> None:
    before = sender.asked()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: sender.post(ASKING, TERMS, "twins"), range(24)))
    assert sender.asked() == before + 1
    done = [answer for answer in answers if answer.status_code == 201]
    assert done
    assert len({answer.content for answer in done}) == 1
    late = [answer for answer in answers if answer.status_code != 201]
    assert {code(answer) for answer in late} <= {(409, "request_under_way")}
    assert all(answer.headers["retry-after"] == "1" for answer in late)


@pytest.mark.slow
def test_an_upload_sent_again_makes_no_second_version(sender: Sender) -> None:
    address = "/api/v1/collections/bts.uploaded/versions?accept_schema=true"
    steward = ("bts", "steward")
    assert sender.server.client(sender.world.secrets[steward]).put("/api/v1/collections/bts.uploaded", content=b"{}").status_code == 200
    first, again = (sender.post(address, FLIGHTS, "upload", who=steward) for _ in range(2))
    assert (first.status_code, again.content, first.json()["version"]) == (201, first.content, 1)
    assert code(sender.post(address, FLIGHTS + b"\n", "upload", who=steward)) == (422, "idempotency_key_reused")
    dry = [sender.post(f"{address}&dry_run=true", FLIGHTS, "dry", who=steward) for _ in range(2)]
    assert [(answer.status_code, answer.headers.get("idempotency-replayed")) for answer in dry] == [(200, None), (200, None)]


@pytest.mark.slow
def test_an_error_did_nothing_and_frees_its_key(sender: Sender) -> None:
    assert code(sender.post(ASKING, {**TERMS, "columns": []}, "mended")) == (400, "terms_invalid")
    assert code(sender.post(ASKING, TERMS, "mended", who=("dot", "auditor"))) == (403, "role_required")
    assert sender.post(ASKING, TERMS, "mended").status_code == 201


@pytest.mark.slow
def test_a_secret_is_not_kept_and_not_made_twice(sender: Sender) -> None:
    body, admin = {"principal": sender.world.person("bts", "analyst").id}, ("bts", "admin")
    assert sender.post("/api/v1/tokens", body, "secret", who=admin).status_code == 201
    assert code(sender.post("/api/v1/tokens", body, "secret", who=admin)) == (409, "conflict")


@pytest.mark.slow
def test_a_request_that_was_begun_and_never_answered_is_not_done_again(sender: Sender) -> None:
    # What a server leaves that is killed between its act and the keeping of the answer.
    before = sender.asked()
    replies = sender.world.exchange.replies
    killed = replace(replies, clock=lambda: replies.clock() - HELD)
    killed.reserve(sender.world.person("dot", "analyst"), "killed", f"POST {ASKING}?")
    assert code(sender.post(ASKING, TERMS, "killed")) == (409, "outcome_unknown")
    assert sender.asked() == before


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb"])
def test_what_is_no_key_is_refused(key: str, sender: Sender) -> None:
    assert code(sender.post(ASKING, TERMS, key)) == (400, "invalid_request")


@pytest.mark.slow
def test_a_key_does_not_stand_for_a_token(sender: Sender) -> None:
    assert sender.post(ASKING, TERMS, "kept").status_code == 201
    with sender.server.client(None, **{"Idempotency-Key": "kept"}) as client:
        assert code(client.post(ASKING, content=msgspec.json.encode(TERMS))) == (401, "not_signed_in")


def test_an_answer_is_kept_for_a_day(world: World) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    replies = Replies(world.exchange.database, lambda: now[0])
    caller = world.person("bts", "admin")
    reserved = replies.reserve(caller, "day", "POST /a?")
    assert isinstance(reserved, str)
    kept = Kept("0" * 64, Reply(201, "application/json", b"{}"))
    replies.keep(reserved, kept)
    now[0] += KEPT
    assert replies.reserve(caller, "day", "POST /a?") == kept
    now[0] += timedelta(seconds=1)
    assert isinstance(replies.reserve(caller, "day", "POST /a?"), str)


def test_a_key_is_under_way_while_a_process_says_so_and_unknown_after_it(world: World) -> None:
    def refused(replies: Replies) -> str:
        with pytest.raises(BaybridgeError) as refusal:
            replies.reserve(caller, "k", "POST /a?")
        return refusal.value.code

    caller = world.person("bts", "admin")
    database: Database = world.exchange.database
    here = Replies(database, world.exchange.replies.clock)
    reserved = here.reserve(caller, "k", "POST /a?")
    assert isinstance(reserved, str)
    assert refused(here) == "request_under_way"
    assert refused(Replies(database, world.exchange.replies.clock)) == "request_under_way"
    late = Replies(database, lambda: world.exchange.replies.clock() + HELD)
    assert refused(late) == "outcome_unknown"
    replace(here, clock=late.clock).hold()
    assert refused(late) == "request_under_way"
    here.leave_open(reserved)
    assert refused(here) == "outcome_unknown"
    here.release(reserved)
    assert here.reserve(caller, "k", "POST /a?") == reserved
