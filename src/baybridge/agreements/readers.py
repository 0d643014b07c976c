"""Who has read a dataset of late: the agreements under which it was read, and whether anyone read it whole. Kept to the hour."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.agreements.agreement import Agreement
from baybridge.agreements.store import number_of
from baybridge.db import METADATA, UtcDateTime, insert_or
from baybridge.names import DatasetName

EXTRACT_READERS: Final = sa.Table(
    "extract_readers",
    METADATA,
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
    sa.Column("agreement", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("last_read", UtcDateTime, nullable=False),
)
_WHOLE: Final = 0
"""In the place of an agreement: owners and the public, who read everything."""


def note_reader(connection: sa.Connection, dataset: DatasetName, agreement: Agreement | None, *, now: datetime) -> None:
    """Note that the dataset is read now, under the agreement or whole."""
    number = _WHOLE if agreement is None else number_of(agreement.id)
    read = insert_or(connection, EXTRACT_READERS).values(dataset=str(dataset), agreement=number, last_read=now)
    connection.execute(read.on_conflict_do_update(index_elements=["dataset", "agreement"], set_={"last_read": now}))


def agreements_read(connection: sa.Connection, dataset: DatasetName, *, since: datetime) -> frozenset[str]:
    """The ids of the agreements under which the dataset was read since then."""
    return frozenset(f"AGR-{number:04d}" for number in _read(connection, dataset, since) if number != _WHOLE)


def is_read_whole(connection: sa.Connection, dataset: DatasetName, *, since: datetime) -> bool:
    """Whether its owner or the public has read the dataset since then."""
    return _WHOLE in _read(connection, dataset, since)


def _read(connection: sa.Connection, dataset: DatasetName, since: datetime) -> list[int]:
    read = sa.select(EXTRACT_READERS.c.agreement).where(EXTRACT_READERS.c.dataset == str(dataset), EXTRACT_READERS.c.last_read >= since)
    return [row.agreement for row in connection.execute(read)]
