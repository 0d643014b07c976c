"""Hidden datasets: the flag, and which organizations may know of one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is hidden yet; whoever has an agreement about a dataset knows of it."""
    op.add_column("datasets", sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "invitations",
        sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
        sa.Column("lasting", sa.Boolean, nullable=False),
        sa.Index("invitations_of_an_organization", "organization", "dataset"),
    )
    parties = "SELECT DISTINCT dataset, consumer, :lasting FROM agreements"
    op.get_bind().execute(sa.text(f"INSERT INTO invitations (dataset, organization, lasting) {parties}"), {"lasting": True})
