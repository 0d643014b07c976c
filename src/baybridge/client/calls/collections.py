"""Datasets, their versions, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack

from baybridge.client.call import API, Call, Source, Steps, get, reader, send
from baybridge.client.questions import Asked, Question, next_path, part
from baybridge.errors import Invalid
from baybridge.wire.collections import (
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    ItemsShape,
    PublishReport,
    VersionShape,
    VersionsShape,
)


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


def items(dataset: str, **question: Unpack[Question]) -> Call[ItemsShape]:
    """One page of rows."""
    asked = Asked(**question)
    return get(f"{_path(dataset, asked.version)}/items", ItemsShape, asked.parameters(), asked.headers())


def pages(dataset: str, **question: Unpack[Question]) -> Steps[ItemsShape]:
    """All pages from the one asked for to the last, of one version; `limit` is the size of each."""
    first = items(dataset, **question)
    page = yield first
    while (following := next_path(page)) is not None:
        page = yield Call(method="GET", path=following, read=first.read, headers=first.headers)


def rows(dataset: str, **question: Unpack[Question]) -> Steps[ItemsShape]:
    """All rows of the pages, one by one."""
    return pages(dataset, **question)


def page_itself(page: ItemsShape) -> Iterable[ItemsShape]:
    """Walk over whole pages."""
    return (page,)


def page_rows(page: ItemsShape) -> Iterable[dict[str, Any]]:
    """Walk over the rows of pages."""
    return page.items


def _path(dataset: str, version: int | None = None) -> str:
    pinned = "" if version is None else f"/versions/{version:d}"
    return f"/collections/{part(dataset)}{pinned}"
