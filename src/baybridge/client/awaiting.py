"""The client whose answers are awaited: the same names as Client has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, closing
from typing import Self, TypeVar, cast

import httpx2

from baybridge.audit.checkpoint import Verifier
from baybridge.client.answers import require_success
from baybridge.client.call import Call, Plan, Receiver, Steps
from baybridge.client.caller import Caller
from baybridge.client.logs import LogVerdict, judge
from baybridge.client.uploads import chunks_aside
from baybridge.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class AsyncClient(Caller):
    """A server, as one caller, whose answers are awaited. Use it in an `async with` block, or await `close`."""

    def __init__(
        self, url: str, token: str | None = None, *, purpose: str | None = None, timeout: float = 30.0, patience: float = 30.0
    ) -> None:
        """`purpose` is sent with every call; `timeout` is in seconds, for each request. Raise Invalid for a malformed argument."""
        super().__init__(url, token, purpose=purpose, timeout=timeout, patience=patience)
        self._http = httpx2.AsyncClient(**self._opened())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def perform(self, call: Call[T]) -> T:
        """Send the call, and read its answer; send it again where that is safe and can help."""
        return await self._perform(call, self.present_purpose())

    def walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]]) -> AsyncIterator[R]:
        """Perform the calls one after the other, and give what `each` finds in an answer. The purpose is that of now."""
        return self._walk(steps, each, self.present_purpose())

    async def run(self, plan: Plan[R]) -> R:
        """Perform the calls one after the other, and give what they come to."""
        purpose, answer = self.present_purpose(), None
        while True:
            try:
                call = plan.send(answer)
            except StopIteration as done:
                return cast("R", done.value)
            answer = await self._perform(call, purpose)

    def flow(self, call: Call[Receiver[R]]) -> AsyncIterator[R]:
        """Send the call, and give what its receiver gives while the answer arrives. Raise Unreachable where it is cut."""
        return self._flow(call, self.present_purpose())

    async def arrive(self, call: Call[Receiver[R]]) -> R:
        """Send the call, take all of its answer in, and give what that comes to."""
        (whole,) = [one async for one in self.flow(call)]
        return whole

    async def verify_log(self, organization: str, checkpoints: Sequence[str] = (), key: str | None = None) -> LogVerdict:
        """Do what Client.verify_log does; here the whole log is held in memory."""
        present = await self.checkpoint(organization)
        keys = await self.keys(organization)
        if key is not None:
            keys.require(Verifier.parse(key))
        entries = [entry async for entry in self.all_entries(organization)]
        return await asyncio.to_thread(judge, organization, entries, keys=keys, notes=(present, *checkpoints))

    async def _perform(self, call: Call[T], purpose: str | None) -> T:
        attempts, request = self._attempts(call), self._request(call, purpose)
        while True:
            content = call.body if call.upload is None else chunks_aside(call.upload)
            try:
                with self._reaching():
                    answer = await self._http.send(self._http.build_request(**request, content=content))
                return call.read(answer)
            except Unavailable as error:
                pause = attempts.pause_after(error)
            await asyncio.sleep(pause)

    async def _walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]], purpose: str | None) -> AsyncIterator[R]:
        try:
            call = next(steps)
            while True:
                answer = await self._perform(call, purpose)
                for one in each(answer):
                    yield one
                call = steps.send(answer)
        except StopIteration:
            return

    async def _flow(self, call: Call[Receiver[R]], purpose: str | None) -> AsyncIterator[R]:
        await asyncio.to_thread(call.before)
        async with aclosing(await self._opening(call, purpose)) as answer:
            with closing(call.read(answer)) as receiver:
                pieces = answer.aiter_bytes()
                while (piece := await self._next(pieces)) is not None:
                    for one in await asyncio.to_thread(receiver.take, piece):
                        yield one
                for one in await asyncio.to_thread(receiver.end):
                    yield one

    async def _opening(self, call: Call[T], purpose: str | None) -> httpx2.Response:
        """Send the call until an answer begins: from then on nothing is sent again."""
        attempts, request = self._attempts(call), self._request(call, purpose)
        while True:
            try:
                with self._reaching():
                    answer = await self._http.send(self._http.build_request(**request, content=call.body), stream=True)
                    if not answer.is_success:
                        await answer.aread()
                require_success(answer)
            except Unavailable as error:
                pause = attempts.pause_after(error)
            else:
                return answer
            await asyncio.sleep(pause)

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        with self._reaching():
            return await anext(pieces, None)
