"""Side records: the question texts and literals that entries only name by hash. They are erased here; entries never are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from baybridge.audit.store import stored_bytes
from baybridge.db import METADATA

_TWO: Final = sa.text("since IS NOT NULL")
SIDE_RECORDS: Final = sa.Table(
    "side_records",
    METADATA,
    sa.Column("organization", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("dataset", sa.Text),
    sa.Column("version", sa.BigInteger),
    sa.Column("since", sa.BigInteger),
    sa.ForeignKeyConstraint(["organization", "number"], ["entries.organization", "entries.number"]),
    sa.Index("side_records_by_version", "organization", "dataset", "version"),
    sa.Index("side_records_by_since", "organization", "dataset", "since", sqlite_where=_TWO, postgresql_where=_TWO),
)

BATCH: Final = 500
"""So many are erased in one transaction, so that other writers wait for a moment only."""


@dataclass(frozen=True, slots=True)
class Side:
    """The bytes kept beside an entry, and the version that the question was about; `since` is the older one of a question over two."""

    data: bytes
    dataset: str | None = None
    version: int | None = None
    since: int | None = None


def side_records(connection: sa.Connection, organization: str) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) of the side records that have not been erased."""
    rows = connection.execute(
        sa.select(SIDE_RECORDS.c.number, sa.type_coerce(SIDE_RECORDS.c.data, sa.types.NullType))
        .where(SIDE_RECORDS.c.organization == organization)
        .order_by(SIDE_RECORDS.c.number)
    )
    yield from ((row[0], stored_bytes(row[1])) for row in rows)


def side_records_about(connection: sa.Connection, organization: str, dataset: str, version: int, *, limit: int) -> tuple[int, ...]:
    """The indices of at most `limit` side records, not erased, of questions about that version of that dataset."""
    return tuple(connection.execute(sa.select(_about(organization, dataset, version).c.number).limit(limit)).scalars())


def count_side_records_about(connection: sa.Connection, organization: str, dataset: str, version: int) -> int:
    """How many side records, not erased, are of questions about that version of that dataset."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(_about(organization, dataset, version))).scalar_one())


def side_records_from(connection: sa.Connection, organization: str, *, start: int, stop: int, limit: int) -> tuple[int, ...]:
    """The indices of at most `limit` side records, not erased, of the entries `start` (with) to `stop` (without), in order."""
    within = (SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number >= start, SIDE_RECORDS.c.number < stop)
    return tuple(connection.execute(sa.select(SIDE_RECORDS.c.number).where(*within).order_by(SIDE_RECORDS.c.number).limit(limit)).scalars())


def erase_side_records(connection: sa.Connection, organization: str, numbers: Sequence[int]) -> int:
    """Erase these side records, and give how many there still were. Their entries stay, and so does every hash."""
    erased = sa.delete(SIDE_RECORDS).where(SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number.in_(numbers))
    return connection.execute(erased).rowcount


def _about(organization: str, dataset: str, version: int) -> sa.Subquery:
    """Each half is a walk along one index; no question is about one version twice."""
    of_dataset = sa.select(SIDE_RECORDS.c.number).where(SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.dataset == dataset)
    return sa.union_all(of_dataset.where(SIDE_RECORDS.c.version == version), of_dataset.where(SIDE_RECORDS.c.since == version)).subquery()
