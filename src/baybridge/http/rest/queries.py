"""Rows asked for by POST: the body parsed into the question that a query string would ask, where that would be too long."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from baybridge.errors import Invalid, Place
from baybridge.http.faces import bearer, body
from baybridge.http.rest.formats import negotiate
from baybridge.http.rest.items import MAX_NAMES, Asked, Named, ask_of, rows, sort_keys
from baybridge.terms import cql2
from baybridge.wire.collections import QueryLinkShape, QueryRequest
from baybridge.wire.shape import LinkShape


async def query(request: HttpRequest) -> Response:
    """Answer POST .../items/query: what GET .../items answers to the same question. It knows no If-None-Match, which is for GET."""
    token = bearer(request)
    given = await body(request, QueryRequest)
    return await rows(request, lambda: _asked(request, given), negotiate(given.f, request.headers.get("accept")), token)


def _asked(request: HttpRequest, given: QueryRequest) -> Asked:
    sort = _names([(each[1:], each[0]) if each[:1] in {"+", "-"} else (each, "") for each in given.sortby or ()], "sortby")
    properties = _names([(each, "") for each in given.properties or ()], "properties")
    if given.properties is not None and not properties:
        raise Invalid("invalid_request", "properties names no column.", places=(Place("properties", "leave it out for all columns"),))
    return Asked(
        ask=ask_of(request, properties, sort, _filter(given)),
        version=request.path_params.get("version"),
        sort=sort_keys(sort),
        limit=None if given.limit is None else str(given.limit),
        cursor=given.cursor,
        known=frozenset(),
        bodiless=False,
        source=_Body.of(request, given),
    )


def _names(given: list[tuple[str, str]], member: str) -> tuple[Named, ...]:
    """Names and their signs, as they are: no quotes are needed in JSON. Their place is their number in the list."""
    if len(given) > MAX_NAMES or not all(name for name, _ in given):
        raise Invalid("invalid_request", f"{member} is not a list of columns' names.", places=(Place(member, "names of columns"),))
    return tuple(Named(name, sign, number) for number, (name, sign) in enumerate(given, start=1))


def _filter(given: QueryRequest) -> cql2.Filter | None:
    document = bytes(given.filter)
    if document in {b"", b"null"}:
        return None
    is_text = document.startswith(b'"')
    if given.filter_lang not in {None, "cql2-text" if is_text else "cql2-json"}:
        places = (Place("filter-lang", "cql2-text for a text, cql2-json for an object"),)
        raise Invalid("invalid_request", "filter-lang is not the language of this filter.", places=places)
    if not is_text:
        return cql2.from_json(document)
    try:
        text = msgspec.json.decode(document, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid("invalid_request", "filter is no text of JSON.", places=(Place("filter", "not UTF-8, or half a pair"),)) from wrong
    return cql2.parse(text, max_bytes=cql2.MAX_JSON_BYTES)


@dataclass(frozen=True, slots=True)
class _Body:
    """A question in a body: its address, and a digest of what it asks, because it is too long for a link."""

    path: str
    sha256: str

    @classmethod
    def of(cls, request: HttpRequest, given: QueryRequest) -> _Body:
        """The question of this request, whatever cursor it has."""
        asked = msgspec.json.encode(msgspec.structs.replace(given, cursor=None))
        return cls(quote(request.url.path), hashlib.sha256(asked).hexdigest())

    def text(self) -> str:
        """What tells the question from all others."""
        return f"POST {self.path} {self.sha256}"

    def links(self, cursor: str | None) -> list[LinkShape]:
        """The links to the question, and with a cursor to its next page: the body again, with what the link has put into it."""
        itself = QueryLinkShape(rel="self", href=self.path, body={})
        return [itself] if cursor is None else [itself, QueryLinkShape(rel="next", href=self.path, body={"cursor": cursor})]
