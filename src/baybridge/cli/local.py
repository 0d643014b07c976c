"""The local operator of a home: the verbs under the names and shapes of the client. No other file here needs the server part."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from sqlalchemy.exc import SQLAlchemyError

from baybridge.agreements.agreement import Agreement
from baybridge.agreements.umbrellas import Umbrella
from baybridge.audit.checkpoint import Verifier
from baybridge.catalog.dataset import parse_access, parse_mode
from baybridge.catalog.schema import parse_table_schema, to_table_schema
from baybridge.client import LogVerdict, RowsRejected, WarningsFound, chunks
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange, examine
from baybridge.http.rest.collections import why_not
from baybridge.http.server import serve
from baybridge.http.shapes import (
    agreement_shape,
    checked_terms_shape,
    collection_shape,
    job_shape,
    jobs_shape,
    organization_shape,
    principal_shape,
    publish_report,
    purge_shape,
    token_facts_shape,
    token_shape,
    umbrella_shape,
    version_shape,
)
from baybridge.names import DatasetName
from baybridge.operate.doctor import Check, server
from baybridge.operate.home import find_home
from baybridge.operate.settings import Setting, load_settings
from baybridge.principals.principal import LOCAL_OPERATOR, Move
from baybridge.publish import Declaration, Upload
from baybridge.publish.reading import parse_wanted
from baybridge.publish.threshold import parse_let_go
from baybridge.terms.terms import parse_instant
from baybridge.wire.agreements import AgreementShape, AgreementsShape, UmbrellaShape, UmbrellasShape
from baybridge.wire.collections import (
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    PublishReport,
    PurgeShape,
    VersionShape,
    VersionsShape,
)
from baybridge.wire.formats import parse_format
from baybridge.wire.jobs import JobShape, JobsShape
from baybridge.wire.principals import OrganizationShape, OrganizationsShape, PrincipalShape, PrincipalsShape, TokenShape, TokensShape
from baybridge.wire.terms import CheckedTermsShape, TermsShape

_TIDY_SECONDS: Final = 60
_LOG: Final = logging.getLogger("baybridge.worker")


def make_home(root: Path, *, origin: str, catalog: str = "") -> str:
    """Make a home, and give the origin that its logs are known by."""
    with Exchange.make(root, origin=origin, catalog=catalog, environment=os.environ) as exchange:
        return exchange.settings.origin


def listed_settings(root: Path) -> tuple[Setting, ...]:
    """Every setting of a home, with its origin."""
    return load_settings(find_home(root.absolute()), flags={}, environment=os.environ)[1]


def examined(root: Path, url: str | None) -> tuple[Check, ...]:
    """Every check of a home, and of the server at `url` where one is named."""
    return (*examine(root, environment=os.environ), *([] if url is None else [server(url)]))


def _outlive(act: Callable[[], object], what: str) -> None:
    """Do it. A catalog or a disk that cannot be used now is tried again at the next turn: the worker outlives it."""
    try:
        act()
    except (BaybridgeError, OSError, SQLAlchemyError) as wrong:
        _LOG.warning("%s failed (%s); it is tried again", what, type(wrong).__name__)


class LocalOperator:
    """A home, acted on by whoever holds its files. The verbs decide what the operator may not do."""

    def __init__(self, root: Path, flags: Mapping[str, object] | None = None) -> None:
        """Open the home; raise what opening it raises."""
        self.exchange = Exchange.open(root, flags=flags, environment=os.environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every file."""
        self.exchange.close()

    def serve(self, ready: Callable[[str, int], None]) -> None:
        """Serve the home until it is told to stop."""
        serve(self.exchange, ready=ready)

    def work(self, ready: Callable[[str], None]) -> None:
        """Run the home's jobs, and look after its node's own disk as a server does, until it is told to stop."""
        with self.exchange.held(), self.exchange.worker.running():
            ready(self.exchange.worker.name)
            for second in itertools.count():
                _outlive(self.exchange.sweep, "letting go of extracts that are gone")
                if second % _TIDY_SECONDS == 0:
                    _outlive(self.exchange.upkeep.tidy, "tidying the disk")
                time.sleep(1)

    def jobs(self, state: str | None, limit: int) -> JobsShape:
        """Jobs, the newest first, and the numbers of all."""
        return jobs_shape(self.exchange.jobs.listing(LOCAL_OPERATOR, state=state, limit=limit), self.exchange.jobs.counts())

    def job(self, number: int) -> JobShape:
        """One job."""
        return job_shape(self.exchange.jobs.show(LOCAL_OPERATOR, number))

    def retry_job(self, number: int) -> JobShape:
        """Let a dead job run again."""
        return job_shape(self.exchange.jobs.retry(LOCAL_OPERATOR, number))

    def discard_job(self, number: int) -> JobShape:
        """Let a job never run."""
        return job_shape(self.exchange.jobs.discard(LOCAL_OPERATOR, number))

    def organizations(self) -> OrganizationsShape:
        """All agencies."""
        found = self.exchange.administer.organizations()
        return OrganizationsShape(organizations=[organization_shape(each) for each in found])

    def add_organization(self, name: str, title: str) -> OrganizationShape:
        """Add an agency, and begin its log."""
        return organization_shape(self.exchange.administer.add_organization(LOCAL_OPERATOR, name, title))

    def move_organization(self, name: str, act: str, reason: str) -> OrganizationShape:
        """Suspend, resume or off-board an agency."""
        return organization_shape(self.exchange.administer.move_organization(LOCAL_OPERATOR, name, Move(act), reason))

    def principals(self, organization: str) -> PrincipalsShape:
        """An agency's principals."""
        found = self.exchange.administer.principals(LOCAL_OPERATOR, organization)
        return PrincipalsShape(principals=[principal_shape(each) for each in found])

    def add_principal(
        self, organization: str, name: str, *, roles: Sequence[str], kind: str = "person", identity: str | None = None
    ) -> PrincipalShape:
        """Add a person or a service account. Roles that need a second person wait for one."""
        administer = self.exchange.administer
        return principal_shape(administer.add_principal(LOCAL_OPERATOR, organization, name, kind, roles, identity=identity))

    def set_roles(self, principal: str, roles: Sequence[str]) -> PrincipalShape:
        """Give a principal these roles, and no others."""
        return principal_shape(self.exchange.administer.set_roles(LOCAL_OPERATOR, principal, roles))

    def suspend_principal(self, principal: str, reason: str) -> PrincipalShape:
        """Refuse everything to a principal."""
        return principal_shape(self.exchange.administer.move_principal(LOCAL_OPERATOR, principal, Move.SUSPEND, reason))

    def resume_principal(self, principal: str, reason: str) -> PrincipalShape:
        """Lift the suspension of a principal."""
        return principal_shape(self.exchange.administer.move_principal(LOCAL_OPERATOR, principal, Move.RESUME, reason))

    def offboard_principal(self, principal: str, reason: str) -> PrincipalShape:
        """End a principal for good."""
        return principal_shape(self.exchange.administer.move_principal(LOCAL_OPERATOR, principal, Move.OFFBOARD, reason))

    def tokens(self, organization: str) -> TokensShape:
        """What is known of an agency's tokens."""
        return TokensShape(tokens=[token_facts_shape(each) for each in self.exchange.administer.tokens(LOCAL_OPERATOR, organization)])

    def issue_token(
        self, principal: str, *, expires: str | None = None, purpose: str | None = None, scopes: Sequence[str] | None = None
    ) -> TokenShape:
        """Issue a token for a principal's id."""
        until = None if expires is None else parse_instant(expires, parameter="expires")
        administer = self.exchange.administer
        return token_shape(administer.issue_token(LOCAL_OPERATOR, principal, expires=until, purpose=purpose, scopes=scopes))

    def rotate_token(self, token_id: str, *, overlap_seconds: int = 0) -> TokenShape:
        """Put a new token in the place of one."""
        return token_shape(self.exchange.administer.rotate_token(LOCAL_OPERATOR, token_id, overlap_seconds=overlap_seconds))

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token by its id."""
        self.exchange.administer.revoke_token(LOCAL_OPERATOR, token_id)

    def collections(self) -> CollectionsShape:
        """All datasets, by id."""
        found = self.exchange.catalog.listing(LOCAL_OPERATOR).datasets
        return CollectionsShape(collections=[collection_shape(each) for each in found])

    def collection(self, dataset: str) -> CollectionShape:
        """One dataset."""
        return collection_shape(self.exchange.catalog.describe(LOCAL_OPERATOR, DatasetName.parse(dataset)))

    def schema(self, dataset: str, version: int | None = None) -> dict[str, Any]:
        """A dataset's schema, or that of one of its versions."""
        return to_table_schema(self.exchange.catalog.schema(LOCAL_OPERATOR, DatasetName.parse(dataset), version))

    def version(self, dataset: str, number: int) -> VersionShape:
        """One version."""
        found = self.exchange.catalog.version(LOCAL_OPERATOR, DatasetName.parse(dataset), number)
        return version_shape(found.versions[0], public=found.public)

    def versions(self, dataset: str) -> VersionsShape:
        """A dataset's versions, newest first."""
        found = self.exchange.catalog.versions(LOCAL_OPERATOR, DatasetName.parse(dataset))
        return VersionsShape(id=dataset, versions=[version_shape(each, public=found.public) for each in found.versions])

    def declare(self, dataset: str, declaration: DeclareRequest) -> CollectionShape:
        """Make a dataset known, or change what is said of it."""
        said = Declaration(
            title=declaration.title,
            description=declaration.description,
            access=None if declaration.access is None else parse_access(declaration.access),
            schema=None if declaration.schema is None else parse_table_schema(declaration.schema),
            schema_change=declaration.schema_change,
            hidden=declaration.hidden,
            invited=None if declaration.invited is None else tuple(declaration.invited),
        )
        self.exchange.publish.declare(LOCAL_OPERATOR, DatasetName.parse(dataset), said)
        return self.collection(dataset)

    def publish(  # noqa: PLR0913 -- each is an option of the command
        self,
        dataset: str,
        source: Path | BinaryIO | Iterable[bytes],
        *,
        null: Sequence[str] = (),
        key: Sequence[str] = (),
        accept_schema: bool = False,
        dry_run: bool = False,
        suspend: bool = False,
        mode: str = "replace",
        base: int | None = None,
        sheet: str | None = None,
        reading: Mapping[str, str] | None = None,
        accept_reading: bool = False,
        format: str | None = None,  # noqa: A002 -- the parameter's name
        max_rejects: str | None = None,
        rejects_reason: str | None = None,
        stop_on_warnings: bool = False,
    ) -> PublishReport:
        """Make a file the dataset's next version. Raise RowsRejected, with the report, where cells do not fit."""
        upload = Upload(
            chunks=chunks(source),
            null_words=("", *(word for word in null if word)),
            key=tuple(key),
            accept_schema=accept_schema,
            dry_run=dry_run,
            suspend=suspend,
            mode=parse_mode(mode),
            base=base,
            sheet=sheet,
            wanted=parse_wanted(dict(reading or {}), accept=accept_reading),
            file_format=parse_format(format),
            let_go=parse_let_go(max_rejects, rejects_reason),
            stop_on_warnings=stop_on_warnings,
        )
        publication = self.exchange.publish.publish(LOCAL_OPERATOR, DatasetName.parse(dataset), upload)
        report = publish_report(publication)
        why = why_not(publication, upload)
        if why is not None:
            refused = (WarningsFound if publication.stopped else RowsRejected)(why.code, why.detail, advice=why.advice, places=why.places)
            refused.report = report
            raise refused
        return report

    def rejects(self, dataset: str, version: int | None = None) -> str:
        """The rows that a version let go, or those of the latest refused upload, as CSV."""
        return self.exchange.rejects.read(LOCAL_OPERATOR, DatasetName.parse(dataset), version).data.decode()

    def withdraw(self, dataset: str, reason: str) -> CollectionShape:
        """Refuse a dataset to everyone."""
        self.exchange.withdraw.withdraw(LOCAL_OPERATOR, DatasetName.parse(dataset), None, reason)
        return self.collection(dataset)

    def restore(self, dataset: str) -> CollectionShape:
        """Lift the withdrawal of a dataset."""
        self.exchange.withdraw.restore(LOCAL_OPERATOR, DatasetName.parse(dataset), None)
        return self.collection(dataset)

    def withdraw_version(self, dataset: str, number: int, reason: str) -> VersionShape:
        """Refuse one version to everyone."""
        self.exchange.withdraw.withdraw(LOCAL_OPERATOR, DatasetName.parse(dataset), number, reason)
        return self.version(dataset, number)

    def restore_version(self, dataset: str, number: int) -> VersionShape:
        """Lift the withdrawal of one version."""
        self.exchange.withdraw.restore(LOCAL_OPERATOR, DatasetName.parse(dataset), number)
        return self.version(dataset, number)

    def plan_purge(self, dataset: str, reason: str, *, version: int | None = None) -> PurgeShape:
        """Say what a purge would destroy."""
        del reason  # the plan says none
        return purge_shape(self.exchange.purge.plan(LOCAL_OPERATOR, DatasetName.parse(dataset), version), purged=False)

    def purge(self, dataset: str, reason: str, plan_sha256: str, *, version: int | None = None) -> PurgeShape:
        """Destroy what the plan with this digest says."""
        name = DatasetName.parse(dataset)
        plan = self.exchange.purge.purge(LOCAL_OPERATOR, name, version, reason=reason, plan_sha256=plan_sha256)
        return purge_shape(plan, purged=True)

    def agreements(self) -> AgreementsShape:
        """All agreements."""
        return AgreementsShape(agreements=[self._shape(each) for each in self.exchange.agree.listing(LOCAL_OPERATOR)])

    def agreement(self, agreement_id: str) -> AgreementShape:
        """One agreement."""
        return self._shape(self.exchange.agree.show(LOCAL_OPERATOR, agreement_id))

    def request_agreement(self, terms: TermsShape) -> AgreementShape:
        """Refused by the verb: the operator is party to no agreement. So are all acts below."""
        return self._shape(self.exchange.agree.request(LOCAL_OPERATOR, terms))

    def check_request(self, terms: TermsShape) -> CheckedTermsShape:
        """Refused as the request is."""
        return checked_terms_shape(self.exchange.agree.check_request(LOCAL_OPERATOR, terms))

    def offer(self, agreement_id: str, terms: TermsShape | None = None) -> AgreementShape:
        """Offer terms."""
        return self._shape(self.exchange.agree.offer(LOCAL_OPERATOR, agreement_id, terms))

    def sign(self, agreement_id: str, terms_sha256: str) -> AgreementShape:
        """Sign."""
        return self._shape(self.exchange.agree.sign(LOCAL_OPERATOR, agreement_id, terms_sha256))

    def suspend(self, agreement_id: str, reason: str) -> AgreementShape:
        """Stop all reading."""
        return self._shape(self.exchange.agree.suspend(LOCAL_OPERATOR, agreement_id, reason))

    def resume(self, agreement_id: str, reason: str) -> AgreementShape:
        """Lift a suspension."""
        return self._shape(self.exchange.agree.resume(LOCAL_OPERATOR, agreement_id, reason))

    def revoke(self, agreement_id: str, reason: str) -> AgreementShape:
        """End an agreement."""
        return self._shape(self.exchange.agree.revoke(LOCAL_OPERATOR, agreement_id, reason))

    def terminate(self, agreement_id: str, reason: str, code: str | None = None) -> AgreementShape:
        """End a negotiation."""
        return self._shape(self.exchange.agree.terminate(LOCAL_OPERATOR, agreement_id, reason, code))

    def counter(self, agreement_id: str, terms: TermsShape) -> AgreementShape:
        """Ask for other terms."""
        return self._shape(self.exchange.agree.counter(LOCAL_OPERATOR, agreement_id, terms))

    def approve(self, agreement_id: str, role: str, terms_sha256: str) -> AgreementShape:
        """Approve as an officer."""
        return self._shape(self.exchange.agree.approve(LOCAL_OPERATOR, agreement_id, role, terms_sha256))

    def successor(self, agreement_id: str, terms: TermsShape | None = None) -> AgreementShape:
        """Begin a successor."""
        return self._shape(self.exchange.agree.succeed(LOCAL_OPERATOR, agreement_id, terms))

    def close_agreement(self, agreement_id: str, statement: str) -> AgreementShape:
        """State that what was received is destroyed."""
        return self._shape(self.exchange.agree.close(LOCAL_OPERATOR, agreement_id, statement))

    def agreement_text(self, agreement_id: str) -> str:
        """The terms in plain words."""
        return self.exchange.agree.text(LOCAL_OPERATOR, agreement_id)

    def umbrellas(self) -> UmbrellasShape:
        """None: the operator is party to no umbrella."""
        return UmbrellasShape(umbrellas=[self._umbrella(each) for each in self.exchange.umbrellas.listing(LOCAL_OPERATOR)])

    def umbrella(self, umbrella_id: str) -> UmbrellaShape:
        """One umbrella."""
        return self._umbrella(self.exchange.umbrellas.show(LOCAL_OPERATOR, umbrella_id))

    def request_umbrella(self, title: str, terms: Sequence[TermsShape]) -> UmbrellaShape:
        """Ask for several agreements."""
        return self._umbrella(self.exchange.umbrellas.request(LOCAL_OPERATOR, title, list(terms)))

    def offer_umbrella(self, umbrella_id: str) -> UmbrellaShape:
        """Offer each of its agreements."""
        return self._umbrella(self.exchange.umbrellas.offer(LOCAL_OPERATOR, umbrella_id))

    def sign_umbrella(self, umbrella_id: str, terms_sha256: str) -> UmbrellaShape:
        """Sign all of its agreements."""
        return self._umbrella(self.exchange.umbrellas.sign(LOCAL_OPERATOR, umbrella_id, terms_sha256))

    def checkpoint(self, organization: str) -> str:
        """The log as it stands now, as a signed note."""
        return self.exchange.watch.checkpoint(organization)

    def receipt(self, organization: str, index: int) -> str:
        """An entry with its proof, as a C2SP tlog-proof."""
        return self.exchange.prove.receipt(LOCAL_OPERATOR, organization, index)

    def logs(self) -> tuple[str, ...]:
        """The organizations that have a log."""
        return self.exchange.watch.logs()

    def verifier(self, organization: str) -> str:
        """The log's public key."""
        return str(self.exchange.watch.verifier(organization))

    def verify_log(self, organization: str, checkpoints: Sequence[str] = (), key: str | None = None) -> LogVerdict:
        """Re-hash every entry of a log from what is stored, and compare with all kept checkpoints, also outside, and those given."""
        kept = self.exchange.outside.kept(organization)
        pinned = Verifier.parse(key) if key is not None else kept and kept[1]
        notes = (*checkpoints, *([kept[0]] if kept else []))
        verdict = self.exchange.watch.verify(organization, notes, pinned)
        return LogVerdict(verdict.organization, verdict.size, verdict.root, verdict.findings)

    def restore_home(self, *, who: str, reason: str) -> list[dict[str, str]]:
        """Say in every log that the home was set back in time, and give what was lost."""
        lost = self.exchange.outside.restore(LOCAL_OPERATOR, who=who, reason=reason)
        return [{"organization": each.organization, "lost": each.how} for each in lost]

    def rotate_key(self) -> tuple[str, ...]:
        """Hand over to a new signing key, and give it as the verifier of each log."""
        return tuple(str(each) for each in self.exchange.rotate.rotate(LOCAL_OPERATOR))

    def _umbrella(self, umbrella: Umbrella) -> UmbrellaShape:
        return umbrella_shape(umbrella, now=self.exchange.agree.clock())

    def _shape(self, agreement: Agreement) -> AgreementShape:
        return agreement_shape(agreement, now=self.exchange.agree.clock())
