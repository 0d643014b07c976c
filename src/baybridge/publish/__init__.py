"""VERB: publish. Declare a dataset; then profile, check, store, and make a version known: catalog and log in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from baybridge import jobs
from baybridge.agreements import store as agreement_store
from baybridge.agreements.affected import Affected, affected
from baybridge.agreements.agreement import Action, Agreement, act_facts, transition
from baybridge.agreements.notices import tell, tell_invited
from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import (
    EVERYTHING,
    Access,
    Dataset,
    Mode,
    Version,
    parse_description,
    parse_invited,
    parse_title,
    require_hideable,
    require_published,
)
from baybridge.catalog.facts import Facts
from baybridge.catalog.manifest import Manifest, ManifestObject, Rejects
from baybridge.catalog.refused import forget_refused
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.limits import Limits, over_limits
from baybridge.data.ingest.order import UPLOAD, Order, Outcome
from baybridge.data.ingest.room import Room
from baybridge.data.objects import Objects, Stored, spool
from baybridge.data.turns import Hold
from baybridge.db import Database
from baybridge.errors import Advice, Conflict
from baybridge.names import DatasetName
from baybridge.principals import tokens
from baybridge.principals.principal import Principal
from baybridge.principals.store import require_organization
from baybridge.publish.drift import arriving_of, facts_of, find_drift
from baybridge.publish.entry import change_facts, reason_side, reject_facts
from baybridge.publish.rejects import KeepRejects
from baybridge.publish.rules import (
    nothing_proposed,
    require_changeable,
    require_confirmed,
    require_contract,
    require_same_schema,
    unconfirmed,
)
from baybridge.publish.upload import Declaration, Publication, Upload
from baybridge.publish.withdraw import require_steward
from baybridge.publish.workspaces import Workspaces

__all__ = ["SCHEMA_CHANGED", "WARM", "Declaration", "Publication", "Publish", "Upload"]

SCHEMA_CHANGED: Final = "schema_changed"
WARM: Final = "warm"
"""The job that makes a new version's extracts ahead of their readers."""


@dataclass(frozen=True, slots=True)
class Publish:
    """The acts of publishing, bound to what they need."""

    database: Database
    log: Log
    objects: Objects
    workspaces: Workspaces
    clock: Callable[[], datetime]
    room: Room
    limits: Limits
    entropy: Callable[[int], bytes]
    rejects: KeepRejects

    def declare(self, principal: Principal, name: DatasetName, declaration: Declaration) -> Dataset:
        """Make a dataset known, or change what is said of it. Its first version fixes its schema and its access."""
        with self._entering_refusals(principal, "declare", name), self.database.write() as connection:
            require_steward(principal, name)
            require_organization(connection, name.organization)
            before = catalog.find(connection, name, EVERYTHING)
            after = require_hideable(self._declared(name, before, declaration))
            declaration.expected.require(None if before is None else before.tag())
            catalog.declare(connection, after)
            invited = self._invite(connection, after, declaration.invited)
            self.log.append(
                connection,
                Draft(
                    name.organization,
                    Kind.DATASET_DECLARED,
                    {
                        "access": after.access.value,
                        "actor": _actor(principal),
                        "dataset": str(name),
                        "has_schema": after.schema is not None,
                        "hidden": after.hidden,
                        "invited": list(invited),
                    },
                ),
            )
            return after

    def publish(self, principal: Principal, name: DatasetName, upload: Upload) -> Publication:
        """Make the upload the dataset's next version, whole or not at all.

        Raise Conflict (`schema_unconfirmed`) on a first publication that neither gives nor accepts a schema, or accepts one that no row
        proposes. A publication with more rejected rows than it lets go, like a dry run, comes back with `version` None and has written
        no row; the rejects of the former are kept for some days.
        """
        with self._entering_refusals(principal, "publish", name):
            require_steward(principal, name)
        with self.workspaces.one() as workspace:
            dataset = self._dataset(name, upload)
            source = spool(_within(upload.chunks, self.limits.bytes), workspace / UPLOAD)
            with ExitStack() as turn:
                # What is changed is read from its objects, so they are held from here on; else, once objects are stored.
                hold = None if upload.mode is Mode.REPLACE else turn.enter_context(self.objects.adopting())
                base = self._base(dataset, upload)
                outcome = self.room.run(workspace, self._order(dataset, upload, base, workspace))
                publication = self._looked_at(dataset, source, upload, base, outcome)
                if upload.dry_run:
                    return publication
                if publication.blocked:
                    hold = hold or turn.enter_context(self.objects.adopting())
                    kept = self.rejects.keep_refused(principal, name, workspace, outcome.rows_rejected, hold=hold)
                    return replace(publication, rejects_kept=kept)
                if dataset.schema is None and not upload.accept_schema:
                    raise unconfirmed(name)
                if dataset.schema is None and not outcome.rows_read:
                    raise nothing_proposed(name)
                require_confirmed(name, upload, publication.suspends)
                if publication.warnings and upload.stop_on_warnings:
                    return replace(publication, stopped=True)
                hold = hold or turn.enter_context(self.objects.adopting())
                with self._entering_refusals(principal, "publish", name):
                    manifest = self._store(workspace, base, outcome)
                    rejects, facts = self.rejects.adopt(workspace, outcome.rows_rejected), facts_of(arriving_of(upload.mode, outcome), base)
                    stored = _Stored(manifest, rejects, facts)
                    return self._make_known(principal, dataset, upload, publication, stored, hold=hold)

    def _declared(self, name: DatasetName, before: Dataset | None, declaration: Declaration) -> Dataset:
        now = self.clock()
        if before is None:
            before = Dataset(name, name.name, "", declaration.access or Access.AGREEMENT, None, 0, now)
        changed = declaration.schema is not None and before.last and declaration.schema != before.schema
        if changed and not declaration.schema_change:
            raise Conflict(
                "schema_is_contract",
                f"{name} has versions, and their schema is the contract for the next.",
                advice=Advice(
                    rule="A schema changes under published versions only where a steward confirms it.",
                    who_can_change=f"a steward of {name.organization}",
                    next_step="Send schema_change as true with it; a dry run of the next version then lists the agreements affected.",
                    next_command=f"baybridge publish {name} FILE --schema SCHEMA --schema-change",
                ),
            )
        if declaration.access not in (None, before.access) and before.last:
            raise Conflict(
                "conflict",
                f"{name} has versions, and they are published with access {before.access}.",
                advice=Advice(
                    rule="Access is fixed by the first version.",
                    who_can_change="nobody",
                    next_step="Leave access out, or publish as another dataset.",
                ),
            )
        return replace(
            before,
            title=before.title if declaration.title is None else parse_title(declaration.title),
            description=before.description if declaration.description is None else parse_description(declaration.description),
            access=declaration.access or before.access,
            schema=before.schema if declaration.schema is None else declaration.schema,
            updated=now,
            hidden=before.hidden if declaration.hidden is None else declaration.hidden,
        )

    def _invite(self, connection: sa.Connection, dataset: Dataset, organizations: tuple[str, ...] | None) -> tuple[str, ...]:
        """Let these know of the dataset, and tell those that are new; None leaves it as it is. Give who is invited now."""
        name = dataset.name
        before = catalog.invited(connection, name)
        if organizations is None:
            return before
        wanted = parse_invited(organizations, dataset)
        for organization in wanted:
            require_organization(connection, organization)
        catalog.invite(connection, name, wanted)
        tell_invited(connection, [each for each in wanted if each not in before], name, now=self.clock())
        return catalog.invited(connection, name)

    def _dataset(self, name: DatasetName, upload: Upload) -> Dataset:
        """The dataset, which must be declared, unless nothing is to be written: a proposal can be looked at before that."""
        with self.database.read() as connection:
            require_organization(connection, name.organization)
            if upload.dry_run and catalog.find(connection, name, EVERYTHING) is None:
                upload.expected.require(None)
                return self._declared(name, None, Declaration())
            dataset = require_published(catalog.require(connection, name, EVERYTHING))
            upload.expected.require(dataset.tag())
        require_changeable(dataset, upload.mode, upload.base)
        if dataset.schema is not None:
            require_contract(dataset, dataset.schema, upload)
        return dataset

    def _base(self, dataset: Dataset, upload: Upload) -> Version | None:
        """The version that the upload changes: the latest. None where it replaces all rows."""
        if upload.mode is Mode.REPLACE:
            return None
        with self.database.read() as connection:
            base = catalog.find_version(connection, dataset, None)
        return require_same_schema(dataset, base)

    def _order(self, dataset: Dataset, upload: Upload, base: Version | None, workspace: Path) -> Order:
        fetched = workspace / "base"
        fetched.mkdir()
        return Order(
            schema=dataset.schema,
            null_words=upload.null_words,
            key=upload.key,
            mode=upload.mode,
            file_format=upload.file_format,
            base=() if base is None else tuple(map(str, self.objects.fetch([each.sha256 for each in base.manifest.objects], fetched))),
            write=not upload.dry_run and (dataset.schema is not None or upload.accept_schema),
            limits=self.limits,
            sheet=upload.sheet,
            wanted=upload.wanted,
            confirmed=not upload.dry_run,
            threshold=upload.threshold,
        )

    def _store(self, workspace: Path, base: Version | None, outcome: Outcome) -> Manifest:
        """Adopt the parts, durably. Until a manifest names them they are garbage, so a crash from here on leaves the old state."""
        shared = () if base is None else tuple(base.manifest.objects[place] for place in outcome.kept)
        made = []
        for part in outcome.parts:
            stored = self.objects.adopt(workspace / part.path)
            made.append(ManifestObject(stored.sha256, stored.size, part.rows, part.statistics))
        original = self.objects.adopt(workspace / UPLOAD)
        return Manifest((*shared, *made), original.sha256, original.size)

    def _make_known(
        self,
        principal: Principal,
        dataset: Dataset,
        upload: Upload,
        publication: Publication,
        stored: _Stored,
        *,
        hold: Hold,
    ) -> Publication:
        """The transaction: manifest, catalog row and entry. It is refused when another version came first.

        An upload can last: who sent it is looked at again.
        """
        manifest, number, now = stored.manifest, dataset.last + 1, self.clock()
        version = Version(dataset.name, number, publication.schema, manifest, now, rejects=stored.rejects, facts=stored.facts)
        with self.database.write() as connection:
            hold.keep(connection)
            require_steward(tokens.present(connection, principal, now=self.clock(), counterpart=dataset.name.organization), dataset.name)
            present = require_published(catalog.require(connection, dataset.name, EVERYTHING))
            if present.schema not in (None, publication.schema):
                raise Conflict(
                    "conflict",
                    "Another schema was confirmed in the meantime.",
                    advice=Advice(
                        rule="A version has the schema that its dataset has when it is made.",
                        who_can_change="you",
                        next_step="Look at the schema, and publish the file again where it fits.",
                        next_command=f"baybridge show {dataset.name}",
                    ),
                )
            suspends = _suspends(connection, present, publication.schema, version.published)
            require_confirmed(dataset.name, upload, suspends)
            upload.expected.require(present.tag())
            require_changeable(present, upload.mode, upload.base if publication.base is None else publication.base)
            catalog.add_version(connection, version)
            forget_refused(connection, dataset.name)
            jobs.enqueue(connection, WARM, {"dataset": str(dataset.name)}, now=version.published, key=f"{WARM}:{dataset.name}")
            for each in suspends:
                self._suspend(connection, principal, each.agreement)
            side = reason_side(upload, version, salt=self.entropy(16))
            facts: dict[str, JSON] = {
                "actor": _actor(principal),
                "dataset": str(dataset.name),
                "manifest_sha256": manifest.digest(),
                "original_sha256": manifest.original_sha256,
                "rows": manifest.rows,
                "version": version.number,
                **change_facts(publication),
                **reject_facts(upload, publication, version, side),
            }
            entry = self.log.append(connection, Draft(dataset.name.organization, Kind.PUBLICATION, facts, side))
        return replace(publication, version=version.number, entry=entry, suspends=suspends, rejects_kept=stored.rejects is not None)

    def _looked_at(self, dataset: Dataset, source: Stored, upload: Upload, base: Version | None, outcome: Outcome) -> Publication:
        """The publication as it would be, held against the version before."""
        before = self._latest(dataset)
        return replace(
            _publication(dataset.name, source, upload, base, outcome),
            suspends=self._suspends(dataset, outcome.schema),
            same_file_as=_same_file_as(before, source),
            warnings=() if before is None else find_drift(before, arriving_of(upload.mode, outcome)),
        )

    def _suspends(self, dataset: Dataset, schema: Schema) -> tuple[Affected, ...]:
        with self.database.read() as connection:
            return _suspends(connection, dataset, schema, self.clock())

    def _latest(self, dataset: Dataset) -> Version | None:
        """The version that the upload follows; None where there is none."""
        if not dataset.latest:
            return None
        with self.database.read() as connection:
            return catalog.find_version(connection, dataset, dataset.latest)

    def _suspend(self, connection: sa.Connection, principal: Principal, agreement: Agreement) -> None:
        """Suspend an agreement that loses a column, with its entry, in the transaction of the version; both sides are told."""
        now = self.clock()
        after = replace(
            agreement,
            state=transition(agreement, Action.SUSPEND, now),
            epoch=agreement.epoch + 1,
            code=SCHEMA_CHANGED,
            reason="A new version of the dataset drops or retypes a column that the agreement names.",
            updated=now,
        )
        agreement_store.stop(connection, after)
        facts = act_facts(after, Action.SUSPEND, _actor(principal), now)
        self.log.append(connection, Draft(after.provider, Kind.AGREEMENT_ACT, {**facts, "code": SCHEMA_CHANGED}))
        tell(connection, (after.provider, after.consumer), after, Action.SUSPEND, now=now)

    def _entering_refusals(self, principal: Principal, act: str, name: DatasetName) -> AbstractContextManager[None]:
        return self.log.entering_refusals(name.organization, {"act": act, "actor": _actor(principal), "dataset": str(name)})


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a version is made of, before it is known."""

    manifest: Manifest
    rejects: Rejects | None
    facts: Facts


def _same_file_as(before: Version | None, source: Stored) -> int | None:
    """The number of the version before, where it was made from a file of the same bytes."""
    return None if before is None or before.manifest.original_sha256 != source.sha256 else before.number


def _suspends(connection: sa.Connection, dataset: Dataset, schema: Schema, now: datetime) -> tuple[Affected, ...]:
    """The agreements that lose a column when a version with this schema follows the dataset's latest."""
    if not dataset.last:
        return ()
    before = catalog.find_version(connection, dataset, None).schema
    return affected(agreement_store.of_dataset(connection, dataset.name), before.types, schema.types, now)


def _actor(principal: Principal) -> dict[str, str]:
    return {"organization": principal.organization, "principal": principal.id}


def _publication(name: DatasetName, source: Stored, upload: Upload, base: Version | None, outcome: Outcome) -> Publication:
    return Publication(
        dataset=name,
        version=None,
        source=source,
        schema=outcome.schema,
        profile=outcome.profile,
        rows_read=outcome.rows_read,
        rows_loaded=outcome.rows_loaded,
        rows_rejected=outcome.rows_rejected,
        rejects=outcome.rejects,
        entry=None,
        mode=upload.mode,
        base=None if base is None else base.number,
        changes=outcome.changes,
        notes=outcome.notes,
        found=outcome.found,
        rejects_found=outcome.rejects_found,
        rejects_allowed=upload.threshold.allows(outcome.rows_read),
    )


def _within(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The same, and not more. Raise Invalid (`file_over_limits`) beyond."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise over_limits(f"The file is larger than {most:,} bytes.")
        yield chunk
