"""The tables of the audit log, and what is read of them. There is no update and no delete of an entry in this file; `log` appends.

What stands where an entry was written is given as it is, whoever altered it: it is `audit.replay` that says what does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.audit.merkle import Frontier, TileRoot
from baybridge.db import METADATA, UtcDateTime

LOGS: Final = sa.Table(
    "logs",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
    sa.Column("time", UtcDateTime),  # of the last entry; NULL while there is none
)
ENTRIES: Final = sa.Table(
    "entries",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
TILE_ROOTS: Final = sa.Table(
    "tile_roots",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
)
CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)
KEY_ROTATIONS: Final = sa.Table(
    "key_rotations",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)

_READ_BATCH: Final = 1000


def frontier(connection: sa.Connection, organization: str) -> Frontier:
    """The log's size and right edge as stored; `audit.replay` is what proves it from the entries."""
    row = connection.execute(sa.select(LOGS.c.size, LOGS.c.frontier).where(LOGS.c.organization == organization)).one()
    return Frontier.from_bytes(row.size, row.frontier)


def logs(connection: sa.Connection) -> tuple[str, ...]:
    """The organizations that have a log, by name."""
    return tuple(connection.execute(sa.select(LOGS.c.organization).order_by(LOGS.c.organization)).scalars())


def entries(connection: sa.Connection, organization: str, *, start: int = 0, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) from `start` on, in order; read a thousand at a time."""
    remaining = limit
    while remaining is None or remaining > 0:
        size = _READ_BATCH if remaining is None else min(_READ_BATCH, remaining)
        rows = connection.execute(
            sa.select(ENTRIES.c.number, sa.type_coerce(ENTRIES.c.data, sa.types.NullType))
            .where(ENTRIES.c.organization == organization, ENTRIES.c.number >= start)
            .order_by(ENTRIES.c.number)
            .limit(size)
        ).all()
        yield from ((row[0], stored_bytes(row[1])) for row in rows)
        if len(rows) < size:
            return
        start = rows[-1][0] + 1
        remaining = None if remaining is None else remaining - len(rows)


def tile_roots(connection: sa.Connection, organization: str, level: int, first: int, count: int) -> tuple[bytes, ...]:
    """The roots of the full tiles `first` and on of a level, as far as they are there without a gap."""
    rows = connection.execute(
        sa.select(TILE_ROOTS.c.number, sa.type_coerce(TILE_ROOTS.c.root, sa.types.NullType))
        .where(TILE_ROOTS.c.organization == organization, TILE_ROOTS.c.level == level)
        .where(TILE_ROOTS.c.number >= first, TILE_ROOTS.c.number < first + count)
        .order_by(TILE_ROOTS.c.number)
    )
    return tuple(stored_bytes(root) for number, root in rows)


def all_tile_roots(connection: sa.Connection, organization: str) -> frozenset[TileRoot]:
    """Every stored root of a full tile."""
    rows = connection.execute(
        sa.select(TILE_ROOTS.c.level, TILE_ROOTS.c.number, sa.type_coerce(TILE_ROOTS.c.root, sa.types.NullType)).where(
            TILE_ROOTS.c.organization == organization
        )
    )
    return frozenset(TileRoot(level, number, stored_bytes(root)) for level, number, root in rows)


def stored_bytes(value: object) -> bytes:
    """What stands where an entry was written: whoever altered it may have left a text or a number, which hashes to something else."""
    return value if isinstance(value, bytes) else repr(value).encode()


def keep_checkpoint(connection: sa.Connection, organization: str, *, size: int, note: str, now: datetime) -> None:
    """Keep a signed checkpoint; the first of a size stays."""
    present = sa.select(CHECKPOINTS.c.size).where(CHECKPOINTS.c.organization == organization, CHECKPOINTS.c.size == size)
    if connection.execute(present).first() is None:
        connection.execute(sa.insert(CHECKPOINTS).values(organization=organization, size=size, note=note, time=now))


def checkpoints(connection: sa.Connection, organization: str) -> tuple[str, ...]:
    """All kept checkpoints as signed notes, smallest first."""
    return tuple(
        connection.execute(
            sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.organization == organization).order_by(CHECKPOINTS.c.size)
        ).scalars()
    )


def signed_size(connection: sa.Connection, organization: str) -> int:
    """How many entries the newest checkpoint covers; 0 before the first one."""
    query = sa.select(sa.func.coalesce(sa.func.max(CHECKPOINTS.c.size), 0)).where(CHECKPOINTS.c.organization == organization)
    return int(connection.execute(query).scalar_one())


def grown(connection: sa.Connection) -> tuple[str, ...]:
    """The organizations whose log has grown since its newest checkpoint."""
    signed = sa.select(sa.func.max(CHECKPOINTS.c.size)).where(CHECKPOINTS.c.organization == LOGS.c.organization).scalar_subquery()
    query = sa.select(LOGS.c.organization).where(LOGS.c.size > sa.func.coalesce(signed, -1)).order_by(LOGS.c.organization)
    return tuple(connection.execute(query).scalars())


def latest_checkpoint(connection: sa.Connection, organization: str) -> str | None:
    """The newest kept checkpoint as a signed note, or None."""
    return connection.execute(
        sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.organization == organization).order_by(CHECKPOINTS.c.size.desc()).limit(1)
    ).scalar()


def keep_rotation(connection: sa.Connection, organization: str, *, size: int, note: str, now: datetime) -> None:
    """Keep the note by which a log's key handed over to the next after `size` entries."""
    connection.execute(sa.insert(KEY_ROTATIONS).values(organization=organization, size=size, note=note, time=now))


def rotations(connection: sa.Connection, organization: str) -> tuple[str, ...]:
    """All rotation notes of a log, oldest first."""
    return tuple(
        connection.execute(
            sa.select(KEY_ROTATIONS.c.note).where(KEY_ROTATIONS.c.organization == organization).order_by(KEY_ROTATIONS.c.size)
        ).scalars()
    )
