"""Datasets: listed, described, declared and published. Names and schemas are public; counts of governed datasets are not."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from baybridge.catalog.dataset import parse_access
from baybridge.catalog.schema import parse_table_schema, to_table_schema
from baybridge.errors import Conflict, Invalid, NotFound, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.faces import bearer, body, call, json_response, parameters, serving, signed_in, upload
from baybridge.http.problems import problem_response
from baybridge.http.sending import in_thread
from baybridge.http.shapes import collection_shape, publish_report, version_shape
from baybridge.names import DatasetName
from baybridge.operate.look import Described
from baybridge.publish import Declaration, Publication, Upload
from baybridge.wire.collections import CollectionsShape, DeclareRequest, VersionsShape

PUBLISH_PARAMETERS: Final = (
    Parameter("null", "Words that mean no value, parted by commas, besides the empty cell."),
    Parameter("key", "The columns of the key, parted by commas."),
    Parameter("accept_schema", "Take the schema that the file's profile proposes.", {"type": "boolean"}),
    Parameter("dry_run", "Say what would happen, and change nothing.", {"type": "boolean"}),
    Parameter("suspend", "Suspend the agreements that name a column which the version drops or retypes.", {"type": "boolean"}),
)


async def listing(request: Request) -> Response:
    """Answer GET /collections."""
    found = await call(request, lambda exchange: exchange.catalog.listing())
    return json_response(CollectionsShape(collections=[collection_shape(each.dataset, each.latest) for each in found]))


async def describe(request: Request) -> Response:
    """Answer GET /collections/{dataset}."""
    name = DatasetName.parse(request.path_params["dataset"])
    found = await call(request, lambda exchange: exchange.catalog.describe(name))
    return json_response(collection_shape(found.dataset, found.latest))


async def schema(request: Request) -> Response:
    """Answer GET /collections/{dataset}/schema and .../versions/{n}/schema: a Frictionless Table Schema."""
    name = DatasetName.parse(request.path_params["dataset"])
    number = request.path_params.get("version")
    found = await call(request, lambda exchange: exchange.catalog.schema(name, number))
    return json_response(to_table_schema(found))


async def versions(request: Request) -> Response:
    """Answer GET /collections/{dataset}/versions."""
    name = DatasetName.parse(request.path_params["dataset"])
    found = await call(request, lambda exchange: exchange.catalog.versions(name))
    return json_response(VersionsShape(id=str(name), versions=[version_shape(each, public=found.public) for each in found.versions]))


async def version(request: Request) -> Response:
    """Answer GET /collections/{dataset}/versions/{n}."""
    name = DatasetName.parse(request.path_params["dataset"])
    number = request.path_params["version"]
    found = await call(request, lambda exchange: exchange.catalog.versions(name))
    for each in found.versions:
        if each.number == number:
            return json_response(version_shape(each, public=found.public))
    raise NotFound("not_found", f"{name} has no version {number}.")


async def declare(request: Request) -> Response:
    """Answer PUT /collections/{dataset}."""
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    asked = await body(request, DeclareRequest)
    declaration = Declaration(
        title=asked.title,
        description=asked.description,
        access=None if asked.access is None else parse_access(asked.access),
        schema=None if asked.schema is None else parse_table_schema(asked.schema),
        schema_change=asked.schema_change,
    )

    def act(exchange: Exchange) -> Described:
        exchange.publish.declare(signed_in(exchange, token), name, declaration)
        return exchange.catalog.describe(name)

    described = await call(request, act)
    return json_response(collection_shape(described.dataset, described.latest))


async def publish(request: Request) -> Response:
    """Answer POST /collections/{dataset}/versions: the body is the CSV, read as it arrives."""
    given = parameters(request)
    name, token = DatasetName.parse(request.path_params["dataset"]), bearer(request)
    loop = asyncio.get_running_loop()
    sent = Upload(
        chunks=upload(request, loop),
        null_words=("", *(word for word in given.get("null", "").split(",") if word)),
        key=tuple(name for name in given.get("key", "").split(",") if name),
        accept_schema=_yes(given, "accept_schema"),
        dry_run=_yes(given, "dry_run"),
        suspend=_yes(given, "suspend"),
    )

    def act(exchange: Exchange) -> Publication:
        return exchange.publish.publish(signed_in(exchange, token), name, sent)

    here = serving(request)
    publication = await in_thread(here.threads, lambda: act(here.exchange))
    report = publish_report(publication)
    if publication.rows_rejected and not sent.dry_run:
        return problem_response(request, rows_rejected(publication), report=report)
    return json_response(report, status=200 if sent.dry_run else 201)


def _yes(given: dict[str, str], parameter: str) -> bool:
    text = given.get(parameter, "false")
    if text in {"true", "false"}:
        return text == "true"
    raise Invalid("invalid_request", f"{parameter} is true or false.", places=(Place(parameter, "true or false"),))


def rows_rejected(publication: Publication) -> Conflict:
    """The error of a publication that its rejects blocked; it names columns and rules, never values."""
    return Conflict(
        "rows_rejected", f"{publication.rows_rejected} of {publication.rows_read} rows do not fit the schema; nothing was published."
    )
