"""Datasets, versions and manifests in the catalog's database. A version is inserted once; there is no update of one in this file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from baybridge.catalog.dataset import Access, Dataset, Version
from baybridge.catalog.manifest import ColumnStatistics, Manifest, ManifestObject
from baybridge.catalog.schema import Schema, parse_table_schema, to_table_schema
from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Conflict, NotFound
from baybridge.names import DatasetName

DATASETS: Final = sa.Table(
    "datasets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("access", sa.Text, nullable=False),
    sa.Column("schema", sa.Text),
    sa.Column("latest", sa.Integer, nullable=False),
    sa.Column("updated", UtcDateTime, nullable=False),
)
VERSIONS: Final = sa.Table(
    "versions",
    METADATA,
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("schema", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("manifest_sha256", sa.Text, nullable=False),
    sa.Column("original_sha256", sa.Text, nullable=False),
    sa.Column("original_size", sa.BigInteger, nullable=False),
    sa.Column("published", UtcDateTime, nullable=False),
)
MANIFEST_OBJECTS: Final = sa.Table(
    "manifest_objects",
    METADATA,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("statistics", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["dataset", "number"], ["versions.dataset", "versions.number"]),
)


def declare(connection: sa.Connection, dataset: Dataset) -> None:
    """Insert a dataset, or update its description, access and schema; `latest` is never touched here."""
    values: Mapping[str, Any] = {
        "organization": dataset.name.organization,
        "title": dataset.title,
        "description": dataset.description,
        "access": dataset.access.value,
        "schema": _schema_text(dataset.schema),
        "updated": dataset.updated,
    }
    if find(connection, dataset.name) is None:
        connection.execute(sa.insert(DATASETS).values(name=str(dataset.name), latest=0, **values))
    else:
        connection.execute(sa.update(DATASETS).where(DATASETS.c.name == str(dataset.name)).values(**values))


def add_version(connection: sa.Connection, version: Version) -> None:
    """Make the version the latest. Raise Conflict unless it is the next number: another publication came first."""
    moved = connection.execute(
        sa.update(DATASETS)
        .where(DATASETS.c.name == str(version.dataset), DATASETS.c.latest == version.number - 1)
        .values(latest=version.number, updated=version.published, schema=_schema_text(version.schema))
    )
    if moved.rowcount != 1:
        raise Conflict("conflict", "Another version was published in the meantime; publish again.")
    connection.execute(
        sa.insert(VERSIONS).values(
            dataset=str(version.dataset),
            number=version.number,
            schema=_schema_text(version.schema),
            rows=version.manifest.rows,
            manifest_sha256=version.manifest.digest(),
            original_sha256=version.manifest.original_sha256,
            original_size=version.manifest.original_size,
            published=version.published,
        )
    )
    for position, entry in enumerate(version.manifest.objects):
        connection.execute(
            sa.insert(MANIFEST_OBJECTS).values(
                dataset=str(version.dataset),
                number=version.number,
                position=position,
                sha256=entry.sha256,
                size=entry.size,
                rows=entry.rows,
                statistics=msgspec.json.encode(entry.statistics).decode(),
            )
        )


def find(connection: sa.Connection, name: DatasetName) -> Dataset | None:
    """Give the dataset, or None."""
    row = connection.execute(sa.select(*_DATASET).where(DATASETS.c.name == str(name))).first()
    return None if row is None else _dataset(row)


def require(connection: sa.Connection, name: DatasetName) -> Dataset:
    """Give the dataset. Raise NotFound."""
    dataset = find(connection, name)
    if dataset is None:
        raise NotFound("not_found", f"There is no dataset {name}.")
    return dataset


def datasets(connection: sa.Connection) -> tuple[Dataset, ...]:
    """All datasets by name."""
    return tuple(_dataset(row) for row in connection.execute(sa.select(*_DATASET).order_by(DATASETS.c.name)))


def find_version(connection: sa.Connection, dataset: Dataset, number: int | None) -> Version:
    """Give that version, or the latest for None. Raise NotFound."""
    wanted = dataset.latest if number is None else number
    if not 1 <= wanted <= dataset.latest:
        raise NotFound("not_found", f"{dataset.name} has no version {number}." if dataset.latest else f"{dataset.name} has no version yet.")
    row = connection.execute(sa.select(*_VERSION).where(VERSIONS.c.dataset == str(dataset.name), VERSIONS.c.number == wanted)).first()
    if row is None:
        raise NotFound("not_found", f"{dataset.name} has no version {wanted}.")
    objects = connection.execute(
        sa.select(MANIFEST_OBJECTS.c.sha256, MANIFEST_OBJECTS.c.size, MANIFEST_OBJECTS.c.rows, MANIFEST_OBJECTS.c.statistics)
        .where(MANIFEST_OBJECTS.c.dataset == str(dataset.name), MANIFEST_OBJECTS.c.number == wanted)
        .order_by(MANIFEST_OBJECTS.c.position)
    )
    return Version(
        dataset=dataset.name,
        number=wanted,
        schema=_schema(row.schema),
        manifest=Manifest(
            objects=tuple(
                ManifestObject(
                    entry.sha256, entry.size, entry.rows, msgspec.json.decode(entry.statistics, type=tuple[ColumnStatistics, ...])
                )
                for entry in objects
            ),
            original_sha256=row.original_sha256,
            original_size=row.original_size,
        ),
        published=row.published,
    )


def superseded(connection: sa.Connection, name: DatasetName, number: int) -> datetime | None:
    """When a version after this one was published; None while it is the latest."""
    later = sa.select(sa.func.min(VERSIONS.c.published)).where(VERSIONS.c.dataset == str(name), VERSIONS.c.number > number)
    return connection.execute(later).scalar()


def versions(connection: sa.Connection, dataset: Dataset) -> tuple[Version, ...]:
    """All versions, newest first."""
    return tuple(find_version(connection, dataset, number) for number in range(dataset.latest, 0, -1))


_DATASET: Final = (
    DATASETS.c.name,
    DATASETS.c.title,
    DATASETS.c.description,
    DATASETS.c.access,
    DATASETS.c.schema,
    DATASETS.c.latest,
    DATASETS.c.updated,
)
_VERSION: Final = (
    VERSIONS.c.schema,
    VERSIONS.c.original_sha256,
    VERSIONS.c.original_size,
    VERSIONS.c.published,
)


def _dataset(row: Any) -> Dataset:
    return Dataset(
        name=DatasetName.parse(row.name),
        title=row.title,
        description=row.description,
        access=Access(row.access),
        schema=None if row.schema is None else _schema(row.schema),
        latest=row.latest,
        updated=row.updated,
    )


def _schema(text: str) -> Schema:
    return parse_table_schema(msgspec.json.decode(text))


def _schema_text(schema: Schema | None) -> str | None:
    return None if schema is None else msgspec.json.encode(to_table_schema(schema)).decode()
