"""Owns where the records of a CSV file begin and end, read from its bytes alone; it knows no columns, types or engine.

The count made here is independent of the engine that reads the cells, so that rows read = rows loaded + rows rejected can fail.
The grammar is RFC 4180 over UTF-8, with one line end throughout (LF or CRLF). A blank line holds no record, whatever the number of
columns; in a file with one column an empty cell is written `""`. Memory is bounded by the longest record that is allowed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from baybridge.errors import Advice, Invalid

MAX_RECORD: Final = 16 << 20
_CHUNK: Final = 1 << 20
# A record with more cells than this beyond the header's is no slip of one row. The engine writes an error, with the whole line, for each.
_MAX_EXTRA_CELLS: Final = 50
_BOM: Final = b"\xef\xbb\xbf"

_QUOTED: Final = rb'"[^"]*+(?:""[^"]*+)*+"'
_QUOTED_CELL: Final = re.compile(rb"(?:^|(?<=,))" + _QUOTED)


_CELL: Final = rb"(?:" + _QUOTED + rb'|[^",\r\n]*+)'
_RECORD: Final = re.compile(_CELL + rb"(?:," + _CELL + rb")*+")
_STRAY: Final = (
    "A quote stands inside a cell or with a space beside it, or a CR stands outside quotes",
    "Put quotes around whole cells, double each quote inside, leave no space between quotes and commas, and end lines in LF or CRLF.",
)


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one file.

    `count` has the header in it, `bom` says whether a byte order mark stands before it. `quotes` counts the quotes behind the header, and
    `content` the other bytes there, line ends between records left out. `before` is how many records begin before each offset asked for.
    """

    count: int
    header: str
    bom: bool
    quotes: int
    content: int
    before: tuple[int, ...]


def read_records(path: Path, *, offsets: Sequence[int] = ()) -> Records:
    """Count the file's records. `offsets` are ascending byte offsets at which records begin, or the line ends just before them.

    Raise Invalid (`file_unreadable`) with the line, and byte where it helps, for bytes that are not UTF-8, NUL, mixed or CR-only line
    ends, an unclosed quote, a record over 16 MB or far wider than the header, and a first line that is blank or not RFC 4180.
    """
    scan = _Scan(strict=False)
    before = _run(scan, path, offsets)
    return Records(scan.records, scan.header.decode("utf-8"), scan.bom, scan.quotes, scan.content, tuple(before))


def refuse_stray_quote(path: Path) -> None:
    """Raise Invalid (`file_unreadable`) with the line of the first record whose quotes are not as RFC 4180 has them, if there is one.

    For when the engine's rows or bytes do not balance: a quote in the middle of an unquoted cell is harmless, it stands for itself.
    """
    _run(_Scan(strict=True), path, ())


def unreadable(what: str, next_step: str, *, line: int | None = None, byte: int | None = None) -> Invalid:
    """Make the error for a file that is no CSV as this server reads it. `line` counts from 1 and `byte` from 0."""
    where = "" if line is None else f" (line {line:,}" + ("" if byte is None else f", byte {byte:,}") + ")"
    rule = "A file is UTF-8 CSV (RFC 4180): one header row, cells parted by commas, quotes around whole cells, one kind of line end."
    return Invalid("file_unreadable", f"{what}{where}.", advice=Advice(rule=rule, who_can_change="you", next_step=next_step))


def _run(scan: _Scan, path: Path, offsets: Sequence[int]) -> list[int]:
    before: list[int] = []
    position = 0
    for buffer in _whole_lines(path):
        start, end = position, position + len(buffer)
        while len(before) < len(offsets) and offsets[len(before)] < end:
            cut = offsets[len(before)]
            while cut < end and buffer[cut - position] in b"\r\n":
                cut += 1
            scan.feed(buffer[start - position : cut - position], start)
            before.append(scan.starting())
            start = cut
        scan.feed(buffer[start - position :], start)
        position = end
    scan.finish()
    return before


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Give the file in buffers that end where a line does."""
    carry = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield carry + head + newline
                carry = tail
            else:
                carry += chunk
            if len(carry) > MAX_RECORD:
                raise unreadable("A line is longer than 16 MB", "Check that lines end in LF or CRLF.")
    if carry:
        yield carry


@dataclass(slots=True)
class _Scan:
    """The state between buffers. A quoted cell may run over lines; counting quotes, odd means inside one, tells where its record ends."""

    strict: bool
    records: int = 0
    lines: int = 0
    header: bytes = b""
    most_commas: int = 0
    bom: bool = False
    quotes: int = 0
    content: int = 0
    crlf: bool | None = None
    opened: list[bytes] = field(default_factory=list)
    opened_bytes: int = 0
    first_line: int = 1

    def feed(self, buffer: bytes, position: int) -> None:
        """Take the next whole lines, which begin at this byte of the file."""
        self._check_bytes(buffer, position)
        if position == 0:
            self.bom = buffer.startswith(_BOM)
            buffer = buffer.removeprefix(_BOM)
        if self.opened or not self.records or not self._count_simple(buffer):
            for line in io.BytesIO(buffer):
                self._line(line)

    def starting(self) -> int:
        """How many records there are, where the engine says that one more begins."""
        if self.opened:
            self._refuse_record(*_STRAY)
        return self.records

    def finish(self) -> None:
        """Judge what only the end of the file tells."""
        if self.opened:
            self._refuse_record("A quote is opened and never closed", "Close the quote, and double each quote inside a cell.")
        if not self.records:
            raise unreadable("The file is empty: there is no header", "Send a CSV whose first row names the columns.")

    def _check_bytes(self, buffer: bytes, position: int) -> None:
        bad = buffer.find(b"\0")
        what, step = "A NUL byte is in the file", "Save the file as UTF-8 CSV; NUL bytes often mean UTF-16 or a binary file."
        if bad < 0 and not buffer.isascii():
            try:
                buffer.decode("utf-8")
            except UnicodeDecodeError as error:
                bad = error.start
                what, step = "The file is not UTF-8", "Save the file as UTF-8; in a spreadsheet choose `CSV UTF-8`."
        if bad >= 0:
            raise unreadable(what, step, line=self.lines + buffer.count(b"\n", 0, bad) + 1, byte=position + bad)

    def _count_simple(self, buffer: bytes) -> bool:
        """Count a buffer at the speed of C; False, and nothing counted, where a line needs a closer look."""
        lines = buffer.split(b"\n")
        last = lines.pop()
        ends = len(lines)
        returns = buffer.count(b"\r")
        if self.crlf is None or returns != (ends if self.crlf else 0) or (self.crlf and returns != buffer.count(b"\r\n")):
            return False
        blank = lines.count(b"\r" if self.crlf else b"")
        lines.append(last)
        quotes = buffer.count(b'"')
        if quotes and (self.strict or any(line.count(b'"') & 1 for line in lines)):
            return False
        if max(map(len, lines)) > self.most_commas and max(line.count(b",") for line in lines) > self.most_commas:
            return False
        self.records += ends + bool(last) - blank
        self.quotes += quotes
        self.content += len(buffer) - quotes - ends - returns
        self.lines += ends
        return True

    def _line(self, line: bytes) -> None:
        odd = line.count(b'"') & 1
        if not self.opened:
            self.first_line = self.lines + 1
        if self.opened or odd:
            self.opened.append(line)
            self.opened_bytes += len(line)
            if self.opened_bytes > MAX_RECORD:
                self._refuse_record("A record is longer than 16 MB; a quote may be unclosed", "Close the quote, or shorten the cell.")
            if odd and len(self.opened) > 1:
                self._record(b"".join(self.opened))
                self.opened, self.opened_bytes = [], 0
        else:
            self._record(line)
        self.lines += 1

    def _record(self, record: bytes) -> None:
        body = record.removesuffix(b"\n")
        if len(body) < len(record):
            crlf = body.endswith(b"\r")
            body = body.removesuffix(b"\r")
            if self.crlf is None:
                self.crlf = crlf
            elif self.crlf is not crlf:
                self._refuse_record("The line ends are mixed: some are LF and some CRLF", "Save the file with one kind of line end.")
        if not body:
            if not self.records:
                self._refuse_record("The first line is blank: there is no header", "Make the first row the names of the columns.")
            return
        if (self.strict or not self.records or b"\r" in body) and not _RECORD.fullmatch(body):
            self._refuse_record(*_STRAY)
        if not self.records:
            self.header = body
            self.most_commas = _QUOTED_CELL.sub(b"", body).count(b",") + _MAX_EXTRA_CELLS
            self.records = 1
            return
        if body.count(b",") > self.most_commas and _QUOTED_CELL.sub(b"", body).count(b",") > self.most_commas:
            self._refuse_record("A row has far more cells than the header", "Check that each row has the header's number of cells.")
        quotes = body.count(b'"')
        self.records += 1
        self.quotes += quotes
        self.content += len(body) - quotes

    def _refuse_record(self, what: str, next_step: str) -> NoReturn:
        raise unreadable(what, next_step, line=self.first_line)
