"""Owns what one publication may take, and the error for a file that takes more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from baybridge.errors import Advice, Invalid

_UNITS: Final = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one publication may take: memory as the engine is told it, seconds of the wall clock, bytes of the largest file it may write."""

    memory: str
    seconds: float
    bytes: int

    @classmethod
    def of(cls, memory: str, seconds: float, largest: str) -> Limits:
        """The limits that three settings name."""
        return cls(memory, seconds, bytes_of(largest))


def bytes_of(text: str) -> int:
    """The bytes that a setting names: 512MB, 2GB, 1GiB."""
    digits = text.rstrip("KMGTiB ")
    unit = text[len(digits) :].strip()
    unit_bytes: int = (1024 if "i" in unit else 1000) ** _UNITS[unit[0]]
    return int(digits) * unit_bytes


def over_limits(what: str) -> Invalid:
    """Make the error for a file that costs more than it may."""
    return Invalid(
        "file_over_limits",
        what,
        advice=Advice(
            rule="A file is read within limits of time, memory and size, so that one that costs too much harms nobody else.",
            who_can_change="you, or the operator: the settings build_memory, publish_seconds and publish_bytes",
            next_step="Send fewer rows at a time (mode append), or ask the operator for more.",
        ),
    )
