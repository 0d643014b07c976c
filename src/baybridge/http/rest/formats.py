"""Rows as lines: NDJSON and CSV of whole answers. How a value is written depends on its column's type, never on the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from baybridge.disclose import Lines
from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import ColumnType, Kind

_JSON: Final = msgspec.json.Encoder()
_JSON_RANGES: Final = frozenset({"application/json", "application/*", "*/*"})
_WEIGHT: Final = r"0(\.[0-9]{0,3})?|1(\.0{0,3})?"
_QUOTED: Final = re.compile(r'[",\r\n]|\A\s|\s\Z')


@dataclass(frozen=True, slots=True)
class Format:
    """A format of streams by its `f`, its media type, and how it begins over the columns of an answer."""

    name: str
    media_type: str
    begin: Callable[[Mapping[str, ColumnType]], Lines]


def ndjson(types: Mapping[str, ColumnType]) -> Lines:
    """One JSON object a line (github.com/ndjson/ndjson-spec), with the members and values of a page's items."""
    names = tuple(types)
    return Lines(b"", lambda rows: _JSON.encode_lines([dict(zip(names, row, strict=True)) for row in rows]))


def csv(types: Mapping[str, ColumnType]) -> Lines:
    """RFC 4180 in UTF-8 with a header and CRLF. Null is an empty cell, the empty text a quoted one, so that neither is lost."""
    printers = [_printer(column) for column in types.values()]

    def lines(rows: Sequence[tuple[Any, ...]]) -> bytes:
        return "".join(
            ",".join(["" if value is None else write(value) for write, value in zip(printers, row, strict=True)]) + "\r\n" for row in rows
        ).encode()

    return Lines((",".join(_quote(name) for name in types) + "\r\n").encode(), lines)


NDJSON: Final = Format("ndjson", "application/x-ndjson", ndjson)
CSV: Final = Format("csv", "text/csv; charset=utf-8; header=present", csv)
PAGES: Final = "json"
FORMATS: Final = {each.name: each for each in (NDJSON, CSV)}


_KNOWN: Final = f"{PAGES}, {' or '.join(FORMATS)}"


def negotiate(asked: str | None, accept: str | None) -> Format | None:
    """The format of an answer: what `f` names, else the first that Accept takes (RFC 9110, section 12.5.1); None is a page of JSON.

    Raise Invalid for another: `invalid_request` where `f` names it, `not_acceptable` where Accept does.
    """
    if asked is not None:
        if asked not in (PAGES, *FORMATS):
            raise Invalid("invalid_request", "f is no format of rows.", places=(Place("f", _KNOWN, hint=nearest(asked[:100], FORMATS)),))
        return FORMATS.get(asked)
    for media_type in _accepted(accept or "*/*"):
        if media_type in _JSON_RANGES:
            return None
        for each in FORMATS.values():
            if media_type in (each.media_type.partition(";")[0], each.media_type.partition("/")[0] + "/*"):
                return each
    raise Invalid(
        "not_acceptable",
        "Rows cannot be had in a format that Accept takes.",
        advice=Advice(rule=f"Rows are had as {_KNOWN}.", who_can_change="you", next_step="Name the format with f, or accept one of these."),
        places=(Place("Accept", _KNOWN),),
    )


def _accepted(header: str) -> list[str]:
    """The media ranges of an Accept header, the most wanted first; those with q=0 are not wanted."""
    ranges = []
    for position, part in enumerate(header.split(",")):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [parameter.removeprefix("q=") for parameter in parameters if parameter.startswith("q=")]
        weight = float(weights[0]) if weights and re.fullmatch(_WEIGHT, weights[0]) else 1.0
        if weight > 0:
            ranges.append((-weight, position, media_type))
    return [media_type for _, _, media_type in sorted(ranges)]


def _printer(column: ColumnType) -> Callable[[Any], str]:
    match column.kind:
        case Kind.TEXT:
            return _quote
        case Kind.BOOLEAN:
            return _boolean
        case Kind.INTEGER | Kind.DECIMAL | Kind.DOUBLE:
            return str
        case Kind.DATE | Kind.TIMESTAMP | Kind.DATETIME:
            return _instant
        case Kind.STRUCT | Kind.LIST:
            return _nested


def _quote(text: str) -> str:
    """The text as a cell. Spaces at its ends are quoted too: some readers drop bare ones."""
    return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text


def _boolean(value: bool) -> str:  # noqa: FBT001 -- it is the value that is printed
    return "true" if value else "false"


def _nested(value: Any) -> str:
    """The JSON text of it, as a page of JSON has it."""
    return _quote(_JSON.encode(value).decode())


def _instant(value: Any) -> str:
    """As in JSON: RFC 3339, with Z where the value is an instant."""
    return str(msgspec.to_builtins(value))
