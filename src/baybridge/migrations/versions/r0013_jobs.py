"""The job table, and when each reader last read a dataset."""

import json
from datetime import datetime

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and a job for the beginning and the end of each agreement that is signed."""
    jobs = op.create_table(
        "jobs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("dedupe", sa.Text, unique=True),
        sa.Column("periodic", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("run_at", UtcDateTime, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("created", UtcDateTime, nullable=False),
        sa.Column("updated", UtcDateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_by_state", "jobs", ["state", "run_at"])
    op.create_table(
        "extract_readers",
        sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), primary_key=True),
        sa.Column("agreement", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_read", UtcDateTime, nullable=False),
    )
    _enqueue_ends(jobs)


def _enqueue_ends(jobs: sa.Table) -> None:
    """Where an instant has passed since, both sides are told now."""
    connection = op.get_bind()
    agreements = sa.table("agreements", *(sa.column(name) for name in ("number", "state", "terms")), sa.column("updated", UtcDateTime))
    of_signed = sa.select(agreements).where(agreements.c.state.in_(["FINALIZED", "SUSPENDED"]))
    for signed in connection.execute(of_signed).all():
        said = json.loads(bytes(signed.terms))
        for kind, instant in (("agreement_begins", said["start"]), ("agreement_ends", said["end"])):
            at = datetime.fromisoformat(instant)
            if at > signed.updated:
                row = {"kind": kind, "payload": json.dumps({"agreement": f"AGR-{signed.number:04d}"}), "state": "queued", "run_at": at}
                zeros = {"periodic": False, "attempt": 0, "failures": 0}
                connection.execute(sa.insert(jobs).values(**row, **zeros, created=signed.updated, updated=signed.updated))
