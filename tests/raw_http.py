"""HTTP/1.1 over bare sockets, for tests that must see each chunk, when it came, and how the connection ended. No library stands between."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

ESTABLISHED = "01"


@dataclass
class Reply:
    """What came of one response. `chunks` are (time, bytes) of body data; `reset` says that the peer ended it with RST.

    `ended` says that the last chunk of a chunked body has come.
    """

    status: int
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)
    chunks: list[tuple[float, int]] = field(default_factory=list)
    reset: bool = False
    ended: bool = False

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"

    @property
    def promised(self) -> int:
        return int(self.headers.get("content-length", "0"))

    @property
    def whole(self) -> bool:
        return self.ended if self.chunked else len(self.body) == self.promised

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Wire:
    """One connection. `receive_buffer` bounds what the client's own kernel takes in (set before connecting, or it has no effect)."""

    def __init__(self, url: str, *, receive_buffer: int | None = None, timeout: float = 30) -> None:
        self.address = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(self.address)
        self.local_port: int = self.socket.getsockname()[1]
        self._pending = b""

    def ask(self, path: str, *, method: str = "GET", token: str | None = None, **headers: str) -> None:
        sent = {"host": "exchange.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())

    def head(self) -> Reply:
        """The next status line and headers, as soon as they are there. Raise ConnectionError when the peer ends first."""
        while b"\r\n\r\n" not in self._pending:
            self._pending += self._more(65_536)
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Reply(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})

    def fill(self, reply: Reply, *, piece: int = 262_144, pause: float = 0, until: Callable[[], bool] = lambda: False) -> Reply:
        """Read the body: pieces of that size, a pause between them, until it is whole, the peer ends, or `until` says so."""
        taken, self._pending = self._pending[: reply.promised], self._pending[reply.promised :]
        self._take(reply, taken)
        while not reply.whole and not until():
            try:
                chunk = self._more(min(piece, reply.promised - len(reply.body)))
            except ConnectionError as ended:
                reply.reset = isinstance(ended, ConnectionResetError)
                break
            self._take(reply, chunk)
            if pause:
                time.sleep(pause)
        return reply

    def fill_chunks(self, reply: Reply, *, piece: int = 262_144, pause: float = 0, until: Callable[[], bool] = lambda: False) -> Reply:
        """Read a chunked body (RFC 9112, section 7.1) until its last chunk, the peer's end, or `until` says so."""
        while not until():
            self._decode(reply)
            if reply.ended:
                break
            try:
                self._pending += self._more(piece)
            except ConnectionError as ended:
                reply.reset = isinstance(ended, ConnectionResetError)
                break
            if pause:
                time.sleep(pause)
        return reply

    def _decode(self, reply: Reply) -> None:
        """Take the whole chunks that have come."""
        while not reply.ended:
            size, found, rest = self._pending.partition(b"\r\n")
            length = int(size, 16) if found else 0
            if not found or len(rest) < length + 2:
                return
            assert rest[length : length + 2] == b"\r\n"
            self._take(reply, rest[:length])
            self._pending = rest[length + 2 :]
            reply.ended = length == 0

    def get(self, path: str, *, token: str | None = None, **headers: str) -> Reply:
        self.ask(path, token=token, **headers)
        return self.fill(self.head())

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _more(self, size: int) -> bytes:
        chunk = self.socket.recv(size)
        if not chunk:
            raise ConnectionAbortedError("the peer has ended the connection without a reset")
        return chunk

    def _take(self, reply: Reply, chunk: bytes) -> None:
        if chunk:
            reply.chunks.append((time.monotonic(), len(chunk)))
            reply.body += chunk


@dataclass(frozen=True)
class KernelView:
    """The kernel's line about one end of a connection: its state, and the bytes that it holds to send and to be read."""

    state: str
    to_send: int
    to_read: int


def kernel_view(local_port: int, remote_port: int) -> KernelView | None:
    """One end of an IPv4 connection on this machine, from /proc/net/tcp; None when it is gone."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        words = line.split()
        ports = tuple(int(word.partition(":")[2], 16) for word in words[1:3])
        if ports == (local_port, remote_port):
            to_send, _, to_read = words[4].partition(":")
            return KernelView(words[3], int(to_send, 16), int(to_read, 16))
    return None


def server_holds(wire: Wire) -> bool:
    """Whether the server's end of the connection is still open."""
    view = kernel_view(wire.address[1], wire.local_port)
    return view is not None and view.state == ESTABLISHED


@contextlib.contextmanager
def sending(*answers: bytes, reset: bool = False, until: threading.Event | None = None) -> Iterator[str]:
    """A server that sends these bytes, a connection each, and then ends the connection: at once, or when the event has happened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    asked = b""
                    while b"\r\n\r\n" not in asked:
                        asked += connection.recv(65_536)
                    connection.sendall(answer)
                    if until is not None:
                        until.wait(10)
                    if reset:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)
