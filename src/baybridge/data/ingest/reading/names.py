"""Owns the names of the columns: one to three header rows made one, and names that cannot stay as they are mended in the open."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import islice

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.reading.content import Content
from baybridge.data.ingest.reading.reading import Reading
from baybridge.data.ingest.reading.walk import skipped, walk
from baybridge.data.ingest.records import unreadable
from baybridge.errors import Invalid, Place


def header_names(content: Content, reading: Reading) -> tuple[str, ...]:
    """Give the names that the reading says, or else those of the header rows as they stand there."""
    head = list(
        islice(walk(content.data, reading, start=skipped(content.data, reading.skip, start=content.start)), max(1, reading.header_rows))
    )
    if len(head) < max(1, reading.header_rows):
        raise unreadable("The file is empty: there is no header", "Send a CSV whose first row names the columns.")
    width = max(len(raw.cells) for raw in head)
    if width > MAX_COLUMNS:
        raise unreadable(f"The header has more than {MAX_COLUMNS:,} columns", "Check the delimiter, or split the table.", line=1)
    if reading.names:
        if len(reading.names) != width:
            rule = f"{width} names, parted by commas"
            raise Invalid("invalid_request", f"names has {len(reading.names)} names for {width} columns.", places=(Place("names", rule),))
        return reading.names
    if not reading.header_rows:
        return tuple(f"column_{place}" for place in range(1, width + 1))
    try:
        rows = [[cell.decode(content.encoding) for cell in raw.cells] for raw in head]
    except UnicodeDecodeError:
        raise unreadable("The header has bytes that are none of the encoding", "Name the encoding.", line=1) from None
    return tuple(rows[0]) if len(rows) == 1 else _merged(rows, width)


def mended(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give names that a schema may have, each its own, and what was wrong with the others."""
    wrong: list[str] = []
    found: list[str] = []
    taken = {name.casefold() for name in names}
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        clean = (
            " ".join("".join(" " if each in "\r\n\t" else each for each in name if _is_seen(each)).split()) if _is_hidden(name) else name
        )
        if clean != name:
            wrong.append(f"column {place} has a control or format character")
        if not clean.strip():
            wrong.append(f"column {place} has no name")
            clean = f"column_{place}"
        if clean.casefold() in places:
            wrong.append(f"column {place} has the name of column {places[clean.casefold()]}")
            clean = _another(clean, taken | places.keys())
        places[clean.casefold()] = place
        found.append(clean)
    return tuple(found), tuple(wrong)


def _another(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}".casefold() in taken:
        number += 1
    return f"{name}_{number}"


def _is_seen(character: str) -> bool:
    return character in "\r\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _is_hidden(name: str) -> bool:
    return any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in name)


def _merged(rows: Sequence[Sequence[str]], width: int) -> tuple[str, ...]:
    """Each column's names from top to bottom. In the upper rows a gap is the cell to its left, as merged cells are written."""
    upper = [_filled(row, width) for row in rows[:-1]]
    lowest = [*rows[-1], *[""] * (width - len(rows[-1]))]
    columns = zip(*upper, lowest, strict=True)
    return tuple(" ".join(dict.fromkeys(part.strip() for part in column if part.strip())) for column in columns)


def _filled(row: Sequence[str], width: int) -> list[str]:
    filled: list[str] = []
    for place in range(width):
        cell = row[place] if place < len(row) else ""
        filled.append(cell if cell.strip() or not filled else filled[-1])
    return filled
