"""Owns how a CSV file is read: encoding, dialect and layout, as proposed, as asked for, and as it is. Pure; it looks at no file."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any, Final

from baybridge.errors import Invalid, Place

MAX_LAYOUT: Final = 1_000
ENCODINGS: Final = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "windows-1252",
    "iso-8859-1",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "mac-roman",
    "cp437",
)
DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
QUOTES: Final = {'"': "double", "'": "single", "": "none"}
ESCAPES: Final = {"": "doubled", "\\": "backslash"}
LINE_ENDS: Final = ("same", "any")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read. The defaults are the plain one: UTF-8, RFC 4180, one header row and nothing around the table.

    `skip` lines stand before the header, `footer` records behind the rows. `line_end` is `same` where one of LF and CRLF ends every
    record, `any` where each of LF, CRLF and CR does. `names` take the place of the header's; empty, the header's own are taken.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    line_end: str = "same"
    skip: int = 0
    header_rows: int = 1
    footer: int = 0
    names: tuple[str, ...] = ()


PLAIN: Final = Reading()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a steward says of the reading; None is left to the proposal, which `accept` confirms whatever it is."""

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    line_end: str | None = None
    skip: int | None = None
    header_rows: int | None = None
    footer: int | None = None
    names: tuple[str, ...] | None = None
    accept: bool = False

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != NOTHING_SAID

    def said(self, aspect: str) -> bool:
        """Whether the steward says anything of that aspect."""
        return getattr(self, aspect) is not None


NOTHING_SAID: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Remark:
    """One aspect that is not plain: what it is, and why. `proven` where the file itself says so, as a byte order mark does.

    The reason names counts and places, never a cell.
    """

    aspect: str
    value: str
    reason: str
    proven: bool = False


def parse_wanted(given: dict[str, str], *, accept: bool) -> Wanted:
    """Read what a request says of the reading, by the words of the documentation. Raise Invalid for a word that is none of them."""
    names = given.get("names")
    return Wanted(
        encoding=None if "encoding" not in given else _encoding(given["encoding"]),
        delimiter=_word(given, "delimiter", DELIMITERS),
        quote=_word(given, "quote", QUOTES),
        escape=_word(given, "escape", ESCAPES),
        line_end=_word(given, "line_end", {each: each for each in LINE_ENDS}),
        skip=_count(given, "skip", MAX_LAYOUT),
        header_rows=_count(given, "header_rows", 3),
        footer=_count(given, "footer", MAX_LAYOUT),
        names=None if names is None else tuple(names.split(",")),
        accept=accept,
    )


def written(aspect: str, reading: Reading) -> str:
    """Give an aspect's value in the word that a request would use."""
    value: Any = getattr(reading, aspect)
    match aspect:
        case "delimiter":
            return DELIMITERS.get(value, str(value))
        case "quote":
            return QUOTES[value]
        case "escape":
            return ESCAPES[value]
        case "names":
            return ",".join(value)
        case _:
            return str(value)


def _encoding(text: str) -> str:
    try:
        known = {codecs.lookup(each).name: each for each in ENCODINGS}
        return known[codecs.lookup(text).name]
    except (LookupError, ValueError):
        raise _unknown("encoding", ", ".join(ENCODINGS)) from None


def _word(given: dict[str, str], aspect: str, words: dict[str, str]) -> str | None:
    text = given.get(aspect)
    if text is None:
        return None
    for value, word in words.items():
        if text in (word, value) and text:
            return value
    if aspect == "delimiter" and len(text) == 1 and "!" <= text <= "~" and not text.isalnum() and text not in "\"'\\":
        return text
    raise _unknown(aspect, ", ".join(words.values()))


def _count(given: dict[str, str], aspect: str, most: int) -> int | None:
    text = given.get(aspect)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= most:  # noqa: PLR2004 -- no longer number is below the most
        return int(text)
    raise _unknown(aspect, f"a whole number up to {most:,}")


def _unknown(aspect: str, rule: str) -> Invalid:
    return Invalid("invalid_request", f"{aspect} is one of: {rule}.", places=(Place(aspect, rule),))
