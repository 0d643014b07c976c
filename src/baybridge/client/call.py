"""One request to the server as a value, and what its answer becomes. It sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, Protocol, TypeAlias, TypeVar

import httpx2
import msgspec

from baybridge.client import answers
from baybridge.errors import Invalid, Place

API: Final = "/api/v1"
_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})  # RFC 9110, section 9.2.2

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

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
    before: Callable[[], None] = lambda: None
    """What is tried before a long answer is asked for, and raises where it would be in vain."""

    def has_key(self) -> bool:
        """Whether the request is sent with an Idempotency-Key: an act is one act, however often it is sent with the same."""
        return self.method == "POST"

    def repeatable(self) -> bool:
        """Whether it may be sent again. An upload may not: what it was read from is used up."""
        safe = self.method in _REPEATABLE and "if-match" not in self.headers  # which, once done, would be refused
        return self.upload is None and (safe or self.has_key())


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


def send(method: str, path: str, body: msgspec.Struct | None, shape: type[T], *, if_match: str | None = None) -> Call[T]:
    """Send a shape, or nothing, and be answered with a shape; `if_match` is the ETag of the state that is to be changed."""
    headers = matching(if_match)
    if body is None:
        return Call(method=method, path=API + path, read=reader(shape), headers=headers)
    headers["content-type"] = "application/json"
    return Call(method=method, path=API + path, read=reader(shape), headers=headers, body=msgspec.json.encode(body))


def matching(if_match: str | None) -> dict[str, str]:
    """The header that lets a change be made from the state of that ETag only; none for whatever state."""
    return {} if if_match is None else {"if-match": header(if_match, "if_match")}


def header(text: str, parameter: str) -> str:
    """What may stand in a header: visible ASCII. The text is never repeated, because it may be a token."""
    if text and text.isascii() and text.isprintable() and " " not in text:
        return text
    raise Invalid(
        "invalid_request", f"The {parameter} is empty or holds characters that none has.", places=(Place(parameter, "visible ASCII"),)
    )


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
