"""Looking up what is public of every dataset: names, descriptions, schemas and versions. Rows are never read here."""

from __future__ import annotations

from dataclasses import dataclass

from baybridge.catalog import store
from baybridge.catalog.dataset import Access, Dataset, Version
from baybridge.catalog.schema import Schema
from baybridge.db import Database
from baybridge.errors import NotFound
from baybridge.names import DatasetName


@dataclass(frozen=True, slots=True)
class Described:
    """A dataset and its latest version, where it has one."""

    dataset: Dataset
    latest: Version | None


@dataclass(frozen=True, slots=True)
class History:
    """A dataset's versions, newest first, and whether everyone may read them."""

    public: bool
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """The public catalog, bound to the database."""

    database: Database

    def listing(self) -> tuple[Described, ...]:
        """All datasets by name."""
        with self.database.read() as connection:
            return tuple(
                Described(each, store.find_version(connection, each, None) if each.latest else None) for each in store.datasets(connection)
            )

    def describe(self, name: DatasetName) -> Described:
        """One dataset. Raise NotFound."""
        with self.database.read() as connection:
            dataset = store.require(connection, name)
            return Described(dataset, store.find_version(connection, dataset, None) if dataset.latest else None)

    def schema(self, name: DatasetName, number: int | None) -> Schema:
        """The schema of a version, or the dataset's for None. Raise NotFound."""
        with self.database.read() as connection:
            dataset = store.require(connection, name)
            if number is not None:
                return store.find_version(connection, dataset, number).schema
        if dataset.schema is None:
            raise NotFound("not_found", f"{name} has no schema yet.")
        return dataset.schema

    def versions(self, name: DatasetName) -> History:
        """All versions of a dataset. Raise NotFound."""
        with self.database.read() as connection:
            dataset = store.require(connection, name)
            return History(dataset.access is Access.PUBLIC, store.versions(connection, dataset))
