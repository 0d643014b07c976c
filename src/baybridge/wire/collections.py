"""Datasets, their versions, their rows, and what a publication did."""

from __future__ import annotations

from typing import Any

from baybridge.wire.shape import LinkShape, RequestShape, Shape


class CollectionShape(Shape, frozen=True, kw_only=True):
    """One dataset as the catalog shows it. `version` and `rows` are null before the first publication."""

    id: str
    organization: str
    title: str
    description: str
    access: str
    version: int | None
    rows: int | None
    updated: str | None
    links: list[LinkShape]


class CollectionsShape(Shape, frozen=True, kw_only=True):
    """All datasets, in the order of their ids."""

    collections: list[CollectionShape]


class VersionShape(Shape, frozen=True, kw_only=True):
    """One immutable version. `rows` and `manifest_sha256` are null where not everyone may read: they tell of rows."""

    version: int
    rows: int | None
    published: str
    manifest_sha256: str | None


class VersionsShape(Shape, frozen=True, kw_only=True):
    """A dataset's versions, newest first."""

    id: str
    versions: list[VersionShape]


class ItemsShape(Shape, frozen=True, kw_only=True):
    """One page of rows; numbers as JSON numbers, decimals as strings, by the column's type."""

    version: int
    items: list[dict[str, Any]]
    links: list[LinkShape]


class DeclareRequest(RequestShape, frozen=True, kw_only=True):
    """What a steward declares of a dataset; null leaves it as it is. `schema` is a Frictionless Table Schema.

    `schema_change` confirms another schema than that of the dataset's versions.
    """

    title: str | None = None
    description: str | None = None
    access: str | None = None
    schema: dict[str, Any] | None = None
    schema_change: bool = False


class RejectShape(Shape, frozen=True, kw_only=True):
    """One cell or row that does not fit the schema. Only ever sent to whoever uploaded the file."""

    row: int
    column: str | None
    rule: str
    value: str | None


class ColumnProfileShape(Shape, frozen=True, kw_only=True):
    """What every row of one column shows, and the type proposed from it."""

    name: str
    proposed: str
    nulls: int
    distinct: int
    leading_zeros: int
    min_length: int | None
    max_length: int | None


class SuspensionShape(Shape, frozen=True, kw_only=True):
    """An agreement in force that loses these columns by a version, and is suspended."""

    agreement: str
    consumer: str
    columns: list[str]


class PublishReport(Shape, frozen=True, kw_only=True):
    """What a publication did, or with `dry_run` would do. Rows read = rows loaded + rows rejected."""

    dataset: str
    published: bool
    version: int | None
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    source_sha256: str
    source_bytes: int
    schema: dict[str, Any]
    profile: list[ColumnProfileShape]
    rejects: list[RejectShape]
    entry: int | None
    suspends: list[SuspensionShape]
