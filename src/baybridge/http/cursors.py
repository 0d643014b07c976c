"""Cursors: where a walk through a question stands, sealed so that only this server's own come back. They hold no value of any row."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import msgspec

from baybridge.errors import Advice, Invalid, Place

_SEAL_BYTES: Final = 16
MAX_CURSOR: Final = 1024


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A version and an extract, the hash of the question, and the `_row` that the last page ended with."""

    version: int
    extract: str
    question: str
    row: int


@dataclass(frozen=True, slots=True)
class Cursors:
    """Seals and opens cursors with the home's key (HMAC-SHA-256, its first 16 bytes)."""

    key: bytes

    def seal(self, cursor: Cursor) -> str:
        """The cursor as URL-safe text."""
        payload = msgspec.json.encode(cursor)
        return base64.urlsafe_b64encode(self._seal(payload) + payload).decode().rstrip("=")

    def open(self, text: str, *, question: str) -> Cursor:
        """Raise Invalid (`cursor_invalid`) for one that this server did not make, or made for another question."""
        try:
            sealed = base64.urlsafe_b64decode(text[:MAX_CURSOR] + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raise _invalid() from None
        seal, payload = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(payload)):
            raise _invalid()
        cursor = msgspec.json.decode(payload, type=Cursor)
        if cursor.question != question:
            raise _invalid()
        return cursor

    def _seal(self, payload: bytes) -> bytes:
        return hmac.digest(self.key, b"cursor" + payload, "sha256")[:_SEAL_BYTES]


def question_hash(*parts: str) -> str:
    """What must be the same for a cursor to go on: dataset, properties, filter and order."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _invalid() -> Invalid:
    return Invalid(
        "cursor_invalid",
        "The cursor was not made by this server for this question.",
        advice=Advice(
            rule="A cursor is used as it was given, with the same filter, properties and sortby.",
            who_can_change="you",
            next_step="Follow the link `next` of a page, or start again without a cursor.",
        ),
        places=(Place("cursor", "not made for this question"),),
    )
