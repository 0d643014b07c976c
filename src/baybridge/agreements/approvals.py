"""Which approvals an organization requires before its signatory may sign. None, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from baybridge.db import METADATA

REQUIRED_APPROVALS: Final = sa.Table(
    "required_approvals",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
)


def required_approvals(connection: sa.Connection, organization: str) -> tuple[str, ...]:
    """The roles whose approval the organization requires, by name."""
    required = REQUIRED_APPROVALS.c
    rows = connection.execute(sa.select(required.role).where(required.organization == organization).order_by(required.role))
    return tuple(row.role for row in rows)


def require_approvals(connection: sa.Connection, organization: str, roles: Collection[str]) -> None:
    """Put these roles in place of those that the organization required."""
    connection.execute(sa.delete(REQUIRED_APPROVALS).where(REQUIRED_APPROVALS.c.organization == organization))
    for role in roles:
        connection.execute(sa.insert(REQUIRED_APPROVALS).values(organization=organization, role=role))
