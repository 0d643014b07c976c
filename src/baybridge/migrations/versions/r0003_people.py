"""People: status of organizations and principals, identities, roles that wait for a second person, scopes and last use of tokens."""

import unicodedata

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a person that was there before is known by its name, and keeps its roles."""
    for table in ("organizations", "principals"):
        op.add_column(table, sa.Column("status", sa.Text, nullable=False, server_default="active"))
        op.add_column(table, sa.Column("reason", sa.Text))
    op.add_column("principals", sa.Column("pending", sa.Text, nullable=False, server_default=""))
    op.add_column("principals", sa.Column("identity", sa.Text))
    _identify()
    op.create_index("one_principal_per_identity", "principals", ["organization", "identity"], unique=True)
    op.create_index("tokens_of_a_principal", "tokens", ["principal"])
    op.add_column("tokens", sa.Column("scopes", sa.Text))
    op.add_column("tokens", sa.Column("last_used", UtcDateTime))


def _identify() -> None:
    """Where two names of one organization have one normal form, the second is known by name and id."""
    principals = sa.table("principals", *(sa.column(name) for name in ("id", "organization", "name", "kind", "identity")))
    connection = op.get_bind()
    persons = connection.execute(
        sa.select(principals.c.id, principals.c.organization, principals.c.name).where(principals.c.kind == "person")
    ).all()
    taken = set()
    for each in persons:
        identity = unicodedata.normalize("NFKC", each.name).casefold().strip()
        if (each.organization, identity) in taken:
            identity = f"{identity} {each.id}"
        taken.add((each.organization, identity))
        connection.execute(sa.update(principals).where(principals.c.id == each.id).values(identity=identity))
