"""Values in plain words, on one line each, so that two different values never read alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WRITTEN_OUT: Final = 30


def quoted(text: str) -> str:
    r"""The text in double quotes. What cannot be seen, or could turn the line around, is written as its number: \u{202e}."""
    return '"' + "".join(_shown(character) for character in text) + '"'


def _shown(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def number(value: Decimal) -> str:
    """The number with all its digits, or with a power of ten where that would be long."""
    return format(value, "f") if abs(value.adjusted()) < _WRITTEN_OUT else str(value)


def day(value: date) -> str:
    """The day: 31 January 2024."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def moment(value: datetime) -> str:
    """The instant in UTC, or the wall clock where it has no zone."""
    clock = value.time().isoformat() if value.second or value.microsecond else f"{value.hour:02}:{value.minute:02}"
    return f"{day(value)} at {clock}" + (" UTC" if value.tzinfo else " local time")


def listed(texts: Sequence[str], last: str) -> str:
    """One, two and three: the last parted by that word."""
    *first, final = texts
    return f"{', '.join(first)} {last} {final}" if first else final
