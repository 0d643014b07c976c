"""Agreements: asked for, offered, approved, signed, suspended, resumed, revoked, closed and shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from baybridge.agree import Agree
from baybridge.agreements.agreement import Agreement
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter, only
from baybridge.http.faces import bearer, body, call, expected, json_response, parameters, signed_in, yes
from baybridge.http.shapes import agreement_shape, checked_terms_shape
from baybridge.principals.principal import Principal, Role
from baybridge.wire.agreements import (
    AgreementsShape,
    ApproveRequest,
    CounterRequest,
    OfferRequest,
    ReasonRequest,
    SignRequest,
    StatementRequest,
    TerminateRequest,
)
from baybridge.wire.terms import TermsShape

ASK_PARAMETERS: Final = (Parameter("dry_run", "Check the terms, and ask for nothing.", {"type": "boolean"}),)

_Act = Callable[[Agree, Principal, str, str], Agreement]


async def listing(request: Request) -> Response:
    """Answer GET /agreements."""
    token = bearer(request)

    def listed(exchange: Exchange) -> AgreementsShape:
        found = exchange.agree.listing(signed_in(exchange, token))
        return AgreementsShape(agreements=[agreement_shape(each, now=exchange.agree.clock()) for each in found])

    return json_response(await call(request, listed))


async def show(request: Request) -> Response:
    """Answer GET /agreements/{id}."""
    return await _answer(request, lambda agree, principal, agreement_id: agree.show(principal, agreement_id))


async def text(request: Request) -> Response:
    """Answer GET /agreements/{id}/text: the terms in plain language."""
    token, agreement_id = bearer(request), request.path_params["agreement"]
    words = await call(request, lambda exchange: exchange.agree.text(signed_in(exchange, token), agreement_id))
    return PlainTextResponse(words, headers={"cache-control": "private, no-cache", "vary": "Authorization"})


async def ask(request: Request) -> Response:
    """Answer POST /agreements: a request with terms; with dry_run, whether it would be taken."""
    tried, shape, token = yes(parameters(request), "dry_run"), await body(request, TermsShape), bearer(request)
    if tried:
        checked = await call(request, lambda exchange: exchange.agree.check_request(signed_in(exchange, token), shape))
        return json_response(checked_terms_shape(checked))
    return await _answer(request, lambda agree, principal, _: agree.request(principal, shape), status=201)


async def succeed(request: Request) -> Response:
    """Answer POST /agreements/{id}/successor: a renewal or an amendment begins; terms null are those of the agreement."""
    asked = await body(request, OfferRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.succeed(principal, agreement_id, asked.terms), status=201)


async def counter(request: Request) -> Response:
    """Answer POST /agreements/{id}/request: the consumer asks for other terms than those that stand."""
    asked = await body(request, CounterRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.counter(principal, agreement_id, asked.terms))


async def offer(request: Request) -> Response:
    """Answer POST /agreements/{id}/offer; terms null offers those that stand."""
    asked = await body(request, OfferRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.offer(principal, agreement_id, asked.terms))


async def approve(request: Request) -> Response:
    """Answer POST /agreements/{id}/approve."""
    asked = await body(request, ApproveRequest)
    return await _answer(
        request,
        lambda agree, principal, agreement_id: agree.approve(principal, agreement_id, asked.role, asked.terms_sha256),
    )


async def sign(request: Request) -> Response:
    """Answer POST /agreements/{id}/sign."""
    asked = await body(request, SignRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.sign(principal, agreement_id, asked.terms_sha256))


async def terminate(request: Request) -> Response:
    """Answer POST /agreements/{id}/terminate, with a reason and a code."""
    asked = await body(request, TerminateRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.terminate(principal, agreement_id, asked.reason, asked.code))


async def close(request: Request) -> Response:
    """Answer POST /agreements/{id}/close, with the consumer's statement that what it received is destroyed."""
    asked = await body(request, StatementRequest)
    return await _answer(request, lambda agree, principal, agreement_id: agree.close(principal, agreement_id, asked.statement))


REASONED: Final[dict[str, _Act]] = {
    "suspend": lambda agree, principal, agreement_id, reason: agree.suspend(principal, agreement_id, reason),
    "resume": lambda agree, principal, agreement_id, reason: agree.resume(principal, agreement_id, reason),
    "revoke": lambda agree, principal, agreement_id, reason: agree.revoke(principal, agreement_id, reason),
}


REASONED_BY: Final = {
    "suspend": only(Role.STEWARD, Role.SIGNATORY),
    "resume": only(Role.STEWARD, Role.SIGNATORY),
    "revoke": only(Role.STEWARD, Role.SIGNATORY),
}
"""Who may do each."""


def act(name: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of POST /agreements/{id}/NAME: suspend, resume or revoke, each with a reason."""
    chosen = REASONED[name]

    async def answer(request: Request) -> Response:
        asked = await body(request, ReasonRequest)
        return await _answer(request, lambda agree, principal, agreement_id: chosen(agree, principal, agreement_id, asked.reason))

    return answer


async def _answer(request: Request, verb: Callable[[Agree, Principal, str], Agreement], *, status: int = 200) -> Response:
    token, agreement_id, state = bearer(request), request.path_params.get("agreement", ""), expected(request)

    def acted(exchange: Exchange) -> Response:
        agreement = verb(exchange.agree.expecting(state), signed_in(exchange, token), agreement_id)
        now = exchange.agree.clock()
        return json_response(agreement_shape(agreement, now=now), status=status, tag=agreement.tag(now))

    return await call(request, acted)
