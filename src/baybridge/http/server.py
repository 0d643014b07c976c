"""The server process: one socket, one event loop, and a protocol that can reset a connection."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from baybridge.errors import Advice, Conflict
from baybridge.exchange import Exchange
from baybridge.http.app import make_app
from baybridge.http.sending import RESET

SEND_BUFFER: Final = 64 * 1024
"""Bytes that the kernel may hold for a client; it doubles the figure for its own use. Promise 5 counts what is in flight."""

_BACKLOG: Final = 2048


class ResettingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the connection's reset in each request's scope."""

    def on_message_begin(self) -> None:
        """Add the reset to the scope that the next request gets."""
        super().on_message_begin()
        self.scope[RESET] = self._reset  # type: ignore[typeddict-unknown-key]

    def _reset(self) -> None:
        """Drop what is not sent yet, here and in the kernel, and send RST: a cut answer must never look whole (SO_LINGER 0)."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def serve(exchange: Exchange, *, ready: Callable[[str, int], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way. `ready` is told host and port once requests are taken.

    Raise Conflict when another process serves this home: on SQLite one process does.
    """
    with _only_server(exchange.home.serving), _listen(exchange.settings.host, exchange.settings.port) as listener:
        app = make_app(exchange, on_start=lambda: ready(exchange.settings.host, listener.getsockname()[1]))
        config = uvicorn.Config(
            app,
            http=ResettingProtocol,
            loop="asyncio",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _only_server(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "conflict",
                "Another process serves this home.",
                advice=Advice(
                    rule="One process serves a home whose catalog is SQLite.",
                    who_can_change="the operator",
                    next_step="Stop the other process, or serve another home.",
                ),
            ) from None
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
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


