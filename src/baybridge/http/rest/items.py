"""Rows: a question parsed into one frozen Request, and a page printed as JSON. Here it comes in a query string, in `queries` in a body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, Self
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from baybridge.disclose import Answer, Ask, Encodable, Examination, Request, SortKey, Stop, Stream, StreamRequest, UsedColumn
from baybridge.errors import Advice, Invalid, Place
from baybridge.http.contract import Parameter
from baybridge.http.cursors import Cursor, Cursors, question_hash
from baybridge.http.faces import bearer, caller, parameters, serving
from baybridge.http.rest.formats import FORMATS, PAGES, Format, negotiate
from baybridge.http.sending import AnswerResponse, StreamResponse, answering
from baybridge.names import DatasetName, parse_purpose
from baybridge.principals.principal import Principal
from baybridge.terms import cql2
from baybridge.wire.collections import ItemsShape
from baybridge.wire.shape import LinkShape

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000
HEADERS: Final = (
    Parameter("Baybridge-Purpose", "The purpose of this read; without it, the one that the token is bound to.", place="header"),
    Parameter("Baybridge-Agreement", "The agreement to read under, where several fit.", place="header"),
)
PARAMETERS: Final = (
    Parameter("filter", "Which rows, as a filter."),
    Parameter("filter-lang", "The language of the filter.", {"type": "string", "enum": ["cql2-text", "cql2-json"]}),
    Parameter("properties", "Which columns, parted by commas, in this order; all that are released without it."),
    Parameter("sortby", "The order: columns parted by commas, `-` before a name for descending."),
    Parameter("limit", f"Rows on a page, at most {MAX_LIMIT}; of a stream, all without it.", {"type": "integer", "minimum": 1}),
    Parameter("cursor", "Where the walk stands; only from a link `next`."),
    Parameter("f", "The format, where Accept does not say it.", {"type": "string", "enum": [PAGES, *FORMATS]}),
    *HEADERS,
    Parameter("If-None-Match", "ETags that the caller has.", place="header"),
)
MAX_NAMES: Final = 2000
_MAX_STREAM_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Named:
    """A column in a list of names, with its sign and the 1-based character where it stands."""

    name: str
    sign: str
    position: int


async def items(request: HttpRequest) -> Response:
    """Answer GET .../items and .../versions/{n}/items: a page as JSON, or the whole answer as a stream of another format."""
    given = parameters(request)
    token = bearer(request)
    streamed = negotiate(given.get("f"), request.headers.get("accept"))
    return await rows(request, lambda: _asked(request, given), streamed, token)


async def rows(request: HttpRequest, parse: Callable[[], Asked], streamed: Format | None, token: str | None) -> Response:
    """Bring a question for rows to the door: for a page, or for a stream of that format."""
    here = serving(request)
    if streamed is None:
        return await reading(request, lambda: _page(parse(), here.cursors), token, channel="rest")

    def ask(stop: Stop) -> Answer | Stream:
        principal = reader(request, token, "rest")
        with sending.crew.parsing:
            whole = _stream(parse(), streamed)
        return here.exchange.disclose.stream(whole, principal, stop)

    sending = here.sending(request, seconds=here.exchange.settings.stream_seconds)
    leaving = await answering(request, ask, sending=sending)
    if isinstance(leaving, Answer):
        return AnswerResponse(leaving, sending=sending, media_type=streamed.media_type)
    return StreamResponse(leaving, media_type=streamed.media_type, sending=sending)


async def reading(request: HttpRequest, parse: Callable[[], Request | Examination], token: str | None, *, channel: str) -> Response:
    """Bring a question to the door, and send what comes back.

    It is parsed in the thread that asks, and only for a token that is valid: parsing a large filter takes its turn too.
    """
    here = serving(request)

    def ask(stop: Stop) -> Answer:
        principal = reader(request, token, channel)
        with sending.crew.parsing:
            read = parse()
        return here.exchange.disclose.read(read, principal, stop)

    sending = here.sending(request, seconds=here.exchange.settings.answer_seconds)
    return AnswerResponse(await answering(request, ask, sending=sending), sending=sending)


def reader(request: HttpRequest, token: str | None, channel: str) -> Principal | None:
    """Who reads; None without a token. A token that is not valid is refused, and counted: there is no one to enter."""
    exchange = serving(request).exchange
    with exchange.disclose.counting_strangers(DatasetName.parse(request.path_params["dataset"]), channel):
        return caller(exchange, token)


class Source(Protocol):
    """How a question came: what tells it from all others, and the links to it and to its next page."""

    def text(self) -> str:
        """The question without its cursor."""

    def links(self, cursor: str | None) -> list[LinkShape]:
        """The links to the question, and with a cursor to its next page."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of rows, whichever way it came. `limit` and `cursor` are not read yet: pages and streams differ in them.

    `bodiless` says that the headers alone are asked for.
    """

    ask: Ask
    version: int | None
    sort: tuple[SortKey, ...]
    limit: str | None
    cursor: str | None
    known: frozenset[str]
    bodiless: bool
    source: Source


def _page(asked: Asked, cursors: Cursors) -> Request:
    """The request of a page. Raise Invalid for anything that is not understood; nothing is ever ignored."""
    question = question_hash(
        str(asked.ask.dataset),
        "" if asked.ask.row_filter is None else cql2.to_text(asked.ask.row_filter),
        *(each.name for each in asked.ask.columns if each.parameter == "properties"),
        "sortby",
        *(f"{'-' if each.descending else '+'}{each.column}" for each in asked.sort),
    )
    cursor = cursors.open(asked.cursor, question=question) if asked.cursor is not None else None
    if cursor is not None and asked.version not in (None, cursor.version):
        raise Invalid("cursor_invalid", "The cursor belongs to another version.", places=(Place("cursor", "another version"),))
    return Request(
        ask=asked.ask,
        version=asked.version if cursor is None else cursor.version,
        sort=asked.sort,
        limit=page_limit(asked.limit),
        after=None if cursor is None else cursor.row,
        cursor_extract=None if cursor is None else cursor.extract,
        known=asked.known,
        representation=asked.source.text(),
        channel="rest",
        bodiless=asked.bodiless,
        encode=_Encoder(asked.source, question, cursors),
    )


def _stream(asked: Asked, streamed: Format) -> StreamRequest:
    """The request of a stream: it has no cursor, and its limit is any number of rows, or none."""
    if asked.cursor is not None:
        raise Invalid("invalid_request", "A stream has no pages.", places=(Place("cursor", f"leave it out with f={streamed.name}"),))
    return StreamRequest(
        ask=asked.ask,
        version=asked.version,
        sort=asked.sort,
        limit=_stream_limit(asked.limit),
        known=asked.known,
        representation=f"{streamed.name} {asked.source.text()}",
        channel="rest",
        bodiless=asked.bodiless,
        begin=streamed.begin,
    )


def _asked(request: HttpRequest, given: dict[str, str]) -> Asked:
    properties = _names(given.get("properties"), "properties")
    if any(each.sign for each in properties):
        raise Invalid("invalid_request", "properties takes names without a sign.", places=(Place("properties", "names only"),))
    sort = _names(given.get("sortby"), "sortby")
    return Asked(
        ask=ask_of(request, properties, sort, _filter(given)),
        version=request.path_params.get("version"),
        sort=sort_keys(sort),
        limit=given.get("limit"),
        cursor=given.get("cursor"),
        known=frozenset(known_etags(request.headers.get("if-none-match", ""))),
        bodiless=request.method == "HEAD",
        source=Address.of(request, given),
    )


def ask_of(request: HttpRequest, properties: tuple[Named, ...], sort: tuple[Named, ...], row_filter: cql2.Filter | None) -> Ask:
    """What the decision needs to know. Raise Invalid for a column that is named twice."""
    _require_distinct(properties, "properties")
    _require_distinct(sort, "sortby")
    return Ask(
        dataset=DatasetName.parse(request.path_params["dataset"]),
        columns=tuple(UsedColumn(each.name, "properties", each.position) for each in properties)
        + tuple(UsedColumn(each.name, "sortby", each.position) for each in sort),
        row_filter=row_filter,
        purpose=purpose_of(request),
        agreement=request.headers.get("baybridge-agreement"),
    )


def sort_keys(sort: tuple[Named, ...]) -> tuple[SortKey, ...]:
    """The order that the names and their signs say."""
    return tuple(SortKey(each.name, each.sign == "-") for each in sort)


def _filter(given: dict[str, str]) -> cql2.Filter | None:
    language = given.get("filter-lang", "cql2-text")
    if language not in {"cql2-text", "cql2-json"}:
        places = (Place("filter-lang", "only cql2-text or cql2-json"),)
        raise Invalid("invalid_request", "filter-lang is not a language of filters here.", places=places)
    if "filter" not in given:
        return None
    if language == "cql2-text":
        return cql2.parse(given["filter"])
    # Half a surrogate pair cannot come out of a query string, and would be no JSON.
    return cql2.from_json(given["filter"].encode(errors="replace"), max_bytes=cql2.MAX_BYTES)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a question without its cursor, and with one."""

    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, request: HttpRequest, given: dict[str, str]) -> Self:
        """The address of this request; its parameters in one order, whatever order they came in."""
        return cls(request.url.path, tuple((name, value) for name, value in sorted(given.items()) if name != "cursor"))

    def text(self, cursor: str | None = None) -> str:
        """The address as it stands in a link."""
        query = (*self.query, ("cursor", cursor)) if cursor is not None else self.query
        return quote(self.path) + ("?" + urlencode(query) if query else "")

    def links(self, cursor: str | None) -> list[LinkShape]:
        """The links to this address, and with a cursor to its next page."""
        itself = LinkShape(rel="self", href=self.text())
        return [itself] if cursor is None else [itself, LinkShape(rel="next", href=self.text(cursor))]


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Prints a page as JSON, with a link to the next."""

    source: Source
    question: str
    cursors: Cursors

    def __call__(self, encodable: Encodable) -> bytes:
        names = tuple(encodable.types)
        after = encodable.page.next
        cursor = None if after is None else self.cursors.seal(Cursor(encodable.version, encodable.extract, self.question, after))
        rows = [dict(zip(names, row, strict=True)) for row in encodable.page.rows]
        return msgspec.json.encode(ItemsShape(version=encodable.version, items=rows, links=self.source.links(cursor)))


def _names(text: str | None, parameter: str) -> tuple[Named, ...]:
    """A comma-separated list of names; a name with a comma, a quote or spaces at its ends is written in double quotes."""
    if text is None:
        return ()
    found: list[Named] = []
    start = 0
    for part in _parts(text):
        named = _name(part)
        if named is None or len(found) >= MAX_NAMES:
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


def page_limit(text: str | None) -> int:
    """How many rows a page has. Raise Invalid for a number that no page can have."""
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


def _stream_limit(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MAX_STREAM_DIGITS and int(text):
        return int(text)
    raise Invalid("invalid_request", "limit is not a number of rows.", places=(Place("limit", "a whole number above 0"),))


def purpose_of(request: HttpRequest) -> str | None:
    """The purpose that the request names in its header, if any."""
    text = request.headers.get("baybridge-purpose")
    return None if text is None else parse_purpose(text, parameter="Baybridge-Purpose")


def known_etags(header: str) -> list[str]:
    """The entity tags of If-None-Match (RFC 9110, section 13.1.2); weak ones compare as their strong twins do for GET."""
    return [tag.strip().removeprefix("W/") for tag in header.split(",") if tag.strip()]
