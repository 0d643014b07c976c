"""The log for others to verify: the roots of full tiles, and key rotations."""

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_WIDTH = 256


def upgrade() -> None:
    """Add the tables, and fill the first from the entries that are there."""
    op.create_table(
        "tile_roots",
        sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "key_rotations",
        sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
    )
    connection = op.get_bind()
    for (organization,) in connection.execute(sa.text("SELECT organization FROM logs")).all():
        rows = connection.execute(sa.text("SELECT data FROM entries WHERE organization = :of ORDER BY number"), {"of": organization})
        _fill(connection, organization, [sha256(b"\x00" + data).digest() for (data,) in rows])


def _fill(connection: sa.Connection, organization: str, hashes: list[bytes]) -> None:
    insert = sa.text("INSERT INTO tile_roots (organization, level, number, root) VALUES (:of, :level, :number, :root)")
    level = 0
    while len(hashes) >= _WIDTH:
        hashes = [_root(hashes[start : start + _WIDTH]) for start in range(0, len(hashes) - _WIDTH + 1, _WIDTH)]
        connection.execute(insert, [{"of": organization, "level": level, "number": n, "root": root} for n, root in enumerate(hashes)])
        level += 1


def _root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
