"""The kinds of jobs, each with what runs it, and why done twice is the same as done once; and what each node does on its own disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from baybridge import jobs
from baybridge.agree import hours
from baybridge.agreements import store as agreements
from baybridge.catalog import holdings
from baybridge.data.extracts import Extracts
from baybridge.data.objects import Objects
from baybridge.db import Database
from baybridge.jobs import Rule
from baybridge.names import DatasetName
from baybridge.operate.erase import Erase
from baybridge.operate.warm import Warm
from baybridge.operate.worker import Held, Kind
from baybridge.publish import WARM
from baybridge.publish.purge import FINISH, Purge
from baybridge.publish.rejects import KeepRejects
from baybridge.publish.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done beside the requests, bound to what it needs."""

    database: Database
    objects: Objects
    extracts: Extracts
    workspaces: Workspaces
    purge: Purge
    erase: Erase
    warm: Warm
    rejects: KeepRejects
    clock: Callable[[], datetime]

    def kinds(self) -> tuple[Kind, ...]:
        """Every kind of job that there is."""
        return (
            Kind(Rule(WARM, tries=4), self.make_extracts, is_long=True),
            Kind(Rule("collect_objects", every=timedelta(minutes=10)), self.collect_objects, is_long=True),
            Kind(Rule(FINISH, tries=None), self.finish_purges, is_long=False),
            Kind(Rule(hours.BEGINS), self.begin_agreement, is_long=False),
            Kind(Rule(hours.ENDS), self.end_agreement, is_long=False),
            Kind(Rule("expire_side_records", every=timedelta(minutes=1)), self.expire_side_records, is_long=False),
            Kind(Rule("expire_rejects", every=timedelta(hours=1)), self.expire_rejects, is_long=False),
            Kind(Rule("forget_jobs", every=timedelta(hours=1)), self.forget_jobs, is_long=False),
        )

    def make_extracts(self, held: Held) -> None:
        """Twice is once: an extract that is there is found, and one that is being made elsewhere is waited for."""
        self.warm.warm(DatasetName.parse(held.job.payload["dataset"]), held.go_on)

    def tidy(self) -> None:
        """Remove what nobody needs on this node's own disk: no job, because each node has its own."""
        self.workspaces.sweep()
        with self.database.read() as connection:
            manifests, referred = holdings.named_manifests(connection), agreements.referred_extracts(connection)
        self.extracts.collect(manifests=manifests, referred=referred)

    def collect_objects(self, held: Held) -> None:
        """Twice is once: what is garbage is asked of the catalog under the lock of all objects, whoever asks."""
        del held
        self.objects.collect_unless_adopting(lambda: self._read(holdings.named_objects))

    def finish_purges(self, held: Held) -> None:
        """Twice is once: what is destroyed stays so, and the tombstones are made in one transaction for what has none."""
        del held
        self.purge.finish()

    def begin_agreement(self, held: Held) -> None:
        """Once: both parties are told in the transaction that completes the job."""
        with self.database.write() as connection:
            hours.begin(connection, held.job.payload["agreement"], now=self.clock())
            held.complete(connection)

    def end_agreement(self, held: Held) -> None:
        """Once: as with its beginning."""
        with self.database.write() as connection:
            hours.end(connection, held.job.payload["agreement"], now=self.clock())
            held.complete(connection)

    def expire_side_records(self, held: Held) -> None:
        """Twice is once: where nothing is left to erase nothing is entered."""
        del held
        self.erase.expire(self.clock())

    def expire_rejects(self, held: Held) -> None:
        """Twice is once: what is forgotten stays so."""
        del held
        self.rejects.expire()

    def forget_jobs(self, held: Held) -> None:
        """Once: in the transaction that completes the job."""
        with self.database.write() as connection:
            jobs.forget_ended(connection, now=self.clock())
            held.complete(connection)

    def _read(self, ask: Callable[[sa.Connection], frozenset[str]]) -> frozenset[str]:
        with self.database.read() as connection:
            return ask(connection)
