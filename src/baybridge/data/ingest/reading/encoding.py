"""Owns which encodings a file may be in, and on which lines they differ. It proposes; nobody is sure but a byte order mark and UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from baybridge.data.ingest.reading.reading import Remark

_CHUNK: Final = 1 << 20
_SHOWN: Final = 5
_LINE: Final = 200
_LOOKED_AT: Final = 10_000
_LEGACY: Final = ("windows-1252", "iso-8859-15", "windows-1250", "windows-1251", "mac-roman", "cp437")
_UTF16_MARKS: Final = {codecs.BOM_UTF16_LE: "UTF-16 LE", codecs.BOM_UTF16_BE: "UTF-16 BE"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One encoding that the file may be in, and how many lines hold bytes that are none of it."""

    encoding: str
    undecodable: int


@dataclass(frozen=True, slots=True)
class Differing:
    """One line, by its number, as each candidate reads it, cut at 200 characters; None where it cannot. For the uploader's eyes only."""

    line: int
    texts: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Encodings:
    """What the bytes tell. `clean` is UTF-8 without NUL. Candidates come best first; the lines show where they differ."""

    proposed: str
    clean: bool
    remark: Remark | None = None
    candidates: tuple[Candidate, ...] = ()
    differing: tuple[Differing, ...] = ()


def look_at_encoding(path: Path) -> Encodings:
    """Read the file through. A file that is UTF-8 is that; a byte order mark is believed; all else is a proposal with its candidates."""
    with path.open("rb") as file:
        mark = file.read(2)
    if mark in _UTF16_MARKS:
        remark = Remark("encoding", "utf-16", f"The file begins with the byte order mark of {_UTF16_MARKS[mark]}.", proven=True)
        return Encodings("utf-16", clean=False, remark=remark)
    utf8, nuls, size = _facts(path)
    if utf8 and not nuls:
        return Encodings("utf-8", clean=True)
    if nuls * 3 > size:
        return _wide(path)
    if utf8:
        reason = f"It is UTF-8 with {nuls:,} NUL bytes; a row that holds one is rejected."
        return Encodings("utf-8", clean=False, remark=Remark("encoding", "utf-8", reason), candidates=(Candidate("utf-8", 0),))
    return _legacy(_suspicious(path))


def _facts(path: Path) -> tuple[bool, int, int]:
    """Whether the whole file is UTF-8, its NUL bytes, and its size."""
    decoder, utf8, nuls, size = codecs.getincrementaldecoder("utf-8")(), True, 0, 0
    pending = False
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            nuls += chunk.count(b"\0")
            if utf8 and (pending or not chunk.isascii()):
                try:
                    decoder.decode(chunk)
                    pending = bool(decoder.getstate()[0])
                except UnicodeDecodeError:
                    utf8 = False
    return utf8 and not pending, nuls, size


def _wide(path: Path) -> Encodings:
    """UTF-16 without a mark: NUL stands at every other byte of what is ASCII."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    little = head[1::2].count(0) >= head[0::2].count(0)
    proposed = "utf-16-le" if little else "utf-16-be"
    where = "second" if little else "first"
    remark = Remark("encoding", proposed, f"The {where} byte of most pairs is NUL, as in UTF-16 without a byte order mark.")
    return Encodings(proposed, clean=False, remark=remark, candidates=(Candidate(proposed, 0),))


def _suspicious(path: Path) -> list[tuple[int, bytes]]:
    """The first lines that are not ASCII, with their numbers."""
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.isascii():
                found.append((number, line.rstrip(b"\r\n")))
                if len(found) == _LOOKED_AT:
                    break
    return found


def _legacy(lines: Sequence[tuple[int, bytes]]) -> Encodings:
    """Neither UTF-8 nor UTF-16: UTF-8 with some broken lines where most decode, else the single-byte encodings that can read them all."""
    broken = sum(_text(line, "utf-8") is None for _, line in lines)
    legacy = sorted((Candidate(name, sum(_text(line, name) is None for _, line in lines)) for name in _LEGACY), key=_undecodable)
    if broken * 2 < len(lines):
        candidates = (Candidate("utf-8", broken), *legacy)
        reason = f"Of {len(lines):,} lines that are not ASCII, {len(lines) - broken:,} are UTF-8; the others' rows are rejected."
    else:
        candidates = (*legacy, Candidate("utf-8", broken))
        reason = (
            f"The file is not UTF-8 on {broken:,} lines, all of which {legacy[0].encoding} can read."
            if not legacy[0].undecodable
            else (f"The file is not UTF-8 on {broken:,} lines, of which {legacy[0].encoding} can read most.")
        )
    names = [candidate.encoding for candidate in candidates]
    differing = []
    for number, line in lines:
        texts = tuple(None if (text := _text(line, name)) is None else text[:_LINE] for name in names)
        if len(set(texts)) > 1:
            differing.append(Differing(number, texts))
        if len(differing) == _SHOWN:
            break
    return Encodings(names[0], clean=False, remark=Remark("encoding", names[0], reason), candidates=candidates, differing=tuple(differing))


def _undecodable(candidate: Candidate) -> int:
    return candidate.undecodable


def _text(line: bytes, encoding: str) -> str | None:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return None
