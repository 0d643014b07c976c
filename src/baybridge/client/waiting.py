"""The client that waits for each answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Self, TypeVar, cast

import httpx2

from baybridge.audit.checkpoint import Verifier
from baybridge.client.answers import require_success
from baybridge.client.call import Call, Plan, Receiver, Steps
from baybridge.client.caller import Caller
from baybridge.client.logs import LogVerdict, judge
from baybridge.client.uploads import chunks
from baybridge.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class Client(Caller):
    """A server, as one caller, that is waited for. Use it in a `with` block, or call `close`."""

    def __init__(
        self, url: str, token: str | None = None, *, purpose: str | None = None, timeout: float = 30.0, patience: float = 30.0
    ) -> None:
        """`purpose` is sent with every call; `timeout` is in seconds, for each request. Raise Invalid for a malformed argument."""
        super().__init__(url, token, purpose=purpose, timeout=timeout, patience=patience)
        self._http = httpx2.Client(**self._opened())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def perform(self, call: Call[T]) -> T:
        """Send the call, and read its answer; send it again where that is safe and can help."""
        return self._perform(call, self.present_purpose())

    def walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]]) -> Iterator[R]:
        """Perform the calls one after the other, and give what `each` finds in an answer. The purpose is that of now."""
        return self._walk(steps, each, self.present_purpose())

    def run(self, plan: Plan[R]) -> R:
        """Perform the calls one after the other, and give what they come to."""
        purpose, answer = self.present_purpose(), None
        while True:
            try:
                call = plan.send(answer)
            except StopIteration as done:
                return cast("R", done.value)
            answer = self._perform(call, purpose)

    def flow(self, call: Call[Receiver[R]]) -> Iterator[R]:
        """Send the call, and give what its receiver gives while the answer arrives. Raise Unreachable where it is cut."""
        return self._flow(call, self.present_purpose())

    def arrive(self, call: Call[Receiver[R]]) -> R:
        """Send the call, take all of its answer in, and give what that comes to."""
        (whole,) = self.flow(call)
        return whole

    def verify_log(self, organization: str, checkpoints: Sequence[str] = (), key: str | None = None) -> LogVerdict:
        """Fetch every entry of a log as its auditor, and replay them here against the server's checkpoint and those given.

        Only a checkpoint that was kept elsewhere shows a log that was cut or rewritten as a whole, for the server signs what it has.
        `key` is a verifier key that was kept elsewhere. Raise Corrupt when the log's keys do not lead on from it.
        """
        present = self.checkpoint(organization)
        keys = self.keys(organization)
        if key is not None:
            keys.require(Verifier.parse(key))
        return judge(organization, self.all_entries(organization), keys=keys, notes=(present, *checkpoints))

    def _perform(self, call: Call[T], purpose: str | None) -> T:
        attempts, request = self._attempts(call), self._request(call, purpose)
        while True:
            content = call.body if call.upload is None else chunks(call.upload)
            try:
                with self._reaching():
                    answer = self._http.send(self._http.build_request(**request, content=content))
                return call.read(answer)
            except Unavailable as error:
                time.sleep(attempts.pause_after(error))

    def _walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]], purpose: str | None) -> Iterator[R]:
        try:
            call = next(steps)
            while True:
                answer = self._perform(call, purpose)
                yield from each(answer)
                call = steps.send(answer)
        except StopIteration:
            return

    def _flow(self, call: Call[Receiver[R]], purpose: str | None) -> Iterator[R]:
        call.before()
        with closing(self._opening(call, purpose)) as answer, closing(call.read(answer)) as receiver:
            pieces = answer.iter_bytes()
            while (piece := self._next(pieces)) is not None:
                yield from receiver.take(piece)
            yield from receiver.end()

    def _opening(self, call: Call[T], purpose: str | None) -> httpx2.Response:
        """Send the call until an answer begins: from then on nothing is sent again."""
        attempts, request = self._attempts(call), self._request(call, purpose)
        while True:
            try:
                with self._reaching():
                    answer = self._http.send(self._http.build_request(**request, content=call.body), stream=True)
                    if not answer.is_success:
                        answer.read()
                require_success(answer)
            except Unavailable as error:
                time.sleep(attempts.pause_after(error))
            else:
                return answer

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        with self._reaching():
            return next(pieces, None)
