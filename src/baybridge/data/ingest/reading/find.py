"""Owns what is found out about a file before it is read: how, with reasons, and what of it a steward has yet to confirm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from baybridge.data.ingest.reading.content import Content, opened
from baybridge.data.ingest.reading.dialect import propose_reading
from baybridge.data.ingest.reading.encoding import Candidate, Differing, Encodings, look_at_encoding
from baybridge.data.ingest.reading.names import header_names, mended
from baybridge.data.ingest.reading.reading import PLAIN, Reading, Remark, Wanted
from baybridge.data.ingest.reading.walk import skipped, walk
from baybridge.data.ingest.records import read_records, unreadable
from baybridge.errors import Invalid

# The first bytes of what is no text, though an encoding can be found that reads it.
_PACKED: Final = {b"PK\x03\x04": "a zip or a workbook", b"\x1f\x8b": "gzip"}


@dataclass(frozen=True, slots=True)
class Found:
    """How a file is read, the remarks that say why, and the aspects that nobody has confirmed yet.

    `clean` where it is UTF-8 without NUL; `candidates` and `differing` say what else its encoding may be.
    """

    reading: Reading
    remarks: tuple[Remark, ...]
    unconfirmed: tuple[str, ...]
    clean: bool
    candidates: tuple[Candidate, ...] = ()
    differing: tuple[Differing, ...] = ()


def find_reading(path: Path, wanted: Wanted, *, scratch: Path) -> Found:
    """Look at the file as far as nobody has said how it is read. Nothing is confirmed by being found.

    A file in which no table is found is taken for plain, so that the reader of plain files says what is wrong with it. Raise Invalid
    (`file_unreadable`) for a packed one.
    """
    _refuse_packed(path)
    encodings = look_at_encoding(path) if wanted.encoding is None else Encodings(wanted.encoding, clean=False)
    with opened(path, encodings.proposed, scratch=scratch) as content:
        reading, layout = propose_reading(content.sample(), encodings.proposed, wanted)
        try:
            reading, rest = _with_rest(path, content, reading, wanted, encodings)
        except Invalid:
            if layout or not encodings.clean or wanted:
                raise
            return Found(PLAIN, (), (), clean=True)
    remarks = tuple(each for each in (encodings.remark, *layout, *rest) if each is not None)
    unconfirmed = tuple(each.aspect for each in remarks if not (each.proven or wanted.accept or wanted.said(each.aspect)))
    return Found(reading, remarks, unconfirmed, encodings.clean, encodings.candidates, encodings.differing)


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4)
    for mark, what in _PACKED.items():
        if head.startswith(mark):
            raise unreadable(f"The file is {what}, not text", "Unpack it, or save the sheet as CSV, and send that.")


def _with_rest(path: Path, content: Content, reading: Reading, wanted: Wanted, encodings: Encodings) -> tuple[Reading, tuple[Remark, ...]]:
    """What only more than a sample tells: line ends, and whether the header's names can stay."""
    remarks = []
    if wanted.line_end is None and (why := _mixed(path, content, reading, clean=encodings.clean)) is not None:
        reading = replace(reading, line_end="any")
        remarks.append(Remark("line_end", "any", why))
    if wanted.names is not None:
        return replace(reading, names=wanted.names), tuple(remarks)
    names, wrong = mended(header_names(content, reading))
    if wrong:
        reading = replace(reading, names=names)
        more = f", and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""  # noqa: PLR2004 -- as many as one line takes
        remarks.append(Remark("names", ",".join(names), f"In the header, {', '.join(wrong[:5])}{more}."))
    return reading, tuple(remarks)


def _mixed(path: Path, content: Content, reading: Reading, *, clean: bool) -> str | None:
    """Why the line ends are not the same: how many there are of each, those within quotes left out. None where they are."""
    if content.data.find(b"\r") < 0:
        return None
    if clean and reading == PLAIN:
        try:
            read_records(path)
        except Invalid:
            pass
        else:
            return None
    start = skipped(content.data, reading.skip, start=content.start)
    ends = Counter(raw.end for raw in walk(content.data, replace(reading, line_end="any"), start=start) if raw.end)
    if len(ends) < 2 and not ends[b"\r"]:  # noqa: PLR2004 -- one kind
        return None
    told = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
    return f"Records end {', '.join(f'{count:,} times in {told[end]}' for end, count in sorted(ends.items()))}."
