"""What one client, or many without a token, can take from the others: bounded in bytes, in seconds and in threads."""

from __future__ import annotations

import fcntl
import json
import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from raw_http import Reply, Wire, server_holds

from baybridge.http.app import STRANGER_PLACES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bounds")]

API = "/api/v1"
OPEN = f"{API}/collections/bts.open/items"
MANY = f"{API}/collections/bts.many/items"
HEAD_SECONDS = 1.5
ANSWER_SECONDS = 2.0
LATE = 3.0  # how much later than at its limit a thing may end on a loaded machine
TINY = 4096
LIMITS = {
    "BAYBRIDGE_HEAD_SECONDS": str(HEAD_SECONDS),
    "BAYBRIDGE_ANSWER_SECONDS": str(ANSWER_SECONDS),
    "BAYBRIDGE_EXTRACT_WAIT_SECONDS": "120",
}


@dataclass(frozen=True)
class Shown:
    world: World
    server: Server

    def wire(self, **options: Any) -> Wire:
        return Wire(self.server.url, **options)

    def ask(self, wire: Wire, path: str, *, method: str = "GET") -> None:
        wire.ask(path, method=method, token=self.world.secrets["dot", "analyst"], baybridge_purpose="noise-study")

    def entry(self, reply: Reply) -> dict[str, Any]:
        number = int(reply.headers["baybridge-entry"].rpartition("/")[2])
        run = self.world.exchange.watch.entries(self.world.person("bts", "auditor"), "bts", start=number, limit=1)
        found: dict[str, Any] = json.loads(run.entries[0][1])
        return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    world = make_world(tmp_path_factory.mktemp("bounds") / "home")
    world.publish("bts.open", FLIGHTS, access="public")
    world.publish("bts.many", b"id,words\n" + b"".join(b"%d,row %060d\n" % (row, row) for row in range(20_000)), key=("id",))
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    with serving(world.root, environment=LIMITS) as server:
        yield Shown(world, server)
    world.exchange.close()


def held_for(wire: Wire) -> float:
    """Seconds until the server lets go of its end."""
    began = time.monotonic()
    wait_until(lambda: not server_holds(wire), seconds=ANSWER_SECONDS + LATE)
    return time.monotonic() - began


# Heads.


@pytest.mark.parametrize("before", [(), ("/livez",)], ids=["first", "second"])
@pytest.mark.parametrize("drop", [b"GET /", b"\r\n", b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: "], ids=["line", "empty line", "header"])
def test_a_head_that_comes_too_slowly_ends_its_connection(before: tuple[str, ...], drop: bytes, shown: Shown) -> None:
    with shown.wire() as wire:
        for path in before:
            assert wire.get(path).status == 200
        wire.socket.sendall(drop)
        began = time.monotonic()
        while server_holds(wire):
            assert time.monotonic() - began < HEAD_SECONDS + LATE
            time.sleep(0.2)
            try:
                wire.socket.sendall(b"\r\n" if drop == b"\r\n" else b"a")
            except ConnectionError:
                break
        assert time.monotonic() - began > HEAD_SECONDS - 0.5


def test_a_connection_on_which_nothing_comes_is_ended(shown: Shown) -> None:
    with shown.wire() as wire:
        assert HEAD_SECONDS - 0.5 < held_for(wire) < HEAD_SECONDS + LATE


def test_neither_a_pause_between_requests_nor_a_slow_body_is_a_slow_head(shown: Shown) -> None:
    with shown.wire() as wire:
        assert wire.get("/livez").status == 200
        time.sleep(HEAD_SECONDS + 0.5)
        wire.ask(f"{API}/agreements", method="POST", token=shown.world.secrets["dot", "analyst"], content_length="2")
        time.sleep(HEAD_SECONDS / 2)
        wire.socket.sendall(b"{}")
        assert wire.fill(wire.head()).status == 400
        assert wire.get("/livez").status == 200


def test_a_json_body_that_never_ends_is_cut(shown: Shown) -> None:
    with shown.wire() as wire:
        wire.ask(f"{API}/agreements", method="POST", token=shown.world.secrets["dot", "analyst"], content_length="1000")
        began = time.monotonic()
        while server_holds(wire):
            assert time.monotonic() - began < HEAD_SECONDS + LATE
            time.sleep(0.2)
            try:
                wire.socket.sendall(b" ")
            except ConnectionError:
                break
        assert time.monotonic() - began > HEAD_SECONDS - 0.5


@pytest.mark.parametrize("trailer", [b"x-a: b\r\nx-b: c\r\n\r\n", b"x-endless: ", b"x-endless"], ids=["fields", "value", "name"])
def test_fields_behind_a_body_are_not_held(trailer: bytes, shown: Shown) -> None:
    """64 MB of them: whoever sends them is cut off long before."""
    with shown.wire() as wire:
        wire.ask(f"{API}/agreements", method="POST", token=shown.world.secrets["dot", "analyst"], transfer_encoding="chunked")
        wire.socket.sendall(b"2\r\n{}\r\n0\r\n" + trailer)
        with pytest.raises(ConnectionError):
            wire.socket.sendall(b"a" * (64 << 20))


def test_a_body_in_many_chunks_is_read_whatever_its_size(shown: Shown) -> None:
    with shown.wire() as wire:
        wire.ask(f"{API}/agreements", method="POST", token=shown.world.secrets["dot", "analyst"], transfer_encoding="chunked")
        for _ in range(50):
            wire.socket.sendall(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        wire.socket.sendall(b"0\r\n\r\n")
        assert wire.fill(wire.head()).status == 400


# Answers.


def test_an_answer_that_is_not_read_in_time_is_reset(shown: Shown) -> None:
    with shown.wire(receive_buffer=TINY) as wire:
        shown.ask(wire, f"{MANY}?limit=10000")
        reply = wire.head()
        assert reply.status == 200
        assert ANSWER_SECONDS - 0.5 < held_for(wire) < ANSWER_SECONDS + LATE
        wire.fill(reply)
    assert (reply.whole, reply.reset) == (False, True)


@pytest.mark.parametrize("query", ["", "?f=csv", "?f=ndjson"])
def test_a_head_is_decided_and_entered_and_computes_nothing(query: str, shown: Shown) -> None:
    with shown.wire() as wire:
        shown.ask(wire, MANY + query)
        got = wire.head()
        wire.fill_chunks(got) if got.chunked else wire.fill(got)
        shown.ask(wire, MANY + query, method="HEAD")
        head = wire.head()
        shown.ask(wire, "/livez")
        assert wire.fill(wire.head()).body == b'{"status":"ok"}', "no body came before it"
    for name in ("etag", "content-type", "cache-control", "baybridge-version", "vary"):
        assert head.headers[name] == got.headers[name]
    assert (head.status, "content-length" in head.headers, "transfer-encoding" in head.headers) == (200, False, False)
    entered = shown.entry(head)
    assert (entered["kind"], entered["status"], entered["rows"], entered["bytes"], entered["sha256"]) == ("disclosure", 200, 0, 0, None)
    assert "stream" not in entered
    assert entered["columns"] == shown.entry(got)["columns"]


def test_a_head_of_what_may_not_be_read_is_refused_and_entered(shown: Shown) -> None:
    with shown.wire() as wire:
        wire.ask(MANY, method="HEAD", token=shown.world.secrets["dot", "analyst"], baybridge_purpose="another")
        assert wire.head().status == 403
    run = shown.world.exchange.watch.entries(shown.world.person("bts", "auditor"), "bts", start=0, limit=1000)
    last = json.loads(run.entries[-1][1])
    assert (last["kind"], last["code"]) == ("refusal", "purpose_not_allowed")


# Requests without a token.


def answered(wires: list[Wire]) -> list[Wire]:
    """Those on which something has come."""
    ready, _, _ = select.select([wire.socket for wire in wires], [], [], 0)
    return [wire for wire in wires if wire.socket in ready]


@contextmanager
def held_up(extracts: Path) -> Iterator[Callable[[], None]]:
    """Forget the extracts that there are, and hold up whoever makes them again, until the function that is given is called."""
    with ExitStack() as locks:
        for path in extracts.glob("*.lock"):
            shutil.rmtree(path.with_suffix(""))
            fcntl.flock(locks.enter_context(path.open()), fcntl.LOCK_EX)
        yield locks.close


def test_however_many_ask_without_a_token_the_others_are_answered(tmp_path: Path) -> None:
    """Each stranger waits for an extract that is held up here: they fill their places, and nobody else's."""
    world, too_many = make_world(tmp_path / "home"), 20
    world.publish("bts.open", FLIGHTS, access="public")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.sign(world.terms())
    world.exchange.close()
    with serving(world.root) as server, Wire(server.url) as wire:
        assert wire.get(OPEN).status == 200
    with held_up(world.root / "extracts") as release, serving(world.root, environment=LIMITS) as server, ExitStack() as opened:
        strangers = [opened.enter_context(Wire(server.url, timeout=60)) for _ in range(STRANGER_PLACES + too_many)]
        for wire in strangers:
            wire.ask(OPEN)
        wait_until(lambda: len(answered(strangers)) >= too_many, seconds=60)
        told = answered(strangers)
        replies = [wire.fill(wire.head()) for wire in told]
        assert len(replies) == too_many
        assert {(each.status, each.headers["retry-after"], json.loads(each.body)["code"]) for each in replies} == {(503, "1", "busy")}
        with Wire(server.url) as wire:
            assert wire.get(f"{API}/collections").status == 503
            for path in ("/livez", "/readyz"):
                assert wire.get(path).status == 200
            ours = wire.get(f"{API}/collections/bts.flights/items", token=world.secrets["dot", "analyst"], baybridge_purpose="noise-study")
            assert ours.status == 200
            release()
            assert {each.fill(each.head()).status for each in strangers if each not in told} == {200}
            assert wire.get(f"{API}/collections").status == 200
