"""Datasets and their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baybridge.client.call import API, Call, Source, Steps, get, get_text, matching, reader, send
from baybridge.client.questions import linked, part
from baybridge.errors import Invalid
from baybridge.wire.collections import (
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    PublishReport,
    VersionShape,
    VersionsShape,
)
from baybridge.wire.formats import MEDIA_TYPES, format_of_name, parse_format


def collections() -> Call[CollectionsShape]:
    """The first thousand datasets, by id."""
    return get("/collections", CollectionsShape)


def all_collections() -> Steps[CollectionsShape]:
    """Every dataset, by id."""
    return linked(collections())


def in_listing(page: CollectionsShape) -> Sequence[CollectionShape]:
    """The datasets of one page."""
    return page.collections


def collection(dataset: str) -> Call[CollectionShape]:
    """One dataset."""
    return get(path_of(dataset), CollectionShape)


def schema(dataset: str, version: int | None = None) -> Call[dict[str, Any]]:
    """A dataset's schema, or that of one of its versions, as Frictionless Table Schema."""
    return get(f"{path_of(dataset, version)}/schema", dict[str, Any])


def versions(dataset: str) -> Call[VersionsShape]:
    """A dataset's versions, newest first; the first thousand."""
    return get(f"{path_of(dataset)}/versions", VersionsShape)


def all_versions(dataset: str) -> Steps[VersionsShape]:
    """Every version of a dataset, newest first."""
    return linked(versions(dataset))


def in_history(page: VersionsShape) -> Sequence[VersionShape]:
    """The versions of one page."""
    return page.versions


def version(dataset: str, number: int) -> Call[VersionShape]:
    """One version."""
    return get(path_of(dataset, number), VersionShape)


def declare(dataset: str, declaration: DeclareRequest, *, if_match: str | None = None) -> Call[CollectionShape]:
    """Make a dataset known, or change what is said of it."""
    return send("PUT", path_of(dataset), declaration, CollectionShape, if_match=if_match)


def publish(  # noqa: PLR0913 -- each is a parameter of the address
    dataset: str,
    source: Source,
    *,
    null: Sequence[str] = (),
    key: Sequence[str] = (),
    accept_schema: bool = False,
    dry_run: bool = False,
    suspend: bool = False,
    mode: str = "replace",
    base: int | None = None,
    sheet: str | None = None,
    reading: Mapping[str, str] | None = None,
    accept_reading: bool = False,
    format: str | None = None,  # noqa: A002 -- the parameter's name
    max_rejects: int | str | None = None,
    rejects_reason: str | None = None,
    stop_on_warnings: bool = False,
    if_match: str | None = None,
) -> Call[PublishReport]:
    """Send a file as the dataset's next version, as it is read. Raise RowsRejected, with the report, where cells do not fit.

    `null` are the words that mean null beside the empty one, `key` the columns of the key; both only count while the dataset has
    no schema. `suspend` suspends the agreements that lose a column by it. A dry run answers with its report, whatever it finds, and
    writes nothing. `mode` is `replace`, or `append`, `upsert` or `delete`, which change the latest version; `base` is its number, and
    where it is not, nothing is changed. `format` is csv, ndjson, json, parquet or xlsx; without it the end of a file's name tells, and
    CSV is what is left. `sheet` names one of a workbook that has several. `reading` says how the file is read where it is not plain
    CSV, as `{"encoding": "windows-1252"}`, and `accept_reading` takes what a dry run proposes. Up to `max_rejects` rows that do not fit,
    a number or a percentage as `"0.5%"`, are left out for the `rejects_reason`. `stop_on_warnings` raises WarningsFound, with the report,
    where the file is unlike the version before. `if_match` is the dataset's `etag` that
    the version is to follow.
    """
    if any("," in each for each in (*null, *key)):
        raise Invalid("invalid_request", "null and key take words without a comma; declare a schema that has them instead.")
    named = format_of_name(source) if format is None and isinstance(source, Path) else parse_format(format)
    asked = {
        "null": ",".join(null),
        "key": ",".join(key),
        "accept_schema": "true" if accept_schema else "",
        "dry_run": "true" if dry_run else "",
        "suspend": "true" if suspend else "",
        "mode": "" if mode == "replace" else mode,
        "base": "" if base is None else f"{base:d}",
        "sheet": sheet or "",
        "accept_reading": "true" if accept_reading else "",
        "max_rejects": "" if max_rejects is None else str(max_rejects),
        "rejects_reason": rejects_reason or "",
        "stop_on_warnings": "true" if stop_on_warnings else "",
        **(reading or {}),
    }
    return Call(
        method="POST",
        path=f"{API}{path_of(dataset)}/versions",
        read=reader(PublishReport),
        query={name: value for name, value in asked.items() if value},
        headers={"content-type": MEDIA_TYPES[named], **matching(if_match)},
        upload=source,
    )


def rejects(dataset: str, version: int | None = None) -> Call[str]:
    """The rows that a version let go, or those of the latest upload that was refused, and why, as CSV. For stewards; each is entered."""
    return get_text(f"{path_of(dataset, version)}/rejects")


def path_of(dataset: str, version: int | None = None) -> str:
    """The path of a dataset, or of one of its versions, below the API's."""
    pinned = "" if version is None else f"/versions/{version:d}"
    return f"/collections/{part(dataset)}{pinned}"
