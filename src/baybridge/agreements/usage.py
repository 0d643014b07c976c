"""What has been read under each agreement, counted by day, so that its limits hold over all people, threads and processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import sqlalchemy as sa

from baybridge.agreements.agreement import Agreement
from baybridge.db import METADATA
from baybridge.terms.terms import Limits

USAGE: Final = sa.Table(
    "agreement_usage",
    METADATA,
    sa.Column("agreement", sa.Integer, sa.ForeignKey("agreements.number"), primary_key=True, autoincrement=False),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class LimitReached:
    """Which limit would be passed: the number of requests or of rows that a day allows."""

    what: Literal["requests", "rows"]
    limit: int


def reserve(connection: sa.Connection, agreement: Agreement, now: datetime, *, requests: int, rows: int) -> LimitReached | None:
    """Count requests and rows to the agreement's day in UTC, all or none; give the limit that they would pass, with nothing counted.

    Only in the write transaction that enters what is counted, so that one is never without the other. A stream reserves one request and
    no rows when it opens, then the rows of each piece before it goes, with no request. Nothing is kept where there is no limit.
    """
    limits = Limits() if agreement.terms is None else agreement.terms.limits
    if limits == Limits():
        return None
    number, day = int(agreement.id.removeprefix("AGR-")), now.astimezone(UTC).date()
    today = (USAGE.c.agreement == number, USAGE.c.day == day)
    if connection.execute(sa.select(USAGE.c.agreement).where(*today)).first() is None:
        connection.execute(sa.insert(USAGE).values(agreement=number, day=day, requests=0, rows=0))
    fits = [
        column + more <= limit
        for column, more, limit in ((USAGE.c.requests, requests, limits.requests), (USAGE.c.rows, rows, limits.rows))
        if limit is not None
    ]
    counted = sa.update(USAGE).where(*today, *fits).values(requests=USAGE.c.requests + requests, rows=USAGE.c.rows + rows)
    if connection.execute(counted).rowcount:
        return None
    used = connection.execute(sa.select(USAGE.c.requests, USAGE.c.rows).where(*today)).one()
    if limits.requests is not None and used.requests + requests > limits.requests:
        return LimitReached("requests", limits.requests)
    return LimitReached("rows", limits.rows or 0)
