"""The audit log's shapes."""

from __future__ import annotations

from baybridge.wire.shape import Shape


class EntryShape(Shape, frozen=True, kw_only=True):
    """One entry of a log: its index and its exact bytes in base64."""

    index: int
    data: str


class EntriesShape(Shape, frozen=True, kw_only=True):
    """A run of entries, at most 1,000, and the log's size."""

    origin: str
    size: int
    entries: list[EntryShape]


class VerifierShape(Shape, frozen=True, kw_only=True):
    """A log's public key as a C2SP verifier key."""

    verifier: str
