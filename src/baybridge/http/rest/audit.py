"""The log for those who check it: checkpoints, hashes and proofs for everyone, entries for those who may have them."""

from __future__ import annotations

import base64
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from baybridge.audit.tiles import Tile
from baybridge.errors import Invalid, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.faces import bearer, body, call, json_response, parameters, signed_in
from baybridge.names import parse_organization
from baybridge.terms.terms import parse_instant
from baybridge.wire.audit import (
    CheckpointCopyRequest,
    ConsistencyShape,
    EntriesShape,
    EntryShape,
    ErasureShape,
    InclusionShape,
    KeysShape,
    VerifierShape,
)

MAX_ENTRIES: Final = 1000
ENTRIES_PARAMETERS: Final = (
    Parameter("start", "The index of the first entry; 0 without it.", {"type": "integer", "minimum": 0}),
    Parameter("limit", f"At most so many entries; more than {MAX_ENTRIES} is taken as {MAX_ENTRIES}.", {"type": "integer", "minimum": 0}),
)
INCLUSION_PARAMETERS: Final = (
    Parameter("index", "The entry's index.", {"type": "integer", "minimum": 0}),
    Parameter("size", "The size of the tree; its newest without it.", {"type": "integer", "minimum": 0}),
)
CONSISTENCY_PARAMETERS: Final = (
    Parameter("from", "The size of the smaller tree.", {"type": "integer", "minimum": 0}),
    Parameter("to", "The size of the larger tree; its newest without it.", {"type": "integer", "minimum": 0}),
)
ERASE_PARAMETERS: Final = (
    Parameter("start", "The index of the first entry whose side record goes.", {"type": "integer", "minimum": 0}),
    Parameter("stop", "The index of the first entry whose side record stays.", {"type": "integer", "minimum": 0}),
    Parameter("before", "An instant: what was made before it goes.", {"type": "string", "format": "date-time"}),
)
_PRIVATE: Final = {"cache-control": "private, no-cache", "vary": "Authorization"}
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


async def checkpoint(request: Request) -> Response:
    """Answer GET /audit/{organization}/checkpoint: the newest checkpoint, as a C2SP signed note."""
    organization = parse_organization(request.path_params["organization"])
    note = await call(request, lambda exchange: exchange.watch.latest(organization))
    return PlainTextResponse(note, headers={"cache-control": "no-cache"})


async def verifier(request: Request) -> Response:
    """Answer GET /audit/{organization}/verifier: the public key of the log as a C2SP verifier key."""
    organization = parse_organization(request.path_params["organization"])
    return json_response(await call(request, lambda exchange: VerifierShape(verifier=str(exchange.watch.published_verifier(organization)))))


async def keys(request: Request) -> Response:
    """Answer GET /audit/{organization}/keys: the log's first key, and how each handed over to the next."""
    organization = parse_organization(request.path_params["organization"])
    chain = await call(request, lambda exchange: exchange.watch.keys(organization))
    return json_response(KeysShape(first=str(chain.first), rotations=list(chain.notes)))


async def tile(request: Request) -> Response:
    """Answer GET /audit/{organization}/tile/{level}/{number}: hashes of the tree (C2SP tlog-tiles). What is given never changes."""
    organization = parse_organization(request.path_params["organization"])
    wanted = Tile.parse(request.path_params["level"], request.path_params["number"])
    hashes = await call(request, lambda exchange: exchange.prove.tile(organization, wanted))
    return Response(hashes, media_type="application/octet-stream", headers={"cache-control": _FOR_GOOD})


async def bundle(request: Request) -> Response:
    """Answer GET /audit/{organization}/tile/entries/{number}: entries, to the organization's auditors."""
    token, organization = bearer(request), parse_organization(request.path_params["organization"])
    wanted = Tile.parse("0", request.path_params["number"])
    found = await call(request, lambda exchange: exchange.prove.bundle(signed_in(exchange, token), organization, wanted))
    return Response(found, media_type="application/octet-stream", headers=_PRIVATE)


async def inclusion(request: Request) -> Response:
    """Answer GET /audit/{organization}/proof/inclusion?index=&size=."""
    given = parameters(request)
    organization = parse_organization(request.path_params["organization"])
    index, size = _whole(given, "index"), _optional(given, "size")
    proof = await call(request, lambda exchange: exchange.prove.inclusion(organization, index, size))
    shape = InclusionShape(
        origin=proof.origin,
        index=proof.index,
        size=proof.size,
        leaf=_base64(proof.leaf),
        root=_base64(proof.root),
        hashes=[_base64(each) for each in proof.hashes],
    )
    return json_response(shape)


async def consistency(request: Request) -> Response:
    """Answer GET /audit/{organization}/proof/consistency?from=&to=."""
    given = parameters(request)
    organization = parse_organization(request.path_params["organization"])
    old, new = _whole(given, "from"), _optional(given, "to")
    proof = await call(request, lambda exchange: exchange.prove.consistency(organization, old, new))
    shape = ConsistencyShape(
        origin=proof.origin,
        old_size=proof.old,
        new_size=proof.new,
        old_root=_base64(proof.old_root),
        new_root=_base64(proof.new_root),
        hashes=[_base64(each) for each in proof.hashes],
    )
    return json_response(shape)


async def receipt(request: Request) -> Response:
    """Answer GET /audit/{organization}/receipts/{index}: an entry of one's own with its proof, as a C2SP tlog-proof."""
    token, organization = bearer(request), parse_organization(request.path_params["organization"])
    index = _whole({"index": request.path_params["index"]}, "index")
    text = await call(request, lambda exchange: exchange.prove.receipt(signed_in(exchange, token), organization, index))
    name = f'attachment; filename="{organization}-{index}.tlog-proof"'
    return PlainTextResponse(text, headers={**_PRIVATE, "content-disposition": name})


async def erase(request: Request) -> Response:
    """Answer DELETE /audit/{organization}/side-records?start=&stop=&before=."""
    given = parameters(request)
    token, organization = bearer(request), parse_organization(request.path_params["organization"])
    start, stop = _whole(given, "start", 0), _optional(given, "stop")
    before = parse_instant(given["before"], parameter="before") if "before" in given else None

    def act(exchange: Exchange) -> ErasureShape:
        erased = exchange.erase.erase(signed_in(exchange, token), organization, start=start, stop=stop, before=before)
        return ErasureShape(erased=erased.count, entry=erased.entry, gone=erased.gone)

    return json_response(await call(request, act))


async def witnessed(request: Request) -> Response:
    """Answer GET /witness/{organization}: the checkpoints that are kept for an organization's own server."""
    organization = parse_organization(request.path_params["organization"])
    return json_response(await call(request, lambda exchange: exchange.witness.kept(organization)))


async def witness(request: Request) -> Response:
    """Answer PUT /witness/{organization}: newer ones, where they go on from those."""
    token, organization = bearer(request), parse_organization(request.path_params["organization"])
    brought = await body(request, CheckpointCopyRequest)
    return json_response(await call(request, lambda exchange: exchange.witness.keep(signed_in(exchange, token), organization, brought)))


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
            entries=[EntryShape(index=index, data=_base64(data)) for index, data in run.entries],
        )

    return json_response(await call(request, read))


def _whole(given: dict[str, str], parameter: str, default: int | None = None) -> int:
    text = given.get(parameter, "" if default is None else str(default))
    if text.isascii() and text.isdigit() and len(text) < 16:  # noqa: PLR2004 -- below 2^53
        return int(text)
    raise Invalid("invalid_request", f"{parameter} is not a whole number.", places=(Place(parameter, "a whole number from 0"),))


def _optional(given: dict[str, str], parameter: str) -> int | None:
    return _whole(given, parameter) if parameter in given else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
