"""Owns where the records and cells of a CSV file are, in any dialect, by its bytes alone. It decodes nothing and judges no cell."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from baybridge.data.ingest.reading.reading import Reading
from baybridge.data.ingest.records import unreadable

Bytes = bytes | mmap.mmap
_COUNTED: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Raw:
    """One record: where it begins and its line end stands, its cells without quotes and escapes, and what ends it."""

    start: int
    stop: int
    cells: tuple[bytes, ...]
    end: bytes


def walk(content: Bytes, reading: Reading, *, start: int = 0) -> Iterator[Raw]:
    """Give the records from that byte on, blank lines left out. The delimiter, the quote and line ends are single bytes of ASCII.

    Raise Invalid (`file_unreadable`) with the line where a quote is not closed or has company, for nobody can tell the cells then; and,
    where the line ends are to be the same, where they are not.
    """
    cell = _cell(reading)
    quote, escape = reading.quote.encode(), bool(reading.escape)
    delimiter = reading.delimiter.encode()
    same: bytes | None = None
    position, first, cells = start, start, list[bytes]()
    quoted_any = False
    while position < len(content) or cells:
        found = cell.match(content, position)
        if found is None:
            raise _stray(content, first)
        quoted, bare, end = found.groups()
        if quoted is not None:
            cells.append(_unquoted(quoted, quote, escape=escape))
            quoted_any = True
        else:
            if quote and bare.lstrip(b" ").startswith(quote):
                raise _stray(content, first)
            cells.append(bare)
        position = found.end()
        if end == delimiter:
            if position == len(content):
                cells.append(b"")
                yield Raw(first, position, tuple(cells), b"")
                return
            continue
        if reading.line_end == "same" and end:
            if end == b"\r" or same not in (None, end):
                raise unreadable("The line ends are mixed or CR", "Send line_end=any.", line=line_of(content, first))
            same = end
        if quoted_any or cells != [b""]:
            yield Raw(first, found.start(3), tuple(cells), end)
        first, cells, quoted_any = position, [], False


def skipped(content: Bytes, lines: int, *, start: int = 0) -> int:
    """Give the byte at which the line begins that stands behind so many others, whatever is in them."""
    position = start
    for _ in range(lines):
        found = _LINE_END.search(content, position)
        if found is None:
            return len(content)
        position = found.end()
    return position


def line_of(content: Bytes, position: int) -> int:
    """Give the number of the line, from 1, in which that byte stands."""
    return 1 + sum(len(_LINE_END.findall(content[at : min(at + _COUNTED, position)])) for at in range(0, position, _COUNTED))


_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


def _cell(reading: Reading) -> re.Pattern[bytes]:
    delimiter = re.escape(reading.delimiter.encode())
    ends = rb"(" + delimiter + rb"|\r\n|\n|\r|\Z)"
    bare = rb"([^" + delimiter + rb"\r\n]*+)"
    if not reading.quote:
        return re.compile(rb"(?:(?!)()|" + bare + rb")" + ends)
    quote = re.escape(reading.quote.encode())
    inner = rb"[^" + quote + (rb"\\" if reading.escape else b"") + rb"]"
    pair = quote + quote + (rb"|\\." if reading.escape else b"")
    return re.compile(rb"(?:(" + quote + rb"(?:" + inner + rb"|" + pair + rb")*+" + quote + rb")|" + bare + rb")" + ends, re.DOTALL)


def _unquoted(cell: bytes, quote: bytes, *, escape: bool) -> bytes:
    inside = cell[1:-1]
    if escape and b"\\" in inside:
        return re.sub(rb"\\([\\" + quote + rb"])|" + quote + quote, lambda found: found[1] or quote, inside)
    return inside.replace(quote + quote, quote)


def _stray(content: Bytes, position: int) -> Exception:
    return unreadable(
        "A quote is not closed, stands inside a cell's quotes, or has a space beside it",
        "Put quotes around whole cells, or say how they are written with quote and escape.",
        line=line_of(content, position),
    )
