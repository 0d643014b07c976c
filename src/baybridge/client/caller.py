"""What both clients are but for the waiting: address, token, purpose, and the request that a call becomes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import httpx2

from baybridge.client.addresses import Addresses
from baybridge.client.call import Call, header
from baybridge.client.exceptions import Unreachable
from baybridge.client.patience import Attempts
from baybridge.errors import Advice, Invalid, Place
from baybridge.names import parse_purpose

_MAX_PORT: Final = 65535
_KEPT: Final = httpx2.Limits(keepalive_expiry=2)  # seconds; less than servers keep idle connections, or requests would meet a closing one
_LOOPBACK: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")
_PURPOSE: Final = "baybridge-purpose"

T = TypeVar("T")

_acting: ContextVar[tuple[tuple[Caller, str], ...]] = ContextVar("baybridge_purposes", default=())


class Caller(Addresses):
    """One server, as one caller; what Client and AsyncClient share.

    Every method raises the error of the server's code (`baybridge.client.exceptions`), with the server's advice; `Unreachable` where
    no server answers. What is safe to send again is sent again when the server says that it will do (Retry-After) and when a
    connection breaks, for `patience` seconds in all.
    """

    def __init__(
        self, url: str, token: str | None = None, *, purpose: str | None = None, timeout: float = 30.0, patience: float = 30.0
    ) -> None:
        """`purpose` is sent with every call; `timeout` is in seconds, for each request. Raise Invalid for a malformed argument."""
        self.url = _address(url)
        self._headers = {"accept": "application/json, application/problem+json"}
        if token is not None:
            self._headers["authorization"] = "Bearer " + header(token.strip(), "token")  # a file ends with a newline
        self._purpose = None if purpose is None else parse_purpose(purpose)
        self._timeout = timeout
        self._patience = patience

    @contextlib.contextmanager
    def purpose(self, code: str) -> Iterator[None]:
        """Act for this purpose in the block: in this thread or task and in the tasks that it starts, and in no other.

        A purpose that a call names goes before it, and it goes before the client's own.
        """
        before = _acting.set((*_acting.get(), (self, parse_purpose(code))))
        try:
            yield
        finally:
            _acting.reset(before)

    def present_purpose(self) -> str | None:
        """The purpose that a call gets which names none."""
        named = [purpose for caller, purpose in _acting.get() if caller is self]
        return named[-1] if named else self._purpose

    def _opened(self) -> dict[str, Any]:
        # A proxy of the environment is for other hosts than this one.
        mounts = dict.fromkeys(_LOOPBACK)
        return {"base_url": self.url, "headers": self._headers, "timeout": self._timeout, "limits": _KEPT, "mounts": mounts}

    def _attempts(self, call: Call[T]) -> Attempts:
        return Attempts(call.repeatable(), self._patience)

    def _request(self, call: Call[T], purpose: str | None) -> dict[str, Any]:
        """What the request is built from: the same for each sending, with the key that makes them one act."""
        headers = {} if purpose is None else {_PURPOSE: purpose}
        if call.has_key():
            headers["idempotency-key"] = str(uuid.uuid4())
        asked = {"method": call.method, "url": call.path, "params": call.query or None, "headers": headers | dict(call.headers)}
        if call.upload is None:
            return asked
        return asked | {"timeout": httpx2.Timeout(self._timeout, read=None, write=None)}  # an upload takes as long as its file

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say `unreachable` for every way in which no answer came."""
        try:
            yield
        except httpx2.TimeoutException as wrong:
            raise self._unreachable(f"did not answer within {self._timeout:g} seconds") from wrong
        except httpx2.HTTPError as wrong:
            raise self._unreachable("cannot be reached, or broke the connection off") from wrong

    def _unreachable(self, what: str) -> Unreachable:
        return Unreachable(
            "unreachable",
            f"The server at {self.url} {what}.",
            advice=Advice(
                rule="Commands without --home speak HTTP with a running server.",
                who_can_change="you, or the operator of the server",
                next_step="Check the address (--url or BAYBRIDGE_URL), and that the server runs.",
                next_command=f"curl {self.url}/livez",
            ),
        )


def _address(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    host = bool(parsed.host) and "%" not in parsed.host and (parsed.port or 0) <= _MAX_PORT
    if parsed.scheme in {"http", "https"} and host and not parsed.userinfo and not parsed.query and not parsed.fragment:
        return url.rstrip("/")
    raise Invalid(
        "invalid_request",
        "The server's address is not an http or https URL.",
        places=(Place("url", "https://HOST, without a user, a query or a fragment"),),
    )
