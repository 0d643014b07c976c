"""Several nodes on one catalog: what they have in common, and until when one of them works on a request with a key."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of pins, and the column of the replies."""
    op.create_table("pins", sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))
    op.add_column("replies", sa.Column("held_until", sa.DateTime(timezone=True)))
