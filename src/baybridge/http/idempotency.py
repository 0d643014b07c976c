"""Idempotency-Key on requests that make or move something: the same request sent again gets the answer of the first."""

from __future__ import annotations

import hashlib

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from baybridge.errors import CODES, Advice, BaybridgeError, Conflict
from baybridge.exchange import Exchange
from baybridge.http.contract import Address
from baybridge.http.faces import bearer, call, chunks, signed_in
from baybridge.operate.replies import Kept, Reply, key_reused

HEADER = "idempotency-key"


class _Hashing:
    """The body on its way to the handler, and its SHA-256."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._sha256 = hashlib.sha256()
        self._ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._sha256.update(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message

    async def digest(self) -> str:
        """Of all that was sent, also of what the handler had no use for."""
        while not self._ended:
            await self()
        return self._sha256.hexdigest()


async def once(address: Address, request: Request) -> Response:
    """Do the request unless its key says that it was done. Only what was done is kept: an error did nothing, and frees its key.

    Of an error of the server it is not known what was done before it, nor where the catalog was lost: the key stays taken, without an
    answer.
    """
    key, token = request.headers[HEADER], bearer(request)
    asked = f"{request.method} {request.url.path}?{request.url.query}"

    def reserve(exchange: Exchange) -> str | Kept:
        return exchange.replies.reserve(signed_in(exchange, token), key, asked)

    reserved = await call(request, reserve)
    if isinstance(reserved, Kept):
        return await _again(reserved, request)
    body = _Hashing(request.receive)
    try:
        answer = await address.handler(Request(request.scope, body))
    except (BaybridgeError, ClientDisconnect) as error:
        if isinstance(error, BaybridgeError) and (error.facts.status == CODES["internal"].status or error.code == "catalog_unavailable"):
            await call(request, lambda exchange: exchange.replies.leave_open(reserved))
        else:
            await call(request, lambda exchange: exchange.replies.release(reserved))
        raise
    except BaseException:
        request.app.state.serving.exchange.replies.leave_open(reserved)
        raise
    if answer.status_code == next(iter(address.gives)):
        kept = bytes(answer.body) if address.kept else None
        reply = Kept(await body.digest(), Reply(answer.status_code, answer.media_type, kept))
        await call(request, lambda exchange: exchange.replies.keep(reserved, reply))
    else:
        await call(request, lambda exchange: exchange.replies.release(reserved))
    return answer


async def _again(kept: Kept, request: Request) -> Response:
    """The kept answer, to the same body only."""
    sent = hashlib.sha256()
    async for chunk in chunks(request):
        sent.update(chunk)
    if sent.hexdigest() != kept.body_sha256:
        raise key_reused()
    if kept.reply.body is None:
        raise Conflict(
            "conflict",
            "The request was done before, and its answer holds a secret that is shown once.",
            advice=Advice(
                rule="A secret is shown once and not kept.",
                who_can_change="you",
                next_step="If the answer did not arrive, send the request with a new key, and revoke what the first one made.",
            ),
        )
    headers = {"cache-control": "private, no-cache", "vary": "Authorization", "idempotency-replayed": "true"}
    return Response(kept.reply.body, kept.reply.status, headers=headers, media_type=kept.reply.media_type)
