"""How answers reach the socket: in pieces, with the grant asked after every 250 ms, and the connection reset when it has gone."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from baybridge.disclose import Answer, Ending, Stop, Stream
from baybridge.errors import Advice, BaybridgeError, Unavailable

LINK: Final = "baybridge.link"
"""The scope's key under which the server puts the Link of the request's connection."""

PIECE_BYTES: Final = 64 * 1024
CHECK_SECONDS: Final = 0.25
CHECK_LIMIT_SECONDS: Final = 0.5
"""How long the question whether a grant stands may take. Both together stay below the second of promise 5."""

_INTERRUPT_SECONDS: Final = 0.05
_FIRST_LOOK_SECONDS: Final = 0.001
_LAST_LOOK_SECONDS: Final = 0.05
_SIOCOUTQNSD: Final = 0x894B  # linux/sockios.h: bytes written and not yet sent

_LOG: Final = logging.getLogger("baybridge.http")

T = TypeVar("T")
Leaving = TypeVar("Leaving", bound="Answer | Stream")


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


class Places:
    """So many at once; whoever comes beyond is told so at once, and waits outside."""

    def __init__(self, places: int) -> None:
        """All are free."""
        self._left = threading.BoundedSemaphore(places)

    def take(self) -> None:
        """Take a place. Raise Unavailable (`busy`) where there is none."""
        if not self._left.acquire(blocking=False):
            raise Unavailable(
                "busy",
                "The server has as many requests of this kind as it takes at once.",
                advice=Advice(
                    rule="Requests without a token or for what is public, uploads, and all others each have a part of the server.",
                    who_can_change="nobody needs to",
                    next_step="Send the same request again after the seconds in Retry-After.",
                ),
                retry_after=1,
            )

    def give_back(self) -> None:
        """Give a place back, from whatever thread."""
        self._left.release()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place for the block."""
        self.take()
        try:
            yield
        finally:
            self.give_back()


@dataclass(frozen=True, slots=True)
class Crew:
    """The threads of one class of requests, and a place for each of its calls that is worked on or waits for a thread.

    `parsing` is held by the one that reads a question: it is work for the interpreter, which many threads would only keep from the others.
    """

    threads: ThreadPoolExecutor
    places: Places
    parsing: threading.Lock

    @classmethod
    def of(cls, threads: int, *, places: int, name: str) -> Self:
        """A crew of so many threads."""
        return cls(ThreadPoolExecutor(threads, thread_name_prefix=name), Places(places), threading.Lock())

    async def take(self, call: Callable[[], T]) -> T:
        """Run a call in one of the threads, and await it. Raise Unavailable (`busy`) at once where there is no place."""
        self.places.take()
        running = self.threads.submit(call)
        running.add_done_callback(lambda _: self.places.give_back())
        return await asyncio.wrap_future(running)


@dataclass(frozen=True, slots=True)
class Watchers:
    """Threads in which nothing is done but to ask whether an answer may go on: no number of questions can keep a grant from it.

    What is public has its own, so that no number of open public answers can either.
    """

    governed: ThreadPoolExecutor
    public: ThreadPoolExecutor

    def of(self, leaving: Answer | Stream) -> ThreadPoolExecutor:
        """Those that an answer is watched by."""
        return self.governed if leaving.governed else self.public


@dataclass(frozen=True, slots=True)
class Sending:
    """What it takes to send. `question_seconds` bounds the computing of each piece, `seconds` the whole."""

    crew: Crew
    watchers: Watchers
    question_seconds: float
    seconds: float


class _Watched(Response, abc.ABC):
    """What leaves under a grant: sent in pieces, and the connection reset when the grant goes, or the time."""

    def __init__(self, leaving: Answer | Stream, *, status: int, media_type: str, sending: Sending) -> None:
        super().__init__(status_code=status, media_type=media_type)
        self._leaving = leaving
        self._sending = sending
        self.headers["etag"] = leaving.etag
        self.headers["baybridge-version"] = str(leaving.version)
        self.headers["vary"] = "Accept, Accept-Encoding, Authorization, Baybridge-Purpose, Baybridge-Agreement"
        if leaving.governed:
            self.headers["cache-control"] = "private, no-cache"
        else:
            self.headers["cache-control"] = "public, no-cache"  # of a version too: it can be withdrawn
        if leaving.agreement is not None:
            self.headers["baybridge-agreement"] = leaving.agreement
        if leaving.entry is not None:
            self.headers["baybridge-entry"] = f"{leaving.organization}/{leaving.entry}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, watched until the last byte has left."""
        del receive
        await self._watched(scope[LINK], send)

    async def _watched(self, link: Link, send: Send) -> bool:
        """Whether all of it left. Whatever the reason why not, the connection is reset: what came must not look whole."""
        deadline = time.monotonic() + self._sending.seconds
        sending = asyncio.ensure_future(self._send(link, send))
        link.watched = True
        whole = False
        try:
            while not (await asyncio.wait({sending}, timeout=CHECK_SECONDS))[0]:
                if time.monotonic() > deadline or not await self._stands(deadline - time.monotonic()):
                    return False
            whole = await sending
            return whole
        finally:
            link.watched = False
            if not whole:
                link.reset()
            if not sending.done():  # revoked, or not to be found out, or the server ends: the rest must not leave
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _stands(self, left: float) -> bool:
        """Whether the grant stands; a grant that cannot be asked after, or not in time, does not. What is public may be late."""
        limit = CHECK_LIMIT_SECONDS if self._leaving.governed else left
        try:
            return await asyncio.wait_for(in_thread(self._sending.watchers.of(self._leaving), self._leaving.stands), limit)
        except (TimeoutError, Unavailable):
            return False

    @abc.abstractmethod
    async def _send(self, link: Link, send: Send) -> bool:
        """Send head and body; give whether all of it was sent."""

    async def _pieces(self, body: bytes, send: Send) -> None:
        for start in range(0, len(body), PIECE_BYTES):
            await send({"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": True})

    async def _gone_out(self, link: Link) -> None:
        """Return when all that was sent has left.

        While an answer has not ended the server neither closes the connection nor begins with the next request on it.
        """
        pause = _FIRST_LOOK_SECONDS
        while link.unsent():
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_SECONDS)


class AnswerResponse(_Watched):
    """A disclosure on its way: never more than a piece is handed to the transport before the one before it was taken."""

    def __init__(self, answer: Answer, *, sending: Sending, media_type: str = "application/json") -> None:
        """A body of None is a 304, or the answer to a HEAD: its length is not known, for it was not computed."""
        super().__init__(answer, status=304 if answer.unchanged else 200, media_type=media_type, sending=sending)
        self._body = answer.body or b""
        self.headers["content-length"] = str(len(self._body))
        if answer.unchanged:
            del self.headers["content-type"]
        if answer.body is None:
            del self.headers["content-length"]

    async def _send(self, link: Link, send: Send) -> bool:
        """Send head and body, and end the answer only when all of it has left.

        All bytes that Content-Length promises are on their way by then, so a client waits for nothing.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._pieces(self._body, send)
        await self._gone_out(link)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


class StreamResponse(_Watched):
    """A whole answer on its way, in chunks (RFC 9112, section 7.1).

    The last chunk is sent only when all before it have left and the closing entry is durable: who has not seen it has not seen the end.
    """

    def __init__(self, stream: Stream, *, media_type: str, sending: Sending) -> None:
        """Take over the stream: it is ended here, however it goes."""
        super().__init__(stream, status=200, media_type=media_type, sending=sending)
        del self.headers["content-length"]
        self._stream = stream
        self._ending = Ending.CUT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, watched until the last byte has left, and enter how it ended."""
        del receive
        try:
            try:
                await self._watched(scope[LINK], send)
            finally:
                await asyncio.shield(in_thread(self._sending.crew.threads, lambda: self._stream.end(self._ending)))
        except BaybridgeError as broken:  # its head has gone: the reset is all that can still be said
            _LOG.warning("a stream of %s broke: %s", self._stream.organization, broken.code)

    async def _send(self, link: Link, send: Send) -> bool:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (piece := await self._pull()) is not None:
            await self._pieces(piece, send)
            if link.transport.is_closing():
                self._ending = Ending.LEFT
                return False
        await self._gone_out(link)
        if link.transport.is_closing():  # the client went with the rest unread: of a connection that is gone, nothing is left to send
            self._ending = Ending.LEFT
            return False
        await in_thread(self._sending.crew.threads, lambda: self._stream.end(Ending.WHOLE))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _pull(self) -> bytes | None:
        """The next piece, computed in a thread, and stopped at the time limit of questions."""
        pulling = asyncio.ensure_future(in_thread(self._sending.crew.threads, self._stream.pull))
        pulling.add_done_callback(lambda pulled: pulled.cancelled() or pulled.exception())  # also of one that nobody waits for any more
        await asyncio.wait({pulling}, timeout=self._sending.question_seconds)
        while not pulling.done():
            self._stream.stop.fire()
            await asyncio.wait({pulling}, timeout=_INTERRUPT_SECONDS)
        if pulling.exception() is not None:
            self._ending = Ending.FAILED
        return pulling.result()


async def answering(request: Request, ask: Callable[[Stop], Leaving], *, sending: Sending) -> Leaving:
    """Run a read in a thread; stop it at its time limit, and when the client leaves.

    Between a disclosure's entry and its first byte lies only the way from that thread to here. Where that took longer than a grant may
    go unasked (a machine under load), it is asked after again, and the read is done again only when it has gone. What is public is not:
    the watch over its bytes asks soon enough.
    """
    while True:
        stop = Stop()
        running = asyncio.ensure_future(sending.crew.take(lambda: (ask(stop), time.monotonic())))  # noqa: B023 -- awaited in this turn
        leaving = asyncio.ensure_future(_left(request))
        await asyncio.wait({running, leaving}, timeout=sending.question_seconds, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        while not running.done():  # again and again, for a question that was only just starting
            stop.fire()
            await asyncio.wait({running}, timeout=_INTERRUPT_SECONDS)
        answer, asked = running.result()
        stands = True
        while answer.governed and stands and time.monotonic() - asked >= CHECK_SECONDS:
            asked = time.monotonic()
            try:
                stands = await in_thread(sending.watchers.governed, answer.stands)
            except Unavailable:  # it cannot be asked after: the read is done again, and says itself why not
                stands = False
        if stands:
            return answer
        if isinstance(answer, Stream):
            await in_thread(sending.crew.threads, lambda: answer.end(Ending.CUT))  # noqa: B023 -- awaited in this turn


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """Run a call of a request that has been taken in one of the threads, and await it."""
    return await asyncio.get_running_loop().run_in_executor(threads, call)
