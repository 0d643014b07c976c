"""Side records that are found by the version they are about, and the time of each log's last entry."""

import json
import re
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from baybridge.db import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])-([01][0-9]|2[0-8])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}Z")


def upgrade() -> None:
    """Add the columns, and fill them from the entries. What does not read as an entry gets none: `audit verify` says that it is not."""
    op.add_column("logs", sa.Column("time", UtcDateTime))
    op.add_column("side_records", sa.Column("dataset", sa.Text))
    op.add_column("side_records", sa.Column("version", sa.BigInteger))
    op.add_column("side_records", sa.Column("since", sa.BigInteger))
    connection = op.get_bind()
    for (organization,) in connection.execute(sa.text("SELECT organization FROM logs")).all():
        _date(connection, organization)
        _link(connection, organization)
    op.create_index("side_records_by_version", "side_records", ["organization", "dataset", "version"])
    two = sa.text("since IS NOT NULL")
    op.create_index("side_records_by_since", "side_records", ["organization", "dataset", "since"], sqlite_where=two, postgresql_where=two)


def _date(connection: sa.Connection, organization: str) -> None:
    """The latest time in the log: entries took theirs before they queued, so it need not be the last one's."""
    rows = connection.execute(sa.text("SELECT data FROM entries WHERE organization = :of"), {"of": organization})
    times = [time for (data,) in rows if _TIME.fullmatch(time := str(_read(data).get("time")))]
    if times:
        filled = sa.text("UPDATE logs SET time = :time WHERE organization = :of").bindparams(sa.bindparam("time", type_=UtcDateTime))
        connection.execute(filled, {"of": organization, "time": datetime.fromisoformat(max(times))})


def _link(connection: sa.Connection, organization: str) -> None:
    rows = connection.execute(
        sa.text("SELECT entries.number, entries.data FROM side_records JOIN entries USING (organization, number) WHERE organization = :of"),
        {"of": organization},
    )
    links = [
        {"of": organization, "number": number, **{key: entry.get(key) for key in ("dataset", "version", "since")}}
        for number, data in rows
        if (entry := _read(data))
    ]
    if links:
        update = "UPDATE side_records SET dataset = :dataset, version = :version, since = :since"
        connection.execute(sa.text(f"{update} WHERE organization = :of AND number = :number"), links)


def _read(data: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(data)
    except (TypeError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}
