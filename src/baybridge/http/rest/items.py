"""Rows: the query string parsed into one frozen Request, and a page printed as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from baybridge.disclose import Answer, Ask, Encodable, Request, SortKey, Stop, UsedColumn
from baybridge.errors import Advice, Invalid, Place
from baybridge.http.cursors import Cursor, Cursors, question_hash
from baybridge.http.faces import bearer, caller, parameters, serving
from baybridge.http.sending import AnswerResponse, answering
from baybridge.names import DatasetName, parse_purpose
from baybridge.terms import cql2
from baybridge.wire.collections import ItemsShape
from baybridge.wire.shape import LinkShape

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000
PARAMETERS: Final = ("filter", "filter-lang", "properties", "sortby", "limit", "cursor", "f")
_MAX_NAMES: Final = 2000


@dataclass(frozen=True, slots=True)
class Named:
    """A column in a list of names, with its sign and the 1-based character where it stands."""

    name: str
    sign: str
    position: int


async def items(request: HttpRequest) -> Response:
    """Answer GET .../items and .../versions/{n}/items."""
    here = serving(request)
    token = bearer(request)
    read = parse(request, here.cursors)
    exchange = here.exchange

    def ask(stop: Stop) -> Answer:
        with exchange.disclose.counting_strangers(read):
            principal = caller(exchange, token)
        return exchange.disclose.read(read, principal, stop)

    seconds = exchange.settings.question_seconds
    answer = await answering(request, ask, threads=here.threads, watchers=here.watchers, seconds=seconds)
    return AnswerResponse(answer, path_is_version="version" in request.path_params, watchers=here.watchers)


def parse(request: HttpRequest, cursors: Cursors) -> Request:
    """Read the whole request. Raise Invalid for anything that is not understood; nothing is ever ignored."""
    given = parameters(request, PARAMETERS)
    dataset = DatasetName.parse(request.path_params["dataset"])
    _only(given, "f", "json")
    _only(given, "filter-lang", "cql2-text")
    row_filter = cql2.parse(given["filter"]) if "filter" in given else None
    properties = _names(given.get("properties"), "properties")
    sort = _names(given.get("sortby"), "sortby")
    _require_distinct(properties, "properties")
    _require_distinct(sort, "sortby")
    if any(each.sign for each in properties):
        raise Invalid("invalid_request", "properties takes names without a sign.", places=(Place("properties", "names only"),))
    limit = _limit(given.get("limit"))
    question = question_hash(
        str(dataset),
        "" if row_filter is None else cql2.to_text(row_filter),
        *(each.name for each in properties),
        "sortby",
        *(f"{each.sign or '+'}{each.name}" for each in sort),
    )
    path_version = request.path_params.get("version")
    cursor = cursors.open(given["cursor"], question=question) if "cursor" in given else None
    if cursor is not None and path_version not in (None, cursor.version):
        raise Invalid("cursor_invalid", "The cursor belongs to another version.", places=(Place("cursor", "another version"),))
    address = _Address(request.url.path, tuple((name, value) for name, value in sorted(given.items()) if name != "cursor"))
    return Request(
        ask=Ask(
            dataset=dataset,
            columns=tuple(UsedColumn(each.name, "properties", each.position) for each in properties)
            + tuple(UsedColumn(each.name, "sortby", each.position) for each in sort),
            row_filter=row_filter,
            purpose=_header(request, "baybridge-purpose"),
            agreement=request.headers.get("baybridge-agreement"),
        ),
        version=path_version if cursor is None else cursor.version,
        sort=tuple(SortKey(each.name, each.sign == "-") for each in sort),
        limit=limit,
        after=None if cursor is None else cursor.row,
        cursor_extract=None if cursor is None else cursor.extract,
        known=frozenset(_etags(request.headers.get("if-none-match", ""))),
        representation=address.text(),
        channel="rest",
        encode=_Encoder(address, question, cursors),
    )


@dataclass(frozen=True, slots=True)
class _Address:
    path: str
    query: tuple[tuple[str, str], ...]

    def text(self, cursor: str | None = None) -> str:
        query = (*self.query, ("cursor", cursor)) if cursor is not None else self.query
        return quote(self.path) + ("?" + urlencode(query) if query else "")


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Prints a page as JSON, with a link to the next."""

    address: _Address
    question: str
    cursors: Cursors

    def __call__(self, encodable: Encodable) -> bytes:
        names = tuple(encodable.types)
        links = [LinkShape(rel="self", href=self.address.text())]
        if encodable.page.next is not None:
            cursor = Cursor(encodable.version, encodable.extract, self.question, encodable.page.next)
            links.append(LinkShape(rel="next", href=self.address.text(self.cursors.seal(cursor))))
        rows = [dict(zip(names, row, strict=True)) for row in encodable.page.rows]
        return msgspec.json.encode(ItemsShape(version=encodable.version, items=rows, links=links))


def _names(text: str | None, parameter: str) -> tuple[Named, ...]:
    """A comma-separated list of names; a name with a comma, a quote or spaces at its ends is written in double quotes."""
    if text is None:
        return ()
    found: list[Named] = []
    start = 0
    for part in _parts(text):
        named = _name(part)
        if named is None or len(found) >= _MAX_NAMES:
            raise Invalid(
                "invalid_request",
                f"{parameter} is not a comma-separated list of names.",
                places=(Place(parameter, "a name, or a name in double quotes", start + 1),),
            )
        found.append(Named(named[1], named[0], start + 1))
        start += len(part) + 1
    return tuple(found)


def _parts(text: str) -> list[str]:
    """The text cut at the commas that stand outside double quotes: time grows with the text and no faster."""
    parts = [""]
    quoted = False
    for piece in text.split(","):
        parts[-1] += ("," if quoted else "") + piece
        quoted ^= piece.count('"') % 2 == 1
        if not quoted:
            parts.append("")
    return parts if quoted else parts[:-1]


def _name(part: str) -> tuple[str, str] | None:
    """The sign and the name of one part, or None where it is neither a bare name nor one in double quotes."""
    stripped = part.strip()
    sign = stripped[:1] if stripped[:1] in {"+", "-"} else ""
    name = stripped[len(sign) :]
    if len(name) > 1 and name[0] == name[-1] == '"':
        inner = name[1:-1]
        name = inner.replace('""', '"')
        return (sign, name) if name and '"' not in inner.replace('""', "") else None
    return (sign, name) if name and '"' not in name and name == name.strip() else None


def _require_distinct(names: tuple[Named, ...], parameter: str) -> None:
    seen: set[str] = set()
    for each in names:
        if each.name in seen:
            raise Invalid("invalid_request", f"{parameter} names a column twice.", places=(Place(parameter, "named twice", each.position),))
        seen.add(each.name)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise Invalid(
        "invalid_request",
        "limit is not a number of rows that a page can have.",
        advice=Advice(rule=f"A page has 1 to {MAX_LIMIT} rows.", who_can_change="you", next_step="Follow the link `next` for more rows."),
        places=(Place("limit", f"a whole number from 1 to {MAX_LIMIT}"),),
    )


def _only(given: dict[str, str], parameter: str, value: str) -> None:
    if given.get(parameter, value) != value:
        raise Invalid("invalid_request", f"{parameter} takes {value} here.", places=(Place(parameter, f"only {value}"),))


def _header(request: HttpRequest, name: str) -> str | None:
    text = request.headers.get(name)
    return None if text is None else parse_purpose(text, parameter="Baybridge-Purpose")


def _etags(header: str) -> list[str]:
    """The entity tags of If-None-Match (RFC 9110, section 13.1.2); weak ones compare as their strong twins do for GET."""
    return [tag.strip().removeprefix("W/") for tag in header.split(",") if tag.strip()]
