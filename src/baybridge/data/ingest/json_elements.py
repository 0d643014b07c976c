"""Owns where the records of a JSON file begin and end, read from its bytes alone: lines of NDJSON, or the elements of one array.

Memory is bounded by the longest record that is allowed. The count of records is this file's, and the engine's is held against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from baybridge.data.ingest.records import MAX_RECORD
from baybridge.errors import Advice, Invalid

_CHUNK: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = b" \t\r\n"
# A string, whole or (without its last quote) cut off where the buffer ends, or a mark. Possessive, so that no string is tried twice.
_MARK: Final = re.compile(rb'"(?:[^"\\]|\\.)*+("?)|[\[\]{},]', re.DOTALL)


def unreadable(what: str, next_step: str) -> Invalid:
    """Make the error for a file that is not of the format that it was sent as."""
    rule = "A file is of the format that it is sent as: JSON is UTF-8, one array of objects; NDJSON is one object a line."
    return Invalid("file_unreadable", f"{what}.", advice=Advice(rule=rule, who_can_change="you", next_step=next_step))


def lines(path: Path) -> Iterator[bytes]:
    """The lines that are not blank. Raise Invalid (`file_unreadable`) for one over 16 MB."""
    with path.open("rb") as file:
        first = True
        while line := file.readline(MAX_RECORD + 1):
            if len(line) > MAX_RECORD:
                raise unreadable("A line is longer than 16 MB", "Send one object a line; send an array as JSON.")
            record = (line.removeprefix(_BOM) if first else line).strip(_SPACE)
            first = False
            if record:
                yield record


def elements(path: Path) -> Iterator[bytes]:
    """The elements of the one array that the file is, as the bytes between its commas.

    Raise Invalid (`file_unreadable`) for anything else, an end too early, something after the end, or an element over 16 MB.
    """
    buffer, start, at, depth, found = b"", 0, 0, 0, False
    with path.open("rb") as file:
        while True:
            match = _MARK.search(buffer, at)
            if match is None or match[1] == b"":
                at = (len(buffer) if match is None else match.start()) - start
                buffer, start = _more(buffer[start:], file), 0
                continue
            mark, at = match[0][:1], match.end()
            if depth == 0:
                _require_array(mark, buffer[: match.start()])
            depth += (mark in b"[{") - (mark in b"]}")
            if mark in b"[{" and depth == 1:
                start = at
            elif (mark == b"," and depth == 1) or depth == 0:
                element = buffer[start : match.start()].strip(_SPACE)
                if element or found or depth:
                    yield element
                start, found = at, True
            if depth == 0:
                if mark != b"]" or not _ends(buffer[at:], file):
                    raise unreadable("Something stands behind the array's end", "Send one JSON array and nothing else.")
                return


def _more(kept: bytes, file: BinaryIO) -> bytes:
    more = file.read(_CHUNK)
    if not more:
        raise unreadable("The file ends before its array does", "Send one whole JSON array of objects.")
    if len(kept) > MAX_RECORD:
        raise unreadable("An element is longer than 16 MB", "Send shorter objects.")
    return kept + more


def _require_array(mark: bytes, before: bytes) -> None:
    if mark != b"[" or before.removeprefix(_BOM).strip(_SPACE):
        raise unreadable("The file is no JSON array", "Send an array of objects as JSON, and one object a line as NDJSON.")


def _ends(rest: bytes, file: BinaryIO) -> bool:
    """Whether nothing but space is left."""
    while not rest.strip(_SPACE):
        rest = file.read(_CHUNK)
        if not rest:
            return True
    return False
