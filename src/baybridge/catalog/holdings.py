"""What the catalog holds of the store of objects: everything that no version and no refused upload names is garbage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from baybridge.catalog.manifest import Rejects
from baybridge.catalog.refused import REFUSED_UPLOADS
from baybridge.catalog.store import GONE, MANIFEST_OBJECTS, VERSIONS
from baybridge.names import DatasetName


def named_objects(connection: sa.Connection) -> frozenset[str]:
    """The SHA-256 of every object, original and list of rejects that something still names: all others are garbage."""
    objects = connection.execute(sa.select(MANIFEST_OBJECTS.c.sha256).distinct()).scalars()
    originals = connection.execute(sa.select(VERSIONS.c.original_sha256).where(VERSIONS.c.state.not_in(GONE))).scalars()
    rejects = connection.execute(sa.select(VERSIONS.c.rejects_sha256).where(VERSIONS.c.rejects_sha256.is_not(None))).scalars()
    refused = connection.execute(sa.select(REFUSED_UPLOADS.c.rejects_sha256)).scalars()
    return frozenset(objects).union(originals, rejects, refused)


@dataclass(frozen=True, slots=True)
class Held:
    """What versions hold, by SHA-256 with the sizes: what only these versions name, and what others name too."""

    alone: Mapping[str, int]
    shared: Mapping[str, int]


def objects_of(connection: sa.Connection, name: DatasetName, numbers: Sequence[int]) -> Held:
    """What these versions of the dataset hold, originals and rejects included."""
    going: dict[str, int] = {}
    staying: set[str] = set()
    objects = sa.select(MANIFEST_OBJECTS.c.dataset, MANIFEST_OBJECTS.c.number, MANIFEST_OBJECTS.c.sha256, MANIFEST_OBJECTS.c.size)
    originals = sa.select(VERSIONS.c.dataset, VERSIONS.c.number, VERSIONS.c.original_sha256, VERSIONS.c.original_size)
    rejects = sa.select(VERSIONS.c.dataset, VERSIONS.c.number, VERSIONS.c.rejects_sha256, VERSIONS.c.rejects_size)
    held = objects.union_all(originals.where(VERSIONS.c.state.not_in(GONE)), rejects.where(VERSIONS.c.rejects_sha256.is_not(None)))
    for row in connection.execute(held):
        if row.dataset == str(name) and row.number in numbers:
            going[row.sha256] = row.size
        else:
            staying.add(row.sha256)
    return Held(
        alone={sha256: size for sha256, size in going.items() if sha256 not in staying},
        shared={sha256: size for sha256, size in going.items() if sha256 in staying},
    )


def named_manifests(connection: sa.Connection) -> frozenset[str]:
    """The digest of the manifest of every version that is not purged, or being purged."""
    return frozenset(connection.execute(sa.select(VERSIONS.c.manifest_sha256).where(VERSIONS.c.state.not_in(GONE))).scalars())


def rejects_of(connection: sa.Connection, name: DatasetName, number: int) -> Rejects | None:
    """The rejects of a version that exists; None where it has none, or is purged."""
    found = sa.select(VERSIONS.c.rejected, VERSIONS.c.rejects_sha256, VERSIONS.c.rejects_size)
    row = connection.execute(found.where(VERSIONS.c.dataset == str(name), VERSIONS.c.number == number)).one()
    return None if row.rejects_sha256 is None else Rejects(row.rejected, row.rejects_sha256, row.rejects_size)
