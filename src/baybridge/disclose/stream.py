"""A whole answer on its way: rows pulled a piece at a time, counted and hashed as they are handed out, and an entry at the end."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from baybridge.data.engines.duckdb import Rows, Stop


class Ending(StrEnum):
    """How a stream ended. All but WHOLE reset the connection, so that what came of it cannot be taken for all."""

    WHOLE = "whole"
    CUT = "cut"  # its grant went, or its time
    LEFT = "left"  # the client went
    FAILED = "failed"  # the server could not go on


@dataclass(frozen=True, slots=True)
class Lines:
    """A format over given columns: what stands before the first row, and a batch of rows as bytes."""

    head: bytes
    rows: Callable[[Sequence[tuple[Any, ...]]], bytes]


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What left the door: at most this much reached the client, and all of it where the ending is WHOLE."""

    rows: int
    size: int
    sha256: str


@dataclass(slots=True)
class Stream:
    """A grant to send rows, whose opening entry is durable. `pull` and `end` may be called from any thread, one after the other.

    `rows` is how many were asked for; `etag` to `stands` are as in an Answer. `enter_end` writes the closing entry; it is None where
    reads are not entered one by one.
    """

    rows: int
    etag: str
    version: int
    governed: bool
    organization: str
    agreement: str | None
    stands: Callable[[], bool]
    stop: Stop
    batches: Rows
    lines: Lines
    entry: int | None = None
    enter_end: Callable[[Ending, HandedOut], None] | None = None
    _sent: int = 0
    _size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _begun: bool = False
    _ended: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def pull(self) -> bytes | None:
        """The next piece, or None after the last. Raise Unavailable (`query_limit`) where its question was stopped."""
        with self._turn:
            if self._ended:
                return None
            if not self._begun:
                self._begun = True
                if self.lines.head:
                    return self._hand_out(0, self.lines.head)
            batch = next(self.batches, None)
            return None if batch is None else self._hand_out(len(batch), self.lines.rows(batch))

    def end(self, ending: Ending) -> None:
        """Let go of the question and enter how it ended, once. Raise Unavailable (`log_unavailable`) when that cannot be entered.

        A stream without a closing entry counts as having disclosed all that was asked for.
        """
        if ending is not Ending.WHOLE:
            self.stop.fire()  # a pull that is under way in another thread gives up its turn
        with self._turn:
            if self._ended:
                return
            self._ended = True
            self.batches.close()
            if self.enter_end is not None:
                self.enter_end(ending, HandedOut(self._sent, self._size, self._hash.hexdigest()))

    def _hand_out(self, rows: int, piece: bytes) -> bytes:
        self._sent += rows
        self._size += len(piece)
        self._hash.update(piece)
        return piece
