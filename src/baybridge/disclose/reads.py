"""What is read, and what may leave: a page, a whole answer, or an examination of one version or two. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from baybridge.audit.entry import JSON
from baybridge.data.engines.duckdb import Page, SortKey
from baybridge.disclose.question import Question
from baybridge.disclose.stream import Lines
from baybridge.policy.decision import Ask, Grant
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, column_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What is read, whatever face it came through. `known` are the ETags that the caller has.

    `representation` names path, parameters and format, so that two answers with one ETag are one sequence of bytes. `bodiless` is a
    question for the headers alone: it is decided and entered, and nothing is computed.
    """

    ask: Ask
    version: int | None
    known: frozenset[str]
    representation: str
    channel: str
    bodiless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Read):
    """A page of rows. `after` (a `_row`) and `cursor_extract` come from a cursor.

    `encode` makes the body from a page; it is called before the entry is written, because the entry holds the body's SHA-256.
    """

    sort: tuple[SortKey, ...]
    limit: int
    after: int | None
    cursor_extract: str | None
    encode: Callable[[Encodable], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest(Read):
    """A whole answer, or its first `limit` rows. `begin` gives the format over the columns that leave."""

    sort: tuple[SortKey, ...]
    limit: int | None
    begin: Callable[[Mapping[str, ColumnType]], Lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination(Read):
    """Another kind of question than for rows: about one version, or where `since` is given, about two."""

    since: int | None
    question: Question
    after: int | None = None
    cursor_extract: str | None = None


@dataclass(frozen=True, slots=True)
class Encodable:
    """What a face makes a body of: a page of one version's extract, and the names and types of its columns."""

    version: int
    extract: str
    types: dict[str, ColumnType]
    page: Page


@dataclass(frozen=True, slots=True)
class Answer:
    """What may leave now. `body` is None where it is `unchanged` (a 304), or where the headers alone were asked for; it has no `rows` then.

    `agreement` is the id of the one that it leaves under; owners and the public read without. `entry` is None for a public dataset, whose
    reads are not entered.

    `stands` says whether the grant still holds: a face that is still sending asks every 250 ms, and resets the connection on False.
    """

    body: bytes | None
    rows: int
    etag: str
    version: int
    governed: bool
    organization: str
    agreement: str | None
    entry: int | None
    stands: Callable[[], bool]
    unchanged: bool = False


def columns_of(request: Request | StreamRequest, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    """The columns that leave: those asked for, or all."""
    return tuple(dict.fromkeys(column.name for column in request.ask.columns if column.parameter == "properties")) or tuple(types)


def question_of(request: Read, grant: Grant) -> tuple[dict[str, JSON], tuple[str, ...]]:
    """The question as its side record keeps it, and the columns that it gives out, filters or sorts by."""
    types = grant.projection.types
    if isinstance(request, Examination):
        return request.question.facts(), tuple(types)
    if not isinstance(request, Request | StreamRequest):
        raise TypeError("a read is a page, a stream or an examination")
    columns, row_filter = columns_of(request, types), request.ask.row_filter
    filtered = () if row_filter is None else cql2.properties_of(row_filter)
    question: dict[str, JSON] = {
        "after": request.after if isinstance(request, Request) else None,
        "columns": list(columns),
        "filter": None if row_filter is None else cql2.to_text(row_filter),
        "limit": request.limit,
        "sort": [("-" if key.descending else "") + key.column for key in request.sort],
    }
    return question, tuple(
        dict.fromkeys([*columns, *(column_of(each.name, types) for each in filtered), *(key.column for key in request.sort)])
    )
