"""Whose threads and places a request takes, and for how long: what some take, the others never lack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from raw_http import Reply, Wire, server_holds

from baybridge.http.app import STRANGER_PLACES, UPLOAD_PLACES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crew")]

API = "/api/v1"
OPEN = f"{API}/collections/bts.open/items"
MANY = f"{API}/collections/bts.many/items"
UPLOADS = f"{API}/collections/bts.flights/versions?dry_run=true"
TINY = 4096
PAUSE = 3.0
LIMITS = {"BAYBRIDGE_EXTRACT_WAIT_SECONDS": "120", "BAYBRIDGE_UPLOAD_PAUSE_SECONDS": str(PAUSE)}


@dataclass(frozen=True)
class Shown:
    world: World
    server: Server

    def wire(self, **options: Any) -> Wire:
        return Wire(self.server.url, **options)

    def begin(self, path: str, **headers: str) -> tuple[Wire, Reply]:
        """A stream that has begun and is not read on."""
        wire = self.wire(receive_buffer=TINY, timeout=60)
        wire.ask(path, **headers)
        reply = wire.head()
        assert reply.status == 200
        return wire, reply

    def upload(self, **headers: str) -> Wire:
        """An upload of which nothing has come but its head."""
        wire = self.wire()
        steward = self.world.secrets["bts", "steward"]
        wire.ask(UPLOADS, method="POST", token=steward, content_length="1000", **headers)
        return wire

    def status(self, path: str) -> int:
        with self.wire() as wire:
            return wire.get(path).status


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    world = make_world(tmp_path_factory.mktemp("crew") / "home")
    rows = b"id,words\n" + b"".join(b"%d,row %060d\n" % (row, row) for row in range(20_000))
    world.publish("bts.open", rows, key=("id",), access="public")
    world.publish("bts.many", rows, key=("id",))
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    with serving(world.root, environment=LIMITS) as server:
        yield Shown(world, server)
    world.exchange.close()


def test_no_number_of_open_public_answers_cuts_a_governed_one(shown: Shown) -> None:
    """Strangers hold their places until their answers have left, so those that are open are bounded."""
    reader = {"token": shown.world.secrets["dot", "analyst"], "baybridge_purpose": "noise-study"}
    with ExitStack() as opened:
        governed, reply = shown.begin(f"{MANY}?f=ndjson", **reader)
        opened.enter_context(governed)
        public = [opened.enter_context(shown.begin(f"{OPEN}?f=ndjson")[0]) for _ in range(STRANGER_PLACES)]
        with shown.wire() as wire:
            refused = wire.get(f"{OPEN}?f=ndjson")
        assert (refused.status, json.loads(refused.body)["code"]) == (503, "busy")
        time.sleep(3)
        assert all(server_holds(each) for each in public), "a late question cuts no public answer"
        assert governed.fill_chunks(reply).whole
    wait_until(lambda: shown.status(f"{OPEN}?limit=1") == 200)


def test_a_stranger_whose_request_fails_gives_its_place_back(shown: Shown) -> None:
    with shown.wire() as wire:
        failed = {wire.get(f"{API}/collections/bts.{name}/items").status for name in ["absent", "flights"] * STRANGER_PLACES}
        assert failed == {404, 401}
        assert wire.get(f"{OPEN}?limit=1").status == 200


def test_no_number_of_large_filters_keeps_the_others_waiting(shown: Shown) -> None:
    """A filter is parsed where it takes its turn, and never between two requests of others."""
    body = json.dumps({"filter": " OR ".join(f"words = 'x{number}'" for number in range(4000)) + " OR nothing = 1"}).encode()
    with ExitStack() as opened:
        strangers = [opened.enter_context(shown.wire(timeout=60)) for _ in range(32)]
        for each in strangers:
            each.ask(f"{OPEN}/query", method="POST", content_length=str(len(body)))
            each.socket.sendall(body)
        waits = []
        for _ in range(20):
            began = time.monotonic()
            assert shown.status("/livez") == 200
            waits.append(time.monotonic() - began)
        codes = [json.loads(each.fill(each.head()).body)["code"] for each in strangers]
    assert set(codes) == {"unknown_column"}
    assert max(waits) < 1


def test_a_filter_is_not_looked_at_for_a_token_that_is_not_valid(shown: Shown) -> None:
    with shown.wire() as wire:
        assert wire.get(f"{OPEN}?filter=((", token="nobodys").status == 401  # noqa: S106 -- nobody's
        assert wire.get(f"{OPEN}?filter=((").status == 400


def test_no_number_of_stalled_uploads_keeps_an_act_from_being_done(shown: Shown) -> None:
    agreement = shown.world.sign(shown.world.terms(dataset="bts.flights"))
    revoke, reason = f"{API}/agreements/{agreement.id}/revoke", b'{"reason":"while uploads stall"}'
    with ExitStack() as opened:
        for _ in range(UPLOAD_PLACES):
            opened.enter_context(shown.upload())
        time.sleep(0.5)
        with shown.upload() as wire:
            assert wire.head().status == 503
        began = time.monotonic()
        with shown.wire() as wire:
            wire.ask(revoke, method="POST", token=shown.world.secrets["bts", "steward"], content_length=str(len(reason)))
            wire.socket.sendall(reason)
            assert wire.head().status == 200
        assert time.monotonic() - began < PAUSE
    wait_until(lambda: takes_uploads(shown), seconds=30)  # an upload whose client has left has its place until its turn comes


def takes_uploads(shown: Shown) -> bool:
    """Whether an upload is read, which one that finds no place is not."""
    with shown.wire() as wire:
        wire.ask(UPLOADS, method="POST", token=shown.world.secrets["bts", "steward"], content_length="0")
        return wire.head().status != 503


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "stalled"}], ids=["plain", "with a key"])
def test_an_upload_may_be_slow_and_is_cut_when_it_stalls(headers: dict[str, str], shown: Shown) -> None:
    with shown.upload(**headers) as wire:
        for _ in range(3):
            wire.socket.sendall(b"a")
            time.sleep(PAUSE / 2)
            assert server_holds(wire)
        began = time.monotonic()
        wait_until(lambda: not server_holds(wire), seconds=PAUSE + 3)
        assert time.monotonic() - began > PAUSE / 2 - 1
