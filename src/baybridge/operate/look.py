"""Looking up what each caller may know of datasets: names, descriptions, schemas and versions. Rows are never read here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa

from baybridge.catalog import store
from baybridge.catalog.dataset import Access, Dataset, Numbered, State
from baybridge.catalog.schema import Schema
from baybridge.db import Database
from baybridge.errors import Advice, NotFound
from baybridge.names import DatasetName
from baybridge.policy.sight import sight_of
from baybridge.principals.principal import Principal


@dataclass(frozen=True, slots=True)
class Described:
    """A dataset and its latest version, where it has one; to its owner with the organizations that are invited, else None."""

    dataset: Dataset
    latest: Numbered | None
    invited: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Some of a dataset's versions, newest first, whether everyone may read them, and whether there are older ones."""

    public: bool
    versions: tuple[Numbered, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of the datasets, by name, and whether more follow."""

    datasets: tuple[Described, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The catalog as a principal sees it (None: as everyone does), bound to the database."""

    database: Database

    def listing(self, principal: Principal | None, *, after: str = "", limit: int | None = None) -> Listing:
        """Datasets by name, from the one after `after` on."""
        with self.database.read() as connection:
            found = store.datasets(connection, sight_of(principal), after=after, limit=None if limit is None else limit + 1)
            return Listing(tuple(_described(connection, each) for each in found[:limit]), more=limit is not None and len(found) > limit)

    def describe(self, principal: Principal | None, name: DatasetName) -> Described:
        """One dataset. Raise NotFound."""
        sight = sight_of(principal)
        with self.database.read() as connection:
            found = _described(connection, store.require(connection, name, sight))
            owns = sight.everything or sight.organization == name.organization
            return replace(found, invited=store.invited(connection, name)) if owns else found

    def schema(self, principal: Principal | None, name: DatasetName, number: int | None) -> Schema:
        """The schema of a version, or the dataset's for None. Raise NotFound."""
        with self.database.read() as connection:
            dataset = store.require(connection, name, sight_of(principal))
            if number is not None:
                return store.schema_of(connection, dataset, number)
        if dataset.schema is None:
            raise NotFound("not_found", f"{name} has no schema yet.")
        return dataset.schema

    def versions(self, principal: Principal | None, name: DatasetName, *, before: int | None = None, limit: int | None = None) -> History:
        """Versions of a dataset below the number `before`, newest first. Raise NotFound."""
        with self.database.read() as connection:
            dataset = store.require(connection, name, sight_of(principal))
            found = store.versions(connection, dataset, before=before, limit=None if limit is None else limit + 1)
        return History(dataset.access is Access.PUBLIC, found[:limit], more=limit is not None and len(found) > limit)

    def version(self, principal: Principal | None, name: DatasetName, number: int) -> History:
        """One version of a dataset. Raise NotFound, also (`gone`) where it was purged."""
        with self.database.read() as connection:
            dataset = store.require(connection, name, sight_of(principal))
            found = store.find_numbered(connection, dataset, number)
        if found.condition.state in {State.PURGING, State.PURGED}:
            raise NotFound(
                "gone",
                f"Version {number} of {name} was purged.",
                advice=Advice(
                    rule="What was purged is destroyed.",
                    who_can_change="nobody",
                    next_step="Look at the versions that there are.",
                    next_url=f"/api/v1/collections/{name}/versions",
                ),
            )
        return History(dataset.access is Access.PUBLIC, (found,), more=False)


def _described(connection: sa.Connection, dataset: Dataset) -> Described:
    return Described(dataset, store.find_numbered(connection, dataset, dataset.latest) if dataset.latest else None)
