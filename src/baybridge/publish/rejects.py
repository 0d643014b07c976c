"""VERB: keep and hand out the rejects of uploads. They hold cells: their steward alone gets them, each time with an entry first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.catalog import holdings
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, Dataset, State
from baybridge.catalog.manifest import Rejects
from baybridge.catalog.refused import forget_refused_before, keep_refused, refused_rejects
from baybridge.data.ingest.order import REJECTS
from baybridge.data.objects import Objects
from baybridge.data.turns import Hold
from baybridge.db import Database
from baybridge.errors import Advice, NotFound, Refused
from baybridge.names import DatasetName
from baybridge.principals import tokens
from baybridge.principals.principal import Principal
from baybridge.principals.store import still_acts
from baybridge.publish.withdraw import require_steward
from baybridge.publish.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class HandedOut:
    """The rejects as CSV, and the index of the entry that says so in the log of the dataset's organization."""

    data: bytes
    entry: int


@dataclass(frozen=True, slots=True)
class KeepRejects:
    """The acts about rejects, bound to what they need. `days` is how long those of a refused upload are kept; 0 keeps none."""

    database: Database
    log: Log
    objects: Objects
    workspaces: Workspaces
    clock: Callable[[], datetime]
    days: int

    def adopt(self, workspace: Path, rows: int) -> Rejects | None:
        """Make the rejects of a workspace an object; None where no row was rejected. The caller holds what it adopts."""
        if not rows:
            return None
        stored = self.objects.adopt(workspace / REJECTS)
        return Rejects(rows, stored.sha256, stored.size)

    def keep_refused(self, principal: Principal, name: DatasetName, workspace: Path, rows: int, *, hold: Hold) -> bool:
        """Keep why the upload was refused, in the place of what is kept of the one before, and say whether it is kept."""
        rejects = self.adopt(workspace, rows) if self.days else None
        if rejects is None:
            return False
        now = self.clock()
        with (
            self.log.entering_refusals(name.organization, _facts(principal, name) | {"act": "publish"}),
            self.database.write() as connection,
        ):
            hold.keep(connection)
            require_steward(tokens.present(connection, principal, now=now, counterpart=name.organization), name)
            keep_refused(connection, name, rejects, now=now)
        return True

    def read(self, principal: Principal, name: DatasetName, number: int | None) -> HandedOut:
        """Hand out the rejects of a version, or for None those of the latest refused upload; the entry is durable before they leave.

        Raise NotFound where there are none, also (`gone`) where the version is purged, and Refused where it is withdrawn.
        """
        facts = _facts(principal, name) | {"version": number}
        with self.log.entering_refusals(name.organization, facts | {"act": "read_rejects"}):
            require_steward(principal, name)
            rejects, data = self._fetched(name, number)

        def still(connection: sa.Connection, now: datetime) -> bool:
            named = _named(connection, catalog.require(connection, name, EVERYTHING), number)
            return named == rejects and still_acts(connection, principal, now=now, counterpart=name.organization)

        told = facts | {"rejects_sha256": rejects.sha256, "rows_rejected": rejects.rows}
        entry = self.log.record(Draft(name.organization, Kind.REJECTS_READ, told), still)
        if entry is None:
            raise _none(name, number)
        return HandedOut(data, entry)

    def _fetched(self, name: DatasetName, number: int | None) -> tuple[Rejects, bytes]:
        """What is named now, and its bytes: nobody collects it in between."""
        with self.workspaces.one() as workspace, self.objects.adopting():
            with self.database.read() as connection:
                rejects = _found(connection, catalog.require(connection, name, EVERYTHING), number)
            (path,) = self.objects.fetch([rejects.sha256], workspace)
            return rejects, path.read_bytes()

    def expire(self) -> None:
        """Forget refused uploads after their days; their objects are collected as garbage."""
        with self.database.write() as connection:
            forget_refused_before(connection, self.clock() - timedelta(days=self.days))


def _facts(principal: Principal, name: DatasetName) -> dict[str, JSON]:
    return {"actor": {"organization": principal.organization, "principal": principal.id}, "dataset": str(name)}


def _found(connection: sa.Connection, dataset: Dataset, number: int | None) -> Rejects:
    """The rejects. Raise why there are none to be had."""
    name = dataset.name
    state = dataset.condition.state if number is None else catalog.find_numbered(connection, dataset, number).condition.state
    if State.WITHDRAWN in {state, dataset.condition.state}:
        raise Refused(
            "version_withdrawn",
            f"{name} was withdrawn." if number is None else f"Version {number} of {name} was withdrawn.",
            advice=Advice(
                rule="What is withdrawn is read by nobody.",
                who_can_change=f"a steward of {name.organization}, by restoring it",
                next_step="Restore it first.",
            ),
        )
    if state in {State.PURGING, State.PURGED}:
        what = name if number is None else f"Version {number} of {name}"
        raise NotFound(
            "gone",
            f"{what} was purged.",
            advice=Advice(rule="What was purged is destroyed.", who_can_change="nobody", next_step="There is nothing left to read."),
        )
    rejects = _named(connection, dataset, number)
    if rejects is None:
        raise _none(name, number)
    return rejects


def _named(connection: sa.Connection, dataset: Dataset, number: int | None) -> Rejects | None:
    """What the catalog names now, unless it is withdrawn."""
    if dataset.condition.state is not State.PUBLISHED:
        return None
    if number is None:
        return refused_rejects(connection, dataset.name)
    if catalog.state_of(connection, dataset.name, number) is not State.PUBLISHED:
        return None
    return holdings.rejects_of(connection, dataset.name, number)


def _none(name: DatasetName, number: int | None) -> NotFound:
    what = f"No refused upload of {name} is kept." if number is None else f"Version {number} of {name} has no rejects."
    return NotFound(
        "not_found",
        what,
        advice=Advice(
            rule="Rejects are kept with a version that lets rows go, and of the latest upload that was refused, for the days of a setting.",
            who_can_change="you",
            next_step="Name a version that let rows go, or look at a dry run of the file.",
            next_command=f"baybridge publish {name} FILE --dry-run --rejects REJECTS",
        ),
    )
