"""Projections: the columns, masks and rows of one version that an agreement leaves. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import rfc8785

from baybridge.catalog.dataset import Version
from baybridge.names import DatasetName
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType
from baybridge.terms.masks import Generalize, Mask, released_type
from baybridge.terms.terms import Terms


@dataclass(frozen=True, slots=True)
class ReleasedColumn:
    """One column of a projection: the source's type, the mask if any, and the type that is released."""

    name: str
    source: ColumnType
    mask: Mask | None

    @property
    def released(self) -> ColumnType:
        """The type of the values that leave."""
        return released_type(self.mask, self.source)


@dataclass(frozen=True, slots=True)
class Projection:
    """What one agreement leaves of one version. `order` are the released columns that fix the order of rows.

    `objects` are the SHA-256 of the version's Parquet objects in row order; `source` the types of all its columns, which a row filter
    may name. `domain_key` is None without pseudonyms.
    """

    dataset: DatasetName
    version: int
    manifest_sha256: str
    objects: tuple[str, ...]
    source: Mapping[str, ColumnType]
    columns: tuple[ReleasedColumn, ...]
    row_filter: cql2.Filter | None
    order: tuple[str, ...]
    domain_key: str | None

    @property
    def types(self) -> Mapping[str, ColumnType]:
        """The released columns and their released types, in order."""
        return {column.name: column.released for column in self.columns}

    @property
    def masks(self) -> Mapping[str, str]:
        """The mask of each released column that has one, as terms write it."""
        return {column.name: str(column.mask) for column in self.columns if column.mask is not None}

    def digest(self, *, builder: str) -> str:
        """SHA-256 of manifest, canonical projection, key id and builder version: the name of the extract."""
        canonical = {
            "builder": builder,
            "columns": [[column.name, str(column.source), *_mask_facts(column.mask)] for column in self.columns],
            "domain_key": self.domain_key or "",
            "manifest": self.manifest_sha256,
            "order": list(self.order),
            "row_filter": "" if self.row_filter is None else cql2.to_text(self.row_filter),
        }
        return hashlib.sha256(rfc8785.dumps(canonical)).hexdigest()


def project(terms: Terms, version: Version, *, domain_key: str | None) -> Projection:
    """The projection that these terms leave of this version.

    Raise KeyError when the version lacks a column of the terms: `policy.decision` refuses before it comes here.
    """
    types = version.schema.types
    columns = tuple(ReleasedColumn(name, types[name], terms.mask_of(name)) for name in terms.columns)
    return Projection(
        dataset=version.dataset,
        version=version.number,
        manifest_sha256=version.manifest.digest(),
        objects=tuple(entry.sha256 for entry in version.manifest.objects),
        source=types,
        columns=columns,
        row_filter=terms.row_filter,
        order=_order(columns, version.schema.key),
        domain_key=domain_key if terms.pseudonymises() else None,
    )


def _mask_facts(mask: Mask | None) -> list[str | list[list[str]]]:
    """All that a mask does to values: its text, and of a code list also what it says."""
    if isinstance(mask, Generalize):
        return [str(mask), [list(pair) for pair in mask.codes.codes], mask.codes.otherwise]
    return ["" if mask is None else str(mask)]


def _order(columns: tuple[ReleasedColumn, ...], key: tuple[str, ...]) -> tuple[str, ...]:
    """Promise 8: the order of rows is a function of released values only.

    Key columns that are released as they are come first; unless they are the whole key, and so tell rows apart, every other
    released column follows, so that rows which compare equal are equal.
    """
    plain = {column.name for column in columns if column.mask is None}
    leading = tuple(name for name in key if name in plain)
    if key and leading == key:
        return leading
    return leading + tuple(column.name for column in columns if column.name not in leading)
