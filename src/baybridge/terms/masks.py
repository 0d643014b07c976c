"""Masks: what replaces a column's values in a projection, each a value with one text. Pure; a pseudonym's key is never part of a mask.

How each is carried out on files is `data.masking`; what each means is said here, and nowhere else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeAlias, assert_never

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.codes import CodeList
from baybridge.terms.columns import TEXT, ColumnType, Kind
from baybridge.terms.cql2.nodes import normal_number

REDACTED: Final = "[redacted]"
PSEUDONYM_BYTES: Final = 16
MAX_PREFIX: Final = 1_000
MAX_EDGES: Final = 100
MAX_INTEGER_ROUNDING: Final = 18
"""Powers of ten up to this one are 64-bit integers."""

_NUMBERS: Final = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE})
_TIMES: Final = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.DATETIME})


class Plain(StrEnum):
    """The masks that take no argument."""

    REDACT = "redact"  # one constant text for every value, null or not
    NULL = "null"  # null for every value; the column keeps its type
    PSEUDONYM = "pseudonym"  # a keyed token, equal for equal values; not of doubles, which have no one canonical text
    YEAR = "year"  # the year as an integer; of an instant, the year in UTC
    MONTH = "month"  # the first day of the month as a date; of an instant, of the month in UTC


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` characters (Unicode code points, never bytes); a shorter text stays whole."""

    length: int

    def __str__(self) -> str:
        return f"prefix({self.length})"


@dataclass(frozen=True, slots=True)
class Round:
    """Rounded to `places` digits after the point, or below 0 to tens, hundreds and so on: exactly, and halves away from zero.

    Where the type cannot hold the rounded number, it is rounded towards zero instead. Not of doubles: they have no exact digits.
    """

    places: int

    def __str__(self) -> str:
        return f"round({self.places})"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A label for the interval that holds the value: from an edge, which is in, to the next, which is not. Edges ascend.

    They are all numbers, or all dates, which stand for their first instant (of instants, in UTC).
    """

    edges: tuple[Decimal, ...] | tuple[date, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless there are edges and they ascend."""
        if not self.edges or any(low >= high for low, high in pairwise(self.edges)):  # type: ignore[operator] # of one kind
            raise ValueError("edges ascend")

    def __str__(self) -> str:
        return f"bucket({','.join(self.edge_texts())})"

    def edge_texts(self) -> tuple[str, ...]:
        """The edges as they are written."""
        return tuple(edge.isoformat() if isinstance(edge, date) else format(edge, "f") for edge in self.edges)

    def fits(self, kind: Kind) -> bool:
        """Whether the edges can be compared with values of that kind."""
        return kind in (_TIMES if isinstance(self.edges[0], date) else _NUMBERS)

    def labels(self) -> tuple[str, ...]:
        """One label more than there are edges, lowest first."""
        texts = self.edge_texts()
        before, after = ("before", "later") if isinstance(self.edges[0], date) else ("under", "more")
        between = (f"{low} to {before} {high}" for low, high in pairwise(texts))
        return (f"{before} {texts[0]}", *between, f"{texts[-1]} or {after}")


@dataclass(frozen=True, slots=True)
class Generalize:
    """The broader code of a list that the terms carry; a code that is not listed becomes what the list says, never itself."""

    codes: CodeList

    def __str__(self) -> str:
        return f"generalize({self.codes.name})"


Mask: TypeAlias = Plain | Prefix | Round | Bucket | Generalize


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """How a mask is written, and the kinds of columns that it takes."""

    written: str
    kinds: frozenset[Kind]


MASKS: Final = {
    "redact": MaskFacts("redact", frozenset(Kind)),
    "null": MaskFacts("null", frozenset(Kind)),
    "pseudonym": MaskFacts("pseudonym", frozenset({Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN}) | _TIMES),
    "year": MaskFacts("year", _TIMES),
    "month": MaskFacts("month", _TIMES),
    "prefix": MaskFacts("prefix(3)", frozenset({Kind.TEXT})),
    "round": MaskFacts("round(-2)", frozenset({Kind.INTEGER, Kind.DECIMAL})),
    "bucket": MaskFacts("bucket(0,18,65) or bucket(2020-01-01,2021-01-01)", _NUMBERS | _TIMES),
    "generalize": MaskFacts("generalize(LIST), LIST one of code_lists", frozenset({Kind.TEXT, Kind.INTEGER})),
}

_CALL: Final = re.compile(r"([a-z]+)(?:\(([^()]*)\))?")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]?")
_LENGTH: Final = re.compile(r"[1-9][0-9]{0,3}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?")


def parse_mask(text: str, *, column: str, code_lists: Mapping[str, CodeList]) -> Mask:
    """Give the mask of that text: the inverse of `str`. Raise Invalid (`terms_invalid`) for one that this server does not understand."""
    match = _CALL.fullmatch(text)
    name = text.partition("(")[0] if match is None else match[1]
    if name not in MASKS:
        raise _not_understood(column, f"Known masks: {', '.join(MASKS)}.", hint=nearest(name, MASKS))
    mask = None if match is None else _mask(match[1], match[2], code_lists)
    if mask is None:
        raise _not_understood(column, f"Write it as {MASKS[name].written}.", hint=None)
    return mask


def _mask(name: str, inside: str | None, code_lists: Mapping[str, CodeList]) -> Mask | None:
    if inside is None:
        return Plain(name) if name in set(Plain) else None
    arguments = tuple(part.strip() for part in inside.split(","))
    match name, arguments:
        case "prefix", (length,) if _LENGTH.fullmatch(length) and int(length) <= MAX_PREFIX:
            return Prefix(int(length))
        case "round", (places,) if _INTEGER.fullmatch(places):
            return Round(int(places))
        case "generalize", (codes,) if codes in code_lists:
            return Generalize(code_lists[codes])
        case "bucket", _ if len(arguments) <= MAX_EDGES:
            return _bucket(arguments)
        case _:
            return None


def _bucket(texts: tuple[str, ...]) -> Bucket | None:
    try:
        if all(_NUMBER.fullmatch(text) for text in texts):
            return Bucket(tuple(normal_number(Decimal(text)) for text in texts))
        return Bucket(tuple(_day(text) for text in texts))
    except ValueError:  # not dates either, or not ascending
        return None


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if day.isoformat() != text:  # Python also reads 20240131 and 2024-W05-3
        raise ValueError("a day is written YYYY-MM-DD")
    return day


def _not_understood(column: str, written: str, *, hint: str | None) -> Invalid:
    return Invalid(
        "terms_invalid",
        f'The mask of column "{column}" is not one that this server understands.',
        advice=Advice(
            rule="A mask that is not understood is refused; it is never skipped.",
            who_can_change="whoever writes the terms",
            next_step=written,
        ),
        places=(Place("masks", written, hint=hint),),
    )


def released_type(mask: Mask | None, column: ColumnType) -> ColumnType:
    """The type of the values that leave in place of a column's."""
    match mask:
        case None | Plain.NULL | Round():
            return column
        case Plain.YEAR:
            return ColumnType(Kind.INTEGER)
        case Plain.MONTH:
            return ColumnType(Kind.DATE)
        case Plain.REDACT | Plain.PSEUDONYM | Prefix() | Bucket() | Generalize():
            return TEXT
        case _:
            assert_never(mask)


def check_mask(mask: Mask, column: ColumnType, *, name: str) -> None:
    """Refuse (`terms_invalid`) a mask that the column's type does not take; a rounding changes something, and leaves something."""
    taken = MASKS[_name(mask)].kinds
    if column.kind not in taken or (isinstance(mask, Bucket) and not mask.fits(column.kind)):
        fitting = [each for each, facts in MASKS.items() if column.kind in facts.kinds]
        raise _misfit(mask, column, name, f"Masks for a column of type {column}: {', '.join(fitting)}.")
    if isinstance(mask, Round) and mask.places not in _places(column):
        lowest, *_, highest = _places(column) or (0, 0)
        raise _misfit(mask, column, name, f"A column of type {column} is rounded from round({lowest}) to round({highest}).")


def _name(mask: Mask) -> str:
    return str(mask).partition("(")[0]


def _places(column: ColumnType) -> range:
    """From the largest power of ten that the type holds to its last digit but one."""
    if column.kind is Kind.INTEGER:
        return range(-MAX_INTEGER_ROUNDING, 0)
    return range(column.scale - column.precision + 1, column.scale)


def _misfit(mask: Mask, column: ColumnType, name: str, rule: str) -> Invalid:
    return Invalid(
        "terms_invalid",
        f'Column "{name}" is of type {column}, which the mask {_name(mask)} as it is written does not fit.',
        advice=Advice(rule=rule, who_can_change="whoever writes the terms", next_step="Choose another mask, or withhold the column."),
        places=(Place("masks", rule),),
    )


def pseudonym(key: bytes, kind: Kind, canonical: str) -> str:
    """HMAC-SHA-256 (RFC 2104) over `kind:canonical`, its first 16 bytes in hex: equal typed values give equal pseudonyms.

    The kind is in the message so that the text `1` and the integer 1 do not collide; integers of different columns do.
    """
    return hmac.digest(key, f"{kind}:{canonical}".encode(), "sha256")[:PSEUDONYM_BYTES].hex()
