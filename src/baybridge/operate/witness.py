"""The checkpoints of partners' servers, kept for them here: taken only where each log goes on from what is kept, and shown to everyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa

from baybridge.audit.checkpoint import decode_base64
from baybridge.audit.entry import JSON
from baybridge.audit.log import Log
from baybridge.audit.witness import Growth, require_growth
from baybridge.db import METADATA, Database, UtcDateTime
from baybridge.errors import Advice, Conflict, Corrupt, Invalid, NotFound, Place
from baybridge.names import parse_organization
from baybridge.principals.principal import Principal, Role, Scope, require_role
from baybridge.principals.store import require_organization
from baybridge.wire.audit import CheckpointCopyRequest, CheckpointCopyShape

MAX_LOGS: Final = 1000
WITNESSED: Final = sa.Table(
    "witnessed",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("checkpoints", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Witness:
    """What is kept for each organization of the logs of its own server, bound to what that needs."""

    database: Database
    log: Log
    clock: Callable[[], datetime]

    def kept(self, organization: str) -> CheckpointCopyShape:
        """What is kept for an organization. Raise NotFound where nothing is."""
        with self.database.read() as connection:
            kept = _kept(connection, organization)
        if kept is None:
            raise NotFound("not_found", "No checkpoints are kept for an organization of that name.")
        return kept

    def keep(self, principal: Principal, organization: str, brought: CheckpointCopyRequest) -> CheckpointCopyShape:
        """Keep the newer checkpoints of its server's logs, on disk before this returns. Its auditors bring them.

        The key that comes first is pinned. Raise Conflict where a log does not go on from what is kept.
        """
        facts: dict[str, JSON] = {"act": "witness", "actor": {"organization": principal.organization, "principal": principal.id}}
        with self.log.entering_refusals(organization, facts), self.database.write() as connection:
            require_role(principal, organization, Role.AUDITOR, scope=Scope.AUDIT)
            require_organization(connection, organization)
            before = _kept(connection, organization)
            _require_going_on(before, brought)
            after = CheckpointCopyShape(key=brought.key, checkpoints=brought.checkpoints)
            values = {"key": after.key, "checkpoints": msgspec.json.encode(after.checkpoints).decode(), "time": self.clock()}
            if before is None:
                connection.execute(sa.insert(WITNESSED).values(organization=organization, **values))
            else:
                connection.execute(sa.update(WITNESSED).where(WITNESSED.c.organization == organization).values(**values))
            return after


def _require_going_on(before: CheckpointCopyShape | None, brought: CheckpointCopyRequest) -> None:
    if not 0 < len(brought.checkpoints) <= MAX_LOGS:
        rule = f"1 to {MAX_LOGS} logs"
        raise Invalid("invalid_request", f"Checkpoints are kept of {rule}.", places=(Place("checkpoints", rule),))
    kept = {} if before is None else before.checkpoints
    lost: frozenset[str] = frozenset()
    try:
        pinned = decode_base64(brought.key if before is None else before.key, "the key")
        for log, note in brought.checkpoints.items():
            parse_organization(log, parameter="checkpoints")
            lost |= require_growth(pinned, kept.get(log), _growth(brought, log, note))
    except Corrupt as wrong:
        raise _does_not_go_on(wrong.detail) from None
    if not set(kept) <= set(brought.checkpoints) | lost:
        raise _does_not_go_on("A log of which a checkpoint is kept is missing.")


def _growth(brought: CheckpointCopyRequest, log: str, note: str) -> Growth:
    return Growth(
        note=note,
        key=decode_base64(brought.key, "the key"),
        consistency=tuple(decode_base64(each, "a hash") for each in brought.consistency.get(log, ())),
        rotations=tuple(brought.rotations.get(log, ())),
        restore=brought.restores.get(log),
    )


def _kept(connection: sa.Connection, organization: str) -> CheckpointCopyShape | None:
    row = connection.execute(sa.select(WITNESSED.c.key, WITNESSED.c.checkpoints).where(WITNESSED.c.organization == organization)).first()
    if row is None:
        return None
    return CheckpointCopyShape(key=row.key, checkpoints=msgspec.json.decode(row.checkpoints, type=dict[str, str]))


def _does_not_go_on(why: str) -> Conflict:
    return Conflict(
        "conflict",
        f"A log does not go on from what is kept of it here: {why}",
        advice=Advice(
            rule="A witness takes a checkpoint that its log's pinned key signed, and that a proof joins to the one before it.",
            who_can_change="the operator of the server that the logs are of",
            next_step="Look at what is kept. Where the home was set back, put its newest state back, or say in its logs what was lost.",
            next_command="baybridge restore --who NAME --reason TEXT",
        ),
    )
