"""The life of agreements: approvals, hand-over, umbrellas and notices."""

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and tables; nothing that is there changes."""
    for column in (
        sa.Column("code", sa.Text),
        sa.Column("statement", sa.Text),
        sa.Column("requester", sa.Text),
        sa.Column("author", sa.Text),
        sa.Column("umbrella", sa.Integer),
        sa.Column("supersedes", sa.Integer),
        sa.Column("took_over", UtcDateTime),
        sa.Column("successor", sa.Integer),
        sa.Column("handed_over", UtcDateTime),
    ):
        op.add_column("agreements", column)
    op.create_index("agreements_of_an_umbrella", "agreements", ["umbrella"])
    op.create_table(
        "approvals",
        sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
        sa.Column("terms_sha256", sa.Text, nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
    )
    op.create_table(
        "required_approvals",
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
    )
    op.create_table(
        "umbrellas",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("consumer", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
    )
    op.create_table(
        "notices",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("read", UtcDateTime),
    )
    op.create_index("notices_of_an_organization", "notices", ["organization", "number"])
