"""VERB: purge. Destroy what was withdrawn: plan, record the intent, destroy, record that it is done. A crash in between is finished later.

The transaction that records the intent also deletes every value that the catalog tells of the version, so that a reader sees all of it
or none. From then on its files are garbage like any other: what no manifest names is swept away, however often that takes. The questions
that were asked of it, which nobody reads back, go in batches, so that no other writer waits for more than one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from baybridge import jobs
from baybridge.audit import side as audit_side
from baybridge.audit.entry import JSON, Kind, canonical
from baybridge.audit.log import Draft, Log
from baybridge.catalog import holdings
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, Act, Condition, Dataset, Numbered, State, move, parse_reason
from baybridge.data.engines.duckdb import Engine
from baybridge.data.extracts import Extracts
from baybridge.data.objects import Objects
from baybridge.db import Database
from baybridge.errors import Advice, Conflict, NotFound, Unavailable
from baybridge.names import DatasetName
from baybridge.principals.principal import Principal
from baybridge.publish.withdraw import require_steward
from baybridge.publish.workspaces import Workspaces

FINISH: Final = "finish_purges"
"""The job that finishes what was begun."""

_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a purge destroys: objects and originals that no other version names, extracts, and side records with the questions asked.

    `shared` objects are named by other versions too, and stay. `sha256` is over what can only be destroyed once: dataset, versions and
    their manifests.
    """

    dataset: DatasetName
    versions: tuple[int, ...]
    rows: int
    objects: int
    bytes: int
    shared: int
    extracts: int
    side_records: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Purge:
    """The act of purging, bound to what it needs. A version number of None is all of the dataset."""

    database: Database
    log: Log
    objects: Objects
    extracts: Extracts
    engine: Engine
    workspaces: Workspaces
    clock: Callable[[], datetime]
    _gone: set[tuple[DatasetName, int]] = field(default_factory=set)

    def plan(self, principal: Principal, name: DatasetName, number: int | None) -> Plan:
        """Say what would be destroyed, and destroy nothing.

        Raise NotFound (`gone`) for what has been already, Conflict for what is not withdrawn.
        """
        with self.log.entering_refusals(name.organization, _facts(principal, name, number) | {"act": "plan_purge"}):
            require_steward(principal, name)
        with self.database.read() as connection:
            return self._plan(connection, catalog.require(connection, name, EVERYTHING), number)

    def purge(self, principal: Principal, name: DatasetName, number: int | None, *, reason: str, plan_sha256: str) -> Plan:
        """Destroy what the plan of that digest names: it is withdrawn, and someone has looked at the plan.

        Raise Conflict where it is not withdrawn or no longer what was planned, Unavailable (`purge_unfinished`) where a reader held
        it up: the server goes on with it by itself, and the same call does too.
        """
        said = parse_reason(reason)
        facts = _facts(principal, name, number)
        with self.log.entering_refusals(name.organization, facts | {"act": "purge"}), self.database.write() as connection:
            require_steward(principal, name)
            dataset = catalog.require(connection, name, EVERYTHING)
            plan = self._plan(connection, dataset, number)
            if plan.sha256 != plan_sha256:
                raise _another_plan(plan)
            if _condition(connection, dataset, number).state is not State.PURGING:
                self._begin(connection, dataset, plan, number, reason=said)
                begun = facts | {"plan_sha256": plan.sha256, "rows": plan.rows, "versions": _runs(plan.versions)}
                self.log.append(connection, Draft(name.organization, Kind.PURGE_BEGUN, begun))
                now = self.clock()  # for whoever is killed below: the same call would finish it too, and the job then finds it done
                jobs.enqueue(connection, FINISH, {}, now=now, at=now + _AFTER, key=FINISH)
        self.finish()
        return plan

    def follow(self) -> None:
        """Destroy the extracts of this node that were made from what another node has purged. It is called every second."""
        with self.database.read() as connection:
            gone = {*catalog.in_state(connection, State.PURGED)}
        if self.database.shared and gone != self._gone:
            self.extracts.drop_all_but(self._named_manifests)
            self._gone.update(gone)

    def finish(self) -> None:
        """Finish every purge that was begun, by whomever: destroy, then make the tombstones."""
        with self.database.read() as connection:
            begun = catalog.in_state(connection, State.PURGING)
        if not begun:
            return
        for name, number in begun:
            self._erase_questions(name, number)
        self._destroy()
        with self.database.write() as connection:
            finished = [each for each in begun if each in catalog.in_state(connection, State.PURGING)]
            for name in dict.fromkeys(name for name, _ in finished):
                self._bury(connection, name, tuple(number for of, number in finished if of == name))

    def _plan(self, connection: sa.Connection, dataset: Dataset, number: int | None) -> Plan:
        _require_withdrawn(connection, dataset, number)
        going = _going(connection, dataset, number)
        held = holdings.objects_of(connection, dataset.name, [each.number for each in going])
        of, name = dataset.name.organization, str(dataset.name)
        asked = [audit_side.count_side_records_about(connection, of, name, each.number) for each in going]
        listed: list[JSON] = [str(dataset.name), [[each.number, each.manifest_sha256] for each in going]]
        return Plan(
            dataset=dataset.name,
            versions=tuple(each.number for each in going),
            rows=sum(each.rows for each in going),
            objects=len(held.alone),
            bytes=sum(held.alone.values()),
            shared=len(held.shared),
            extracts=sum(self.extracts.made_from(each.manifest_sha256) for each in going),
            side_records=sum(asked),
            sha256=hashlib.sha256(canonical(listed)).hexdigest(),
        )

    def _begin(self, connection: sa.Connection, dataset: Dataset, plan: Plan, number: int | None, *, reason: str) -> None:
        """Move to `purging`, and delete every value that the catalog tells anyone: the statistics."""
        name, now = dataset.name, self.clock()
        if number is None:
            catalog.move_dataset(connection, name, move(dataset.condition, Act.PURGE, what=str(name), reason=reason, now=now))
        for each in plan.versions:
            condition = catalog.find_numbered(connection, dataset, each).condition
            if number is None and condition.state is State.PUBLISHED:  # withdrawn with its dataset
                condition = move(condition, Act.WITHDRAW, what=f"Version {each} of {name}", reason=reason, now=now)
            if condition.state is not State.PURGING:
                condition = move(condition, Act.PURGE, what=f"Version {each} of {name}", reason=reason, now=now)
            catalog.move_version(connection, name, each, condition)
            catalog.forget_manifest(connection, name, each)

    def _erase_questions(self, name: DatasetName, number: int) -> None:
        """Erase the side records about the version, a batch in each transaction. None is added: what is being purged is not read."""
        while True:
            with self.database.read() as connection:
                numbers = audit_side.side_records_about(connection, name.organization, str(name), number, limit=audit_side.BATCH)
            if not numbers:
                return
            with self.database.write() as connection:
                audit_side.erase_side_records(connection, name.organization, numbers)

    def _destroy(self) -> None:
        """Remove whatever no version names any more. Each step may be done again, and each ends durably before the next.

        Objects go before extracts, so that no extract can be made of what is going. The write-ahead log goes last.
        """
        self.workspaces.sweep()
        self.objects.collect(self._named_objects)
        self.extracts.drop_all_but(self._named_manifests)
        self.engine.close_missing()
        if not self.database.scrub():
            raise Unavailable(
                "purge_unfinished",
                "The purge was begun, and a reader of the catalog holds up its last step.",
                advice=Advice(
                    rule="A purge that was begun is finished by the server, and nothing of the version is served meanwhile.",
                    who_can_change="nobody needs to",
                    next_step="Look at the version in a moment, or send the same request again.",
                ),
                retry_after=2,
            )

    def _named_manifests(self) -> frozenset[str]:
        with self.database.read() as connection:
            return holdings.named_manifests(connection)

    def _named_objects(self) -> frozenset[str]:
        with self.database.read() as connection:
            return holdings.named_objects(connection)

    def _bury(self, connection: sa.Connection, name: DatasetName, numbers: tuple[int, ...]) -> None:
        dataset, now = catalog.require(connection, name, EVERYTHING), self.clock()
        for number in numbers:
            condition = catalog.find_numbered(connection, dataset, number).condition
            after = move(condition, Act.FINISH, what=f"Version {number} of {name}", reason=None, now=now)
            catalog.move_version(connection, name, number, after)
        if dataset.condition.state is State.PURGING:
            catalog.move_dataset(connection, name, move(dataset.condition, Act.FINISH, what=str(name), reason=None, now=now))
        done: dict[str, JSON] = {"dataset": str(name), "versions": _runs(numbers)}
        self.log.append(connection, Draft(name.organization, Kind.PURGE_DONE, done))


def _facts(principal: Principal, name: DatasetName, number: int | None) -> dict[str, JSON]:
    actor: dict[str, JSON] = {"organization": principal.organization, "principal": principal.id}
    return {"actor": actor, "dataset": str(name), "version": number}


def _runs(numbers: tuple[int, ...]) -> list[JSON]:
    """The numbers as runs [first, last], so that an entry about ten thousand versions stays small."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [list(run) for run in runs]


def _condition(connection: sa.Connection, dataset: Dataset, number: int | None) -> Condition:
    return dataset.condition if number is None else catalog.find_numbered(connection, dataset, number).condition


def _require_withdrawn(connection: sa.Connection, dataset: Dataset, number: int | None) -> None:
    """Raise Conflict where what is to be purged is still published: no plan is shown for what cannot be done."""
    if _condition(connection, dataset, number).state is not State.PUBLISHED:
        return
    what, pinned = (dataset.name, "") if number is None else (f"Version {number} of {dataset.name}", f" --version {number}")
    raise Conflict(
        "conflict",
        f"{what} is not withdrawn.",
        advice=Advice(
            rule="A version is withdrawn before it is purged, and what is purged does not come back.",
            who_can_change=f"a steward of {dataset.name.organization}",
            next_step="Withdraw it first.",
            next_command=f"baybridge withdraw {dataset.name}{pinned} --reason TEXT",
        ),
    )


def _going(connection: sa.Connection, dataset: Dataset, number: int | None) -> tuple[Numbered, ...]:
    """The version, or all that are not purged yet, oldest first. Raise NotFound (`gone`) where nothing is left."""
    if _condition(connection, dataset, number).state is State.PURGED:
        raise NotFound(
            "gone",
            f"{dataset.name} was purged." if number is None else f"Version {number} of {dataset.name} was purged.",
            advice=Advice(rule="What was purged is destroyed.", who_can_change="nobody", next_step="There is nothing left to purge."),
        )
    if number is not None:
        return (catalog.find_numbered(connection, dataset, number),)
    return tuple(each for each in reversed(catalog.versions(connection, dataset)) if each.condition.state is not State.PURGED)


def _another_plan(plan: Plan) -> Conflict:
    return Conflict(
        "conflict",
        f"What would be purged of {plan.dataset} now is not what that plan names.",
        advice=Advice(
            rule="What is purged is what someone has looked at.",
            who_can_change="you",
            next_step="Ask for the plan again, without plan_sha256, read it, and send its digest.",
        ),
    )
