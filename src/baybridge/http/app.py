"""The application: every URL in one table, and what happens around each request."""

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
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baybridge.errors import CODES, BaybridgeError, NotFound
from baybridge.exchange import Exchange
from baybridge.http.cursors import Cursors
from baybridge.http.faces import Serving, call
from baybridge.http.problems import on_departure, on_error, on_failure, on_http_exception
from baybridge.http.rest import administration, agreements, audit, collections, items

THREADS: Final = 96
WATCHERS: Final = 8
COUNT_SECONDS: Final = 60
ERASE_SECONDS: Final = 60
_LOG: Final = logging.getLogger("baybridge.http")
_API: Final = "/api/v1"
_DATASET: Final = f"{_API}/collections/{{dataset}}"


async def live(request: Request) -> Response:
    """Answer GET /livez: the process answers."""
    del request
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Answer GET /readyz: 200 when catalog, objects and keys can be used, else 503 with the names of what cannot."""
    failing = await call(request, lambda exchange: exchange.failing_parts())
    return JSONResponse({"status": "failing" if failing else "ok", "failing": failing}, status_code=503 if failing else 200)


async def explain_error(request: Request) -> Response:
    """Answer GET /errors/{code}: what a code means, where a problem's `type` points."""
    code = request.path_params["code"]
    if code not in CODES:
        raise NotFound("not_found", "There is no error of that code.")
    return PlainTextResponse(f"{code} ({CODES[code].status})\n{CODES[code].meaning}\n")


ROUTES: Final = (
    Route("/livez", live, methods=["GET"]),
    Route("/readyz", ready, methods=["GET"]),
    Route("/errors/{code}", explain_error, methods=["GET"]),
    Route(f"{_API}/whoami", administration.whoami, methods=["GET"]),
    Route(f"{_API}/organizations", administration.organizations, methods=["GET"]),
    Route(f"{_API}/organizations/{{organization}}/principals", administration.principals, methods=["GET"]),
    Route(f"{_API}/organizations/{{organization}}/principals", administration.add_principal, methods=["POST"]),
    Route(f"{_API}/tokens", administration.issue_token, methods=["POST"]),
    Route(f"{_API}/tokens/{{token}}", administration.revoke_token, methods=["DELETE"]),
    Route(f"{_API}/collections", collections.listing, methods=["GET"]),
    Route(_DATASET, collections.describe, methods=["GET"]),
    Route(_DATASET, collections.declare, methods=["PUT"]),
    Route(f"{_DATASET}/schema", collections.schema, methods=["GET"]),
    Route(f"{_DATASET}/versions", collections.versions, methods=["GET"]),
    Route(f"{_DATASET}/versions", collections.publish, methods=["POST"]),
    Route(f"{_DATASET}/versions/{{version:int}}", collections.version, methods=["GET"]),
    Route(f"{_DATASET}/versions/{{version:int}}/schema", collections.schema, methods=["GET"]),
    Route(f"{_DATASET}/versions/{{version:int}}/items", items.items, methods=["GET"]),
    Route(f"{_DATASET}/items", items.items, methods=["GET"]),
    Route(f"{_API}/agreements", agreements.listing, methods=["GET"]),
    Route(f"{_API}/agreements", agreements.ask, methods=["POST"]),
    Route(f"{_API}/agreements/{{agreement}}", agreements.show, methods=["GET"]),
    Route(f"{_API}/agreements/{{agreement}}/offer", agreements.offer, methods=["POST"]),
    Route(f"{_API}/agreements/{{agreement}}/sign", agreements.sign, methods=["POST"]),
    *(Route(f"{_API}/agreements/{{agreement}}/{act}", agreements.act(act), methods=["POST"]) for act in agreements.REASONED),
    Route(f"{_API}/audit/{{organization}}/checkpoint", audit.checkpoint, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/verifier", audit.verifier, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/keys", audit.keys, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/entries", audit.entries, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/tile/entries/{{number:path}}", audit.bundle, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/tile/{{level}}/{{number:path}}", audit.tile, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/proof/inclusion", audit.inclusion, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/proof/consistency", audit.consistency, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/receipts/{{index}}", audit.receipt, methods=["GET"]),
    Route(f"{_API}/audit/{{organization}}/side-records", audit.erase, methods=["DELETE"]),
)


def make_app(exchange: Exchange, *, on_start: Callable[[], None]) -> ASGIApp:
    """The application over an open exchange, which the caller closes. `on_start` is called once requests are taken."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        watchers = ThreadPoolExecutor(WATCHERS, thread_name_prefix="watcher")
        app.state.serving = Serving(exchange, Cursors(exchange.keys.cursor), threads, watchers)
        turns = (
            asyncio.create_task(_every(exchange.settings.checkpoint_seconds, exchange.sign, "signing a checkpoint", threads)),
            asyncio.create_task(_every(COUNT_SECONDS, exchange.log.enter_counts, "entering counts", threads)),
            asyncio.create_task(_every(ERASE_SECONDS, exchange.expire, "erasing side records", threads)),
        )
        on_start()
        try:
            yield
        finally:
            for turn in turns:
                turn.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await turn
            threads.shutdown(wait=True, cancel_futures=True)
            watchers.shutdown(wait=True, cancel_futures=True)

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
        except Exception:  # noqa: BLE001 -- the timer must outlive any failure; it is logged, and the next turn tries again
            _LOG.exception("%s failed; it is tried again", what)
