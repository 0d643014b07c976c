"""Agreements, their signatures and the extracts they refer to, in the catalog's database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from baybridge.agreements.agreement import Agreement, Approval, Side, Signature, State
from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Invalid, NotFound
from baybridge.names import DatasetName
from baybridge.terms.terms import Terms

AGREEMENTS: Final = sa.Table(
    "agreements",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("provider", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("consumer", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("terms", sa.LargeBinary, nullable=False),
    sa.Column("terms_sha256", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("domain_key", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("updated", UtcDateTime, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("statement", sa.Text),
    sa.Column("requester", sa.Text),
    sa.Column("author", sa.Text),
    sa.Column("umbrella", sa.Integer),
    sa.Column("supersedes", sa.Integer),
    sa.Column("took_over", UtcDateTime),
    sa.Column("successor", sa.Integer),
    sa.Column("handed_over", UtcDateTime),
    sa.Index("agreements_of_an_umbrella", "umbrella"),
    sa.Index("agreements_of_a_consumer", "consumer", "dataset"),
    sa.Index("agreements_of_a_provider", "provider", "dataset"),
)
SIGNATURES: Final = sa.Table(
    "signatures",
    METADATA,
    sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
    sa.Column("side", sa.Text, primary_key=True),
    sa.Column("organization", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
    sa.Column("terms_sha256", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)
APPROVALS: Final = sa.Table(
    "approvals",
    METADATA,
    sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
    sa.Column("organization", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
    sa.Column("terms_sha256", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)
EXTRACT_REFERENCES: Final = sa.Table(
    "extract_references",
    METADATA,
    sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
    sa.Column("extract_sha256", sa.Text, primary_key=True),
    sa.Column("created", UtcDateTime, nullable=False),
)


def next_id(connection: sa.Connection) -> str:
    """The id that the next agreement gets. Only in a write transaction, which nobody else can be in."""
    highest = connection.execute(sa.select(sa.func.max(AGREEMENTS.c.number))).scalar()
    return f"AGR-{(highest or 0) + 1:04d}"


def save(connection: sa.Connection, agreement: Agreement) -> None:
    """Insert the agreement, or put its new state in place of the old; its signatures and approvals are exactly those it carries.

    Terms are stored in canonical form. Raise ValueError for terms that this server did not understand: they are never rewritten.
    """
    if agreement.terms is None:
        raise ValueError("Terms that are not understood cannot be saved.")
    number = number_of(agreement.id)
    values = {
        "provider": agreement.provider,
        "consumer": agreement.consumer,
        "dataset": str(agreement.dataset),
        "terms": agreement.terms.canonical(),
        "terms_sha256": agreement.terms_sha256,
        "requester": agreement.requester,
        "author": agreement.author,
        "umbrella": None if agreement.umbrella is None else parse_umbrella(agreement.umbrella),
        "supersedes": _optional(agreement.supersedes),
        "domain_key": agreement.domain_key,
        "created": agreement.created,
        **_moving(agreement),
    }
    changed = connection.execute(sa.update(AGREEMENTS).where(AGREEMENTS.c.number == number).values(**values))
    if not changed.rowcount:
        connection.execute(sa.insert(AGREEMENTS).values(number=number, **values))
    connection.execute(sa.delete(SIGNATURES).where(SIGNATURES.c.agreement == number))
    for signature in agreement.signatures:
        connection.execute(
            sa.insert(SIGNATURES).values(
                agreement=number,
                side=signature.side.value,
                organization=signature.organization,
                principal=signature.principal,
                terms_sha256=signature.terms_sha256,
                time=signature.time,
            )
        )
    connection.execute(sa.delete(APPROVALS).where(APPROVALS.c.agreement == number))
    for approval in agreement.approvals:
        connection.execute(
            sa.insert(APPROVALS).values(
                agreement=number,
                organization=approval.organization,
                role=approval.role,
                principal=approval.principal,
                terms_sha256=approval.terms_sha256,
                time=approval.time,
            )
        )


def stop(connection: sa.Connection, agreement: Agreement) -> None:
    """Put only what moves in place, and leave the terms: for acts that must work even on terms nobody understands."""
    connection.execute(sa.update(AGREEMENTS).where(AGREEMENTS.c.number == number_of(agreement.id)).values(**_moving(agreement)))


def find(connection: sa.Connection, agreement_id: str) -> Agreement:
    """Give the agreement of that id. Raise NotFound."""
    number = _parse_number(agreement_id)
    row = None if number is None else connection.execute(sa.select(*_AGREEMENT).where(AGREEMENTS.c.number == number)).first()
    if row is None:
        raise NotFound("not_found", "There is no agreement of that id that you are a party to.")
    return _agreements(connection, [row])[0]


def of_consumer(connection: sa.Connection, consumer: str, dataset: DatasetName) -> tuple[Agreement, ...]:
    """All agreements of that consumer about that dataset, whatever their state, newest first."""
    rows = connection.execute(
        sa.select(*_AGREEMENT)
        .where(AGREEMENTS.c.consumer == consumer, AGREEMENTS.c.dataset == str(dataset))
        .order_by(AGREEMENTS.c.number.desc())
    ).all()
    return _agreements(connection, rows)


def of_dataset(connection: sa.Connection, dataset: DatasetName) -> tuple[Agreement, ...]:
    """All agreements about that dataset, whatever their state, oldest first."""
    found = sa.select(*_AGREEMENT).where(AGREEMENTS.c.dataset == str(dataset), AGREEMENTS.c.provider == dataset.organization)
    return _agreements(connection, connection.execute(found.order_by(AGREEMENTS.c.number)).all())


def of_umbrella(connection: sa.Connection, umbrella_id: str) -> tuple[Agreement, ...]:
    """The agreements under an umbrella, in the order in which they were asked for."""
    found = sa.select(*_AGREEMENT).where(AGREEMENTS.c.umbrella == parse_umbrella(umbrella_id))
    return _agreements(connection, connection.execute(found.order_by(AGREEMENTS.c.number)).all())


def of_party(connection: sa.Connection, organization: str) -> tuple[Agreement, ...]:
    """All agreements that the organization is a party to, oldest first."""
    rows = connection.execute(
        sa.select(*_AGREEMENT)
        .where(sa.or_(AGREEMENTS.c.consumer == organization, AGREEMENTS.c.provider == organization))
        .order_by(AGREEMENTS.c.number)
    ).all()
    return _agreements(connection, rows)


def all_agreements(connection: sa.Connection) -> tuple[Agreement, ...]:
    """Every agreement of this home, oldest first."""
    return _agreements(connection, connection.execute(sa.select(*_AGREEMENT).order_by(AGREEMENTS.c.number)).all())


def epoch(connection: sa.Connection, agreement_id: str) -> int | None:
    """The agreement's present epoch; a grant decided under another one must be decided again."""
    return connection.execute(sa.select(AGREEMENTS.c.epoch).where(AGREEMENTS.c.number == number_of(agreement_id))).scalar()


def refer_to_extract(connection: sa.Connection, agreement: Agreement, extract_sha256: str, *, now: datetime) -> bool:
    """Note that the agreement uses this extract, unless it has moved since it was read: a revoke leaves no reference behind."""
    number = number_of(agreement.id)
    if epoch(connection, agreement.id) != agreement.epoch:
        return False
    present = sa.select(EXTRACT_REFERENCES.c.agreement).where(
        EXTRACT_REFERENCES.c.agreement == number, EXTRACT_REFERENCES.c.extract_sha256 == extract_sha256
    )
    if connection.execute(present).first() is None:
        connection.execute(sa.insert(EXTRACT_REFERENCES).values(agreement=number, extract_sha256=extract_sha256, created=now))
    return True


def referred_extracts(connection: sa.Connection) -> frozenset[str]:
    """The extracts that agreements use."""
    return frozenset(connection.execute(sa.select(EXTRACT_REFERENCES.c.extract_sha256).distinct()).scalars())


def drop_references(connection: sa.Connection, agreement_id: str) -> None:
    """Forget which extracts the agreement uses; the files go when nothing else refers to them."""
    connection.execute(sa.delete(EXTRACT_REFERENCES).where(EXTRACT_REFERENCES.c.agreement == number_of(agreement_id)))


_AGREEMENT: Final = (
    AGREEMENTS.c.number,
    AGREEMENTS.c.provider,
    AGREEMENTS.c.consumer,
    AGREEMENTS.c.dataset,
    AGREEMENTS.c.state,
    AGREEMENTS.c.terms,
    AGREEMENTS.c.terms_sha256,
    AGREEMENTS.c.epoch,
    AGREEMENTS.c.domain_key,
    AGREEMENTS.c.reason,
    AGREEMENTS.c.created,
    AGREEMENTS.c.updated,
    AGREEMENTS.c.code,
    AGREEMENTS.c.statement,
    AGREEMENTS.c.requester,
    AGREEMENTS.c.author,
    AGREEMENTS.c.umbrella,
    AGREEMENTS.c.supersedes,
    AGREEMENTS.c.took_over,
    AGREEMENTS.c.successor,
    AGREEMENTS.c.handed_over,
)


def _moving(agreement: Agreement) -> dict[str, Any]:
    return {
        "state": agreement.state.value,
        "epoch": agreement.epoch,
        "reason": agreement.reason,
        "code": agreement.code,
        "statement": agreement.statement,
        "took_over": agreement.took_over,
        "successor": _optional(agreement.successor),
        "handed_over": agreement.handed_over,
        "updated": agreement.updated,
    }


def parse_umbrella(umbrella_id: str) -> int:
    """The number in `UMB-0001`. Raise NotFound for anything else."""
    prefix, _, digits = umbrella_id.partition("-")
    if prefix == "UMB" and digits.isascii() and digits.isdigit() and len(digits) < 10:  # noqa: PLR2004 -- fits 32 bits
        return int(digits)
    raise NotFound("not_found", "There is no umbrella of that id that you are a party to.")


def _optional(agreement_id: str | None) -> int | None:
    return None if agreement_id is None else number_of(agreement_id)


def _id(number: int | None) -> str | None:
    return None if number is None else f"AGR-{number:04d}"


def number_of(agreement_id: str) -> int:
    """The number in `AGR-0001`. Raise NotFound for anything else."""
    number = _parse_number(agreement_id)
    if number is None:
        raise NotFound("not_found", "There is no agreement of that id that you are a party to.")
    return number


def _parse_number(agreement_id: str) -> int | None:
    prefix, _, digits = agreement_id.partition("-")
    return int(digits) if prefix == "AGR" and digits.isascii() and digits.isdigit() and len(digits) < 10 else None  # noqa: PLR2004 -- fits 32 bits


def _agreements(connection: sa.Connection, rows: Iterable[Any]) -> tuple[Agreement, ...]:
    found = list(rows)
    numbers = [row.number for row in found]
    signatures, approvals = _signatures(connection, numbers), _approvals(connection, numbers)
    return tuple(
        Agreement(
            id=f"AGR-{row.number:04d}",
            provider=row.provider,
            consumer=row.consumer,
            dataset=DatasetName.parse(row.dataset),
            state=State(row.state),
            terms=_understood(row.terms, row.terms_sha256, row.dataset),
            terms_sha256=row.terms_sha256,
            epoch=row.epoch,
            domain_key=row.domain_key,
            signatures=tuple(signature for number, signature in signatures if number == row.number),
            reason=row.reason,
            created=row.created,
            updated=row.updated,
            approvals=tuple(approval for number, approval in approvals if number == row.number),
            code=row.code,
            statement=row.statement,
            requester=row.requester,
            author=row.author,
            umbrella=None if row.umbrella is None else f"UMB-{row.umbrella:04d}",
            supersedes=_id(row.supersedes),
            took_over=row.took_over,
            successor=_id(row.successor),
            handed_over=row.handed_over,
        )
        for row in found
    )


def _signatures(connection: sa.Connection, numbers: list[int]) -> list[tuple[int, Signature]]:
    rows = connection.execute(
        sa.select(
            SIGNATURES.c.agreement,
            SIGNATURES.c.side,
            SIGNATURES.c.organization,
            SIGNATURES.c.principal,
            SIGNATURES.c.terms_sha256,
            SIGNATURES.c.time,
        )
        .where(SIGNATURES.c.agreement.in_(numbers))
        .order_by(SIGNATURES.c.time)
    )
    return [(row.agreement, Signature(Side(row.side), row.organization, row.principal, row.terms_sha256, row.time)) for row in rows]


def _approvals(connection: sa.Connection, numbers: list[int]) -> list[tuple[int, Approval]]:
    rows = connection.execute(
        sa.select(
            APPROVALS.c.agreement,
            APPROVALS.c.organization,
            APPROVALS.c.role,
            APPROVALS.c.principal,
            APPROVALS.c.terms_sha256,
            APPROVALS.c.time,
        )
        .where(APPROVALS.c.agreement.in_(numbers))
        .order_by(APPROVALS.c.time)
    )
    return [(row.agreement, Approval(row.organization, row.role, row.principal, row.terms_sha256, row.time)) for row in rows]


def _understood(stored: bytes, digest: str, dataset: str) -> Terms | None:
    """None, which refuses, for terms with anything unknown in them, of another dataset, or not those that were signed."""
    try:
        terms = Terms.parse_canonical(stored)
    except Invalid:
        return None
    return terms if terms.digest() == digest and str(terms.dataset) == dataset else None
