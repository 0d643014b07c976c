"""Organizations, principals and tokens over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from baybridge.exchange import Exchange
from baybridge.http.faces import bearer, body, call, json_response, signed_in
from baybridge.http.shapes import organization_shape, principal_shape, token_facts_shape, token_shape
from baybridge.principals.principal import Move, Principal
from baybridge.terms.terms import parse_instant
from baybridge.wire.agreements import ReasonRequest
from baybridge.wire.principals import (
    OrganizationsShape,
    PrincipalRequest,
    PrincipalsShape,
    RolesRequest,
    RotateRequest,
    TokenRequest,
    TokensShape,
)


async def organizations(request: Request) -> Response:
    """Answer GET /organizations."""
    found = await call(request, lambda exchange: exchange.administer.organizations())
    return json_response(OrganizationsShape(organizations=[organization_shape(each) for each in found]))


async def principals(request: Request) -> Response:
    """Answer GET /organizations/{organization}/principals."""
    token, organization = bearer(request), request.path_params["organization"]
    found = await call(request, lambda exchange: exchange.administer.principals(signed_in(exchange, token), organization))
    return json_response(PrincipalsShape(principals=[principal_shape(each) for each in found]))


async def add_principal(request: Request) -> Response:
    """Answer POST /organizations/{organization}/principals."""
    token, organization = bearer(request), request.path_params["organization"]
    asked = await body(request, PrincipalRequest)

    def add(exchange: Exchange) -> object:
        return principal_shape(
            exchange.administer.add_principal(
                signed_in(exchange, token), organization, asked.name, asked.kind, asked.roles, identity=asked.identity
            )
        )

    return json_response(await call(request, add), status=201)


async def principal(request: Request) -> Response:
    """Answer GET /principals/{id}."""
    return await _act(request, lambda exchange, who, principal_id: exchange.administer.principal(who, principal_id))


async def set_roles(request: Request) -> Response:
    """Answer PUT /principals/{id}/roles."""
    asked = await body(request, RolesRequest)
    return await _act(request, lambda exchange, who, principal_id: exchange.administer.set_roles(who, principal_id, asked.roles))


async def confirm(request: Request) -> Response:
    """Answer POST /principals/{id}/confirm."""
    return await _act(request, lambda exchange, who, principal_id: exchange.administer.confirm(who, principal_id))


def moving(act: Move) -> Callable[[Request], Awaitable[Response]]:
    """The handler of POST /principals/{id}/NAME: suspend, resume or offboard, with a reason."""

    async def answer(request: Request) -> Response:
        asked = await body(request, ReasonRequest)
        return await _act(
            request, lambda exchange, who, principal_id: exchange.administer.move_principal(who, principal_id, act, asked.reason)
        )

    return answer


async def _act(request: Request, verb: Callable[[Exchange, Principal, str], Principal]) -> Response:
    token, principal_id = bearer(request), request.path_params["principal"]
    found = await call(request, lambda exchange: verb(exchange, signed_in(exchange, token), principal_id))
    return json_response(principal_shape(found))


async def tokens(request: Request) -> Response:
    """Answer GET /organizations/{organization}/tokens."""
    token, organization = bearer(request), request.path_params["organization"]
    found = await call(request, lambda exchange: exchange.administer.tokens(signed_in(exchange, token), organization))
    return json_response(TokensShape(tokens=[token_facts_shape(each) for each in found]))


async def rotate_token(request: Request) -> Response:
    """Answer POST /tokens/{id}/rotate."""
    token, token_id = bearer(request), request.path_params["token"]
    asked = await body(request, RotateRequest)

    def rotate(exchange: Exchange) -> object:
        return token_shape(exchange.administer.rotate_token(signed_in(exchange, token), token_id, overlap_seconds=asked.overlap_seconds))

    return json_response(await call(request, rotate), status=201)


async def issue_token(request: Request) -> Response:
    """Answer POST /tokens."""
    token = bearer(request)
    asked = await body(request, TokenRequest)
    expires = None if asked.expires is None else parse_instant(asked.expires, parameter="expires")

    def issue(exchange: Exchange) -> object:
        return token_shape(
            exchange.administer.issue_token(
                signed_in(exchange, token), asked.principal, expires=expires, purpose=asked.purpose, scopes=asked.scopes
            )
        )

    return json_response(await call(request, issue), status=201)


async def revoke_token(request: Request) -> Response:
    """Answer DELETE /tokens/{id}."""
    token, token_id = bearer(request), request.path_params["token"]
    await call(request, lambda exchange: exchange.administer.revoke_token(signed_in(exchange, token), token_id))
    return Response(status_code=204)


async def whoami(request: Request) -> Response:
    """Answer GET /whoami."""
    token = bearer(request)
    return json_response(principal_shape(await call(request, lambda exchange: signed_in(exchange, token))))
