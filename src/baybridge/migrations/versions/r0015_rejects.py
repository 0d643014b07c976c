"""Rejects that are kept, with a version or of a dataset's latest refused upload; and what is remembered of a version's columns."""

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No version before this one has let a row go."""
    op.add_column("versions", sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("versions", sa.Column("rejects_sha256", sa.Text))
    op.add_column("versions", sa.Column("rejects_size", sa.BigInteger))
    op.add_column("versions", sa.Column("facts", sa.Text))
    op.create_table(
        "refused_uploads",
        sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("rejects_sha256", sa.Text, nullable=False),
        sa.Column("rejects_size", sa.BigInteger, nullable=False),
    )
