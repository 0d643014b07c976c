"""Profiles, statistics, changes and diffs: parsed into one frozen Examination, brought to the one door, and printed as JSON."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from baybridge.catalog.schema import Schema
from baybridge.disclose import Ask, Examination
from baybridge.disclose.changes import Change, Changes, CountChanges, Counts, ListChanges
from baybridge.disclose.profile import ColumnSummary, Summarize, Summary
from baybridge.disclose.question import Question
from baybridge.errors import Invalid, Place
from baybridge.exchange import Exchange
from baybridge.http.contract import Parameter
from baybridge.http.cursors import Cursor, Cursors, question_hash
from baybridge.http.faces import bearer, call, parameters, serving
from baybridge.http.rest.items import MAX_LIMIT, Address, known_etags, page_limit, purpose_of, reader, reading
from baybridge.names import DatasetName
from baybridge.wire.collections import (
    ChangeShape,
    ChangesShape,
    ColumnSummaryShape,
    DiffShape,
    SchemaChangeShape,
    SummaryShape,
    TopShape,
)
from baybridge.wire.shape import LinkShape

TOP: Final = 10
CHANGES_PARAMETERS: Final = (
    Parameter("since", "The earlier version's number.", {"type": "integer", "minimum": 1}),
    Parameter("limit", "Changes on a page.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
    Parameter("cursor", "Where the walk stands; only from a link `next`."),
)


async def profile(request: Request) -> Response:
    """Answer GET .../profile: each released column in numbers, with its most frequent values."""
    given = parameters(request)
    question = Summarize(TOP, lambda summary: msgspec.json.encode(_summary_shape(summary, with_top=True)))
    return await reading(request, lambda: _examination(request, given, "profile", question), bearer(request), channel="profile")


async def statistics(request: Request) -> Response:
    """Answer GET .../statistics: the same without values but the least and the greatest."""
    given = parameters(request)
    question = Summarize(0, lambda summary: msgspec.json.encode(_summary_shape(summary, with_top=False)))
    return await reading(request, lambda: _examination(request, given, "statistics", question), bearer(request), channel="statistics")


async def changes(request: Request) -> Response:
    """Answer GET .../changes?since=N and .../versions/{n}/changes?since=N: the rows that changed, in pages."""
    given = parameters(request)
    cursors = serving(request).cursors
    since, limit, address = _version(given.get("since")), page_limit(given.get("limit")), Address.of(request, given)
    hashed = question_hash("changes", request.path_params["dataset"], str(since))
    cursor = cursors.open(given["cursor"], question=hashed) if "cursor" in given else None
    after = None if cursor is None else cursor.row
    question = ListChanges(limit, after, lambda page: msgspec.json.encode(_changes_shape(page, address, cursors, hashed)))
    if cursor is not None and request.path_params.get("version") not in {None, cursor.version}:
        raise Invalid("cursor_invalid", "The cursor belongs to another version.", places=(Place("cursor", "another version"),))
    return await reading(
        request, lambda: _examination(request, given, "changes", question, since=since, cursor=cursor), bearer(request), channel="changes"
    )


async def diff(request: Request) -> Response:
    """Answer GET .../versions/{n}/diff/{m}: from n to m, how many rows were added, removed and changed, and how the schema was."""
    given = parameters(request)
    name, since, version = DatasetName.parse(request.path_params["dataset"]), request.path_params["version"], request.path_params["other"]
    token = bearer(request)

    def both(exchange: Exchange) -> tuple[Schema, Schema]:
        principal = reader(request, token, "diff")
        return exchange.catalog.schema(principal, name, since), exchange.catalog.schema(principal, name, version)

    schemas = await call(request, both)
    rows = f"/api/v1/collections/{name}/versions/{version}/changes?since={since}"
    question = CountChanges(lambda counts: msgspec.json.encode(_diff_shape(counts, *schemas, rows)))
    return await reading(
        request, lambda: _examination(request, given, "diff", question, since=since, version=version), token, channel="diff"
    )


def _examination(
    request: Request,
    given: dict[str, str],
    channel: str,
    question: Question,
    *,
    since: int | None = None,
    version: int | None = None,
    cursor: Cursor | None = None,
) -> Examination:
    return Examination(
        ask=Ask(
            dataset=DatasetName.parse(request.path_params["dataset"]),
            purpose=purpose_of(request),
            agreement=request.headers.get("baybridge-agreement"),
        ),
        version=cursor.version if cursor else version or request.path_params.get("version"),
        since=since,
        known=frozenset(known_etags(request.headers.get("if-none-match", ""))),
        representation=Address.of(request, given).text(),
        channel=channel,
        bodiless=request.method == "HEAD",
        question=question,
        after=cursor.row if cursor else None,
        cursor_extract=cursor.extract if cursor else None,
    )


def _version(text: str | None) -> int:
    if text is not None and text.isascii() and text.isdigit() and 0 < len(text) < 10:  # noqa: PLR2004 -- below 2^31
        return int(text)
    raise Invalid("invalid_request", "since is the number of a version.", places=(Place("since", "the number of a version"),))


def _summary_shape(summary: Summary, *, with_top: bool) -> SummaryShape:
    return SummaryShape(
        version=summary.version, rows=summary.rows, columns=[_column_shape(each, with_top=with_top) for each in summary.columns]
    )


def _column_shape(column: ColumnSummary, *, with_top: bool) -> ColumnSummaryShape:
    return ColumnSummaryShape(
        name=column.name,
        type=str(column.type),
        nulls=column.nulls,
        distinct=column.distinct,
        min=column.least,
        max=column.greatest,
        top=[TopShape(value=value, count=count) for value, count in column.top] if with_top else None,
    )


def _changes_shape(page: Changes, address: Address, cursors: Cursors, hashed: str) -> ChangesShape:
    links = [LinkShape(rel="self", href=address.text())]
    if page.next is not None:
        links.append(LinkShape(rel="next", href=address.text(cursors.seal(Cursor(page.version, page.extract, hashed, page.next)))))
    return ChangesShape(since=page.since, version=page.version, changes=[_change_shape(each) for each in page.changes], links=links)


def _change_shape(change: Change) -> ChangeShape:
    kind = "insert" if change.before is None else "delete" if change.after is None else "update"
    return ChangeShape(change=kind, item=change.after, before=change.before)


def _diff_shape(counts: Counts, before: Schema, after: Schema, rows: str) -> DiffShape:
    return DiffShape(
        since=counts.since,
        version=counts.version,
        added=counts.added,
        removed=counts.removed,
        changed=counts.changed,
        unchanged=counts.unchanged,
        schema_changes=_schema_changes(before, after),
        links=[LinkShape(rel="changes", href=rows)],
    )


def _schema_changes(before: Schema, after: Schema) -> list[SchemaChangeShape]:
    found = []
    for name in dict.fromkeys([*before.types, *after.types]):
        was, now = before.types.get(name), after.types.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "retyped"
            found.append(
                SchemaChangeShape(
                    column=name, change=change, before=None if was is None else str(was), after=None if now is None else str(now)
                )
            )
    return found
