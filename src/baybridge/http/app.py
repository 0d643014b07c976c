"""The application over the table of addresses, and what happens around each request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baybridge.errors import BaybridgeError, Unavailable
from baybridge.exchange import Exchange
from baybridge.http import idempotency
from baybridge.http.addresses import ADDRESSES
from baybridge.http.contract import ADDRESS, Address
from baybridge.http.cursors import Cursors
from baybridge.http.faces import Serving, expected, parameters, serving
from baybridge.http.openapi import document
from baybridge.http.problems import on_departure, on_error, on_failure, on_http_exception
from baybridge.http.sending import Crew, Places, Watchers

THREADS: Final = 46
UPLOAD_THREADS: Final = 16
STRANGER_THREADS: Final = 24
WATCHERS: Final = 8
PUBLIC_WATCHERS: Final = 2
"""Together no more than the connections to the database."""

PLACES: Final = 4096
UPLOAD_PLACES: Final = 128
STRANGER_PLACES: Final = 256
_SWEEP_SECONDS: Final = 1.0
_TIDY_SECONDS: Final = 60
_HOLD_SECONDS: Final = 2.0
_COUNT_SECONDS: Final = 60
_LOG: Final = logging.getLogger("baybridge.http")


def _route(address: Address) -> Route:
    """The route of a row, which its handler finds in the scope. In the API no parameter and no condition is ignored.

    A request has its place until its answer has ended, whichever way.
    """

    async def answer(request: Request) -> Response:
        if address.is_api:
            parameters(request)
            expected(request)
        if address.once and idempotency.HEADER in request.headers:
            return await idempotency.once(address, request)
        return await address.handler(request)

    def placed(app: ASGIApp) -> ASGIApp:
        async def in_place(scope: Scope, receive: Receive, send: Send) -> None:
            scope[ADDRESS] = address
            request = Request(scope)
            with serving(request).place_of(request):
                await app(scope, receive, send)

        return in_place

    return Route(address.path, answer, methods=[address.method], middleware=[Middleware(placed)])


ROUTES: Final = tuple(_route(each) for each in ADDRESSES)


def make_app(exchange: Exchange, *, on_start: Callable[[], None]) -> ASGIApp:
    """The application over an open exchange, which the caller closes. `on_start` is called once requests are taken."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        crew = Crew.of(THREADS, places=PLACES, name="request")
        strangers = Crew.of(STRANGER_THREADS, places=STRANGER_PLACES, name="stranger")
        uploads = Crew.of(UPLOAD_THREADS, places=UPLOAD_PLACES, name="upload")
        watchers = Watchers(ThreadPoolExecutor(WATCHERS, "watcher"), ThreadPoolExecutor(PUBLIC_WATCHERS, "public-watcher"))
        app.state.serving = Serving(
            exchange, Cursors(exchange.keys.cursor), document(ADDRESSES), crew, strangers, uploads, Places(STRANGER_PLACES), watchers
        )
        seconds = exchange.settings.checkpoint_seconds
        turns = [
            asyncio.create_task(_every(pause, act, what, crew.threads))
            for pause, act, what in (
                (seconds, exchange.sign, "signing a checkpoint"),
                (seconds, exchange.administer.note_last_use, "noting when tokens were used"),
                (_SWEEP_SECONDS, exchange.sweep, "letting go of extracts that are gone"),
                (_TIDY_SECONDS, exchange.upkeep.tidy, "tidying the disk"),
                (_HOLD_SECONDS, exchange.replies.hold, "holding keys of requests"),
                (_COUNT_SECONDS, exchange.log.enter_counts, "entering counts"),
            )
        ]
        on_start()
        try:
            yield
        finally:
            for turn in turns:
                turn.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await turn
            for threads in (crew.threads, strangers.threads, uploads.threads, watchers.governed, watchers.public):
                threads.shutdown(wait=True, cancel_futures=True)

    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        exception_handlers={
            BaybridgeError: on_error,
            ClientDisconnect: on_departure,
            HTTPException: on_http_exception,
            Exception: on_failure,
        },
    )
    return _around(app)


def _around(app: ASGIApp) -> ASGIApp:
    """Give each request an id, and each response that id and the headers that every response carries."""

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope["baybridge.request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await app(scope, receive, send_with_headers)

    return around


async def _every(seconds: float, act: Callable[[], object], what: str, threads: ThreadPoolExecutor) -> None:
    """Do it on a timer. A failure is logged and tried again at the next turn: readers are served by the log, not by its upkeep."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(seconds)
        try:
            await loop.run_in_executor(threads, act)
        except Unavailable as wrong:  # a traceback of each turn would fill the disk
            _LOG.warning("%s failed (%s); it is tried again", what, wrong.code)
        except Exception:  # noqa: BLE001 -- the timer must outlive any failure; it is logged, and the next turn tries again
            _LOG.exception("%s failed; it is tried again", what)
