"""Organizations, principals and tokens over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from baybridge.exchange import Exchange
from baybridge.http.faces import bearer, body, call, json_response, signed_in
from baybridge.http.shapes import principal_shape, token_shape
from baybridge.terms.terms import parse_instant
from baybridge.wire.principals import OrganizationShape, OrganizationsShape, PrincipalRequest, PrincipalsShape, TokenRequest


async def organizations(request: Request) -> Response:
    """Answer GET /organizations."""
    found = await call(request, lambda exchange: exchange.administer.organizations())
    return json_response(OrganizationsShape(organizations=[OrganizationShape(name=each.name, title=each.title) for each in found]))


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
            exchange.administer.add_principal(signed_in(exchange, token), organization, asked.name, asked.kind, asked.roles)
        )

    return json_response(await call(request, add), status=201)


async def issue_token(request: Request) -> Response:
    """Answer POST /tokens."""
    token = bearer(request)
    asked = await body(request, TokenRequest)
    expires = None if asked.expires is None else parse_instant(asked.expires, parameter="expires")

    def issue(exchange: Exchange) -> object:
        return token_shape(
            exchange.administer.issue_token(signed_in(exchange, token), asked.principal, expires=expires, purpose=asked.purpose)
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
