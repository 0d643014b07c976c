"""Answers kept by Idempotency-Key: here it is remembered what was done, and a request that is sent again is not done again.

A key is reserved before its act and answered after it, in transactions of their own. Between the two a crash leaves a reservation
without an answer: then nobody knows whether the act was done, and that is what a retry is told. It is never done twice.

Whoever works on a key says so for some seconds more, again and again, so that every process and host can tell what is under way.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baybridge.db import METADATA, Database, UtcDateTime
from baybridge.errors import Advice, Conflict, Invalid, Place, Unavailable
from baybridge.principals.principal import Principal

KEPT: Final = timedelta(hours=24)
HELD: Final = timedelta(seconds=10)
MAX_KEY: Final = 255

REPLIES: Final = sa.Table(
    "replies",
    METADATA,
    sa.Column("key_sha256", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("media_type", sa.Text),
    sa.Column("body", sa.LargeBinary),
    sa.Column("created", UtcDateTime, nullable=False, index=True),
    sa.Column("held_until", UtcDateTime),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was given. `body` is None where the answer held a secret, which is shown once and not kept."""

    status: int
    media_type: str | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply, and the digest of the body that it answered."""

    body_sha256: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Replies:
    """The kept answers, bound to what they need. `_under_way` are the keys whose acts this process is doing now."""

    database: Database
    clock: Callable[[], datetime]
    _under_way: set[str] = field(default_factory=set)

    def reserve(self, principal: Principal, key: str, request: str) -> str | Kept:
        """Give the key's id, now reserved for the act, or the answer that was kept under it. `request` is the method and the address.

        Raise Invalid for a text that is no key (`invalid_request`) and for a key of another request (`idempotency_key_reused`), and
        Conflict for a key that is under way (`request_under_way`) or whose act was begun and never answered (`outcome_unknown`).
        """
        _require_key(key)
        key_sha256 = hashlib.sha256(f"{principal.id} {key}".encode()).hexdigest()
        now = self.clock()
        with self.database.write() as connection:
            connection.execute(sa.delete(REPLIES).where(REPLIES.c.created < now - KEPT))
            row = connection.execute(sa.select(REPLIES).where(REPLIES.c.key_sha256 == key_sha256)).one_or_none()
            if row is None:
                connection.execute(sa.insert(REPLIES).values(key_sha256=key_sha256, request=request, created=now, held_until=now + HELD))
                self._under_way.add(key_sha256)
                return key_sha256
        if row.request != request:
            raise key_reused()
        if row.status is None:
            raise _under_way() if row.held_until is not None and now < row.held_until else _unknown()
        return Kept(row.body_sha256, Reply(row.status, row.media_type, row.body))

    def keep(self, key_sha256: str, kept: Kept) -> None:
        """Keep the answer of an act that was done."""
        reply = kept.reply
        answer = {"status": reply.status, "media_type": reply.media_type, "body": reply.body, "body_sha256": kept.body_sha256}
        try:
            with self.database.write() as connection:
                connection.execute(sa.update(REPLIES).where(REPLIES.c.key_sha256 == key_sha256).values(**answer))
        finally:  # an answer that cannot be kept leaves an outcome that nobody knows, not an act under way
            self._under_way.discard(key_sha256)

    def release(self, key_sha256: str) -> None:
        """Free the key of a request that did nothing."""
        try:
            with self.database.write() as connection:
                connection.execute(sa.delete(REPLIES).where(REPLIES.c.key_sha256 == key_sha256))
        finally:
            self._under_way.discard(key_sha256)

    def leave_open(self, key_sha256: str) -> None:
        """Say that nobody works on the key any more, and that nobody knows what came of it.

        Where that cannot be said, what was said before ends by itself.
        """
        self._under_way.discard(key_sha256)
        with contextlib.suppress(SQLAlchemyError, Unavailable), self.database.write() as connection:
            connection.execute(sa.update(REPLIES).where(REPLIES.c.key_sha256 == key_sha256).values(held_until=None))

    def hold(self) -> None:
        """Say for some seconds more which keys are worked on here. It is called every second or so."""
        held = sorted(self._under_way)
        if held:
            with self.database.write() as connection:
                connection.execute(
                    sa.update(REPLIES)
                    .where(REPLIES.c.key_sha256.in_(held), REPLIES.c.status.is_(None))
                    .values(held_until=self.clock() + HELD)
                )


def key_reused() -> Invalid:
    """The error of a key that was sent before with another request."""
    return Invalid(
        "idempotency_key_reused",
        "This Idempotency-Key was sent before with another request.",
        advice=Advice(rule="A key stands for one request.", who_can_change="you", next_step="Send a new key with a new request."),
        places=(Place("Idempotency-Key", "sent before with another address or body"),),
    )


def _require_key(key: str) -> None:
    if not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        rule = f"1 to {MAX_KEY} printable ASCII characters"
        raise Invalid("invalid_request", f"An Idempotency-Key is {rule}.", places=(Place("Idempotency-Key", rule),))


def _under_way() -> Conflict:
    return Conflict(
        "request_under_way",
        "A request with this Idempotency-Key is being worked on.",
        advice=Advice(rule="A request is done once.", who_can_change="you", next_step="Send the same request again in a second."),
        retry_after=1,
    )


def _unknown() -> Conflict:
    return Conflict(
        "outcome_unknown",
        "A request with this Idempotency-Key was begun, and the server stopped before its answer was kept.",
        advice=Advice(
            rule="A request is done once, so one whose outcome is not known is not done again.",
            who_can_change="you",
            next_step="Read the present state. If the act was not done, send the request with a new key.",
        ),
    )
