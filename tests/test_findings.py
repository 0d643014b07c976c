"""A verification says what is wrong first, and counts what only follows from it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit.checkpoint import Checkpoint, Verifier
from baybridge.audit.entry import Kind, encode
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.audit.replay import MOST_NAMED, replay
from baybridge.audit.rotation import KeyChain

ORIGIN = "exchange.example/audit/bts"
KEYS = KeyChain(Verifier.of(Ed25519PrivateKey.from_private_bytes(bytes(32)), ORIGIN))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def entry(number: int) -> bytes:
    return encode({"rows": number}, log=ORIGIN, kind=Kind.DISCLOSURE, nonce=bytes(16), time=NOW)


ENTRIES = [entry(number) for number in range(400)]
CHECKPOINTS = [
    Checkpoint(ORIGIN, size, Frontier(0, ()).extend([leaf_hash(data) for data in ENTRIES[:size]]).root()) for size in range(100, 401, 4)
]


def findings(entries: list[tuple[int, bytes]]) -> tuple[str, ...]:
    return replay(entries, origin=ORIGIN, checkpoints=CHECKPOINTS, keys=KEYS).findings


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            253,
            (
                "the first 256 entries are not those that the checkpoint was signed over; the first 252 are, so the change begins with"
                " entry 252 or after it; 36 larger checkpoints do not hold either"
            ),
        ),
        (3, "the first 100 entries are not those that the checkpoint was signed over; 75 larger checkpoints do not hold either"),
        (
            399,
            (
                "the first 400 entries are not those that the checkpoint was signed over; the first 396 are, so the change begins with"
                " entry 396 or after it"
            ),
        ),
    ],
)
def test_one_changed_entry_is_one_finding_that_says_where(number: int, said: str) -> None:
    changed = list(enumerate(ENTRIES))
    changed[number] = (number, entry(1_000))
    assert findings(changed) == (said,)


def test_an_intact_log_has_no_finding() -> None:
    assert findings(list(enumerate(ENTRIES))) == ()


def test_what_is_missing_is_named_once() -> None:
    numbered = list(enumerate(ENTRIES))
    assert findings(numbered[:150] + numbered[151:]) == ("entry 150 is missing: index 151 stands in its place",)
    assert findings(numbered[:398]) == ("the log has 398 entries, and a checkpoint was signed over 400: entries were removed",)


def test_many_malformed_entries_are_named_up_to_a_number_and_then_counted() -> None:
    *named, more, broken = findings([(number, data[:-1]) for number, data in enumerate(ENTRIES)])
    assert named == [f"entry {number}: An audit entry is not in the form in which entries are written." for number in range(MOST_NAMED)]
    assert more == f"{400 - MOST_NAMED} more entries are not as they were written"
    assert broken.endswith("; 75 larger checkpoints do not hold either")
