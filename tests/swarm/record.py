"""What one client really received, byte by byte, with the standard library's HTTP and nothing of the product."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 90
KEPT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Seen:
    """One request and what came of it. `status` is None where not even a head came, and `broken` says how it ended instead.

    `agreement` is the one that it was asked under; `said` is what else of the request matters. `last` is when the last byte of data came.
    """

    what: str
    node: str
    agreement: str | None
    said: Mapping[str, Any]
    began: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    sha256: str = ""
    last: float = 0
    ended: float = 0
    broken: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.status is not None and self.broken is None

    @property
    def is_granted(self) -> bool:
        return self.is_whole and self.status in {200, 201}

    @property
    def code(self) -> str | None:
        """The code of a problem document."""
        return str(self.json["code"]) if self.is_whole and self.status is not None and self.status >= 400 else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def entry(self) -> int | None:
        """The index that the answer says its entry has, in the log of bts."""
        named = self.headers.get("baybridge-entry")
        return None if named is None else int(named.removeprefix("bts/"))


@dataclass
class Record:
    """All that was seen, by all clients."""

    seen: list[Seen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seen: Seen) -> Seen:
        with self._lock:
            self.seen.append(seen)
        return seen

    def of(self, *whats: str) -> list[Seen]:
        return [each for each in self.seen if each.what in whats]


@dataclass(frozen=True)
class Question:
    """A request before it is sent."""

    what: str
    method: str
    path: str
    token: str | None = None
    purpose: str | None = None
    agreement: str | None = None
    body: bytes | None = None
    key: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


def ask(node: str, url: str, question: Question, *, pace: Callable[[], bool] | None = None) -> Seen:
    """Send it on a connection of its own, and take in what comes. With `pace` slowly, and for as long as that says."""
    headers = {"authorization": f"Bearer {question.token}"} if question.token else {}
    headers |= {"baybridge-purpose": question.purpose} if question.purpose else {}
    headers |= {"idempotency-key": question.key} if question.key else {}
    at = urlsplit(url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=TIMEOUT)
    if pace is not None:
        connection.sock = _small_socket(str(at.hostname), int(at.port or 0))
    told = {"what": question.what, "node": node, "agreement": question.agreement, "said": question.said, "began": time.monotonic()}
    try:
        connection.request(question.method, question.path, body=question.body, headers=headers)
        reply = connection.getresponse()
    except (OSError, http.client.HTTPException) as wrong:
        connection.close()
        return Seen(**told, broken=type(wrong).__name__, ended=time.monotonic())  # type: ignore[arg-type] -- told holds only members of Seen
    with reply:
        seen = _take(told, reply, pace)
    connection.close()
    return seen


def _small_socket(host: str, port: int) -> socket.socket:
    """One whose kernel takes in little, so that what the server has sent is what the client has seen."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    made.settimeout(TIMEOUT)
    made.connect((host, port))
    return made


def _take(told: dict[str, Any], reply: http.client.HTTPResponse, pace: Callable[[], bool] | None) -> Seen:
    digest, kept, size, last, broken = hashlib.sha256(), bytearray(), 0, 0.0, None
    promised = None if reply.headers.get("content-length") is None else int(reply.headers["content-length"])
    try:
        while (piece := reply.read1(16 * 1024)) and (pace is None or pace()):
            last = time.monotonic()
            size += len(piece)
            digest.update(piece)
            kept += piece[: KEPT_BYTES - len(kept)]
        if piece:
            broken = "left"
        elif promised is not None and size != promised:
            broken = "short"
    except (OSError, http.client.HTTPException) as wrong:
        broken = type(wrong).__name__
    return Seen(
        **told,
        status=reply.status,
        headers={name.lower(): value for name, value in reply.getheaders()},
        body=bytes(kept),
        size=size,
        sha256=digest.hexdigest(),
        last=last,
        ended=time.monotonic(),
        broken=broken,
    )
