"""Owns the plain file: UTF-8, RFC 4180, one header row, made of whatever was uploaded; and the rows that cannot be in it.

No row is dropped that is not counted, and no cell is changed: a row with bytes that are none of the encoding, a NUL, or another number of
cells than the header is a reject. A file that is plain already is not touched.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.csv_source import MAX_FAULTS
from baybridge.data.ingest.reading.content import Content, opened
from baybridge.data.ingest.reading.find import Found
from baybridge.data.ingest.reading.names import header_names
from baybridge.data.ingest.reading.reading import PLAIN, Reading
from baybridge.data.ingest.reading.walk import Raw, skipped, walk
from baybridge.data.ingest.records import unreadable
from baybridge.data.ingest.source import VALUE_CHARACTERS, Reject

_PLAIN_RECORD: Final = re.compile(rb'[^"\n]*+(?:"[^"]*+"[^"\n]*+)*+\n|[^"\n]*+(?:"[^"]*+"[^"\n]*+)*+\Z')
_SPECIAL: Final = frozenset(',"\r\n')


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A plain file, and what of the upload is not in it: the numbers, from 1, of the rejected rows, and the reasons."""

    path: Path
    rejected: tuple[int, ...] = ()
    rejects: tuple[Reject, ...] = ()

    def row_in_upload(self, row: int) -> int:
        """Give the number that a row of the plain file has in the upload."""
        # The i-th rejected row r stands behind r - i rows of the plain file.
        return row + bisect_left(range(len(self.rejected)), row, key=lambda place: self.rejected[place] - place - 1)


def make_plain(path: Path, found: Found, *, scratch: Path) -> PlainFile:
    """Give the file itself where it is plain; else write what it says as a plain one into `scratch`.

    Raise Invalid (`file_unreadable`) where nobody can tell its records.
    """
    if found.reading == PLAIN and found.clean:
        return PlainFile(path)
    target = scratch / "plain.csv"
    with opened(path, found.reading.encoding, scratch=scratch) as content, target.open("wb") as file:
        names = header_names(content, found.reading)
        if len(names) > MAX_COLUMNS:
            raise unreadable(f"The header has more than {MAX_COLUMNS:,} columns", "Check the delimiter, or split the table.")
        file.write(_line(names))
        rejected, rejects = [], []
        for number, raw in enumerate(_rows(content, found.reading), start=1):
            row = _read(content, raw, number, names)
            if isinstance(row, Reject):
                rejected.append(number)
                rejects.append(row)
                if len(rejected) >= MAX_FAULTS:
                    raise unreadable(f"More than {MAX_FAULTS:,} rows cannot be read", "Check encoding, delimiter and header rows.")
            else:
                file.write(_line(row))
    return PlainFile(target, tuple(rejected), tuple(rejects))


def offsets_of(path: Path, found: Found, rows: Iterable[int], *, scratch: Path) -> dict[int, int]:
    """Give the byte of the upload at which each of these rows begins."""
    wanted, offsets = frozenset(rows), dict[int, int]()
    with opened(path, found.reading.encoding, scratch=scratch) as content:
        plain = found.reading == PLAIN and found.clean
        starts = _plain_starts(content) if plain else (raw.start for raw in _rows(content, found.reading))
        for number, start in enumerate(starts, start=1):
            if number in wanted:
                offsets[number] = content.offset(start)
                if len(offsets) == len(wanted):
                    break
    return offsets


def _plain_starts(content: Content) -> Iterator[int]:
    """Where the rows of a plain file begin, at the speed of C: one match for each record, whatever its cells."""
    starts = (found.start() for found in _PLAIN_RECORD.finditer(content.data, content.start) if found[0].strip(b"\r\n"))
    return islice(starts, 1, None)


def _rows(content: Content, reading: Reading) -> Iterator[Raw]:
    """The records between header and footer."""
    waiting: deque[Raw] = deque()
    found = walk(content.data, reading, start=skipped(content.data, reading.skip, start=content.start))
    for number, raw in enumerate(found):
        if number < reading.header_rows:
            continue
        waiting.append(raw)
        if len(waiting) > reading.footer:
            yield waiting.popleft()


def _read(content: Content, raw: Raw, number: int, names: Sequence[str]) -> tuple[str, ...] | Reject:
    """The row as texts, or why it is none."""
    line = content.data[raw.start : raw.stop]
    shown = line.decode(content.encoding, "replace")[:VALUE_CHARACTERS]
    if len(raw.cells) != len(names):
        rule = "missing_columns" if len(raw.cells) < len(names) else "too_many_columns"
        return Reject(number, None, rule, shown, content.offset(raw.start))
    if b"\0" in line:
        place = next(place for place, cell in enumerate(raw.cells) if b"\0" in cell)
        return Reject(number, names[place], "nul", None, content.offset(raw.start + line.index(b"\0")))
    try:
        return tuple(cell.decode(content.encoding) for cell in raw.cells)
    except UnicodeDecodeError:
        place = next(place for place, cell in enumerate(raw.cells) if not _decodes(cell, content.encoding))
        return Reject(number, names[place], "bad_encoding", shown, content.offset(raw.start + _first_bad(line, content.encoding)))


def _decodes(cell: bytes, encoding: str) -> bool:
    try:
        cell.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _first_bad(line: bytes, encoding: str) -> int:
    try:
        line.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _line(cells: Sequence[str]) -> bytes:
    """One record of RFC 4180; a lone empty cell is quoted, for a blank line is no row."""
    if len(cells) == 1 and not cells[0]:
        return b'""\n'
    return (",".join(_cell(cell) for cell in cells) + "\n").encode("utf-8")


def _cell(text: str) -> str:
    return text if _SPECIAL.isdisjoint(text) else '"' + text.replace('"', '""') + '"'
