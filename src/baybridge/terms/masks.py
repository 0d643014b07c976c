"""Masks: what replaces a column's values in a projection. Pure; the key of a pseudonym is an argument and never part of a mask."""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Final

from baybridge.errors import Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import TEXT, ColumnType, Kind

REDACTED: Final = "[redacted]"
PSEUDONYM_BYTES: Final = 16


class Mask(StrEnum):
    """`redact` puts one constant for every value, null or not; `pseudonym` a keyed token, equal for equal values, null for null."""

    REDACT = "redact"
    PSEUDONYM = "pseudonym"


def parse_mask(text: str, *, column: str) -> Mask:
    """Give the mask of that name. Raise Invalid (`terms_invalid`) for one that this server does not understand."""
    if text in set(Mask):
        return Mask(text)
    raise Invalid(
        "terms_invalid",
        f'The mask of column "{column}" is not one that this server understands.',
        places=(Place("masks", f"Known masks: {', '.join(Mask)}.", hint=nearest(text, Mask)),),
    )


def masked_type(mask: Mask | None, column: ColumnType) -> ColumnType:
    """The type of a released column: its own, or text when masked."""
    return column if mask is None else TEXT


def check_mask(mask: Mask, column: ColumnType, *, name: str) -> None:
    """Refuse (`terms_invalid`) a pseudonym of doubles: they have no one canonical text."""
    if mask is Mask.PSEUDONYM and column.kind is Kind.DOUBLE:
        raise Invalid("terms_invalid", f'Column "{name}" is a double, which cannot be pseudonymised; redact or withhold it.')


def pseudonym(key: bytes, kind: Kind, canonical: str) -> str:
    """HMAC-SHA-256 (RFC 2104) over `kind:canonical`, its first 16 bytes in hex: equal typed values give equal pseudonyms.

    The kind is in the message so that the text `1` and the integer 1 do not collide; integers of different columns do.
    """
    return hmac.digest(key, f"{kind}:{canonical}".encode(), "sha256")[:PSEUDONYM_BYTES].hex()
