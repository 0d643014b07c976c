"""Numbers, dates and timestamps from their text, for the text parser and the JSON reader alike."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

from baybridge.terms.cql2.nodes import normal_number

MAX_NUMBER: Final = 80
# A power of ten that could still belong to a number within bounds; longer ones are refused before any arithmetic.
_EXPONENT: Final = re.compile(r"[eE][+-]?0*[0-9]{1,4}\Z")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?(?:(Z)|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
)


def number_of(text: str) -> Decimal:
    """Read a number that the lexical form of the caller's language has already let through. Raise ValueError beyond the bounds."""
    power = re.search(r"[eE]", text)
    if len(text) > MAX_NUMBER or (power and not _EXPONENT.match(text, power.start())):
        raise ValueError("a number out of bounds")
    return normal_number(Decimal(text))


def date_of(text: str) -> date:
    """Read 2024-01-31. Raise ValueError for anything else."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    return date(int(match[1]), int(match[2]), int(match[3]))


def timestamp_of(text: str) -> datetime:
    """Read 2024-01-31T12:00:00, with Z or an offset for an instant. Raise ValueError or OverflowError for anything else."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a timestamp")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    moment = datetime(year, month, day, hour, minute, second, int((match[7] or "").ljust(6, "0")))  # noqa: DTZ001 - the zone follows
    if match[8]:
        return moment.replace(tzinfo=UTC)
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
        return moment.replace(tzinfo=timezone(-offset if match[9] == "-" else offset)).astimezone(UTC)
    return moment
