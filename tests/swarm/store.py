"""A way to an S3 server that fails: some answers are 503, some connections are reset before or after the act, some are slow."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

FAILING, SLOW = 0.1, 0.1
_HOP = {"connection", "transfer-encoding", "content-length", "host", "date", "server"}
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FaultyWay(ThreadingHTTPServer):
    """Passes requests on to the server at `target`, and draws for each what goes wrong on the way."""

    daemon_threads = True

    def __init__(self, target: str, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urlsplit(target).netloc
        self.drawn: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def draw(self) -> tuple[str, float]:
        """What goes wrong with this request, and how long it is held before."""
        with self._lock:
            failing, slow, how = self._chance.random(), self._chance.random(), self._chance.choice(("refused", "reset", "cut"))
            fault = how if failing < FAILING else "passed"
            pause = self._chance.uniform(0.5, 2) if slow < SLOW else 0.0
            self.drawn.update([fault, "slow"] if pause else [fault])
        return fault, pause

    def shutdown_request(self, request: Any) -> None:
        """Close it without a FIN before, so that a reset is one."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle is what this is for."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyWay

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault, pause = self.server.draw()
        time.sleep(pause)
        if fault == "reset":
            self._reset()
        elif fault == "refused":
            self._answer(503, {"content-type": "application/xml"}, _SLOW_DOWN)
        else:
            self._answer(*self._forward(body), cut=fault == "cut")

    def do_GET(self) -> None:
        self.pass_on()

    def do_HEAD(self) -> None:
        self.pass_on()

    def do_PUT(self) -> None:
        self.pass_on()

    def do_POST(self) -> None:
        self.pass_on()

    def do_DELETE(self) -> None:
        self.pass_on()

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() not in {*_HOP, "expect"}}
            connection.request(self.command, self.path, body=body, headers=sent)
            reply = connection.getresponse()
            return reply.status, {**dict(reply.getheaders()), "x-length": reply.headers.get("content-length", "")}, reply.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        """Send the answer; cut, only half of it, after the request was done."""
        length = headers.pop("x-length", "") if self.command == "HEAD" else str(len(body))
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {*_HOP, "x-length"}:
                self.send_header(name, value)
        self.send_header("content-length", length or "0")
        if cut and len(body) < 2:
            self._reset()  # of an answer without a body not even the head comes
            return
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._reset()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self._headers_buffer: list[bytes] = []

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Way = TypeVar("Way", bound=FaultyWay)


@contextmanager
def faulty_way(target: str, seed: int, *, kind: type[Way] = FaultyWay) -> Iterator[Way]:  # type: ignore[assignment] -- the default is one of the kinds
    way = kind(target, seed)
    thread = threading.Thread(target=way.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield way
    finally:
        way.shutdown()
        thread.join()
        way.server_close()
