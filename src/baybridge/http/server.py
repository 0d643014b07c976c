"""The server process: one socket, one event loop, and a protocol whose connections are bounded and can be reset."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from baybridge.errors import Advice, Conflict
from baybridge.exchange import Exchange
from baybridge.http.app import make_app
from baybridge.http.sending import LINK, Link

SEND_BUFFER: Final = 64 * 1024
"""What is asked of the kernel for a client. It doubles the figure, and may go beyond it by one segment of up to 64 KB: at most
192 KB, and with the piece of 64 KB that the transport holds, the 256 KB of promise 5."""

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request's first line and headers."""

_BACKLOG: Final = 2048


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on what is held of a request's head and of an answer, and the connection in each scope."""

    head_seconds: float
    """How long a head may take: the first from the connection on, each later one from its first byte on, be it an empty line."""

    _unused = 0  # bytes of a head, or behind a body, that the parser may hold
    _in_head = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        """Hold no more of an answer than the piece that is being written: each next one waits until the kernel has it all."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        self._link = Link(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Count a head as it arrives, and refuse it beyond its bound: the parser would hold any amount.

        What arrives while no request is under way is the next one's head, and has its deadline. uvicorn's own ends with the first byte.
        """
        self._unused += len(data)
        super().data_received(data)
        if self._unused > MAX_HEAD and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response("The head of the request is too large.")
            else:
                self._link.reset()
        between = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first request
        if between and self._deadline is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request. Behind a governed answer that is still leaving nothing can be said: it would stand inside it."""
        if self._link.watched:
            self._link.reset()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Add the connection to the scope that the next request gets."""
        super().on_message_begin()
        self._unused, self._in_head = 0, True
        self.scope[LINK] = self._link  # type: ignore[typeddict-unknown-key]  # a key of ours

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head. Fields behind a body (RFC 9112, section 7.1.2) would be held without bound: nobody here needs them."""
        if self._in_head:
            super().on_header(name, value)
        else:
            self._link.reset()

    def on_body(self, body: bytes) -> None:
        """A body goes on as it comes, and is not held here."""
        self._unused = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """End the count, and the deadline."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()


def serve(exchange: Exchange, *, ready: Callable[[str, int], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way. `ready` is told host and port once requests are taken.

    Raise Conflict when another process serves this home and its catalog is SQLite. Raise Corrupt where the home was set back in time.
    """
    with exchange.held(), _listen(exchange.settings.host, exchange.settings.port) as listener:
        exchange.outside.require_consistent()
        exchange.database.scrub()  # what was erased just before a crash may still stand in the write-ahead log
        app = make_app(exchange, on_start=lambda: ready(exchange.settings.host, listener.getsockname()[1]))

        class Protocol(BoundedProtocol):
            head_seconds = exchange.settings.head_seconds

        config = uvicorn.Config(
            app,
            http=Protocol,
            loop="asyncio",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        with exchange.working():
            uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it each small answer on a kept connection waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted connections inherit it
    try:
        listener.bind((host, port))
    except OSError as wrong:
        listener.close()
        raise Conflict(
            "conflict",
            f"Port {port} cannot be listened on.",
            advice=Advice(rule="A port has one listener.", who_can_change="you", next_step="Name another port with --port."),
        ) from wrong
    listener.listen(_BACKLOG)
    return listener
