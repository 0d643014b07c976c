"""Warming: the extracts of a new version made ahead of those who read its dataset of late, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from baybridge.agreements import store as agreements
from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.domains import unwrap_key
from baybridge.agreements.readers import agreements_read, is_read_whole
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, State, Version
from baybridge.data.extracts import Extracts
from baybridge.db import Database
from baybridge.errors import Invalid
from baybridge.names import DatasetName
from baybridge.policy.decision import project_whole
from baybridge.policy.projection import Projection, project
from baybridge.terms.terms import check_terms

OF_LATE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Warm:
    """Warming, bound to what it needs."""

    database: Database
    extracts: Extracts
    clock: Callable[[], datetime]
    wrapping_key: bytes

    def warm(self, name: DatasetName, go_on: Callable[[], None]) -> None:
        """Make the latest version's extract for each agreement under which the dataset was read of late; `go_on` is asked before each."""
        with self.database.read() as connection:
            wanted = list(self._wanted(connection, name))
        for agreement, projection in wanted:
            go_on()
            made = self.extracts.find(projection, self._domain_key, wait=None)
            if agreement is not None:
                with self.database.write() as connection:
                    agreements.refer_to_extract(connection, agreement, made.sha256, now=self.clock())

    def _wanted(self, connection: sa.Connection, name: DatasetName) -> Iterator[tuple[Agreement | None, Projection]]:
        now, dataset = self.clock(), catalog.require(connection, name, EVERYTHING)
        if not dataset.last:
            return
        version = catalog.find_version(connection, dataset, None)
        if version.state is not State.PUBLISHED:
            return
        since = now - OF_LATE
        if is_read_whole(connection, name, since=since):
            yield None, project_whole(version)
        read = agreements_read(connection, name, since=since)
        for agreement in agreements.of_dataset(connection, name):
            if agreement.id in read and agreement.standing(now) is Standing.ACTIVE:
                projection = _projection(agreement, version)
                if projection is not None:
                    yield agreement, projection

    def _domain_key(self, key_id: str) -> bytes:
        with self.database.read() as connection:
            return unwrap_key(connection, key_id, wrapping_key=self.wrapping_key)


def _projection(agreement: Agreement, version: Version) -> Projection | None:
    """What the agreement leaves of the version; None where its terms are not understood or do not fit, so that they refuse."""
    if agreement.terms is None:
        return None
    try:
        check_terms(agreement.terms, version.schema.types)
    except Invalid:
        return None
    return project(agreement.terms, version, domain_key=agreement.domain_key)
