"""The spine: organizations, principals, tokens, datasets, versions, agreements, logs."""

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table of an empty catalog."""
    _principals()
    _catalog()
    _agreements()
    _logs()


def _principals() -> None:
    op.create_table(
        "organizations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
    )
    op.create_table(
        "principals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.UniqueConstraint("organization", "name", name="one_name_per_organization"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("purpose", sa.Text),
        sa.Column("expires", UtcDateTime),
        sa.Column("revoked", UtcDateTime),
        sa.Column("created", UtcDateTime, nullable=False),
    )


def _catalog() -> None:
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("access", sa.Text, nullable=False),
        sa.Column("schema", sa.Text),
        sa.Column("latest", sa.Integer, nullable=False),
        sa.Column("updated", UtcDateTime, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("original_sha256", sa.Text, nullable=False),
        sa.Column("original_size", sa.BigInteger, nullable=False),
        sa.Column("published", UtcDateTime, nullable=False),
    )
    op.create_table(
        "manifest_objects",
        sa.Column("dataset", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("statistics", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["dataset", "number"], ["versions.dataset", "versions.number"]),
    )
    op.create_index("ix_manifest_objects_sha256", "manifest_objects", ["sha256"])


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("provider", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("consumer", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
        sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("terms", sa.LargeBinary, nullable=False),
        sa.Column("terms_sha256", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("domain_key", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.Column("updated", UtcDateTime, nullable=False),
    )
    op.create_index("agreements_of_a_consumer", "agreements", ["consumer", "dataset"])
    op.create_index("agreements_of_a_provider", "agreements", ["provider", "dataset"])
    op.create_table(
        "signatures",
        sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
        sa.Column("side", sa.Text, primary_key=True),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, sa.ForeignKey("principals.id"), nullable=False),
        sa.Column("terms_sha256", sa.Text, nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
    )
    op.create_table(
        "extract_references",
        sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True),
        sa.Column("extract_sha256", sa.Text, primary_key=True),
        sa.Column("created", UtcDateTime, nullable=False),
    )
    op.create_table(
        "pseudonym_domains",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.UniqueConstraint("provider", "consumer", "name", name="one_key_per_domain"),
    )


def _logs() -> None:
    op.create_table(
        "logs",
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "entries",
        sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "side_records",
        sa.Column("organization", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["organization", "number"], ["entries.organization", "entries.number"]),
    )
    op.create_table(
        "checkpoints",
        sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
    )
