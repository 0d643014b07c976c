"""The log for those who check it: checkpoints for everyone, entries for the organization's auditors."""

from __future__ import annotations

import base64
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from baybridge.errors import Invalid, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.faces import bearer, call, json_response, parameters, signed_in
from baybridge.names import parse_organization
from baybridge.wire.audit import EntriesShape, EntryShape, VerifierShape

MAX_ENTRIES: Final = 1000
ENTRIES_PARAMETERS: Final = (
    Parameter("start", "The index of the first entry; 0 without it.", {"type": "integer", "minimum": 0}),
    Parameter("limit", f"At most so many entries; more than {MAX_ENTRIES} is taken as {MAX_ENTRIES}.", {"type": "integer", "minimum": 0}),
)


async def checkpoint(request: Request) -> Response:
    """Answer GET /audit/{organization}/checkpoint: the newest checkpoint, as a C2SP signed note."""
    organization = parse_organization(request.path_params["organization"])
    note = await call(request, lambda exchange: exchange.watch.latest(organization))
    return PlainTextResponse(note, headers={"cache-control": "no-cache"})


async def verifier(request: Request) -> Response:
    """Answer GET /audit/{organization}/verifier: the public key of the log as a C2SP verifier key."""
    organization = parse_organization(request.path_params["organization"])
    return json_response(await call(request, lambda exchange: VerifierShape(verifier=str(exchange.watch.published_verifier(organization)))))


async def entries(request: Request) -> Response:
    """Answer GET /audit/{organization}/entries?start=&limit=."""
    given = parameters(request)
    token, organization = bearer(request), parse_organization(request.path_params["organization"])
    start, limit = _whole(given, "start", 0), min(_whole(given, "limit", MAX_ENTRIES), MAX_ENTRIES)

    def read(exchange: Exchange) -> EntriesShape:
        run = exchange.watch.entries(signed_in(exchange, token), organization, start=start, limit=limit)
        return EntriesShape(
            origin=run.origin,
            size=run.size,
            entries=[EntryShape(index=index, data=base64.b64encode(data).decode()) for index, data in run.entries],
        )

    return json_response(await call(request, read))


def _whole(given: dict[str, str], parameter: str, default: int) -> int:
    text = given.get(parameter, str(default))
    if text.isascii() and text.isdigit() and len(text) < 16:  # noqa: PLR2004 -- below 2^53
        return int(text)
    raise Invalid("invalid_request", f"{parameter} is not a whole number.", places=(Place(parameter, "a whole number from 0"),))
