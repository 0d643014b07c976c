"""One address of the server as a value, and what makes a method of both clients from it. It sends nothing."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, ParamSpec, Protocol, Self, TypeAlias, TypeVar, overload

import httpx2
import msgspec

from baybridge.client import answers

API: Final = "/api/v1"
_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})  # RFC 9110, section 9.2.2

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

Source: TypeAlias = Path | BinaryIO | Iterable[bytes]
"""What an upload is read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how its answer is read. Pure functions in `calls` build it, and either client performs it."""

    method: str
    path: str
    read: Callable[[httpx2.Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    upload: Source | None = None

    def has_key(self) -> bool:
        """Whether the request is sent with an Idempotency-Key: an act is one act, however often it is sent with the same."""
        return self.method == "POST"

    def repeatable(self) -> bool:
        """Whether it may be sent again. An upload may not: what it was read from is used up."""
        return self.upload is None and (self.method in _REPEATABLE or self.has_key())


Steps: TypeAlias = Generator[Call[T], T, None]
"""Calls of one kind, of which each is made from the answers to those before."""

Plan: TypeAlias = Generator[Call[Any], Any, R]
"""Calls of any kind, and at the end what their answers come to."""


def ask(call: Call[T]) -> Generator[Call[Any], Any, T]:
    """Have one call of a plan performed, with the type of its answer."""
    answer: T = yield call
    return answer


def get(path: str, shape: type[T], query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Call[T]:
    """Read an address."""
    return Call(method="GET", path=API + path, read=reader(shape), query=query or {}, headers=headers or {})


def get_text(path: str) -> Call[str]:
    """Read an address whose answer is a text."""
    return Call(method="GET", path=API + path, read=answers.read_text)


def send(method: str, path: str, body: msgspec.Struct | None, shape: type[T]) -> Call[T]:
    """Send a shape, or nothing, and be answered with a shape."""
    if body is None:
        return Call(method=method, path=API + path, read=reader(shape))
    headers = {"content-type": "application/json"}
    return Call(method=method, path=API + path, read=reader(shape), headers=headers, body=msgspec.json.encode(body))


def reader(shape: type[T]) -> Callable[[httpx2.Response], T]:
    """Read an answer as that shape."""
    return lambda response: answers.read(response, shape)


class Receiver(Protocol[R_co]):
    """What becomes of an answer while it arrives; made when its head has come. A call at a time, from any thread."""

    def take(self, piece: bytes) -> Iterable[R_co]:
        """Take the next piece, and give what is whole by it."""

    def end(self) -> Iterable[R_co]:
        """Give what is left: the last piece has come."""

    def close(self) -> None:
        """Let go: after the end, or of what has not come to it."""


class Waiting(Protocol):
    """A client that waits for the answer."""

    def perform(self, call: Call[T]) -> T:
        """Send it, and read the answer."""

    def walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]]) -> Iterator[R]:
        """Perform the calls one after the other, and give what `each` finds in an answer."""

    def run(self, plan: Plan[R]) -> R:
        """Perform the calls one after the other, and give what they come to."""

    def flow(self, call: Call[Receiver[R]]) -> Iterator[R]:
        """Send it, and give what its receiver gives while the answer arrives."""

    def arrive(self, call: Call[Receiver[R]]) -> R:
        """Send it, and give the one thing that its receiver gives."""


class Awaiting(Protocol):
    """A client whose answers are awaited."""

    async def perform(self, call: Call[T]) -> T:
        """Send it, and read the answer."""

    def walk(self, steps: Steps[T], each: Callable[[T], Iterable[R]]) -> AsyncIterator[R]:
        """Perform the calls one after the other, and give what `each` finds in an answer."""

    async def run(self, plan: Plan[R]) -> R:
        """Perform the calls one after the other, and give what they come to."""

    def flow(self, call: Call[Receiver[R]]) -> AsyncIterator[R]:
        """Send it, and give what its receiver gives while the answer arrives."""

    async def arrive(self, call: Call[Receiver[R]]) -> R:
        """Send it, and give the one thing that its receiver gives."""


class Address(Generic[P, T]):
    """A method of both clients: builds a call from its arguments, and performs it."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        """`build` also gives the method its parameters and its text."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        if client is None:
            return self

        @functools.wraps(self._build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client.perform(self._build(*arguments, **named))

        return method


class Walk(Generic[P, T, R]):
    """A method of both clients that gives one thing after the other, over as many calls as that takes."""

    def __init__(self, build: Callable[P, Steps[T]], each: Callable[[T], Iterable[R]]) -> None:
        """`each` gives what is in one answer."""
        self._build = build
        self._each = each
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        if client is None:
            return self

        @functools.wraps(self._build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client.walk(self._build(*arguments, **named), self._each)

        return method


class Whole(Generic[P, R]):
    """A method of both clients that takes several calls for one result."""

    def __init__(self, build: Callable[P, Plan[R]]) -> None:
        """`build` also gives the method its parameters and its text."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        if client is None:
            return self

        @functools.wraps(self._build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client.run(self._build(*arguments, **named))

        return method


class Flow(Generic[P, R]):
    """A method of both clients that gives one thing after the other, while the answer of one call arrives."""

    def __init__(self, build: Callable[P, Call[Receiver[R]]]) -> None:
        """`build` also gives the method its parameters and its text."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        if client is None:
            return self

        @functools.wraps(self._build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client.flow(self._build(*arguments, **named))

        return method


class Arrival(Generic[P, R]):
    """A method of both clients that gives one result, when all of a long answer has been taken in."""

    def __init__(self, build: Callable[P, Call[Receiver[R]]]) -> None:
        """`build` also gives the method its parameters and its text."""
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        if client is None:
            return self

        @functools.wraps(self._build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return client.arrive(self._build(*arguments, **named))

        return method
