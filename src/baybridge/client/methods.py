"""What makes a method of both clients from the functions that build calls: typed for the one that waits and the one that is awaited."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from baybridge.client.call import Call, Plan, Receiver, Steps

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


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


class _Built(Generic[P]):
    """Builds what a client performs; `build` also gives the method its parameters and its text."""

    def __init__(self, build: Callable[P, Any]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    def _performed_by(self, perform: Callable[[Any], Any]) -> Any:
        @functools.wraps(self.build)
        def method(*arguments: P.args, **named: P.kwargs) -> Any:
            return perform(self.build(*arguments, **named))

        return method


class Address(_Built[P], Generic[P, T]):
    """A method that performs one call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        """`build` also gives the method its parameters and its text."""
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        return self if client is None else self._performed_by(client.perform)


class Walk(_Built[P], Generic[P, T, R]):
    """A method that gives one thing after the other, over as many calls as that takes."""

    def __init__(self, build: Callable[P, Steps[T]], each: Callable[[T], Iterable[R]]) -> None:
        """`each` gives what is in one answer."""
        super().__init__(build)
        self._each = each

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        return self if client is None else self._performed_by(lambda steps: client.walk(steps, self._each))


class Whole(_Built[P], Generic[P, R]):
    """A method that takes several calls for one result."""

    def __init__(self, build: Callable[P, Plan[R]]) -> None:
        """`build` also gives the method its parameters and its text."""
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        return self if client is None else self._performed_by(client.run)


class Flow(_Built[P], Generic[P, R]):
    """A method that gives one thing after the other, while the answer of one call arrives."""

    def __init__(self, build: Callable[P, Call[Receiver[R]]]) -> None:
        """`build` also gives the method its parameters and its text."""
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        return self if client is None else self._performed_by(client.flow)


class Arrival(_Built[P], Generic[P, R]):
    """A method that gives one result, when all of a long answer has been taken in."""

    def __init__(self, build: Callable[P, Call[Receiver[R]]]) -> None:
        """`build` also gives the method its parameters and its text."""
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Waiting, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bind it to the client."""
        return self if client is None else self._performed_by(client.arrive)
