"""What rows come back as: a page, or a table of all of them, each with where it came from. It reads answers and sends nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx2
import msgspec

from baybridge.client import frames
from baybridge.client.answers import not_understood, read, require_success
from baybridge.wire.collections import ItemsShape, QueriedItemsShape
from baybridge.wire.shape import LinkShape

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_LINES: Final = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows came from. `entry` is the log entry of their disclosure, as log/index; reads of public data have none.

    `agreement` is the one that they were read under; owners and the public read without. `retrieved` is the RFC 3339 instant of
    the answer by the clock of this machine.
    """

    dataset: str
    version: int
    agreement: str | None
    purpose: str | None
    entry: str | None
    retrieved: str


class Sourced(Protocol):
    """What says where it came from."""

    @property
    def provenance(self) -> Provenance:
        """Where it came from."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, numbers as JSON numbers and decimals as strings, by the column's type."""

    version: int
    items: list[dict[str, Any]]
    links: list[LinkShape]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Table:
    """All rows that a question gave, of one version. `schema` is that version's Table Schema, for the types of a frame's columns.

    A frame's columns are exact: decimals are decimals, dates dates, instants in UTC. A column whose values a mask has made into
    something else than the schema says (a pseudonym, a year) has the type of what it became.
    """

    items: list[dict[str, Any]]
    schema: dict[str, Any]
    provenance: Provenance

    def to_arrow(self) -> pa.Table:
        """As a pyarrow Table, with the provenance as JSON under `baybridge` in its metadata. Needs baybridge[arrow]."""
        return frames.to_arrow(self.items, self.schema, asdict(self.provenance))

    def to_pandas(self) -> pd.DataFrame:
        """As a pandas DataFrame of nullable types, with the provenance in `attrs["baybridge"]`. Needs baybridge[pandas]."""
        return frames.to_pandas(self.items, self.schema, asdict(self.provenance))

    def to_polars(self) -> pl.DataFrame:
        """As a polars DataFrame; it has no place for the provenance, which stays here. Needs baybridge[polars]."""
        frame: pl.DataFrame = frames.to_polars(self.items, self.schema)
        return frame


def read_page(response: httpx2.Response, dataset: str, form: type[ItemsShape | QueriedItemsShape] = ItemsShape) -> Page:
    """Read an answer as a page of that form. Raise what `answers.read` raises."""
    shape = read(response, form)
    return Page(shape.version, shape.items, list(shape.links), _provenance(response, dataset, shape.version))


def read_lines(response: httpx2.Response, dataset: str) -> Page:
    """Read an answer in NDJSON as one page of all its rows. Raise what `answers.read` raises."""
    require_success(response)
    provenance = provenance_of(response, dataset)
    return Page(provenance.version, rows_of(response.content, response.request.url.path), [], provenance)


def rows_of(lines: bytes, path: str) -> list[dict[str, Any]]:
    """Read whole lines of NDJSON. Raise AnswerNotUnderstood for what is none."""
    try:
        return _LINES.decode_lines(lines)
    except (msgspec.ValidationError, msgspec.DecodeError) as wrong:
        raise not_understood(path) from wrong


def provenance_of(response: httpx2.Response, dataset: str) -> Provenance:
    """Where an answer says that it comes from. Raise AnswerNotUnderstood where it does not say which version it is of."""
    version = response.headers.get("baybridge-version", "")
    if version.isascii() and version.isdigit():
        return _provenance(response, dataset, int(version))
    raise not_understood(response.request.url.path)


def _provenance(response: httpx2.Response, dataset: str, version: int) -> Provenance:
    return Provenance(
        dataset=dataset,
        version=version,
        agreement=response.headers.get("baybridge-agreement"),
        purpose=response.request.headers.get("baybridge-purpose"),
        entry=response.headers.get("baybridge-entry"),
        retrieved=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )
