"""Datasets, their versions, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Unpack

from baybridge.client.call import API, Call, Plan, Source, Steps, ask, get, reader, send
from baybridge.client.questions import Asked, Question, next_path, part
from baybridge.client.results import Page, Table, read_page
from baybridge.errors import Invalid
from baybridge.wire.collections import (
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    PublishReport,
    VersionShape,
    VersionsShape,
)

MOST_ROWS: Final = 10_000  # on a page


def collections() -> Call[CollectionsShape]:
    """All datasets."""
    return get("/collections", CollectionsShape)


def collection(dataset: str) -> Call[CollectionShape]:
    """One dataset."""
    return get(_path(dataset), CollectionShape)


def schema(dataset: str, version: int | None = None) -> Call[dict[str, Any]]:
    """A dataset's schema, or that of one of its versions, as Frictionless Table Schema."""
    return get(f"{_path(dataset, version)}/schema", dict[str, Any])


def versions(dataset: str) -> Call[VersionsShape]:
    """A dataset's versions, newest first."""
    return get(f"{_path(dataset)}/versions", VersionsShape)


def version(dataset: str, number: int) -> Call[VersionShape]:
    """One version."""
    return get(_path(dataset, number), VersionShape)


def declare(dataset: str, declaration: DeclareRequest) -> Call[CollectionShape]:
    """Make a dataset known, or change what is said of it."""
    return send("PUT", _path(dataset), declaration, CollectionShape)


def publish(
    dataset: str,
    source: Source,
    *,
    null: Sequence[str] = (),
    key: Sequence[str] = (),
    accept_schema: bool = False,
    dry_run: bool = False,
) -> Call[PublishReport]:
    """Send a CSV as the dataset's next version, as it is read. Raise RowsRejected, with the report, where cells do not fit.

    `null` are the words that mean null beside the empty one, `key` the columns of the key; both only count while the dataset has
    no schema. A dry run answers with its report, whatever it finds, and writes nothing.
    """
    if any("," in each for each in (*null, *key)):
        raise Invalid("invalid_request", "null and key take words without a comma; declare a schema that has them instead.")
    asked = {
        "null": ",".join(null),
        "key": ",".join(key),
        "accept_schema": "true" if accept_schema else "",
        "dry_run": "true" if dry_run else "",
    }
    return Call(
        method="POST",
        path=f"{API}{_path(dataset)}/versions",
        read=reader(PublishReport),
        query={name: value for name, value in asked.items() if value},
        headers={"content-type": "text/csv"},
        upload=source,
    )


def items(dataset: str, **question: Unpack[Question]) -> Call[Page]:
    """One page of rows."""
    asked = Asked(**question)
    return Call(
        method="GET",
        path=f"{API}{_path(dataset, asked.version)}/items",
        read=lambda response: read_page(response, dataset),
        query=asked.parameters(),
        headers=asked.headers(),
    )


def pages(dataset: str, **question: Unpack[Question]) -> Steps[Page]:
    """All pages from the one asked for to the last, of one version; `limit` is the size of each."""
    call: Call[Page] | None = items(dataset, **question)
    while call is not None:
        page = yield call
        call = _following(call, page)


def rows(dataset: str, **question: Unpack[Question]) -> Steps[Page]:
    """All rows of the pages, one by one."""
    return pages(dataset, **question)


def table(dataset: str, **question: Unpack[Question]) -> Plan[Table]:
    """All rows at once, or the first `limit` of them, with the schema of their version: what frames are made from."""
    limit = question.get("limit")
    question["limit"] = MOST_ROWS if limit is None else min(limit, MOST_ROWS)
    call: Call[Page] | None = items(dataset, **question)
    found: list[Page] = []
    while call is not None and (not found or limit is None or sum(len(page.items) for page in found) < limit):
        found.append((yield from ask(call)))
        call = _following(call, found[-1])
    last = found[-1].provenance
    declared = yield from ask(schema(dataset, last.version))
    entries = tuple(entry for page in found for entry in page.provenance.entries)
    together = [row for page in found for row in page.items]
    return Table(together[:limit], declared, replace(last, entries=entries))


def page_itself(page: Page) -> Iterable[Page]:
    """Walk over whole pages."""
    return (page,)


def page_rows(page: Page) -> Iterable[dict[str, Any]]:
    """Walk over the rows of pages."""
    return page.items


def _following(call: Call[Page], page: Page) -> Call[Page] | None:
    path = next_path(page.links)
    return None if path is None else replace(call, path=path, query={})


def _path(dataset: str, version: int | None = None) -> str:
    pinned = "" if version is None else f"/versions/{version:d}"
    return f"/collections/{part(dataset)}{pinned}"
