"""The latest refused upload of each dataset: which rows did not fit, for its steward, for some days. No version comes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.catalog.manifest import Rejects
from baybridge.db import METADATA, UtcDateTime
from baybridge.names import DatasetName

REFUSED_UPLOADS: Final = sa.Table(
    "refused_uploads",
    METADATA,
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
    sa.Column("time", UtcDateTime, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("rejects_sha256", sa.Text, nullable=False),
    sa.Column("rejects_size", sa.BigInteger, nullable=False),
)


def keep_refused(connection: sa.Connection, name: DatasetName, rejects: Rejects, *, now: datetime) -> None:
    """Keep the rejects of an upload that was refused, in the place of those of one before it."""
    forget_refused(connection, name)
    kept = {"rejected": rejects.rows, "rejects_sha256": rejects.sha256, "rejects_size": rejects.size}
    connection.execute(sa.insert(REFUSED_UPLOADS).values(dataset=str(name), time=now, **kept))


def refused_rejects(connection: sa.Connection, name: DatasetName) -> Rejects | None:
    """What is kept of the latest refused upload; None where nothing is."""
    row = connection.execute(sa.select(REFUSED_UPLOADS).where(REFUSED_UPLOADS.c.dataset == str(name))).one_or_none()
    return None if row is None else Rejects(row.rejected, row.rejects_sha256, row.rejects_size)


def forget_refused(connection: sa.Connection, name: DatasetName) -> None:
    """Forget it: its object is garbage from here on."""
    connection.execute(sa.delete(REFUSED_UPLOADS).where(REFUSED_UPLOADS.c.dataset == str(name)))


def forget_refused_before(connection: sa.Connection, instant: datetime) -> None:
    """Forget all that were refused before that."""
    connection.execute(sa.delete(REFUSED_UPLOADS).where(REFUSED_UPLOADS.c.time < instant))
