"""Withdrawal and purge: where a version and a dataset stand, why, and since when; and the highest number that a dataset has given out."""

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Everything that there is stands published."""
    for table in ("datasets", "versions"):
        op.add_column(table, sa.Column("state", sa.Text, nullable=False, server_default="published"))
        op.add_column(table, sa.Column("reason", sa.Text))
        op.add_column(table, sa.Column("since", UtcDateTime))
    op.add_column("datasets", sa.Column("last", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE datasets SET last = latest")
    op.create_index("versions_in_a_state", "versions", ["state"])
