"""Side records: the question texts and literals that entries only name by hash. They are erased here; entries never are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import sqlalchemy as sa

from baybridge.audit.store import ENTRIES, stored_bytes
from baybridge.db import METADATA

SIDE_RECORDS: Final = sa.Table(
    "side_records",
    METADATA,
    sa.Column("organization", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["organization", "number"], ["entries.organization", "entries.number"]),
)


def side_records(connection: sa.Connection, organization: str) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) of the side records that have not been erased."""
    rows = connection.execute(
        sa.select(SIDE_RECORDS.c.number, sa.type_coerce(SIDE_RECORDS.c.data, sa.types.NullType))
        .where(SIDE_RECORDS.c.organization == organization)
        .order_by(SIDE_RECORDS.c.number)
    )
    yield from ((row[0], stored_bytes(row[1])) for row in rows)


class _About(msgspec.Struct):
    """What a disclosure's entry is about; `since` is the older version of a question over two."""

    dataset: str | None = None
    version: int | None = None
    since: int | None = None


def side_records_about(connection: sa.Connection, organization: str, dataset: str, version: int) -> tuple[int, ...]:
    """The indices of the side records, not erased, of the entries about that version of that dataset."""
    rows = connection.execute(
        sa.select(ENTRIES.c.number, ENTRIES.c.data)
        .join_from(
            SIDE_RECORDS, ENTRIES, sa.and_(ENTRIES.c.organization == SIDE_RECORDS.c.organization, ENTRIES.c.number == SIDE_RECORDS.c.number)
        )
        .where(SIDE_RECORDS.c.organization == organization)
    )
    about = ((row.number, msgspec.json.decode(row.data, type=_About)) for row in rows)
    return tuple(number for number, each in about if each.dataset == dataset and version in (each.version, each.since))


def erase_side_records_of(connection: sa.Connection, organization: str, numbers: Iterable[int]) -> None:
    """Erase these side records. Their entries stay, and so does every hash."""
    for number in numbers:
        connection.execute(sa.delete(SIDE_RECORDS).where(SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number == number))


def erase_side_records(connection: sa.Connection, organization: str, *, start: int, stop: int) -> int:
    """Erase the side records of the entries `start` (with) to `stop` (without), and give how many there were."""
    erased = sa.delete(SIDE_RECORDS).where(
        SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number >= start, SIDE_RECORDS.c.number < stop
    )
    return connection.execute(erased).rowcount


def first_side_record(connection: sa.Connection, organization: str) -> int | None:
    """The index of the oldest side record that is there."""
    return connection.execute(sa.select(sa.func.min(SIDE_RECORDS.c.number)).where(SIDE_RECORDS.c.organization == organization)).scalar()
