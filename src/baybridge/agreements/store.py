"""Agreements, their signatures and the extracts they refer to, in the catalog's database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from baybridge.agreements.agreement import Agreement, Side, Signature, State
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
    """Insert the agreement, or put its new state in place of the old; its signatures are exactly those it carries.

    Terms are stored in canonical form. Raise ValueError for terms that this server did not understand: they are never rewritten.
    """
    if agreement.terms is None:
        raise ValueError("Terms that are not understood cannot be saved.")
    number = _number(agreement.id)
    values = {
        "provider": agreement.provider,
        "consumer": agreement.consumer,
        "dataset": str(agreement.dataset),
        "state": agreement.state.value,
        "terms": agreement.terms.canonical(),
        "terms_sha256": agreement.terms_sha256,
        "epoch": agreement.epoch,
        "domain_key": agreement.domain_key,
        "reason": agreement.reason,
        "created": agreement.created,
        "updated": agreement.updated,
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


def stop(connection: sa.Connection, agreement: Agreement) -> None:
    """Put only state, epoch, reason and time in place: for acts that must work even on terms nobody understands."""
    connection.execute(
        sa.update(AGREEMENTS)
        .where(AGREEMENTS.c.number == _number(agreement.id))
        .values(state=agreement.state.value, epoch=agreement.epoch, reason=agreement.reason, updated=agreement.updated)
    )


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
    return connection.execute(sa.select(AGREEMENTS.c.epoch).where(AGREEMENTS.c.number == _number(agreement_id))).scalar()


def refer_to_extract(connection: sa.Connection, agreement_id: str, extract_sha256: str, *, now: datetime) -> None:
    """Note that the agreement uses this extract; noting it twice changes nothing."""
    number = _number(agreement_id)
    present = sa.select(EXTRACT_REFERENCES.c.agreement).where(
        EXTRACT_REFERENCES.c.agreement == number, EXTRACT_REFERENCES.c.extract_sha256 == extract_sha256
    )
    if connection.execute(present).first() is None:
        connection.execute(sa.insert(EXTRACT_REFERENCES).values(agreement=number, extract_sha256=extract_sha256, created=now))


def drop_references(connection: sa.Connection, agreement_id: str) -> None:
    """Forget which extracts the agreement uses; the files go when nothing else refers to them."""
    connection.execute(sa.delete(EXTRACT_REFERENCES).where(EXTRACT_REFERENCES.c.agreement == _number(agreement_id)))


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
)


def _number(agreement_id: str) -> int:
    number = _parse_number(agreement_id)
    if number is None:
        raise NotFound("not_found", "There is no agreement of that id that you are a party to.")
    return number


def _parse_number(agreement_id: str) -> int | None:
    prefix, _, digits = agreement_id.partition("-")
    return int(digits) if prefix == "AGR" and digits.isascii() and digits.isdigit() and len(digits) < 10 else None  # noqa: PLR2004 -- fits 32 bits


def _agreements(connection: sa.Connection, rows: Iterable[Any]) -> tuple[Agreement, ...]:
    found = list(rows)
    signatures = _signatures(connection, [row.number for row in found])
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


def _understood(stored: bytes, digest: str, dataset: str) -> Terms | None:
    """None, which refuses, for terms with anything unknown in them, of another dataset, or not those that were signed."""
    try:
        terms = Terms.parse_canonical(stored)
    except Invalid:
        return None
    return terms if terms.digest() == digest and str(terms.dataset) == dataset else None
