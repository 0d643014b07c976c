"""What every handler shares: the exchange behind the request, who sends it, and the strict reading of parameters and bodies."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from baybridge.errors import Advice, Conflict, Invalid, Place, Refused
from baybridge.exchange import Exchange
from baybridge.expected import WHATEVER, Expected
from baybridge.http.contract import Token, address_of
from baybridge.http.cursors import Cursors
from baybridge.http.sending import LINK, Crew, Places, Sending, Watchers
from baybridge.names import nearest
from baybridge.principals.principal import Principal
from baybridge.wire.misfit import misfit

MAX_BODY: Final = 1 << 20
_READING: Final = ("GET", "HEAD")
_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_TAGS: Final = re.compile(rf"\*|{_TAG.pattern}(?:[ \t]*,[ \t]*{_TAG.pattern})*")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Serving:
    """What the application holds while it runs. `strangers` is the crew of requests that carry no token, or to which none matters.

    `uploads` is that of those whose bodies are read in a thread, which waits for the client: no number of them takes the threads of acts.
    `visitors` are their places: one each from the request until its answer has left, so that open answers are bounded too.
    """

    exchange: Exchange
    cursors: Cursors
    openapi: bytes
    crew: Crew
    strangers: Crew
    uploads: Crew
    visitors: Places
    watchers: Watchers

    def place_of(self, request: Request) -> contextlib.AbstractContextManager[None]:
        """The place that a request has until its answer has left. Raise Unavailable (`busy`) where there is none."""
        return self.visitors.taken() if _is_stranger(request) else contextlib.nullcontext()

    def crew_of(self, request: Request) -> Crew:
        """Whose turn a request takes."""
        return self.strangers if _is_stranger(request) else self.crew

    def sending(self, request: Request, *, seconds: float) -> Sending:
        """What the answer to a request is sent with, for at most so many seconds."""
        return Sending(self.crew_of(request), self.watchers, self.exchange.settings.question_seconds, seconds)


def _is_stranger(request: Request) -> bool:
    """Whether no token is with it, or none matters. The probes outside the API must be answered however many strangers ask."""
    address = address_of(request)
    return address.is_api and (address.who.token is Token.UNREAD or "authorization" not in request.headers)


def serving(request: Request) -> Serving:
    """The running application's parts."""
    found: Serving = request.app.state.serving
    return found


async def call(request: Request, verb: Callable[[Exchange], T]) -> T:
    """Run a verb in a thread of the request's crew."""
    here = serving(request)
    return await here.crew_of(request).take(lambda: verb(here.exchange))


async def call_with_upload(request: Request, verb: Callable[[Exchange], T]) -> T:
    """Run a verb that reads the body as it arrives, in a thread of the crew of such."""
    here = serving(request)
    return await here.uploads.take(lambda: verb(here.exchange))


def bearer(request: Request) -> str | None:
    """The bearer token of the request, or None without an Authorization header. Raise Refused for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _not_signed_in("The Authorization header is not of the form Bearer TOKEN.")
    return token.strip()


def caller(exchange: Exchange, token: str | None) -> Principal | None:
    """Who sends the request; None without a token. Raise Refused for a token that is not valid."""
    return None if token is None else exchange.administer.authenticate(token)


def signed_in(exchange: Exchange, token: str | None) -> Principal:
    """Who sends the request. Raise Refused (`not_signed_in`) without a valid token."""
    principal = caller(exchange, token)
    if principal is None:
        raise _not_signed_in("This address needs a token.")
    return principal


def parameters(request: Request) -> dict[str, str]:
    """The query's parameters, as the address's row declares them.

    Raise Invalid for an unknown one (`unknown_parameter`, with the nearest) and for one given twice.
    """
    taken = address_of(request).parameters
    known = sorted(each.name for each in taken if each.place == "query")
    headers = {each.name.lower().removeprefix("baybridge-"): each.name for each in taken if each.place == "header"}
    read: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Invalid(
                "unknown_parameter",
                "The request names a parameter that this address does not take.",
                advice=Advice(
                    rule="Parameters that are not known are refused, so that a mistyped one is never ignored.",
                    who_can_change="you",
                    next_step=f"Parameters here: {', '.join(known) or 'none'}.",
                ),
                places=(Place(name[:100], "no such parameter", hint=_instead(name[:100], known, headers)),),
            )
        if name in read:
            raise Invalid("invalid_request", f"{name} is given twice.", places=(Place(name, "given twice"),))
        read[name] = value
    return read


def _instead(name: str, known: list[str], headers: dict[str, str]) -> str | None:
    """Where what was meant most likely is said."""
    return f"Send it as the header {headers[name.lower()]}." if name.lower() in headers else nearest(name, known)


def yes(given: dict[str, str], parameter: str) -> bool:
    """Whether a parameter is `true`. Raise Invalid for anything but `true` and `false`."""
    text = given.get(parameter, "false")
    if text in {"true", "false"}:
        return text == "true"
    raise Invalid("invalid_request", f"{parameter} is true or false.", places=(Place(parameter, "true or false"),))


def expected(request: Request) -> Expected:
    """What If-Match says of the state to be changed (RFC 9110, section 13.1.1). A weak tag names no state.

    Raise Invalid for what is no list of tags, and Conflict (`precondition_failed`) where what is changed has no tag.
    """
    given = request.headers.getlist("if-match")
    if not given or request.method in _READING:
        return WHATEVER
    if not address_of(request).conditional:
        raise Conflict(
            "precondition_failed",
            "What this address changes has no ETag that If-Match could name.",
            advice=Advice(rule="A condition is never ignored.", who_can_change="you", next_step="Leave If-Match out here."),
        )
    text = ", ".join(given).strip()
    if not _TAGS.fullmatch(text):
        rule = "* or ETags in double quotes, parted by commas"
        raise Invalid("invalid_request", "If-Match is not a list of ETags.", places=(Place("If-Match", rule),))
    return Expected(frozenset({"*"} if text == "*" else (tag for weak, tag in _TAG.findall(text) if not weak)))


async def body(request: Request, shape: type[T]) -> T:
    """The JSON body as that shape. Raise Invalid for anything else, naming the member that is wrong.

    It has as long as a head has, and then its connection is closed.
    """
    received = bytearray()
    async with _deadline(request, serving(request).exchange.settings.head_seconds):
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BODY:
                raise Invalid("invalid_request", f"The body is larger than {MAX_BODY} bytes.", places=(Place("body", "too large"),))
    try:
        return msgspec.json.decode(bytes(received), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:  # the last for members in members without end
        raise Invalid(
            "invalid_request",
            "The body is not JSON of the shape that this address takes.",
            advice=Advice(
                rule="Bodies have exactly the members of their shape.", who_can_change="you", next_step="See /api/v1/openapi.json."
            ),
            places=(misfit(wrong, shape),),
        ) from wrong


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives, of whatever size. A client that pauses too long has its connection closed."""
    stream = request.stream()
    while True:
        async with _deadline(request, serving(request).exchange.settings.upload_pause_seconds):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        yield chunk


def upload(request: Request, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """The body as it arrives, for a verb that reads it in a thread: the client is held back while the verb is behind."""
    arriving = chunks(request)

    async def following() -> bytes | None:
        return await anext(arriving, None)

    while (chunk := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield chunk


@contextlib.asynccontextmanager
async def _deadline(request: Request, seconds: float) -> AsyncIterator[None]:
    """So long for what the client has to send in the block; then it is as if it had left."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        request.scope[LINK].reset()
        raise ClientDisconnect from None


def json_response(shape: object, *, status: int = 200, tag: str | None = None) -> Response:
    """A shape as JSON that no shared cache keeps; `tag` names the state that it shows."""
    headers = {"cache-control": "private, no-cache", "vary": "Authorization"}
    if tag is not None:
        headers["etag"] = f'"{tag}"'
    return Response(msgspec.json.encode(shape), status_code=status, media_type="application/json", headers=headers)


def _not_signed_in(detail: str) -> Refused:
    return Refused(
        "not_signed_in",
        detail,
        advice=Advice(
            rule="Every request that is not public carries a valid token.",
            who_can_change="an admin of your organization",
            next_step="Send the header Authorization: Bearer TOKEN.",
            next_command="baybridge token issue PRINCIPAL",
        ),
    )
