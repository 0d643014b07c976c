"""An organization's notices over HTTP, and the approvals that it requires."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from baybridge.agreements.agreement import Agreement
from baybridge.errors import Invalid, NotFound, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.faces import bearer, body, call, json_response, parameters, signed_in
from baybridge.http.shapes import notice_shape
from baybridge.terms.terms import format_instant
from baybridge.wire.agreements import ApprovalsRequest, ApprovalsShape
from baybridge.wire.notices import EndingShape, NoticeShape, NoticesShape, OverdueShape
from baybridge.wire.shape import LinkShape

LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_ADDRESS: Final = "/api/v1/notices"
NOTICES_PARAMETERS: Final = (
    Parameter("before", "A notice's number: only older ones.", {"type": "integer", "minimum": 1, "maximum": 2**31}),
    Parameter("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT}),
)


async def listing(request: Request) -> Response:
    """Answer GET /notices: newest first; `before` is the number of a notice, and gives the older ones."""
    given = parameters(request)
    token = bearer(request)
    before = None if "before" not in given else _whole(given["before"], "before", 2**31)
    limit = _whole(given.get("limit", str(LIMIT)), "limit", MAX_LIMIT)

    def listed(exchange: Exchange) -> NoticesShape:
        principal, now = signed_in(exchange, token), exchange.agree.clock()
        found = exchange.inbox.notices(principal, before=before, limit=limit)
        links = [LinkShape(rel="next", href=f"{_ADDRESS}?before={found[-1].id}&limit={limit}")] if len(found) == limit else []
        return NoticesShape(
            notices=[notice_shape(each) for each in found],
            ending_soon=[ending for each in exchange.inbox.ending_soon(principal) for ending in _ending(each, now)],
            links=links,
            overdue=[late for each in exchange.inbox.overdue(principal) for late in _overdue(each, now)],
        )

    return json_response(await call(request, listed))


async def mark_read(request: Request) -> Response:
    """Answer POST /notices/{notice}/read, which has no body."""
    token, text = bearer(request), request.path_params["notice"]

    def marked(exchange: Exchange) -> NoticeShape:
        principal = signed_in(exchange, token)
        if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 -- fits 32 bits
            raise NotFound("not_found", "Your organization has no notice of that number.")
        return notice_shape(exchange.inbox.mark_read(principal, int(text)))

    return json_response(await call(request, marked))


async def approvals(request: Request) -> Response:
    """Answer GET /organizations/{organization}/approvals."""
    token, organization = bearer(request), request.path_params["organization"]
    roles = await call(request, lambda exchange: exchange.inbox.approvals(signed_in(exchange, token), organization))
    return json_response(ApprovalsShape(organization=organization, roles=list(roles)))


async def require_approvals(request: Request) -> Response:
    """Answer PUT /organizations/{organization}/approvals."""
    token, organization = bearer(request), request.path_params["organization"]
    asked = await body(request, ApprovalsRequest)
    roles = await call(request, lambda exchange: exchange.inbox.require_approvals(signed_in(exchange, token), organization, asked.roles))
    return json_response(ApprovalsShape(organization=organization, roles=list(roles)))


def _ending(agreement: Agreement, now: datetime) -> list[EndingShape]:
    if agreement.terms is None:
        return []
    end = agreement.terms.end
    return [EndingShape(agreement=agreement.id, dataset=str(agreement.dataset), end=format_instant(end), days=(end - now).days)]


def _overdue(agreement: Agreement, now: datetime) -> list[OverdueShape]:
    due = agreement.destroy_by(now)
    if due is None:
        return []
    dataset, consumer = str(agreement.dataset), agreement.consumer
    return [OverdueShape(agreement=agreement.id, dataset=dataset, consumer=consumer, destroy_by=format_instant(due))]


def _whole(text: str, parameter: str, highest: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(highest)) and 1 <= int(text) <= highest:
        return int(text)
    rule = f"a whole number from 1 to {highest}"
    raise Invalid("invalid_request", f"{parameter} is {rule}.", places=(Place(parameter, rule),))
