"""Umbrellas over HTTP: several agreements asked for, offered and signed in one act."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from baybridge.agreements.umbrellas import Umbrella
from baybridge.exchange import Exchange
from baybridge.http.faces import bearer, body, call, json_response, signed_in
from baybridge.http.shapes import umbrella_shape
from baybridge.principals.principal import Principal
from baybridge.wire.agreements import SignRequest, UmbrellaRequest, UmbrellasShape


async def listing(request: Request) -> Response:
    """Answer GET /umbrellas."""
    token = bearer(request)

    def listed(exchange: Exchange) -> UmbrellasShape:
        found = exchange.umbrellas.listing(signed_in(exchange, token))
        return UmbrellasShape(umbrellas=[umbrella_shape(each, now=exchange.agree.clock()) for each in found])

    return json_response(await call(request, listed))


async def ask(request: Request) -> Response:
    """Answer POST /umbrellas."""
    asked = await body(request, UmbrellaRequest)
    return await _answer(
        request, lambda exchange, principal, _: exchange.umbrellas.request(principal, asked.title, asked.terms), status=201
    )


async def show(request: Request) -> Response:
    """Answer GET /umbrellas/{id}."""
    return await _answer(request, lambda exchange, principal, umbrella_id: exchange.umbrellas.show(principal, umbrella_id))


async def offer(request: Request) -> Response:
    """Answer POST /umbrellas/{id}/offer, which has no body: every agreement is offered as it stands."""
    return await _answer(request, lambda exchange, principal, umbrella_id: exchange.umbrellas.offer(principal, umbrella_id))


async def sign(request: Request) -> Response:
    """Answer POST /umbrellas/{id}/sign, with the digest of all digests."""
    asked = await body(request, SignRequest)
    return await _answer(
        request, lambda exchange, principal, umbrella_id: exchange.umbrellas.sign(principal, umbrella_id, asked.terms_sha256)
    )


async def _answer(request: Request, verb: Callable[[Exchange, Principal, str], Umbrella], *, status: int = 200) -> Response:
    token, umbrella_id = bearer(request), request.path_params.get("umbrella", "")

    def acted(exchange: Exchange) -> object:
        return umbrella_shape(verb(exchange, signed_in(exchange, token), umbrella_id), now=exchange.agree.clock())

    return json_response(await call(request, acted), status=status)
