"""Errors as RFC 9457 problem details. Every error leaves through here, so none can carry more than its fixed texts."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from baybridge.errors import CODES, Advice, BaybridgeError, Invalid, NotFound, Unavailable
from baybridge.wire.collections import PublishReport
from baybridge.wire.problems import PlaceShape, ProblemShape

MEDIA_TYPE: Final = "application/problem+json"
_EACH_DAY: Final = frozenset({"busy", "extract_building", "limit_reached"})
"""What passes by itself and tells the operator nothing: clients who go on asking would fill the server's log with it."""

_LOG: Final = logging.getLogger("baybridge.http")


def problem_shape(error: BaybridgeError, *, request_id: str | None = None, report: PublishReport | None = None) -> ProblemShape:
    """The error with its advice, as it travels."""
    return ProblemShape(
        type=f"/errors/{error.code}",
        title=error.facts.meaning,
        status=error.facts.status,
        detail=error.detail,
        code=error.code,
        rule=error.advice.rule,
        who_can_change=error.advice.who_can_change,
        next_step=error.advice.next_step,
        next_command=error.advice.next_command,
        next_url=error.advice.next_url,
        retry=error.retry_after,
        errors=[
            PlaceShape(parameter=place.parameter, message=place.message, column=place.column, hint=place.hint) for place in error.places
        ],
        request_id=request_id,
        report=report,
    )


def problem_response(request: Request, error: BaybridgeError, *, report: PublishReport | None = None) -> Response:
    """The error as a response that no cache may keep."""
    shape = problem_shape(error, request_id=request.scope.get("baybridge.request_id"), report=report)
    headers = {"cache-control": "no-store"}
    if error.facts.status == CODES["not_signed_in"].status:
        headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Response(msgspec.json.encode(shape), status_code=error.facts.status, headers=headers, media_type=MEDIA_TYPE)


def on_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors. A server's fault goes to its log with its cause; what passes by itself, as one line."""
    if not isinstance(error, BaybridgeError):
        raise error
    if error.code in _EACH_DAY:
        return problem_response(request, error)
    if isinstance(error, Unavailable):  # a full disk fails each request alike: a traceback of each would fill what is left
        _LOG.error("%s: %s (%s)", error.code, error.detail, type(error.__cause__).__name__ if error.__cause__ else "no other cause")
    elif error.facts.status == CODES["internal"].status:
        _LOG.error("%s: %s", error.code, error.detail, exc_info=error.__cause__)
    return problem_response(request, error)


def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such address, wrong method), in our form."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == CODES["method_not_allowed"].status:
        response = problem_response(request, Invalid("method_not_allowed", "This address does not take that method."))
        allowed = (error.headers or {}).get("Allow", "")
        response.headers["allow"] = ", ".join(sorted(allowed.split(", ")))
        return response
    advice = Advice(
        rule="Addresses are those of /api/v1/openapi.json.", who_can_change="you", next_step="Correct it, or start at /api/v1/collections."
    )
    missing = NotFound("not_found", "There is nothing at this address.", advice=advice)
    return problem_response(request, missing)


def on_departure(request: Request, error: Exception) -> Response:
    """A client that left in the middle of its own request: nothing failed here, and nobody is left to be told."""
    del request, error
    return Response(status_code=CODES["invalid_request"].status)


def on_failure(request: Request, error: Exception) -> Response:
    """Anything unforeseen: the reason goes to the server's log under the request id, and none of it leaves."""
    _LOG.error("request %s failed", request.scope.get("baybridge.request_id"), exc_info=error)
    return problem_response(request, BaybridgeError("internal", CODES["internal"].meaning))
