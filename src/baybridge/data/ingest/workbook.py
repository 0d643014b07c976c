"""Owns how one sheet of an Excel workbook becomes rows of text: the values that were stored, written so that the types are proved again.

A number shows leading zeros where its format does (`00000`), a date is written as ISO 8601 in either date system, and a formula is its
last computed value. A row with an error cell (#N/A) has no cells here: it is rejected, never guessed. What the reader of the report could
not see is said in notes: hidden rows and sheets, formulas, title rows that were passed over.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import duckdb
import msgspec
import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.csv_source import CsvSource, read_source
from baybridge.data.ingest.limits import Limits, over_limits
from baybridge.data.ingest.sheets import Facts, sheet_facts
from baybridge.data.ingest.source import KEPT, Ragged, Reject
from baybridge.errors import Advice, Invalid, Place
from baybridge.terms.columns import ColumnType

_TEXT: Final = "rows.csv"
_LEFT_OUT: Final = "left_out.json"
_MAX_BOX: Final = 100_000_000
_RATIO: Final = 250
_SMALL: Final = 100_000_000
_PROLOG: Final = 1 << 16
_EXACT: Final = 1 << 53
_DIGITS: Final = re.compile(r"[0 ()/.-]*0[0 ()/.-]*")
_BROKEN: Final = (
    *(InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError),
    *(SyntaxError, RuntimeError, EOFError, OverflowError),  # the first is what XML that does not parse raises
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as it was read, in a folder, and what the report says of the reading."""

    folder: Path
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The rows that have an error cell: how many, and the first 100,000 rejects with their place among all rows of the sheet."""

    rows: int
    listed: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class SheetSource:
    """The rows of a sheet as a source: cells are texts, and an empty cell is an empty text."""

    text: CsvSource
    left_out: LeftOut

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the header."""
        return self.text.names

    @property
    def rows(self) -> int:
        """The rows below the header that are not blank."""
        return self.text.rows + self.left_out.rows

    @property
    def proposed(self) -> Mapping[str, ColumnType]:
        """None: a column of a sheet has no type, only its cells have."""
        return {}

    @property
    def has_null_words(self) -> bool:
        """True: people write them into sheets too."""
        return True

    def cells_sql(self) -> str:
        """The cells as written to the text."""
        return self.text.cells_sql()

    def content_sql(self) -> str:
        """The check of the text."""
        return self.text.content_sql()

    def fill(self, connection: duckdb.DuckDBPyConnection, *, statement: str, counts: str, values: dict[str, object]) -> Ragged:
        """Fill from the text, of which every row is whole; the rows with error cells are those without cells."""
        self.text.fill(connection, statement=statement, counts=counts, values=values)
        return Ragged(self.left_out.rows, self.left_out.listed)


def open_sheet(folder: Path) -> SheetSource:
    """Give the source of a sheet that `read_sheet` has read into the folder."""
    left_out = msgspec.json.decode((folder / _LEFT_OUT).read_bytes(), type=LeftOut)
    return SheetSource(read_source(folder / _TEXT), left_out)


def read_sheet(upload: Path, name: str | None, folder: Path, limits: Limits) -> Sheet:
    """Read the sheet of that name, or the only visible one, into the folder.

    Raise Invalid (`file_unreadable`) where it is not to be told which sheet is meant, or what is in it, and Invalid (`file_over_limits`)
    for a workbook that unpacks to far more than it is.
    """
    folder.mkdir()
    try:
        _require_honest(upload, limits)
        with upload.open("rb") as file:
            return _read(file, name, folder)
    except _BROKEN:
        raise _refuse("The workbook is damaged, or not one that Excel would write", "Open it in Excel, and save it again.") from None


def _read(file: IO[bytes], name: str | None, folder: Path) -> Sheet:
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        sheet = _chosen(book, name)
        with zipfile.ZipFile(file) as parts, parts.open(sheet._worksheet_path) as xml:  # noqa: SLF001 -- its only name for it
            facts = sheet_facts(xml)
        _require_readable(facts)
        sheet.reset_dimensions()  # what the file says of its own size may be anything
        rows = sheet.iter_rows(max_row=facts.rows, max_col=facts.columns) if facts.columns else iter(())
        titles = _write(rows, folder)
        hidden = sum(each.sheet_state != "visible" for each in book.worksheets)
        return Sheet(folder, tuple(_notes(sheet.title, facts, titles=titles, hidden_sheets=hidden)))
    finally:
        book.close()


def _require_honest(upload: Path, limits: Limits) -> None:
    with zipfile.ZipFile(upload) as parts:
        size = sum(each.file_size for each in parts.infolist())
        for each in parts.namelist():
            if each.endswith((".xml", ".rels")):
                with parts.open(each) as xml:
                    if b"<!DOCTYPE" in xml.read(_PROLOG):  # only an attack has one; what pads it further away, expat still bounds
                        raise ValueError(each)
    if size > limits.bytes or size > max(_SMALL, _RATIO * upload.stat().st_size):
        raise over_limits(f"The workbook unpacks to {size:,} bytes, far more than its own size.")


def _chosen(book: Any, name: str | None) -> Any:
    """The sheet that is meant. Its name is the provider's own, and not a value of the data."""
    sheets = {each.title: each for each in book.worksheets}
    if name is None:
        visible = [each for each in sheets.values() if each.sheet_state == "visible"]
        if len(visible) == 1:
            return visible[0]
    elif name in sheets:
        return sheets[name]
    what = f"The workbook has {len(sheets)} sheets, and it is not said which one is meant" if name is None else "There is no such sheet"
    places = tuple(Place("sheet", f"{title!r}, {each.sheet_state}") for title, each in sheets.items())
    raise _refuse(what, "Name the sheet: sheet=NAME, or --sheet NAME.", places)


def _require_readable(facts: Facts) -> None:
    if facts.columns > MAX_COLUMNS:
        raise _refuse(f"The sheet has values in more than {MAX_COLUMNS:,} columns", "Split the table.")
    if facts.rows * facts.columns > _MAX_BOX:
        raise over_limits(f"The sheet spans more than {_MAX_BOX:,} cells.")
    if facts.uncomputed:
        where = f", the first in cell {facts.first_uncomputed}" if facts.first_uncomputed else ""
        what = f"{facts.uncomputed:,} formulas have no computed value in the file{where}"
        raise _refuse(what, "Open the workbook in Excel or LibreOffice, let it compute, and save it.")


def _write(rows: Iterable[Sequence[Any]], folder: Path) -> int:
    """Write header and rows as CSV, and beside it what was left out. Give how many title rows stood above the header."""
    titles, number, left_out, listed = 0, 0, 0, list[Reject]()
    header: list[str] | None = None
    with (folder / _TEXT).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in rows:
            cells = [_text(cell) for cell in row]
            if not any(cells):
                continue
            if header is None:
                if sum(map(bool, cells)) == 1 < len(cells):  # a title over a table: one cell alone, mostly merged
                    titles += 1
                    continue
                header = cells
                writer.writerow(cells)
                continue
            number += 1
            errors = [place for place, cell in enumerate(row) if cell.data_type == "e"]
            if errors:
                left_out += 1
                listed += [Reject(number, header[place], "cell_error", cells[place]) for place in errors if len(listed) < KEPT]
            else:
                writer.writerow(cells)
    first = {reject.row: reject for reject in reversed(listed)}  # one of each row: its place is what the others are counted from
    told = LeftOut(left_out, tuple(sorted(first.values()))[:KEPT])
    (folder / _LEFT_OUT).write_bytes(msgspec.json.encode(told))
    if header is None:
        raise _refuse("The sheet has no table: there is no row with more than one cell", "Put the table on a sheet, with one header row.")
    return titles


def _text(cell: Any) -> str:
    """A cell's value as text, exactly as it is stored and shown: nothing is rounded."""
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value, cell.number_format)
        case dt.datetime():
            return value.isoformat() if _shows_time(cell.number_format) or value.time() != dt.time() else value.date().isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            seconds, rest = divmod(value, dt.timedelta(seconds=1))
            fraction = f".{rest.microseconds:06d}" if rest else ""
            return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"
        case _:
            return str(value)


def _number(value: float, shown: str) -> str:
    """A number in digits, with the zeros and marks before and between them that its format shows: 2116 under `00000` is 02116."""
    if value < 0 or not float(value).is_integer() or abs(value) >= _EXACT:
        return repr(value)
    number, plain = str(int(value)), shown.replace("\\", "").replace('"', "")
    places = plain.count("0")
    if places < 2 or "." in plain or not _DIGITS.fullmatch(plain):  # noqa: PLR2004 -- a single 0 is how any whole number is shown
        return number
    digits = iter(number.zfill(places))
    spare = "".join(next(digits) for _ in range(len(number) - places))  # more digits than places stand before the first
    return spare + "".join(next(digits) if mark == "0" else mark for mark in plain)


def _shows_time(shown: str) -> bool:
    return bool(re.search(r"[hs]", re.sub(r'"[^"]*"|\\.|\[[$][^\]]*\]', "", shown.lower())))


def _notes(title: str, facts: Facts, *, titles: int, hidden_sheets: int) -> Iterator[str]:
    yield f"The sheet {title!r} was read."
    told = (
        (titles, "title rows above the header were passed over"),
        (facts.formulas, "cells are formulas; their last computed value was taken"),
        (facts.hidden_rows, "hidden rows were read like the others"),
        (facts.hidden_columns, "hidden columns were read like the others"),
        (hidden_sheets, "sheets are hidden, and were not read unless named"),
        (facts.merged, "ranges of cells are merged; their value stands in the first cell"),
    )
    yield from (f"{count:,} {what}." for count, what in told if count)


def no_sheets() -> Invalid:
    """Make the error for a sheet that is named of a file that has none."""
    return _refuse("The file is no Excel workbook (.xlsx), and a sheet or that format is named", "Name its own format, and no sheet.")


def no_table(said: str) -> Invalid:
    """Make the error for a workbook that is said to be something else."""
    return _refuse(f"The file is an Excel workbook, and {said} is named as its format", "Name no format, or xlsx.")


def _refuse(what: str, next_step: str, places: tuple[Place, ...] = ()) -> Invalid:
    rule = "A workbook is read from one sheet: one header row, and rows below it."
    return Invalid("file_unreadable", f"{what}.", advice=Advice(rule=rule, who_can_change="you", next_step=next_step), places=places)
