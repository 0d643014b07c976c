"""What the SDK sends again and what never, against a server on a raw socket that breaks connections at every point."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from baybridge.client import AsyncClient, Client
from baybridge.client.call import Call, reader
from baybridge.client.exceptions import AnswerNotUnderstood, ExtractBuilding, LogUnavailable, QueryLimit, Unreachable
from baybridge.errors import BaybridgeError, Unavailable
from baybridge.wire.collections import DeclareRequest

ME = json.dumps({"id": "prn_1", "organization": "dot", "name": "n", "kind": "person", "roles": []})


def answer(status: int, body: str, *headers: str, media_type: str = "application/json") -> bytes:
    lines = (f"HTTP/1.1 {status} X", f"content-type: {media_type}", f"content-length: {len(body)}", "connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def problem(status: int, code: str, retry: int | None) -> bytes:
    said = {"type": "t", "title": "t", "status": status, "detail": "d", "code": code, "retry": retry}
    return answer(status, json.dumps(said), media_type="application/problem+json")


FINE = answer(200, ME)
BUSY = problem(503, "extract_building", 0)
CLOSED = b""  # no answer at all
CUT = FINE[:-5]
CUT_IN_HEAD = FINE[:20]
RESET = b"RESET"
BROKEN = (CLOSED, CUT, CUT_IN_HEAD, RESET)


@dataclass
class Misbehaving:
    """Gives what it is told to, a connection each, the last for ever; keeps the head of each request and when it came."""

    url: str
    heads: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def keys(self) -> list[str]:
        lines = [line for head in self.heads for line in head.split("\r\n") if line.lower().startswith("idempotency-key: ")]
        return [line.partition(": ")[2] for line in lines]


def take_request(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode()
    length = next((int(line.split(":")[1]) for line in text.split("\r\n") if line.lower().startswith("content-length")), 0)
    while len(body) < length or ("chunked" in text.lower() and not body.endswith(b"0\r\n\r\n")):
        body += connection.recv(65536)
    return text


@contextlib.contextmanager
def misbehaving(*behaviours: bytes) -> Iterator[Misbehaving]:
    left = list(behaviours)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Misbehaving(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    try:
                        connection.settimeout(10)
                        first = connection.recv(1, socket.MSG_PEEK)
                        if not first:
                            return
                        server.heads.append(take_request(connection))
                        server.times.append(time.monotonic())
                        behaviour = left.pop(0) if len(left) > 1 else left[0]
                        if behaviour == RESET:
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        else:
                            connection.sendall(behaviour)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            with socket.create_connection(listener.getsockname()):
                pass  # a connection that says nothing ends it
            thread.join(10)


Act = Callable[[Client], object]
SAFE: dict[str, Act] = {
    "GET": lambda client: client.whoami(),
    "PUT": lambda client: client.declare("bts.t", DeclareRequest()),
    "DELETE": lambda client: client.revoke_token("tok_1"),
    "POST": lambda client: client.revoke("AGR-1", "r"),
}


def outcome(act: Act, client: Client) -> BaybridgeError | None:
    try:
        act(client)
    except BaybridgeError as error:
        return error
    return None


@pytest.mark.parametrize("broken", [*BROKEN, BUSY, problem(429, "limit_reached", 0)])
@pytest.mark.parametrize("method", SAFE)
def test_what_is_safe_to_send_again_is_sent_again_with_the_same_key(method: str, broken: bytes) -> None:
    with misbehaving(broken, FINE) as server, Client(server.url) as client:
        error = outcome(SAFE[method], client)
    assert error is None or isinstance(error, AnswerNotUnderstood)  # FINE is the answer of one of them only
    assert [head.split()[0] for head in server.heads] == [method] * 2
    keys = server.keys()
    assert len(keys) == (2 if method == "POST" else 0)
    assert len(set(keys)) <= 1


def test_each_act_has_a_key_of_its_own() -> None:
    with misbehaving(FINE) as server, Client(server.url) as client:
        for _ in range(5):
            outcome(SAFE["POST"], client)
    assert len(set(server.keys())) == 5


@pytest.mark.parametrize("broken", [*BROKEN, BUSY])
@pytest.mark.parametrize("source", ["a file", "pieces"])
def test_an_upload_is_never_sent_twice(broken: bytes, source: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"a\n1\n")
    with misbehaving(broken, FINE) as server, Client(server.url) as client:
        error = outcome(lambda client: client.publish("bts.t", file if source == "a file" else [b"a\n", b"1\n"]), client)
    assert isinstance(error, Unavailable)
    assert len(server.heads) == 1


def test_a_method_that_is_not_safe_and_has_no_key_is_never_sent_twice() -> None:
    with misbehaving(CLOSED, FINE) as server, Client(server.url) as client:
        unsafe = Call(method="PATCH", path="/x", read=reader(dict))
        assert isinstance(outcome(lambda client: client.perform(unsafe), client), Unreachable)
    assert len(server.heads) == 1


def test_a_server_that_is_gone_is_asked_three_times_and_no_more() -> None:
    with misbehaving(CLOSED) as server, Client(server.url) as client:
        assert isinstance(outcome(SAFE["GET"], client), Unreachable)
    assert len(server.heads) == 3


@pytest.mark.slow
def test_the_pause_is_what_the_server_said_and_a_chance_more() -> None:
    with misbehaving(problem(503, "log_unavailable", 1), FINE) as server, Client(server.url) as client:
        client.whoami()
    assert 1 <= server.times[1] - server.times[0] < 3


def test_a_proxys_retry_after_is_honoured_too() -> None:
    with misbehaving(answer(503, "<html>", "retry-after: 0", media_type="text/html"), FINE) as server, Client(server.url) as client:
        assert client.whoami().id == "prn_1"
    assert len(server.heads) == 2


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (problem(503, "extract_building", 60), ExtractBuilding),  # longer than the client's patience
        (problem(503, "log_unavailable", None), LogUnavailable),  # the server does not say when
        (problem(503, "query_limit", 0), QueryLimit),  # the same question would run into the same limit
    ],
)
def test_where_waiting_cannot_help_nothing_is_sent_again(said: bytes, kind: type[BaybridgeError]) -> None:
    with misbehaving(said) as server, Client(server.url) as client:
        assert type(outcome(SAFE["GET"], client)) is kind
    assert len(server.heads) == 1


def test_patience_bounds_all_sendings_together() -> None:
    began = time.monotonic()
    with misbehaving(BUSY) as server, Client(server.url, patience=0.3) as client:
        assert isinstance(outcome(SAFE["GET"], client), ExtractBuilding)
    assert len(server.heads) > 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("broken", [*BROKEN, BUSY])
def test_the_awaited_client_sends_again_alike(broken: bytes) -> None:
    async def ask(url: str) -> str:
        async with AsyncClient(url) as client:
            return (await client.whoami()).id

    with misbehaving(broken, FINE) as server:
        assert asyncio.run(ask(server.url)) == "prn_1"
    assert len(server.heads) == 2
