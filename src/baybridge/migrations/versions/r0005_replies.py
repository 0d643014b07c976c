"""Answers kept by Idempotency-Key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of kept answers."""
    op.create_table(
        "replies",
        sa.Column("key_sha256", sa.Text, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("body_sha256", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("media_type", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_replies_created", "replies", ["created"])
