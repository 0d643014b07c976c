"""How answers reach sockets and questions end: time limits, clients that leave, bounds on what is held, and the corners of HTTP/1.1."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from raw_http import Reply, Wire, server_holds

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sending")]

FLIGHTS_ITEMS = "/api/v1/collections/bts.flights/items"
MANY = "/api/v1/collections/bts.many/items"
ROWS = 500_000
WATCHED = Path(__file__).with_name("launchers") / "watched_server.py"
# Each row is compared with each of these ranges, and lies in none: seconds of work that no statistics can cut short.
RANGES = " AND ".join(f"NOT words BETWEEN 'row {number:07d}~' AND 'row {number:07d}~~'" for number in range(0, 130_000, 1000))
EXPENSIVE = f"{MANY}?{urlencode({'sortby': '-words', 'filter': RANGES})}"


@dataclass(frozen=True)
class Shown:
    """A home that several tests read, and the token of one who may read all of it."""

    world: World
    token: str

    def get(self, url: str, path: str, **headers: str) -> Reply:
        with Wire(url) as wire:
            return wire.get(path, token=self.token, baybridge_purpose="noise-study", **headers)


def many_rows() -> bytes:
    return b"id,words\n" + b"".join(b"%d,row %07d of many with words\n" % (row, row * 7919 % ROWS) for row in range(ROWS))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    world = make_world(tmp_path_factory.mktemp("sending") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.many", many_rows(), key=("id",))
    world.sign(world.terms())
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    ready = Shown(world, world.secrets["dot", "analyst"])
    with serving(world.root) as server:  # both extracts are made before any test counts seconds
        wait_until(lambda: ready.get(server.url, f"{MANY}?limit=1").status == 200, seconds=60)
        wait_until(lambda: ready.get(server.url, FLIGHTS_ITEMS).status == 200, seconds=60)
    yield ready
    world.exchange.close()


@pytest.fixture(scope="module")
def server(shown: Shown) -> Iterator[Server]:
    with serving(shown.world.root, environment={"BAYBRIDGE_QUESTION_SECONDS": "60"}) as started:
        yield started


def code(reply: Reply) -> str:
    return str(json.loads(reply.body)["code"])


def cpu_seconds(process: int) -> float:
    """What a process has used so far, all threads together (proc(5), stat)."""
    words = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def busy(process: int, seconds: float) -> float:
    """The share of one processor that it uses in that time from now."""
    before = cpu_seconds(process)
    time.sleep(seconds)
    return (cpu_seconds(process) - before) / seconds


# Questions end.


def test_a_client_that_leaves_stops_its_question(shown: Shown, server: Server) -> None:
    before = cpu_seconds(server.process.pid)
    with Wire(server.url) as wire:
        wire.ask(EXPENSIVE, token=shown.token, baybridge_purpose="noise-study")
        wait_until(lambda: cpu_seconds(server.process.pid) - before > 0.3)  # the question runs
    left = time.monotonic()
    wait_until(lambda: busy(server.process.pid, 0.1) < 0.2, seconds=1.5)
    assert time.monotonic() - left < 1.5
    assert shown.get(server.url, FLIGHTS_ITEMS).status == 200


def test_clients_that_leave_hold_up_nobody(shown: Shown, server: Server) -> None:
    """Forty seconds of questions, all left behind at once: those who stay wait for none of them."""
    for _ in range(20):
        with Wire(server.url) as wire:
            wire.ask(EXPENSIVE, token=shown.token, baybridge_purpose="noise-study")
    before = cpu_seconds(server.process.pid)
    assert shown.get(server.url, FLIGHTS_ITEMS).status == 200
    wait_until(lambda: busy(server.process.pid, 0.2) < 0.3, seconds=20)
    assert cpu_seconds(server.process.pid) - before < 10


# The corners of HTTP.


def test_304_has_no_body_and_the_next_answer_follows_at_once(shown: Shown, server: Server) -> None:
    etag = shown.get(server.url, FLIGHTS_ITEMS).headers["etag"]
    with Wire(server.url) as wire:
        for tag in (etag, "*", f'"other", {etag}', f"W/{etag}"):
            unchanged = wire.get(FLIGHTS_ITEMS, token=shown.token, baybridge_purpose="noise-study", if_none_match=tag)
            assert (unchanged.status, unchanged.body) == (304, b"")
            assert "content-length" not in unchanged.headers
            assert "content-type" not in unchanged.headers
            assert unchanged.headers["etag"] == etag
            assert unchanged.headers["baybridge-entry"].startswith("bts/")
        assert wire.get("/livez").status == 200


def test_head_is_answered_like_get_without_a_body(shown: Shown, server: Server) -> None:
    got = shown.get(server.url, FLIGHTS_ITEMS)
    with Wire(server.url) as wire:
        wire.ask(FLIGHTS_ITEMS, method="HEAD", token=shown.token, baybridge_purpose="noise-study")
        head = wire.head()
        assert (head.status, head.headers["etag"], head.promised) == (200, got.headers["etag"], 0)
        assert wire.get("/livez").body == b'{"status":"ok"}'


@pytest.mark.parametrize("name", ["authorization", "baybridge-purpose", "baybridge-agreement", "if-none-match", "accept", "x-anything"])
@pytest.mark.parametrize("size", [20_000, 60_000])
def test_a_long_header_is_refused_or_ignored_and_never_a_failure(shown: Shown, server: Server, name: str, size: int) -> None:
    headers = {"authorization": f"Bearer {shown.token}", "baybridge-purpose": "noise-study", name: "a" * size}
    with Wire(server.url) as wire:
        wire.ask(FLIGHTS_ITEMS, **headers)
        assert wire.head().status in {200, 400, 401, 403, 404, 406}


@pytest.mark.parametrize("parameter", ["filter", "properties", "sortby", "limit", "cursor", "f", "filter-lang", "unknown"])
@pytest.mark.parametrize("filling", ["a", "(", "9", "%22", "a,"])
def test_a_long_parameter_is_refused_and_never_a_failure(shown: Shown, server: Server, parameter: str, filling: str) -> None:
    reply = shown.get(server.url, f"{FLIGHTS_ITEMS}?{parameter}={filling * 15_000}")
    assert reply.status == 400
    assert len(reply.body) < 4096, "what was sent is not sent back"


def test_a_head_without_end_is_cut_off(server: Server) -> None:
    """The parser would hold any amount; a hundred such clients must not fill the memory."""
    with Wire(server.url) as wire:
        wire.socket.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-endless: ")
        with pytest.raises(ConnectionError):
            wire.socket.sendall(b"a" * (64 << 20))


def test_what_is_no_request_is_told_so(server: Server) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ):
        with Wire(server.url) as wire:
            wire.socket.sendall(nonsense + b"\r\n\r\n")
            assert wire.head().status == 400
    with Wire(server.url) as wire:
        assert wire.get("/livez").status == 200


def test_requests_sent_ahead_are_answered_in_their_order(shown: Shown, server: Server) -> None:
    with Wire(server.url) as wire:
        for limit in (3, 1, 2):
            wire.ask(f"{FLIGHTS_ITEMS}?limit={limit}", token=shown.token, baybridge_purpose="noise-study")
        got = [wire.fill(wire.head()) for _ in range(3)]
    assert [len(json.loads(reply.body)["items"]) for reply in got] == [3, 1, 2]
    entries = [int(reply.headers["baybridge-entry"].rpartition("/")[2]) for reply in got]
    assert entries == sorted(entries)


def test_connections_of_others_survive_a_reset(shown: Shown, server: Server) -> None:
    """One agreement is revoked amid its answer; connections beside it, idle, asking ahead or amid an answer, go on."""
    world = shown.world
    world.add_organization("faa")
    ended = world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}), consumer="faa")
    with Wire(server.url) as idle, Wire(server.url, receive_buffer=4096) as amid, Wire(server.url, receive_buffer=4096) as cut:
        assert idle.get("/livez").status == 200
        amid.ask(f"{MANY}?limit=10000", token=shown.token, baybridge_purpose="noise-study")
        amid.ask(f"{MANY}?limit=2", token=shown.token, baybridge_purpose="noise-study")
        begun = amid.head()
        cut.ask(f"{MANY}?limit=10000", token=world.secrets["faa", "analyst"], baybridge_purpose="noise-study")
        assert cut.head().status == 200
        world.exchange.agree.revoke(world.person("bts", "steward"), ended.id, "as the test says")
        wait_until(lambda: not server_holds(cut), seconds=1.25)
        assert amid.fill(begun).whole
        assert len(json.loads(amid.fill(amid.head()).body)["items"]) == 2
        assert idle.get("/livez").status == 200


def test_an_answer_arrives_whole_however_slowly_it_is_read(shown: Shown, server: Server) -> None:
    """Also past the time after which idle connections are closed, and with a connection that ends with its answer."""
    with Wire(server.url, receive_buffer=4096) as wire:
        wire.ask(f"{MANY}?limit=1000", token=shown.token, baybridge_purpose="noise-study", connection="close")
        reply = wire.head()
        time.sleep(6)
        assert wire.fill(reply).whole
        assert wire.socket.recv(1) == b""
    assert len(json.loads(reply.body)["items"]) == 1000


def test_the_watch_over_an_answer_costs_a_quick_client_no_wait(shown: Shown, server: Server) -> None:
    """An answer ends when it has left. A client that asks again on the same connection must not wait for that to be noticed."""
    with Wire(server.url) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        for _ in range(40):
            assert wire.get(FLIGHTS_ITEMS, token=shown.token, baybridge_purpose="noise-study").status == 200
    assert time.monotonic() - began < 40 * 0.2, "below the quarter of a second between two looks"


# Servers of their own.


def test_a_question_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.publish("bts.many", many_rows(), key=("id",))
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    shown = Shown(world, world.secrets["dot", "analyst"])
    with serving(world.root, environment={"BAYBRIDGE_QUESTION_SECONDS": "0.3"}) as server:
        wait_until(lambda: shown.get(server.url, f"{MANY}?limit=1").status == 200, seconds=60)
        with ThreadPoolExecutor(4) as readers:
            began = time.monotonic()
            got = list(readers.map(lambda _: shown.get(server.url, EXPENSIVE), range(4)))
            took = time.monotonic() - began
        assert [(reply.status, code(reply)) for reply in got] == [(503, "query_limit")] * 4
        assert all(int(reply.headers["retry-after"]) > 0 for reply in got)
        assert took < 3
        wait_until(lambda: busy(server.process.pid, 0.2) < 0.3, seconds=3)
        assert shown.get(server.url, f"{MANY}?limit=1").status == 200
    world.exchange.close()


def test_at_most_256_kb_of_an_answer_are_in_flight(tmp_path: Path) -> None:
    """For clients that take nothing, with small and with large windows, and for one that takes all as fast as it can."""
    world = make_world(tmp_path / "home")
    world.publish("bts.many", many_rows(), key=("id",))
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    token = world.secrets["dot", "analyst"]
    process = subprocess.Popen(
        [sys.executable, str(WATCHED), str(world.root)], stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        while not url.startswith("http://"):
            url = process.stdout.readline().strip()
        shown = Shown(world, token)
        wait_until(lambda: shown.get(url, f"{MANY}?limit=1").status == 200, seconds=60)
        unread = [Wire(url, receive_buffer=size) for size in (4096, 16_384, 131_072, None)]
        for wire in unread:
            wire.ask(f"{MANY}?limit=10000", token=token, baybridge_purpose="noise-study")
        fast = threading.Thread(target=lambda: [shown.get(url, f"{MANY}?limit=10000") for _ in range(5)])
        fast.start()
        fast.join(timeout=60)
        time.sleep(1)
        for wire in unread:
            wire.close()
    finally:
        process.terminate()
        said = process.communicate(timeout=20)[0]
        world.exchange.close()
    greatest = max(int(line.split()[1]) for line in said.splitlines() if line.startswith("held "))
    assert 64 * 1024 < greatest <= 256 * 1024


def test_a_small_answer_on_a_kept_connection_waits_for_no_acknowledgement(server: Server) -> None:
    """Without TCP_NODELAY each answer but the first few takes the 40 ms of a delayed acknowledgement (RFC 9293, section 3.7.4)."""
    with server.client() as client:
        took = []
        for _ in range(60):
            before = time.monotonic()
            assert client.get("/livez").status_code == 200
            took.append(time.monotonic() - before)
    assert sorted(took)[30] < 0.03
