"""Datasets, their versions, their rows, and what a publication did."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from baybridge.wire.shape import LinkShape, RequestShape, Shape

_FILTER: Final = msgspec.Meta(extra_json_schema={"type": ["string", "object", "boolean", "null"]})


class CollectionShape(Shape, frozen=True, kw_only=True):
    """One dataset as the catalog shows it. `version` and `rows` are null before the first publication.

    `hidden` says that others do not see it. `invited` are those that see it nevertheless: told to its owner, and not in lists.
    `etag` names this state, for If-Match.
    """

    id: str
    organization: str
    title: str
    description: str
    access: str
    version: int | None
    rows: int | None
    updated: str | None
    links: list[LinkShape]
    state: str = "published"
    reason: str | None = None
    hidden: bool = False
    invited: list[str] | None = None
    etag: str | None = None


class CollectionsShape(Shape, frozen=True, kw_only=True):
    """A page of the datasets, in the order of their ids; `links` has the next one."""

    collections: list[CollectionShape]
    links: list[LinkShape] = msgspec.field(default_factory=list)


class VersionShape(Shape, frozen=True, kw_only=True):
    """One immutable version. `rows`, `rows_rejected` and `manifest_sha256` are null where not everyone may read: they tell of rows.

    `rows_rejected` are those of the upload that did not fit and were let go.

    `state` is published, withdrawn, purging or purged, `reason` why, and `since` when. `etag` names this state, for If-Match.
    """

    version: int
    rows: int | None
    published: str
    manifest_sha256: str | None
    state: str = "published"
    reason: str | None = None
    since: str | None = None
    etag: str | None = None
    rows_rejected: int | None = None


class VersionsShape(Shape, frozen=True, kw_only=True):
    """A page of a dataset's versions, newest first; `links` has the next one."""

    id: str
    versions: list[VersionShape]
    links: list[LinkShape] = msgspec.field(default_factory=list)


class WithdrawRequest(RequestShape, frozen=True, kw_only=True):
    """Why something is withdrawn. Everyone can read it: no person is named in it."""

    reason: str


class PurgeRequest(RequestShape, frozen=True, kw_only=True):
    """Why something is purged, for everyone to read. Without `plan_sha256` nothing is destroyed: the answer is the plan."""

    reason: str
    plan_sha256: str | None = None


class PurgeShape(Shape, frozen=True, kw_only=True):
    """What a purge destroys, or did. Objects and bytes are those that no other version holds."""

    dataset: str
    versions: list[int]
    rows: int
    objects: int
    bytes: int
    shared_objects: int
    extracts: int
    side_records: int
    plan_sha256: str
    purged: bool


class ItemsShape(Shape, frozen=True, kw_only=True):
    """One page of rows; numbers as JSON numbers, decimals as strings, by the column's type."""

    version: int
    items: list[dict[str, Any]]
    links: list[LinkShape]


class QueryRequest(RequestShape, frozen=True, kw_only=True):
    """Which rows. `filter` is CQL2 text, or CQL2-JSON as it is, and null for all; the names of columns stand without quotes.

    `f` names the format where Accept does not. `cursor` is that of a link `next`.
    """

    filter: Annotated[msgspec.Raw, _FILTER] = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    filter_lang: str | None = msgspec.field(default=None, name="filter-lang")
    properties: list[str] | None = None
    sortby: list[str] | None = None
    limit: int | None = None
    cursor: str | None = None
    f: str | None = None


class QueryLinkShape(LinkShape, frozen=True, kw_only=True):
    """A link that is followed with the last request's body, in which the members of `body` are set."""

    body: dict[str, str]
    method: str = "POST"
    merge: bool = True


class QueriedItemsShape(Shape, frozen=True, kw_only=True):
    """One page of rows that a POST asked for."""

    version: int
    items: list[dict[str, Any]]
    links: list[QueryLinkShape]


class TopShape(Shape, frozen=True, kw_only=True):
    """A frequent value and how often it occurs."""

    value: Any
    count: int


class ColumnSummaryShape(Shape, frozen=True, kw_only=True):
    """One released column in numbers; its type is that of the released values. `top` is null in statistics."""

    name: str
    type: str
    nulls: int
    distinct: int
    min: Any
    max: Any
    top: list[TopShape] | None = None


class SummaryShape(Shape, frozen=True, kw_only=True):
    """What the caller may read of one version, in numbers."""

    version: int
    rows: int
    columns: list[ColumnSummaryShape]


class ChangeShape(Shape, frozen=True, kw_only=True):
    """One row that changed: `insert`, `delete` or `update`, as it is now, and as it was."""

    change: str
    item: dict[str, Any] | None
    before: dict[str, Any] | None


class ChangesShape(Shape, frozen=True, kw_only=True):
    """A page of what changed from the version `since` to `version`, of what the caller may read of both."""

    since: int
    version: int
    changes: list[ChangeShape]
    links: list[LinkShape]


class SchemaChangeShape(Shape, frozen=True, kw_only=True):
    """A column that was added, removed or retyped; the types as `baybridge:type` has them."""

    column: str
    change: str
    before: str | None
    after: str | None


class DiffShape(Shape, frozen=True, kw_only=True):
    """How many rows differ, by key, and how the schema does. `links` has the rows themselves."""

    since: int
    version: int
    added: int
    removed: int
    changed: int
    unchanged: int
    schema_changes: list[SchemaChangeShape]
    links: list[LinkShape]


class DeclareRequest(RequestShape, frozen=True, kw_only=True):
    """What a steward declares of a dataset; null leaves it as it is. `schema` is a Frictionless Table Schema.

    `schema_change` confirms another schema than that of the dataset's versions. `hidden` takes the dataset out of the sight of others;
    `invited` are the organizations, at most 100, that may see it nevertheless.
    """

    title: str | None = None
    description: str | None = None
    access: str | None = None
    schema: dict[str, Any] | None = None
    schema_change: bool = False
    hidden: bool | None = None
    invited: list[str] | None = None


class RejectShape(Shape, frozen=True, kw_only=True):
    """One cell or row that does not fit the schema. Only ever sent to whoever uploaded the file.

    The value is null where the version was published: its rejects are kept, and read from there.
    """

    row: int
    column: str | None
    rule: str
    value: str | None
    offset: int | None = None
    message: str = ""


class RemarkShape(Shape, frozen=True, kw_only=True):
    """One aspect in which a file is not plain: its value, why, and whether it is confirmed or a steward has yet to say or accept it."""

    aspect: str
    value: str
    reason: str
    confirmed: bool


class EncodingShape(Shape, frozen=True, kw_only=True):
    """An encoding that the file may be in, and how many of the lines looked at hold bytes that are none of it."""

    encoding: str
    undecodable: int


class DifferingShape(Shape, frozen=True, kw_only=True):
    """A line that the encodings read differently: its text by each, in their order; null where it has none."""

    line: int
    texts: list[str | None]


class ReadingShape(Shape, frozen=True, kw_only=True):
    """How a CSV was read, and why. Only ever sent to whoever uploaded the file."""

    encoding: str
    delimiter: str
    quote: str
    escape: str
    line_end: str
    skip: int
    header_rows: int
    footer: int
    remarks: list[RemarkShape]
    encodings: list[EncodingShape]
    differing: list[DifferingShape]


class DoubtShape(Shape, frozen=True, kw_only=True):
    """A type that at least half of a column's values prove, and not all: `proven` do, `others` do not, among them the first in `rows`."""

    type: str
    proven: int
    others: int
    rows: list[int]


class ColumnProfileShape(Shape, frozen=True, kw_only=True):
    """What every row of one column shows, and the type proposed from it. `evidence` says why, without a value."""

    name: str
    proposed: str
    nulls: int
    distinct: int
    leading_zeros: int
    min_length: int | None
    max_length: int | None
    evidence: str = ""
    doubt: DoubtShape | None = None


class SuspensionShape(Shape, frozen=True, kw_only=True):
    """An agreement in force that loses these columns by a version, and is suspended."""

    agreement: str
    consumer: str
    columns: list[str]


class ChangesMadeShape(Shape, frozen=True, kw_only=True):
    """What the loaded rows did to those of the version `base`, null where they replaced them all.

    Rows loaded = inserted + updated + deleted + unmatched; the last are keys to delete that no row had.
    """

    mode: str
    base: int | None
    inserted: int
    updated: int
    deleted: int
    unmatched: int


class WarningShape(Shape, frozen=True, kw_only=True):
    """One thing in which a file is unlike the version before, with the figures of both. `message` says it without a value.

    `values` are those that are new or lost, only ever sent to whoever uploaded the file, and before it was published.
    """

    rule: str
    column: str | None
    before: int | float | str | None
    after: int | float | str | None
    message: str
    values: list[str]


class PublishReport(Shape, frozen=True, kw_only=True):
    """What a publication did, or with `dry_run` would do. Rows read = rows loaded + rows rejected.

    `same_file_as` is the version before, where it was made from a file of the same bytes. `rejects` are the first of `rejects_found`; up
    to `rejects_allowed` rows are let go. `rejects_kept` says that the server keeps all of them for the steward. `warnings` say what is
    unlike the version before.
    """

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
    changes: ChangesMadeShape
    notes: list[str]
    reading: ReadingShape | None = None
    same_file_as: int | None = None
    rejects_found: int = 0
    rejects_allowed: int = 0
    rejects_kept: bool = False
    warnings: list[WarningShape] = msgspec.field(default_factory=list)
