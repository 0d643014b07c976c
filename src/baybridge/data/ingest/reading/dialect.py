"""Owns what the dialect and the layout of a file seem to be, from a sample of its head and of its tail. Every proposal has a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Final

from baybridge.data.ingest.reading.reading import DELIMITERS, QUOTES, Reading, Remark, Wanted
from baybridge.data.ingest.reading.walk import Raw, walk
from baybridge.errors import Invalid

_RECORDS: Final = 1_000
_TAIL: Final = 5
_PREAMBLE: Final = 20
_AGREEING: Final = 0.9
_VALUE: Final = re.compile(r"[-+(]?[$€£]?\d[\d,.:/ -]*%?\)?(?:[T ]\d\d:\d\d\S*)?")
_TOTAL: Final = re.compile(r"(?:grand |sub-?)?totals?\b.{0,40}", re.IGNORECASE)

Record = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The head of a file as UTF-8, whether it is all of it, and its last bytes."""

    head: bytes
    whole: bool
    tail: bytes


def propose_reading(sample: Sample, encoding: str, wanted: Wanted) -> tuple[Reading, tuple[Remark, ...]]:
    """Give the reading that the sample supports, with a remark on each aspect that is not plain. What is wanted is not guessed at."""
    reading = Reading(encoding=encoding, line_end=wanted.line_end or "any")
    remarks: list[Remark] = []
    reading = _with_dialect(sample, reading, wanted, remarks)
    reading = _with_layout(sample, reading, wanted, remarks)
    return replace(reading, line_end=wanted.line_end or "same"), tuple(remarks)


def records(sample: Sample, reading: Reading, *, start: int = 0) -> list[Record] | None:
    """Give the sample's records as texts, its last one left out where it may be cut; None where its quotes are not that reading's."""
    found: list[Raw] = []
    try:
        found.extend(islice(walk(sample.head, reading, start=start), _RECORDS))
    except Invalid:
        # The last record of a sample may be cut within its quotes; before that, nothing may be wrong.
        if sample.whole or len(found) < 3:  # noqa: PLR2004 -- too few to tell anything
            return None
    if not sample.whole and len(found) < _RECORDS:
        found = found[:-1]
    return [tuple(cell.decode("utf-8", "replace") for cell in raw.cells) for raw in found]


def _with_dialect(sample: Sample, plain: Reading, wanted: Wanted, remarks: list[Remark]) -> Reading:
    fixed = replace(
        plain,
        delimiter=wanted.delimiter or plain.delimiter,
        quote=plain.quote if wanted.quote is None else wanted.quote,
        escape=plain.escape if wanted.escape is None else wanted.escape,
        skip=wanted.skip or 0,
    )
    delimiters = [fixed.delimiter] if wanted.said("delimiter") else list(DELIMITERS)
    others = b"'" in sample.head and b'"' not in sample.head
    quotes = [fixed.quote, "'"] if others and not wanted.said("quote") else [fixed.quote]
    escapes = ["", "\\"] if b'\\"' in sample.head and not wanted.said("escape") else [fixed.escape]
    best, most = fixed, _agreement(sample, fixed)
    tried = {fixed: most}
    for quote in quotes:
        for escape in escapes:
            for delimiter in delimiters:
                candidate = replace(fixed, delimiter=delimiter, quote=quote, escape=escape)
                tried[candidate] = _agreement(sample, candidate)
                if tried[candidate].beats(most):
                    best, most = candidate, tried[candidate]
    if best.delimiter != plain.delimiter and not wanted.said("delimiter"):
        word, comma = DELIMITERS.get(best.delimiter, best.delimiter), tried[fixed]
        reason = f"With {word}, {most.agreeing:,} of {most.records:,} records have {most.width} cells; with comma, {comma.told()}."
        remarks.append(Remark("delimiter", word, reason))
    if best.quote != plain.quote and not wanted.said("quote"):
        reason = f"Read so, {most.told()}; with double quotes, {tried[replace(best, quote=plain.quote)].told()}."
        remarks.append(Remark("quote", QUOTES[best.quote], reason))
    if best.escape and not wanted.said("escape"):
        reason = f"Read so, {most.told()}; with doubled quotes, {tried[replace(best, escape='')].told()}."
        remarks.append(Remark("escape", "backslash", reason))
    return replace(best, skip=0)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """How many records have the commonest width, if that is more than one cell; nothing where the quotes do not fit."""

    agreeing: int
    records: int
    width: int

    def beats(self, other: _Agreement) -> bool:
        """Hold where nearly all records agree, and clearly more than in the other."""
        return self.agreeing >= max(2, _AGREEING * self.records) and self.agreeing * self.width > other.agreeing * other.width

    def told(self) -> str:
        if not self.records:
            return "its quotes cannot be read"
        return f"{self.agreeing:,} of {self.records:,} records have {self.width} cells" if self.agreeing else "records have one cell"


def _agreement(sample: Sample, reading: Reading) -> _Agreement:
    """The title lines before a table, and what stands below it, must not count against a dialect: widths of one cell are left out."""
    found = records(sample, reading)
    if found is None:
        return _Agreement(0, 0, 1)
    widths = Counter(len(record) for record in found if len(record) > 1)
    if not widths:
        return _Agreement(0, max(1, len(found)), 1)
    width, agreeing = max(widths.items(), key=lambda each: (each[1], each[0]))
    alone = len(found) - widths.total()
    return _Agreement(agreeing, widths.total() + max(0, alone - _PREAMBLE), width)


def _with_layout(sample: Sample, reading: Reading, wanted: Wanted, remarks: list[Remark]) -> Reading:
    if wanted.skip is None:
        skip, reason = _preamble(sample, reading)
        reading = replace(reading, skip=skip)
        if skip:
            remarks.append(Remark("skip", str(skip), reason))
    else:
        reading = replace(reading, skip=wanted.skip)
    table = records(replace(sample, head=_below(sample.head, reading.skip)), reading) or []
    if wanted.header_rows is None:
        rows, reason = _header_rows(table)
        reading = replace(reading, header_rows=rows)
        if rows != 1:
            remarks.append(Remark("header_rows", str(rows), reason))
    else:
        reading = replace(reading, header_rows=wanted.header_rows)
    if wanted.footer is None:
        footer, reason = _footer(table, _last(sample, reading, table))
        reading = replace(reading, footer=footer)
        if footer:
            remarks.append(Remark("footer", str(footer), reason))
    else:
        reading = replace(reading, footer=wanted.footer)
    return reading


def _preamble(sample: Sample, reading: Reading) -> tuple[int, str]:
    """Title lines: the records before the first that looks like a header, where each of them has fewer cells with something in it."""
    lines = sample.head.splitlines(keepends=True)[: _PREAMBLE + 2]
    for number in range(min(len(lines), _PREAMBLE + 1)):
        table = records(replace(sample, head=_below(sample.head, number)), reading)
        if table is None or not table:
            continue
        width = _modal([len(record) for record in table])
        filled = sum(bool(cell.strip()) for cell in table[0])
        if not number and (width == 1 or (len(table[0]) == width and filled * 2 > width)):
            return 0, ""
        if width > 1 and len(table[0]) == width and lines[number].strip() and _heads(table[0]):
            lead = "The first line has" if number == 1 else f"The first {number:,} lines have"
            return number, f"{lead} not the cells of the table; line {number + 1:,} looks like its header."
    return 0, ""


def _heads(record: Record) -> bool:
    """At least two cells say something, and none is a value."""
    filled = [cell for cell in record if cell.strip()]
    return len(filled) > 1 and not any(_is_value(cell) for cell in filled)


def _below(head: bytes, lines: int) -> bytes:
    return b"".join(head.splitlines(keepends=True)[lines:])


def _header_rows(table: Sequence[Record]) -> tuple[int, str]:
    """More than one where the first has gaps or repeats and the next rows hold no value; none where the first row is all values."""
    if len(table) > 2 and len(table[0]) > 1 and all(_is_value(cell) for cell in table[0]):  # noqa: PLR2004 -- a row and two to compare it with
        return 0, "Every cell of the first row is a number or a date, as in the rows below."
    rows = 1
    while rows < 3 and rows + 1 < len(table) and _is_upper(table[rows - 1]) and _is_header(table[rows], table[rows + 1 :]):  # noqa: PLR2004 -- at most three
        rows += 1
    return rows, f"The row above has gaps or repeats, and row {rows} has no value where the rows below have them."


def _is_upper(record: Record) -> bool:
    names = [cell.strip().casefold() for cell in record if cell.strip()]
    return bool(names) and (len(names) < len(record) or len(set(names)) < len(names))


def _is_header(record: Record, below: Sequence[Record]) -> bool:
    """It looks like one, and somewhere below there are values."""
    if not _heads(record):
        return False
    sampled = [cell for row in below[:20] if len(row) == len(record) for cell in row]
    return any(_is_value(cell) for cell in sampled)


def _last(sample: Sample, reading: Reading, table: Sequence[Record]) -> Sequence[Record]:
    """The last records of the file."""
    return table[-_TAIL:] if sample.whole and len(table) < _RECORDS else _of_tail(sample.tail, reading)


def _of_tail(tail: bytes, reading: Reading) -> Sequence[Record]:
    """The last lines whose quotes are balanced, as records: where one begins in the middle of a file is not known from its bytes."""
    lines = [line for line in tail.splitlines(keepends=True)[1:] if line.strip()][-_TAIL:]
    quote = reading.quote.encode() or b"\0"
    even = list(takewhile(lambda line: line.count(quote) % 2 == 0, reversed(lines)))
    try:
        return [tuple(cell.decode("utf-8", "replace") for cell in raw.cells) for line in reversed(even) for raw in walk(line, reading)]
    except Invalid:
        return []


def _footer(table: Sequence[Record], last: Sequence[Record]) -> tuple[int, str]:
    """Notes of another width than the table, and totals, at the very end."""
    width = _modal([len(record) for record in table])
    if width < 2 or len(table) < 3:  # noqa: PLR2004 -- a table of one column, or of a row, has no telling shape
        return 0, ""
    notes = totals = 0
    for record in reversed(last):
        filled = [cell for cell in record if cell.strip()]
        if filled and _TOTAL.fullmatch(filled[0].strip()) and any(_is_value(cell) for cell in filled[1:]):
            totals += 1
        elif not totals and len(filled) == 1 and _is_note(filled[0]):
            notes += 1
        else:
            break
    parts = [f"{totals:,} begin with the word total"] if totals else []
    parts += [f"{notes:,} have one cell with something in it, not the table's {width}"] if notes else []
    return notes + totals, f"Of the last records, {' and '.join(parts)}."


def _is_note(cell: str) -> bool:
    """Words, not a lone cell of a row that is too short."""
    return not _is_value(cell) and (":" in cell or " " in cell.strip())


def _is_value(cell: str) -> bool:
    return _VALUE.fullmatch(cell.strip()) is not None


def _modal(widths: Iterable[int]) -> int:
    return max(Counter(widths).items(), key=lambda each: (each[1], each[0]), default=(1, 0))[0]
