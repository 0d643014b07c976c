"""What the server says of itself: whether it answers, whether it can work, what an error's code means, and all that it offers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from baybridge.errors import CODES, NotFound
from baybridge.http.faces import call, serving


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


async def openapi(request: Request) -> Response:
    """Answer GET /api/v1/openapi.json: the whole API as OpenAPI 3.1."""
    return Response(serving(request).openapi, media_type="application/json", headers={"cache-control": "public, no-cache"})
