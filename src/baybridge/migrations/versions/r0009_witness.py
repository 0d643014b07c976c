"""The checkpoints that are kept here for partners' servers."""

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is kept yet."""
    op.create_table(
        "witnessed",
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("checkpoints", sa.Text, nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
    )
