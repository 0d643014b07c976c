"""Notices: what an organization is told of its agreements, and of what it may know.

Short fixed sentences, never a data value or a reason's text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from baybridge.agreements.agreement import Action, Agreement
from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import NotFound
from baybridge.names import DatasetName

NOTICES: Final = sa.Table(
    "notices",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("read", UtcDateTime),
    sa.Index("notices_of_an_organization", "organization", "number"),
)

_SENTENCES: Final[dict[Action, str]] = {
    Action.REQUEST: "{consumer} asks for {dataset} under the terms of {id}.",
    Action.OFFER: "{provider} offers {dataset} under the terms of {id}.",
    Action.APPROVE: "An officer has approved the terms of {id}, about {dataset}.",
    Action.SIGN_AS_CONSUMER: "{consumer} has signed {id}, about {dataset}.",
    Action.SIGN_AS_PROVIDER: "{provider} has signed {id}, about {dataset}.",
    Action.VERIFY: "The signatures of {id}, about {dataset}, are over one digest.",
    Action.FINALIZE: "Both sides have signed {id}, about {dataset}.",
    Action.TERMINATE: "The negotiation of {id}, about {dataset}, was ended.",
    Action.SUSPEND: "{id}, about {dataset}, is suspended: nothing is served under it.",
    Action.RESUME: "The suspension of {id}, about {dataset}, is lifted.",
    Action.REVOKE: "{id}, about {dataset}, is revoked: nothing is served under it any more.",
    Action.SUPERSEDE: "{id}, about {dataset}, is superseded by {successor}.",
    Action.CLOSE: "{consumer} has stated that what it received under {id}, about {dataset}, is destroyed.",
}

_BEGUN: Final = "{id}, about {dataset}, has begun: {consumer} may read under it."
_ENDED: Final = "{id}, about {dataset}, has ended: nothing is served under it any more."


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice to one organization; `read` is when somebody of it marked it as read."""

    id: int
    organization: str
    time: datetime
    kind: str
    subject: str
    text: str
    read: datetime | None


def tell(connection: sa.Connection, organizations: Iterable[str], agreement: Agreement, action: Action, *, now: datetime) -> None:
    """Tell these organizations what was done to the agreement, in the transaction that does it."""
    _tell(connection, organizations, agreement, action.word, _SENTENCES[action], now=now)


def tell_begun(connection: sa.Connection, agreement: Agreement, *, now: datetime) -> None:
    """Tell both parties that the start of the terms has come."""
    _tell(connection, (agreement.provider, agreement.consumer), agreement, "begin", _BEGUN, now=now)


def tell_ended(connection: sa.Connection, agreement: Agreement, *, now: datetime) -> None:
    """Tell both parties that the end of the terms has come."""
    _tell(connection, (agreement.provider, agreement.consumer), agreement, "end", _ENDED, now=now)


def _tell(connection: sa.Connection, organizations: Iterable[str], agreement: Agreement, kind: str, text: str, *, now: datetime) -> None:
    for organization in organizations:
        told = {"time": now, "kind": kind, "subject": agreement.id, "text": _said(text, agreement)}
        connection.execute(sa.insert(NOTICES).values(organization=organization, **told))


def _said(text: str, agreement: Agreement) -> str:
    return text.format(
        id=agreement.id,
        dataset=agreement.dataset,
        provider=agreement.provider,
        consumer=agreement.consumer,
        successor=agreement.successor,
    )


def tell_invited(connection: sa.Connection, organizations: Iterable[str], dataset: DatasetName, *, now: datetime) -> None:
    """Tell these organizations that they may know of a hidden dataset, in the transaction that lets them."""
    text = f"{dataset.organization} lets you know of {dataset}, which is hidden from others: you may ask for it."
    for organization in organizations:
        told = {"time": now, "kind": "invite", "subject": str(dataset), "text": text}
        connection.execute(sa.insert(NOTICES).values(organization=organization, **told))


def notices(connection: sa.Connection, organization: str, *, before: int | None, limit: int) -> tuple[Notice, ...]:
    """An organization's notices, newest first; with `before`, those that are older than that one."""
    wanted = _NOTICE.where(NOTICES.c.organization == organization)
    if before is not None:
        wanted = wanted.where(NOTICES.c.number < before)
    return tuple(_notice(row) for row in connection.execute(wanted.order_by(NOTICES.c.number.desc()).limit(limit)))


def mark_read(connection: sa.Connection, organization: str, notice: int, *, now: datetime) -> Notice:
    """Mark a notice of the organization as read; a second time changes nothing. Raise NotFound."""
    mine = (NOTICES.c.organization == organization) & (NOTICES.c.number == notice)
    connection.execute(sa.update(NOTICES).where(mine, NOTICES.c.read.is_(None)).values(read=now))
    row = connection.execute(_NOTICE.where(mine)).first()
    if row is None:
        raise NotFound("not_found", "Your organization has no notice of that number.")
    return _notice(row)


_NOTICE: Final = sa.select(
    NOTICES.c.number, NOTICES.c.organization, NOTICES.c.time, NOTICES.c.kind, NOTICES.c.subject, NOTICES.c.text, NOTICES.c.read
)


def _notice(row: Any) -> Notice:
    return Notice(row.number, row.organization, row.time, row.kind, row.subject, row.text, row.read)
