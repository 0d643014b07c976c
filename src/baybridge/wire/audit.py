"""The audit log's shapes."""

from __future__ import annotations

import msgspec

from baybridge.wire.shape import RequestShape, Shape


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


class KeysShape(Shape, frozen=True, kw_only=True):
    """A log's first public key as a C2SP verifier key, and the notes, oldest first, by which each key handed over to the next."""

    first: str
    rotations: list[str]


class InclusionShape(Shape, frozen=True, kw_only=True):
    """The proof that an entry is in the log of a size. Hashes are base64, from the leaf's sibling up (RFC 9162, section 2.1.3)."""

    origin: str
    index: int
    size: int
    leaf: str
    root: str
    hashes: list[str]


class ConsistencyShape(Shape, frozen=True, kw_only=True):
    """The proof that the log of one size begins that of another. Hashes are base64 (RFC 9162, section 2.1.4)."""

    origin: str
    old_size: int
    new_size: int
    old_root: str
    new_root: str
    hashes: list[str]


class ErasureShape(Shape, frozen=True, kw_only=True):
    """How many side records were erased, the index of the entry that says so, and whether no file holds their bytes any more."""

    erased: int
    entry: int | None
    gone: bool


class CheckpointCopyShape(Shape, frozen=True, kw_only=True):
    """What is kept outside a home: the public key that signed (base64), and each log's newest checkpoint by organization."""

    key: str
    checkpoints: dict[str, str]


class CheckpointCopyRequest(RequestShape, frozen=True, kw_only=True):
    """The same as it is brought to be kept, with what shows by log that each goes on from what is kept.

    `consistency` has the hashes of RFC 9162, section 2.1.4, in base64, from the kept size to the new one; `rotations` the notes by which
    the kept key handed over; `restores` the C2SP tlog-proof of the entry by which a log that was set back says so.
    """

    key: str
    checkpoints: dict[str, str]
    consistency: dict[str, list[str]] = msgspec.field(default_factory=dict)
    rotations: dict[str, list[str]] = msgspec.field(default_factory=dict)
    restores: dict[str, str] = msgspec.field(default_factory=dict)
