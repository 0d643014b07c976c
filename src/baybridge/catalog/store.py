"""Datasets, versions and manifests in the catalog's database. A version is inserted once; only its state ever moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from baybridge.catalog.dataset import Access, Condition, Dataset, Numbered, Sight, State, Version
from baybridge.catalog.facts import Facts
from baybridge.catalog.manifest import ColumnStatistics, Manifest, ManifestObject, Rejects
from baybridge.catalog.refused import forget_refused
from baybridge.catalog.schema import Schema, parse_table_schema, to_table_schema
from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Advice, Conflict, NotFound, Place
from baybridge.names import DatasetName, nearest

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
    sa.Column("last", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.Text, nullable=False, server_default=State.PUBLISHED.value),
    sa.Column("reason", sa.Text),
    sa.Column("since", UtcDateTime),
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
)
INVITATIONS: Final = sa.Table(
    "invitations",
    METADATA,
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
    sa.Column("lasting", sa.Boolean, nullable=False),
    sa.Index("invitations_of_an_organization", "organization", "dataset"),
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
    sa.Column("state", sa.Text, nullable=False, server_default=State.PUBLISHED.value),
    sa.Column("reason", sa.Text),
    sa.Column("since", UtcDateTime),
    sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejects_sha256", sa.Text),
    sa.Column("rejects_size", sa.BigInteger),
    sa.Column("facts", sa.Text),
    sa.Index("versions_in_a_state", "state"),
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
        "hidden": dataset.hidden,
    }
    changed = connection.execute(sa.update(DATASETS).where(DATASETS.c.name == str(dataset.name)).values(**values))
    if not changed.rowcount:
        connection.execute(sa.insert(DATASETS).values(name=str(dataset.name), latest=0, **values))


def invited(connection: sa.Connection, name: DatasetName) -> tuple[str, ...]:
    """The organizations that the steward has let know of the dataset, by name."""
    mine = sa.select(INVITATIONS.c.organization).where(INVITATIONS.c.dataset == str(name), INVITATIONS.c.lasting.is_(sa.false()))
    return tuple(connection.execute(mine.order_by(INVITATIONS.c.organization)).scalars())


def invite(connection: sa.Connection, name: DatasetName, organizations: Iterable[str]) -> None:
    """Let these organizations know of the dataset, and no others, but for those that have an agreement about it."""
    mine = INVITATIONS.c.dataset == str(name)
    connection.execute(sa.delete(INVITATIONS).where(mine, INVITATIONS.c.lasting.is_(sa.false())))
    lasting = connection.execute(sa.select(INVITATIONS.c.organization).where(mine)).scalars().all()
    for organization in organizations:
        if organization not in lasting:
            connection.execute(sa.insert(INVITATIONS).values(dataset=str(name), organization=organization, lasting=False))


def make_known(connection: sa.Connection, name: DatasetName, organization: str) -> None:
    """Let a party to an agreement about the dataset know of it for good: what both sides have put in writing is not unlearned."""
    theirs = (INVITATIONS.c.dataset == str(name)) & (INVITATIONS.c.organization == organization)
    if not connection.execute(sa.update(INVITATIONS).where(theirs).values(lasting=True)).rowcount:
        connection.execute(sa.insert(INVITATIONS).values(dataset=str(name), organization=organization, lasting=True))


def add_version(connection: sa.Connection, version: Version) -> None:
    """Make the version the latest. Raise Conflict unless it is the next number: another publication came first."""
    moved = connection.execute(
        sa.update(DATASETS)
        .where(DATASETS.c.name == str(version.dataset), DATASETS.c.last == version.number - 1)
        .values(latest=version.number, last=version.number, updated=version.published, schema=_schema_text(version.schema))
    )
    if moved.rowcount != 1:
        raise Conflict(
            "conflict",
            "Another version was published in the meantime.",
            advice=Advice(
                rule="A version follows the one that was the latest when its file arrived.",
                who_can_change="you",
                next_step="Look at the versions, and publish the same file again where it is still to be the next one.",
                next_command=f"baybridge show {version.dataset}",
            ),
        )
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
            rejected=0 if version.rejects is None else version.rejects.rows,
            rejects_sha256=None if version.rejects is None else version.rejects.sha256,
            rejects_size=None if version.rejects is None else version.rejects.size,
            facts=msgspec.json.encode(version.facts).decode(),
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


def find(connection: sa.Connection, name: DatasetName, sight: Sight) -> Dataset | None:
    """Give the dataset, or None where there is none that those eyes may see."""
    row = connection.execute(sa.select(*_DATASET).where(DATASETS.c.name == str(name), _seen(sight))).first()
    return None if row is None else _dataset(row)


def require(connection: sa.Connection, name: DatasetName, sight: Sight) -> Dataset:
    """Give the dataset. Raise NotFound, in the same words whether it is not there or hidden from those eyes."""
    dataset = find(connection, name, sight)
    if dataset is None:
        hint = nearest(str(name), _like(connection, name, sight))
        raise NotFound(
            "not_found",
            f"There is no dataset {name}.",
            advice=Advice(
                rule="A dataset is there from when its steward declares it, and a hidden one only for whom its steward has let know of it.",
                who_can_change="you",
                next_step="Correct the name; the list of datasets has all that you may know of.",
                next_command="baybridge show",
                next_url="/api/v1/collections",
            ),
            places=(Place("dataset", "no such dataset", hint=hint),),
        )
    return dataset


def _like(connection: sa.Connection, name: DatasetName, sight: Sight) -> Sequence[str]:
    """The names that share a part with this one, a thousand at most, of what those eyes may see."""
    alike = sa.or_(DATASETS.c.organization == name.organization, DATASETS.c.name.endswith(f".{name.name}", autoescape=True))
    found = sa.select(DATASETS.c.name).where(alike, _seen(sight)).order_by(DATASETS.c.name).limit(1000)
    return connection.execute(found).scalars().all()


def _seen(sight: Sight) -> sa.ColumnElement[bool]:
    """What those eyes may see: what is not hidden, their own, and what they have been let know of."""
    if sight.everything:
        return sa.true()
    known = sa.exists().where(INVITATIONS.c.dataset == DATASETS.c.name, INVITATIONS.c.organization == sight.organization)
    return sa.or_(DATASETS.c.hidden.is_(sa.false()), DATASETS.c.organization == sight.organization, known)


def datasets(connection: sa.Connection, sight: Sight, *, after: str = "", limit: int | None = None) -> tuple[Dataset, ...]:
    """The datasets that those eyes may see by name, from the one after `after` on."""
    query = sa.select(*_DATASET).where(DATASETS.c.name > after, _seen(sight)).order_by(DATASETS.c.name).limit(limit)
    return tuple(_dataset(row) for row in connection.execute(query))


def find_version(connection: sa.Connection, dataset: Dataset, number: int | None) -> Version:
    """Give that version, or the latest for None. Raise NotFound."""
    row = _version_row(connection, dataset, number)
    objects = connection.execute(
        sa.select(MANIFEST_OBJECTS.c.sha256, MANIFEST_OBJECTS.c.size, MANIFEST_OBJECTS.c.rows, MANIFEST_OBJECTS.c.statistics)
        .where(MANIFEST_OBJECTS.c.dataset == str(dataset.name), MANIFEST_OBJECTS.c.number == row.number)
        .order_by(MANIFEST_OBJECTS.c.position)
    )
    return Version(
        dataset=dataset.name,
        number=row.number,
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
        rejects=None if row.rejects_sha256 is None else Rejects(row.rejected, row.rejects_sha256, row.rejects_size),
        facts=() if row.facts is None else msgspec.json.decode(row.facts, type=Facts),
        state=_effective(dataset.condition.state, State(row.state)),
    )


def superseded(connection: sa.Connection, name: DatasetName, number: int) -> datetime | None:
    """When a version after this one was published; None while it is the latest."""
    later = sa.select(sa.func.min(VERSIONS.c.published)).where(VERSIONS.c.dataset == str(name), VERSIONS.c.number > number)
    return connection.execute(later).scalar()


def find_numbered(connection: sa.Connection, dataset: Dataset, number: int | None) -> Numbered:
    """The same without its manifest."""
    return _numbered(_version_row(connection, dataset, number))


def schema_of(connection: sa.Connection, dataset: Dataset, number: int) -> Schema:
    """The schema of that version; that of a purged one, too, for it holds no value. Raise NotFound."""
    return _schema(_version_row(connection, dataset, number).schema)


def versions(connection: sa.Connection, dataset: Dataset, *, before: int | None = None, limit: int | None = None) -> tuple[Numbered, ...]:
    """Versions below `before`, newest first, without their manifests."""
    query = sa.select(*_NUMBERED).where(VERSIONS.c.dataset == str(dataset.name)).order_by(VERSIONS.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(VERSIONS.c.number < before)
    return tuple(_numbered(row) for row in connection.execute(query))


def state_of(connection: sa.Connection, name: DatasetName, number: int) -> State:
    """Where a version that exists stands now, that of its whole dataset included: what every disclosure asks in its transaction."""
    row = connection.execute(
        sa.select(DATASETS.c.state, VERSIONS.c.state)
        .join_from(VERSIONS, DATASETS, DATASETS.c.name == VERSIONS.c.dataset)
        .where(VERSIONS.c.dataset == str(name), VERSIONS.c.number == number)
    ).one()
    return _effective(State(row[0]), State(row[1]))


def move_version(connection: sa.Connection, name: DatasetName, number: int, condition: Condition) -> None:
    """Put the version in that condition; the dataset's latest is then the newest of its published versions."""
    connection.execute(
        sa.update(VERSIONS)
        .where(VERSIONS.c.dataset == str(name), VERSIONS.c.number == number)
        .values(state=condition.state.value, reason=condition.reason, since=condition.since)
    )
    newest = sa.select(sa.func.coalesce(sa.func.max(VERSIONS.c.number), 0)).where(
        VERSIONS.c.dataset == str(name), VERSIONS.c.state == State.PUBLISHED.value
    )
    connection.execute(sa.update(DATASETS).where(DATASETS.c.name == str(name)).values(latest=newest.scalar_subquery()))


def move_dataset(connection: sa.Connection, name: DatasetName, condition: Condition) -> None:
    """Put the whole dataset in that condition."""
    connection.execute(
        sa.update(DATASETS)
        .where(DATASETS.c.name == str(name))
        .values(state=condition.state.value, reason=condition.reason, since=condition.since)
    )


def forget_manifest(connection: sa.Connection, name: DatasetName, number: int) -> None:
    """Delete what is told of a version's values: its objects with statistics, facts of its columns, rejects. Its tombstone stays.

    What is kept of a refused upload goes too: it may have been the same file.
    """
    connection.execute(sa.delete(MANIFEST_OBJECTS).where(MANIFEST_OBJECTS.c.dataset == str(name), MANIFEST_OBJECTS.c.number == number))
    mine = (VERSIONS.c.dataset == str(name)) & (VERSIONS.c.number == number)
    connection.execute(sa.update(VERSIONS).where(mine).values(rejects_sha256=None, rejects_size=None, facts=None))
    forget_refused(connection, name)


def in_state(connection: sa.Connection, state: State) -> tuple[tuple[DatasetName, int], ...]:
    """The versions in that state of their own, by dataset and number."""
    rows = connection.execute(
        sa.select(VERSIONS.c.dataset, VERSIONS.c.number)
        .where(VERSIONS.c.state == state.value)
        .order_by(VERSIONS.c.dataset, VERSIONS.c.number)
    )
    return tuple((DatasetName.parse(row.dataset), row.number) for row in rows)


def _version_row(connection: sa.Connection, dataset: Dataset, number: int | None) -> Any:
    """The row of that version, or of the latest; where all are withdrawn, of the last that there was."""
    wanted = (dataset.latest or dataset.last) if number is None else number
    if not 1 <= wanted <= dataset.last:
        raise _no_version(dataset, number)
    return connection.execute(sa.select(*_VERSION).where(VERSIONS.c.dataset == str(dataset.name), VERSIONS.c.number == wanted)).one()


def _no_version(dataset: Dataset, number: int | None) -> NotFound:
    if dataset.last:
        return NotFound("not_found", f"{dataset.name} has no version {number}.")
    return NotFound(
        "not_found",
        f"{dataset.name} has no version yet.",
        advice=Advice(
            rule="Rows are read of a version, and the steward has not published one.",
            who_can_change=f"a steward of {dataset.name.organization}",
            next_step="Publish a file as its first version, or come back when there is one.",
            next_command=f"baybridge publish {dataset.name} FILE --dry-run",
        ),
    )


def _effective(dataset: State, version: State) -> State:
    """What has been purged stays so; else a dataset that is withdrawn withdraws all its versions."""
    return version if dataset is State.PUBLISHED or version in GONE else dataset


GONE: Final = (State.PURGING, State.PURGED)
_DATASET: Final = (
    DATASETS.c.name,
    DATASETS.c.title,
    DATASETS.c.description,
    DATASETS.c.access,
    DATASETS.c.schema,
    DATASETS.c.latest,
    DATASETS.c.updated,
    DATASETS.c.last,
    DATASETS.c.state,
    DATASETS.c.reason,
    DATASETS.c.since,
    DATASETS.c.hidden,
)
_NUMBERED: Final = (
    VERSIONS.c.number,
    VERSIONS.c.rows,
    VERSIONS.c.manifest_sha256,
    VERSIONS.c.published,
    VERSIONS.c.state,
    VERSIONS.c.reason,
    VERSIONS.c.since,
    VERSIONS.c.rejected,
)
_VERSION: Final = (
    *_NUMBERED,
    VERSIONS.c.schema,
    VERSIONS.c.original_sha256,
    VERSIONS.c.original_size,
    VERSIONS.c.rejects_sha256,
    VERSIONS.c.rejects_size,
    VERSIONS.c.facts,
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
        last=row.last,
        condition=_condition(row),
        hidden=row.hidden,
    )


def _numbered(row: Any) -> Numbered:
    return Numbered(row.number, row.rows, row.manifest_sha256, row.published, _condition(row), row.rejected)


def _condition(row: Any) -> Condition:
    return Condition(State(row.state), row.reason, row.since)


def _schema(text: str) -> Schema:
    return parse_table_schema(msgspec.json.decode(text))


def _schema_text(schema: Schema | None) -> str | None:
    return None if schema is None else msgspec.json.encode(to_table_schema(schema)).decode()
