"""How answers reach the socket: in pieces, with the grant asked after every 250 ms, and the connection reset when it has gone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from baybridge.disclose import Answer, Stop

LINK: Final = "baybridge.link"
"""The scope's key under which the server puts the Link of the request's connection."""

PIECE_BYTES: Final = 64 * 1024
CHECK_SECONDS: Final = 0.25
SEND_SECONDS: Final = 300
"""How long a client may take to read one answer, which is held in memory meanwhile."""

CHECK_LIMIT_SECONDS: Final = 0.5
"""How long the question whether a grant stands may take. Both together stay below the second of promise 5."""

_INTERRUPT_SECONDS: Final = 0.05
_FIRST_LOOK_SECONDS: Final = 0.001
_LAST_LOOK_SECONDS: Final = 0.05
_SIOCOUTQNSD: Final = 0x894B  # linux/sockios.h: bytes written and not yet sent

T = TypeVar("T")


@dataclass(slots=True)
class Link:
    """A connection as an answer sees it: how much of it has not left yet, and its reset. `watched` while a governed answer is leaving."""

    transport: asyncio.Transport
    watched: bool = False

    def unsent(self) -> int:
        """Bytes that wait in this process or in its kernel because the client does not take them; none once the connection is gone."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return 0
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(descriptor, _SIOCOUTQNSD, bytes(4)))
        return int(in_kernel) + self.transport.get_write_buffer_size()

    def reset(self) -> None:
        """Drop what is not sent yet, here and in the kernel, and send RST: a cut answer must never look whole (SO_LINGER 0)."""
        connection = self.transport.get_extra_info("socket")
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class AnswerResponse(Response):
    """A disclosure on its way: never more than a piece is handed to the transport before the one before it was taken."""

    def __init__(self, answer: Answer, *, watchers: ThreadPoolExecutor) -> None:
        """`watchers` are threads in which nothing else is done, so that no number of questions can keep a grant from being asked after."""
        super().__init__(content=answer.body or b"", status_code=304 if answer.body is None else 200, media_type="application/json")
        if answer.body is None:
            del self.headers["content-type"]
        self._answer = answer
        self._watchers = watchers
        self.headers["etag"] = answer.etag
        self.headers["baybridge-version"] = str(answer.version)
        self.headers["vary"] = "Accept, Accept-Encoding, Authorization, Baybridge-Purpose, Baybridge-Agreement"
        if answer.governed:
            self.headers["cache-control"] = "private, no-cache"
        else:
            self.headers["cache-control"] = "public, no-cache"  # of a version too: it can be withdrawn
        if answer.entry is not None:
            self.headers["baybridge-entry"] = f"{answer.organization}/{answer.entry}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, watched until its last byte has left: when its grant goes, or its time, so does the connection."""
        del receive
        link: Link = scope[LINK]
        deadline = time.monotonic() + SEND_SECONDS
        sending = asyncio.ensure_future(self._send(link, send))
        link.watched = True
        try:
            while not (await asyncio.wait({sending}, timeout=CHECK_SECONDS))[0]:
                if time.monotonic() > deadline or not await self._stands():
                    return
            await sending
        finally:
            link.watched = False
            if not sending.done():  # revoked, or not to be found out, or the server ends: the rest must not leave
                link.reset()
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _stands(self) -> bool:
        """Whether the grant stands; a grant that cannot be asked after in time does not."""
        try:
            return await asyncio.wait_for(in_thread(self._watchers, self._answer.stands), CHECK_LIMIT_SECONDS)
        except TimeoutError:
            return False

    async def _send(self, link: Link, send: Send) -> None:
        """Send head and body, and end the answer only when all of it has left.

        While it has not ended the server neither closes the connection nor begins with the next request on it. All bytes that
        Content-Length promises are on their way by then, so a client waits for nothing.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        for start in range(0, len(body), PIECE_BYTES):
            await send({"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": True})
        pause = _FIRST_LOOK_SECONDS
        while link.unsent():
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answering(
    request: Request, ask: Callable[[Stop], Answer], *, threads: ThreadPoolExecutor, watchers: ThreadPoolExecutor, seconds: float
) -> Answer:
    """Run a read in a thread; stop it at its time limit, and when the client leaves.

    Between a disclosure's entry and its first byte lies only the way from that thread to here. Where that took longer than a grant may
    go unasked (a machine under load), it is asked after again, and the read is done again only when it has gone.
    """
    while True:
        stop = Stop()
        running = asyncio.ensure_future(in_thread(threads, lambda: (ask(stop), time.monotonic())))  # noqa: B023 -- awaited in this turn
        leaving = asyncio.ensure_future(_left(request))
        await asyncio.wait({running, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        while not running.done():  # again and again, for a question that was only just starting
            stop.fire()
            await asyncio.wait({running}, timeout=_INTERRUPT_SECONDS)
        answer, asked = running.result()
        stands = True
        while stands and time.monotonic() - asked >= CHECK_SECONDS:
            asked = time.monotonic()
            stands = await in_thread(watchers, answer.stands)
        if stands:
            return answer


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """Run a call in one of the threads, and await it."""
    return await asyncio.get_running_loop().run_in_executor(threads, call)
