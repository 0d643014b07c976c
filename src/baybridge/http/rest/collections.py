"""Datasets: listed, described, declared and published. Names and schemas are public unless hidden; counts of governed ones are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from baybridge.catalog.dataset import Mode, parse_access, parse_mode
from baybridge.catalog.schema import parse_table_schema, queryables_schema, to_table_schema
from baybridge.errors import Advice, Conflict, Invalid, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.faces import bearer, body, call, call_with_upload, caller, expected, json_response, parameters, signed_in, upload, yes
from baybridge.http.problems import problem_response
from baybridge.http.shapes import collection_shape, publish_report, purge_shape, version_shape
from baybridge.names import DatasetName
from baybridge.operate.look import Described, History
from baybridge.principals.principal import Principal
from baybridge.publish import Declaration, Publication, Upload
from baybridge.publish.reading import ASPECTS, parse_wanted
from baybridge.publish.threshold import parse_let_go
from baybridge.publish.withdraw import Withdraw
from baybridge.wire.collections import (
    CollectionsShape,
    DeclareRequest,
    PurgeRequest,
    PurgeShape,
    VersionsShape,
    WithdrawRequest,
)
from baybridge.wire.formats import Format, parse_format
from baybridge.wire.shape import LinkShape

PUBLISH_PARAMETERS: Final = (
    Parameter("null", "Words that mean no value, parted by commas, besides the empty cell."),
    Parameter("key", "The columns of the key, parted by commas."),
    Parameter("accept_schema", "Take the schema that the file's profile proposes.", {"type": "boolean"}),
    Parameter("dry_run", "Say what would happen, and change nothing.", {"type": "boolean"}),
    Parameter("accept_reading", "Take the reading of the file that is proposed.", {"type": "boolean"}),
    Parameter("encoding", "The file's encoding, as windows-1252."),
    Parameter("delimiter", "What parts cells: comma, semicolon, tab, pipe, or another sign."),
    Parameter("quote", "What stands around cells: double, single or none."),
    Parameter("escape", "How a quote inside quotes is written: doubled or backslash."),
    Parameter("line_end", "same, or any where LF, CRLF and CR are mixed."),
    Parameter("skip", "How many lines stand before the header.", {"type": "integer", "minimum": 0}),
    Parameter("header_rows", "How many rows name the columns.", {"type": "integer", "minimum": 0, "maximum": 3}),
    Parameter("footer", "How many records stand behind the rows.", {"type": "integer", "minimum": 0}),
    Parameter("names", "The columns' names, parted by commas, in place of the header's."),
    Parameter("max_rejects", "How many rows that do not fit may be left out: a number, or a percentage of the rows read as 0.5%."),
    Parameter("rejects_reason", "Why they may; needed with max_rejects."),
    Parameter("stop_on_warnings", "Publish nothing that is unlike the version before.", {"type": "boolean"}),
    Parameter("suspend", "Suspend the agreements that name a column which the version drops or retypes.", {"type": "boolean"}),
    Parameter("mode", "All rows, or what is appended, upserted or deleted by key.", {"type": "string", "enum": [*Mode]}),
    Parameter("sheet", "The sheet of an Excel workbook, where it has several."),
    Parameter("format", "The format of the file; without it, Content-Type says it.", {"type": "string", "enum": [*Format]}),
    Parameter("base", "The version that is changed: the latest, or nothing is.", {"type": "integer", "minimum": 1}),
)
MAX_LISTED: Final = 1000
LISTING_PARAMETERS: Final = (
    Parameter("limit", "How many are listed.", {"type": "integer", "minimum": 1, "maximum": MAX_LISTED}),
    Parameter("cursor", "Where the list goes on; only from a link `next`."),
)


async def listing(request: Request) -> Response:
    """Answer GET /collections?limit=&cursor=. The cursor is the id of the last dataset that was listed."""
    given = parameters(request)
    limit, after, token = _limit(given), given.get("cursor", ""), bearer(request)
    found = await call(request, lambda exchange: exchange.catalog.listing(caller(exchange, token), after=after, limit=limit))
    listed = [collection_shape(each) for each in found.datasets]
    return json_response(CollectionsShape(collections=listed, links=_links(request, given, listed[-1].id if found.more else None)))


async def describe(request: Request) -> Response:
    """Answer GET /collections/{dataset}."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    found = await call(request, lambda exchange: exchange.catalog.describe(caller(exchange, token), name))
    return _described(found)


async def schema(request: Request) -> Response:
    """Answer GET /collections/{dataset}/schema and .../versions/{n}/schema: a Frictionless Table Schema."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    number = request.path_params.get("version")
    found = await call(request, lambda exchange: exchange.catalog.schema(caller(exchange, token), name, number))
    return json_response(to_table_schema(found))


async def queryables(request: Request) -> Response:
    """Answer GET /collections/{dataset}/queryables: the columns that a filter may name, as JSON Schema (OGC API Features, part 3)."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    found = await call(request, lambda exchange: exchange.catalog.schema(caller(exchange, token), name, None))
    answer = json_response(queryables_schema(found, address=request.url.path, title=str(name)))
    answer.headers["content-type"] = "application/schema+json"
    return answer


async def versions(request: Request) -> Response:
    """Answer GET /collections/{dataset}/versions?limit=&cursor=. The cursor is the number of the last version that was listed."""
    given = parameters(request)
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    limit, before = _limit(given), _whole(given, "cursor", None)
    found = await call(request, lambda exchange: exchange.catalog.versions(caller(exchange, token), name, before=before, limit=limit))
    listed = [version_shape(each, public=found.public) for each in found.versions]
    links = _links(request, given, str(listed[-1].version) if found.more else None)
    return json_response(VersionsShape(id=str(name), versions=listed, links=links))


async def version(request: Request) -> Response:
    """Answer GET /collections/{dataset}/versions/{n}."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    number = request.path_params["version"]
    found = await call(request, lambda exchange: exchange.catalog.version(caller(exchange, token), name, number))
    return _shown(found)


async def declare(request: Request) -> Response:
    """Answer PUT /collections/{dataset}."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    asked = await body(request, DeclareRequest)
    state = expected(request)

    def act(exchange: Exchange) -> Described:
        principal = signed_in(exchange, token)
        declaration = Declaration(
            title=asked.title,
            description=asked.description,
            access=None if asked.access is None else parse_access(asked.access),
            schema=None if asked.schema is None else parse_table_schema(asked.schema),
            schema_change=asked.schema_change,
            hidden=asked.hidden,
            invited=None if asked.invited is None else tuple(asked.invited),
            expected=state,
        )
        exchange.publish.declare(principal, name, declaration)
        return exchange.catalog.describe(principal, name)

    return _described(await call(request, act))


async def publish(request: Request) -> Response:
    """Answer POST /collections/{dataset}/versions: the body is the file, read as it arrives."""
    given = parameters(request)
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    loop = asyncio.get_running_loop()
    sent = Upload(
        chunks=upload(request, loop),
        null_words=("", *(word for word in given.get("null", "").split(",") if word)),
        key=tuple(name for name in given.get("key", "").split(",") if name),
        accept_schema=yes(given, "accept_schema"),
        dry_run=yes(given, "dry_run"),
        suspend=yes(given, "suspend"),
        expected=expected(request),
        mode=parse_mode(given.get("mode", Mode.REPLACE)),
        base=_whole(given, "base", None),
        sheet=given.get("sheet"),
        wanted=parse_wanted({each: given[each] for each in ASPECTS if each in given}, accept=yes(given, "accept_reading")),
        file_format=parse_format(given.get("format"), request.headers.get("content-type")),
        let_go=parse_let_go(given.get("max_rejects"), given.get("rejects_reason")),
        stop_on_warnings=yes(given, "stop_on_warnings"),
    )

    def act(exchange: Exchange) -> Publication:
        return exchange.publish.publish(signed_in(exchange, token), name, sent)

    publication = await call_with_upload(request, act)
    report = publish_report(publication)
    why = why_not(publication, sent)
    if why is not None:
        return problem_response(request, why, report=report)
    return json_response(report, status=200 if sent.dry_run else 201)


async def withdraw(request: Request) -> Response:
    """Answer POST /collections/{dataset}/withdraw and .../versions/{n}/withdraw."""
    asked, state = await body(request, WithdrawRequest), expected(request)
    return await _moved(request, lambda verb, principal, name, number: verb.withdraw(principal, name, number, asked.reason, expected=state))


async def restore(request: Request) -> Response:
    """Answer POST /collections/{dataset}/restore and .../versions/{n}/restore."""
    state = expected(request)
    return await _moved(request, lambda verb, principal, name, number: verb.restore(principal, name, number, expected=state))


async def purge(request: Request) -> Response:
    """Answer POST /collections/{dataset}/purge and .../versions/{n}/purge: the plan, or with its digest the deed."""
    name, number, token = DatasetName.parse(request.path_params["dataset"]), request.path_params.get("version"), bearer(request)
    asked = await body(request, PurgeRequest)

    def act(exchange: Exchange) -> PurgeShape:
        principal = signed_in(exchange, token)
        if asked.plan_sha256 is None:
            return purge_shape(exchange.purge.plan(principal, name, number), purged=False)
        plan = exchange.purge.purge(principal, name, number, reason=asked.reason, plan_sha256=asked.plan_sha256)
        return purge_shape(plan, purged=True)

    return json_response(await call(request, act))


async def _moved(request: Request, verb: Callable[[Withdraw, Principal, DatasetName, int | None], None]) -> Response:
    """Withdraw or restore, and answer with what it is about: the version, or the dataset."""
    name, number, token = DatasetName.parse(request.path_params["dataset"]), request.path_params.get("version"), bearer(request)

    def act(exchange: Exchange) -> Response:
        principal = signed_in(exchange, token)
        verb(exchange.withdraw, principal, name, number)
        if number is None:
            return _described(exchange.catalog.describe(principal, name))
        return _shown(exchange.catalog.version(principal, name, number))

    return await call(request, act)


def _described(found: Described) -> Response:
    return json_response(collection_shape(found), tag=found.dataset.tag())


def _shown(found: History) -> Response:
    (version,) = found.versions
    return json_response(version_shape(version, public=found.public), tag=version.tag())


def _limit(given: dict[str, str]) -> int:
    limit = _whole(given, "limit", MAX_LISTED)
    if limit is not None and 1 <= limit <= MAX_LISTED:
        return limit
    rule = f"a whole number from 1 to {MAX_LISTED}"
    raise Invalid("invalid_request", f"limit is {rule}.", places=(Place("limit", rule),))


def _whole(given: dict[str, str], parameter: str, default: int | None) -> int | None:
    text = given.get(parameter)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 -- below 2^31, as version numbers are
        return int(text)
    raise Invalid("invalid_request", f"{parameter} is a whole number.", places=(Place(parameter, "a whole number"),))


def _links(request: Request, given: dict[str, str], cursor: str | None) -> list[LinkShape]:
    """The link `next`, where there is more."""
    if cursor is None:
        return []
    return [LinkShape(rel="next", href=f"{request.url.path}?{urlencode({**given, 'cursor': cursor})}")]


def why_not(publication: Publication, sent: Upload) -> Conflict | None:
    """The error of a publication that was to be made and is not; None where it is, and for a dry run. No value is in it."""
    if sent.dry_run:
        return None
    if publication.stopped:
        return _stopped(publication)
    return _rows_rejected(publication) if publication.blocked else None


def _stopped(publication: Publication) -> Conflict:
    return Conflict(
        "warnings_found",
        "The file is unlike the version before; nothing was published.",
        advice=Advice(
            rule="With stop_on_warnings nothing is published that is unlike the version before.",
            who_can_change="you",
            next_step="Look at the warnings of the report. Where they are right, publish the file without stop_on_warnings.",
            next_command=f"baybridge publish {publication.dataset} FILE",
        ),
        places=tuple(Place(each.column or "rows", each.rule) for each in publication.warnings),
    )


def _rows_rejected(publication: Publication) -> Conflict:
    taken = any(each.rule == "key_taken" for each in publication.rejects)
    upsert = " Rows whose keys are there already are changed with mode upsert (--mode upsert)." if taken else ""
    name = publication.dataset
    return Conflict(
        "rows_rejected",
        f"{publication.rows_rejected} of {publication.rows_read} rows do not fit the schema; nothing was published.",
        advice=Advice(
            rule="A version is published whole: every cell fits the schema, but for rows that its steward lets go, up to a threshold.",
            who_can_change="you",
            next_step=f"Correct the cells that the report's rejects name, and publish the file again.{upsert}",
            next_command=f"baybridge rejects {name} REJECTS"
            if publication.rejects_kept
            else f"baybridge publish {name} FILE --rejects REJECTS",
        ),
    )
