"""Verbs' outcomes as the JSON shapes of `wire`. Shared by the REST face and by commands on a home, so that both print the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from baybridge.agreements.agreement import Agreement, possible_acts
from baybridge.agreements.notices import Notice
from baybridge.agreements.umbrellas import Umbrella
from baybridge.catalog.dataset import Access, Numbered
from baybridge.catalog.schema import to_table_schema
from baybridge.jobs import Counts, Job
from baybridge.operate.administer import Issued
from baybridge.operate.look import Described
from baybridge.principals.principal import Organization, Principal, Token
from baybridge.publish import Publication
from baybridge.publish.purge import Plan
from baybridge.publish.reading import ColumnProfile, Found, evidence, written
from baybridge.terms.terms import Terms, format_instant
from baybridge.wire.agreements import AgreementShape, ApprovalShape, SignatureShape, UmbrellaShape
from baybridge.wire.collections import (
    ChangesMadeShape,
    CollectionShape,
    ColumnProfileShape,
    DifferingShape,
    DoubtShape,
    EncodingShape,
    PublishReport,
    PurgeShape,
    ReadingShape,
    RejectShape,
    RemarkShape,
    SuspensionShape,
    VersionShape,
    WarningShape,
)
from baybridge.wire.jobs import JobShape, JobsShape
from baybridge.wire.notices import NoticeShape
from baybridge.wire.principals import OrganizationShape, PrincipalShape, TokenFactsShape, TokenShape
from baybridge.wire.shape import LinkShape
from baybridge.wire.terms import CheckedTermsShape


def checked_terms_shape(terms: Terms) -> CheckedTermsShape:
    """Terms that may be asked for, and the digest that would be signed."""
    return CheckedTermsShape(terms=terms.shape(), terms_sha256=terms.digest())


def etag(tag: str) -> str:
    """The ETag that names a state, as a header has it (RFC 9110, section 8.8.3)."""
    return f'"{tag}"'


def agreement_shape(agreement: Agreement, *, now: datetime) -> AgreementShape:
    """An agreement and where it stands at `now`."""
    return AgreementShape(
        id=agreement.id,
        dataset=str(agreement.dataset),
        provider=agreement.provider,
        consumer=agreement.consumer,
        state=agreement.shown_state(now),
        terms=None if agreement.terms is None else agreement.terms.shape(),
        terms_sha256=agreement.terms_sha256,
        signatures=[
            SignatureShape(
                side=each.side.value,
                organization=each.organization,
                principal=each.principal,
                terms_sha256=each.terms_sha256,
                time=format_instant(each.time),
            )
            for each in agreement.signatures
        ],
        reason=agreement.reason,
        created=format_instant(agreement.created),
        updated=format_instant(agreement.updated),
        epoch=agreement.epoch,
        approvals=[
            ApprovalShape(
                organization=each.organization,
                role=each.role,
                principal=each.principal,
                terms_sha256=each.terms_sha256,
                time=format_instant(each.time),
            )
            for each in agreement.approvals
        ],
        code=agreement.code,
        statement=agreement.statement,
        umbrella=agreement.umbrella,
        supersedes=agreement.supersedes,
        took_over=None if agreement.took_over is None else format_instant(agreement.took_over),
        successor=agreement.successor,
        handed_over=None if agreement.handed_over is None else format_instant(agreement.handed_over),
        possible=possible_acts(agreement.state_at(now)),
        destroy_by=None if (due := agreement.destroy_by(now)) is None else format_instant(due),
        overdue=agreement.overdue(now),
        etag=etag(agreement.tag(now)),
    )


def umbrella_shape(umbrella: Umbrella, *, now: datetime) -> UmbrellaShape:
    """An umbrella, and where each agreement under it stands at `now`."""
    return UmbrellaShape(
        id=umbrella.id,
        title=umbrella.title,
        provider=umbrella.provider,
        consumer=umbrella.consumer,
        created=format_instant(umbrella.created),
        terms_sha256=umbrella.digest(),
        agreements=[agreement_shape(each, now=now) for each in umbrella.agreements],
    )


def notice_shape(notice: Notice) -> NoticeShape:
    """A notice as its organization reads it."""
    return NoticeShape(
        id=notice.id,
        time=format_instant(notice.time),
        kind=notice.kind,
        subject=notice.subject,
        text=notice.text,
        read=None if notice.read is None else format_instant(notice.read),
    )


def job_shape(job: Job) -> JobShape:
    """A job as the operator reads it."""
    return JobShape(
        number=job.number,
        kind=job.kind,
        payload=dict(job.payload),
        state=job.state.value,
        run_at=format_instant(job.run_at),
        attempt=job.attempt,
        failures=job.failures,
        error=job.error,
        worker=job.worker,
        lease_until=None if job.lease_until is None else format_instant(job.lease_until),
        created=format_instant(job.created),
        updated=format_instant(job.updated),
    )


def jobs_shape(found: Iterable[Job], counts: Counts) -> JobsShape:
    """Jobs, and the numbers of all."""
    return JobsShape(
        jobs=[job_shape(each) for each in found],
        counts={state.value: number for state, number in counts.states.items()},
        lag_seconds=round(counts.lag.total_seconds(), 3),
    )


def collection_shape(found: Described) -> CollectionShape:
    """A dataset with its latest version."""
    dataset, latest = found.dataset, found.latest
    address = f"/api/v1/collections/{dataset.name}"
    return CollectionShape(
        id=str(dataset.name),
        organization=dataset.name.organization,
        title=dataset.title,
        description=dataset.description,
        access=dataset.access.value,
        version=None if latest is None else latest.number,
        rows=latest.rows if latest is not None and dataset.access is Access.PUBLIC else None,
        updated=None if latest is None else format_instant(latest.published),
        state=dataset.condition.state.value,
        reason=dataset.condition.reason,
        hidden=dataset.hidden,
        invited=None if found.invited is None else list(found.invited),
        etag=etag(dataset.tag()),
        links=[
            LinkShape(rel="self", href=address),
            LinkShape(rel="describedby", href=f"{address}/schema"),
            LinkShape(rel="version-history", href=f"{address}/versions"),
            LinkShape(rel="items", href=f"{address}/items"),
        ],
    )


def version_shape(version: Numbered, *, public: bool) -> VersionShape:
    """One version. Its rows' number, and the digest against which rows could be guessed, are told only where everyone may read them."""
    condition = version.condition
    return VersionShape(
        version=version.number,
        rows=version.rows if public else None,
        published=format_instant(version.published),
        manifest_sha256=version.manifest_sha256 if public else None,
        state=condition.state.value,
        reason=condition.reason,
        since=None if condition.since is None else format_instant(condition.since),
        etag=etag(version.tag()),
        rows_rejected=version.rejected if public else None,
    )


def purge_shape(plan: Plan, *, purged: bool) -> PurgeShape:
    """What was destroyed, or would be."""
    return PurgeShape(
        dataset=str(plan.dataset),
        versions=list(plan.versions),
        rows=plan.rows,
        objects=plan.objects,
        bytes=plan.bytes,
        shared_objects=plan.shared,
        extracts=plan.extracts,
        side_records=plan.side_records,
        plan_sha256=plan.sha256,
        purged=purged,
    )


def principal_shape(principal: Principal) -> PrincipalShape:
    """A principal as its own organization sees it."""
    return PrincipalShape(
        id=principal.id,
        organization=principal.organization,
        name=principal.name,
        kind=principal.kind.value,
        roles=sorted(principal.roles),
        purpose=principal.purpose,
        pending=sorted(principal.pending),
        identity=principal.identity,
        status=principal.status.value,
        scopes=None if principal.scopes is None else sorted(principal.scopes),
    )


def organization_shape(organization: Organization) -> OrganizationShape:
    """An agency."""
    return OrganizationShape(name=organization.name, title=organization.title, status=organization.status.value)


def token_facts_shape(token: Token) -> TokenFactsShape:
    """What is known of a token."""
    return TokenFactsShape(
        id=token.id,
        principal=token.principal.id,
        purpose=token.principal.purpose,
        scopes=None if token.principal.scopes is None else sorted(token.principal.scopes),
        created=format_instant(token.created),
        expires=None if token.expires is None else format_instant(token.expires),
        revoked=None if token.revoked is None else format_instant(token.revoked),
        last_used=None if token.last_used is None else format_instant(token.last_used),
    )


def token_shape(issued: Issued) -> TokenShape:
    """A token just issued, with its secret."""
    return TokenShape(
        id=issued.token.id,
        principal=issued.token.principal.id,
        token=issued.secret,
        expires=None if issued.token.expires is None else format_instant(issued.token.expires),
        purpose=issued.token.principal.purpose,
        scopes=None if issued.token.principal.scopes is None else sorted(issued.token.principal.scopes),
    )


def publish_report(publication: Publication) -> PublishReport:
    """A publication as its steward sees it. The report of what was done may be kept under an Idempotency-Key, so it holds no cell."""
    done = publication.version is not None
    return PublishReport(
        dataset=str(publication.dataset),
        published=done,
        version=publication.version,
        rows_read=publication.rows_read,
        rows_loaded=publication.rows_loaded,
        rows_rejected=publication.rows_rejected,
        source_sha256=publication.source.sha256,
        source_bytes=publication.source.size,
        schema=to_table_schema(publication.schema),
        profile=[_column_profile(column) for column in publication.profile.columns],
        rejects=[
            RejectShape(
                row=each.row,
                column=each.column,
                rule=each.rule,
                value=None if done else each.value,
                offset=each.offset,
                message=each.message,
            )
            for each in publication.rejects
        ],
        entry=publication.entry,
        suspends=[
            SuspensionShape(agreement=each.agreement.id, consumer=each.agreement.consumer, columns=list(each.columns))
            for each in publication.suspends
        ],
        changes=ChangesMadeShape(
            mode=publication.mode.value,
            base=publication.base,
            inserted=publication.changes.inserted,
            updated=publication.changes.updated,
            deleted=publication.changes.deleted,
            unmatched=publication.changes.unmatched,
        ),
        notes=list(publication.notes),
        reading=None if publication.found is None else _reading(publication.found, done=done),
        same_file_as=publication.same_file_as,
        rejects_found=publication.rejects_found,
        rejects_allowed=publication.rejects_allowed,
        rejects_kept=publication.rejects_kept,
        warnings=[
            WarningShape(
                rule=each.rule,
                column=each.column,
                before=each.before,
                after=each.after,
                message=each.message,
                values=[] if done else list(each.values),
            )
            for each in publication.warnings
        ],
    )


def _column_profile(column: ColumnProfile) -> ColumnProfileShape:
    doubt = column.doubt
    return ColumnProfileShape(
        name=column.name,
        proposed=str(column.proposed),
        nulls=column.nulls,
        distinct=column.distinct,
        leading_zeros=column.leading_zeros,
        min_length=column.min_length,
        max_length=column.max_length,
        evidence=evidence(column),
        doubt=None
        if doubt is None
        else DoubtShape(type=doubt.kind.value, proven=doubt.proven, others=column.cells - doubt.proven, rows=list(doubt.rows)),
    )


def _reading(found: Found, *, done: bool) -> ReadingShape:
    """How a CSV was read; the lines on which encodings differ are for who has yet to choose one."""
    reading = found.reading
    return ReadingShape(
        encoding=reading.encoding,
        delimiter=written("delimiter", reading),
        quote=written("quote", reading),
        escape=written("escape", reading),
        line_end=reading.line_end,
        skip=reading.skip,
        header_rows=reading.header_rows,
        footer=reading.footer,
        remarks=[
            RemarkShape(aspect=each.aspect, value=each.value, reason=each.reason, confirmed=each.aspect not in found.unconfirmed)
            for each in found.remarks
        ],
        encodings=[EncodingShape(encoding=each.encoding, undecodable=each.undecodable) for each in found.candidates],
        differing=[] if done else [DifferingShape(line=each.line, texts=list(each.texts)) for each in found.differing],
    )
