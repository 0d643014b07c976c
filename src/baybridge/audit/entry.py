"""An audit entry as bytes, and back: canonical JSON with a format version, a nonce and a time. Pure; stores and hashes nothing.

An entry holds no personal data: facts are names of parties, datasets, columns, codes, counts and hashes. Its nonce keeps a
reader of the public leaf hashes from guessing entries of few possible values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, TypeAlias

import rfc8785

from baybridge.errors import Corrupt, Invalid

JSON: TypeAlias = "bool | int | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A JSON value of an entry. There are no floats: a decimal travels as a string, so that no two printers can disagree."""

ENTRY_VERSION: Final = 1
MAX_ENTRY_BYTES: Final = 8192
MAX_COLUMN_LIST_BYTES: Final = 4096
MAX_DEPTH: Final = 32
NONCE_BYTES: Final = 16
_TIME_BYTES: Final = len("2026-01-01T00:00:00.000000Z")

_OWN_KEYS: Final = frozenset({"format", "log", "kind", "nonce", "time"})
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


class Kind(StrEnum):
    """What an entry is about. Kinds may be added; none is ever renamed or reused."""

    DISCLOSURE = "disclosure"
    STREAM_ENDED = "stream_ended"
    REFUSAL = "refusal"
    PUBLICATION = "publication"
    REJECTS_READ = "rejects_read"
    DATASET_DECLARED = "dataset_declared"
    WITHDRAWAL = "withdrawal"
    RESTORATION = "restoration"
    PURGE_BEGUN = "purge_begun"
    PURGE_DONE = "purge_done"
    AGREEMENT_ACT = "agreement_act"
    APPROVALS_REQUIRED = "approvals_required"
    ORGANIZATION_ADDED = "organization_added"
    ORGANIZATION_ACT = "organization_act"
    PRINCIPAL_ADDED = "principal_added"
    PRINCIPAL_ACT = "principal_act"
    TOKEN_ISSUED = "token_issued"  # noqa: S105 - the name of a kind, no secret
    TOKEN_ROTATED = "token_rotated"  # noqa: S105 - the name of a kind, no secret
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of a kind, no secret
    COUNTS = "counts"
    SIDE_RECORDS_ERASED = "side_records_erased"
    KEY_ROTATED = "key_rotated"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoded entry. `kind` is text, not Kind: a log with kinds newer than its reader is not thereby corrupt."""

    format: int
    log: str
    kind: str
    nonce: bytes
    time: datetime
    facts: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Untimed:
    """An entry that lacks only its time: the canonical bytes before it and after. What remains to be done is nothing that can fail."""

    head: bytes
    tail: bytes

    def at(self, time: datetime) -> bytes:
        """The entry's bytes, with that time. ValueError, a mistake of the calling code, for a time without a zone."""
        if time.utcoffset() is None:
            raise ValueError("an entry's time has a zone")
        return self.head + _print_time(time).encode() + self.tail


def canonical(value: JSON) -> bytes:
    """Give the one RFC 8785 form of a JSON value, as UTF-8.

    Raise Invalid (`invalid_request`) for what has none here: floats, integers beyond 2**53 - 1, text that is not Unicode
    scalar values, a depth above 32, and values that are not JSON.
    """
    try:
        return rfc8785.dumps(_plain(value, 0))
    except ValueError:  # the package's own text carries the value, so it is neither repeated nor chained
        raise _no_canonical_form() from None


def encode(facts: Mapping[str, JSON], *, log: str, kind: Kind, nonce: bytes, time: datetime) -> bytes:
    """Give the entry's bytes: the canonical JSON object of the facts and `format`, `log`, `kind`, `nonce` and `time`.

    `time` is an instant with a zone, written in UTC with microseconds and Z (RFC 3339). For the rest see `prepare`.
    """
    return prepare(facts, log=log, kind=kind, nonce=nonce).at(time)


def prepare(facts: Mapping[str, JSON], *, log: str, kind: Kind, nonce: bytes) -> Untimed:
    """Give the entry but for its time, which it gets with its index: so the times of a log stand in the order of its entries.

    `nonce` is 16 random bytes, written in lower-case hexadecimal. Raise Invalid (`invalid_request`) when the entry would exceed
    8,192 bytes: what has no bound of its own in an entry was named by the request, the same request could never be entered,
    and what is not entered is not served. ValueError is a mistake of the calling code: a fact under one of the five keys, a nonce
    of another length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce is 16 bytes")
    if not _OWN_KEYS.isdisjoint(facts):
        raise ValueError("a fact may not take the name of an entry's own keys")
    members: dict[str, JSON] = {**facts, "format": ENTRY_VERSION, "log": log, "kind": kind.value, "nonce": nonce.hex()}
    # RFC 8785 section 3.2.3 sorts the members by name, so the time stands between those below its name and those above.
    before = canonical({name: value for name, value in members.items() if name < "time"})
    after = canonical({name: value for name, value in members.items() if name > "time"})
    untimed = Untimed(before[:-1] + b',"time":"', b'"}' if after == b"{}" else b'",' + after[1:])
    if len(untimed.head) + _TIME_BYTES + len(untimed.tail) > MAX_ENTRY_BYTES:
        raise Invalid("invalid_request", "The act names so much that its audit entry would exceed 8192 bytes.")
    return untimed


def decode(data: bytes) -> Entry:
    """Read an entry, and only exactly as `encode` wrote it. Raise Corrupt for any other bytes and for an unknown format."""
    if len(data) > MAX_ENTRY_BYTES:
        raise _corrupt()
    try:
        value = json.loads(data)
        # Whatever the decoder is lenient in (encodings, spaces, doubled members, floats) is not in the one canonical form.
        if not isinstance(value, dict) or canonical(value) != data:
            raise _corrupt()
    except (ValueError, RecursionError, Invalid):
        raise _corrupt() from None
    return _from_object(value)


def column_list(names: Sequence[str]) -> JSON:
    """Give the names when their JSON is under 4,096 bytes, else `{"count", "sha256"}` of that JSON.

    So a dataset of thousands of columns still fits an entry, and the list, kept elsewhere, can be held against it. The
    hash is of the canonical JSON array in the given order, in lower-case hexadecimal.
    """
    listed = canonical(list(names))
    if len(listed) < MAX_COLUMN_LIST_BYTES:
        return list(names)
    return {"count": len(names), "sha256": sha256(listed).hexdigest()}


def _plain(value: JSON, depth: int) -> JSON:
    """Give the value in the types that the canonical printer takes, having refused what it would take and we do not."""
    if depth > MAX_DEPTH:
        raise _no_canonical_form()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    raise _no_canonical_form()


def _from_object(value: Mapping[str, JSON]) -> Entry:
    form, log, kind, nonce, time = (value.get(key) for key in ("format", "log", "kind", "nonce", "time"))
    if form != ENTRY_VERSION or isinstance(form, bool):
        raise Corrupt("corrupt", "An audit entry has a format that this version does not read.")
    if not isinstance(log, str) or not isinstance(kind, str) or not isinstance(nonce, str) or not isinstance(time, str):
        raise _corrupt()
    if not _KIND.fullmatch(kind) or not _NONCE.fullmatch(nonce):
        raise _corrupt()
    return Entry(
        format=ENTRY_VERSION,
        log=log,
        kind=kind,
        nonce=bytes.fromhex(nonce),
        time=_read_time(time),
        facts={key: item for key, item in value.items() if key not in _OWN_KEYS},
    )


def _print_time(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _read_time(text: str) -> datetime:
    """Read what `_print_time` wrote, and nothing else that is RFC 3339: one instant has one form."""
    if not _TIME.fullmatch(text):
        raise _corrupt()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:  # a 13th month, a 61st second
        raise _corrupt() from None
    if _print_time(time) != text:  # 24:00:00, which newer Pythons read as the next day's midnight
        raise _corrupt()
    return time


def _no_canonical_form() -> Invalid:
    return Invalid("invalid_request", "A value cannot be written as canonical JSON: no floats, integers up to 2**53 - 1, Unicode text.")


def _corrupt() -> Corrupt:
    return Corrupt("corrupt", "An audit entry is not in the form in which entries are written.")
