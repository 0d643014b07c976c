"""How answers reach the socket: in pieces, with the grant asked after every 250 ms, and the connection reset when it has gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from baybridge.disclose import Answer, Stop

RESET: Final = "baybridge.reset"
"""The scope's key under which the server puts the function that resets the connection."""

PIECE_BYTES: Final = 64 * 1024
CHECK_SECONDS: Final = 0.25
_INTERRUPT_SECONDS: Final = 0.05

T = TypeVar("T")


class AnswerResponse(Response):
    """A disclosure on its way: never more than a piece is handed to the transport before the one before it was taken."""

    def __init__(self, answer: Answer, *, path_is_version: bool, threads: ThreadPoolExecutor) -> None:
        """`path_is_version` says that the address names a version, whose public answers a cache may keep for good."""
        super().__init__(content=answer.body or b"", status_code=304 if answer.body is None else 200, media_type="application/json")
        if answer.body is None:
            del self.headers["content-type"]
        self._answer = answer
        self._threads = threads
        self.headers["etag"] = answer.etag
        self.headers["baybridge-version"] = str(answer.version)
        self.headers["vary"] = "Accept, Accept-Encoding, Authorization, Baybridge-Purpose, Baybridge-Agreement"
        if answer.governed:
            self.headers["cache-control"] = "private, no-cache"
        else:
            self.headers["cache-control"] = "public, max-age=31536000, immutable" if path_is_version else "public, no-cache"
        if answer.entry is not None:
            self.headers["baybridge-entry"] = f"{answer.organization}/{answer.entry}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body; a revocation while the client is slow resets the connection instead."""
        del receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        if len(body) <= PIECE_BYTES or not self._answer.governed:
            await send({"type": "http.response.body", "body": body})
            return
        sending = asyncio.ensure_future(_send_pieces(body, send))
        try:
            while not (await asyncio.wait({sending}, timeout=CHECK_SECONDS))[0]:
                if not await in_thread(self._threads, self._answer.stands):
                    scope[RESET]()
                    return
            await sending
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending


async def _send_pieces(body: bytes, send: Send) -> None:
    for start in range(0, len(body), PIECE_BYTES):
        last = start + PIECE_BYTES >= len(body)
        await send({"type": "http.response.body", "body": body[start : start + PIECE_BYTES], "more_body": not last})


async def answering(request: Request, threads: ThreadPoolExecutor, ask: Callable[[Stop], Answer], *, seconds: float) -> Answer:
    """Run a read in a thread; stop it at its time limit, and when the client leaves.

    Between a disclosure's entry and its first byte lies only the way from that thread to here. When that took longer than the grant
    may go unasked (a machine under load), the read is done again, as a disclosure of its own.
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
        answer, entered = running.result()
        if not answer.governed or time.monotonic() - entered < CHECK_SECONDS:
            return answer


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


