"""Owns the bytes of an upload as the reader of records sees them: mapped, not held, and in an encoding whose commas are single bytes."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from baybridge.data.ingest.reading.dialect import Sample
from baybridge.data.ingest.reading.walk import Bytes
from baybridge.data.ingest.records import unreadable

_HEAD: Final = 1 << 18
_TAIL: Final = 1 << 14
_CHUNK: Final = 1 << 20
_MARK: Final = codecs.BOM_UTF8


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes, and the encoding that they are in. UTF-16 is made UTF-8 first; what is no character there is none here either."""

    data: Bytes
    encoding: str
    original: str
    start: int

    def sample(self) -> Sample:
        """The head and the tail as UTF-8."""
        head, tail = self.data[self.start : self.start + _HEAD], self.data[max(self.start, len(self.data) - _TAIL) :]
        return Sample(self._utf8(head), len(self.data) <= self.start + _HEAD, self._utf8(tail))

    def offset(self, position: int) -> int:
        """Give the byte of the upload that a byte here stands for."""
        if self.encoding == self.original:
            return position
        text = self.data[self.start : position].decode("utf-8", "surrogatepass")
        return len(text.encode("utf-16-le", "surrogatepass")) + (2 if self.original == "utf-16" else self.start * 2 // 3)

    def _utf8(self, data: bytes) -> bytes:
        return data if self.encoding == "utf-8" else data.decode(self.encoding, "replace").encode("utf-8")


@contextmanager
def opened(path: Path, encoding: str, *, scratch: Path) -> Iterator[Content]:
    """Map the upload, or its UTF-8 form, which is written into `scratch` for the block."""
    if not encoding.startswith("utf-16"):
        with _mapped(path) as data:
            yield Content(data, encoding, encoding, len(_MARK) if encoding == "utf-8" and data[:3] == _MARK else 0)
        return
    form = scratch / "utf-8.csv"
    try:
        _transcode(path, encoding, form)
        with _mapped(form) as data:
            yield Content(data, "utf-8", encoding, len(_MARK) if data[:3] == _MARK else 0)
    finally:
        form.unlink(missing_ok=True)


@contextmanager
def _mapped(path: Path) -> Iterator[Bytes]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _transcode(path: Path, encoding: str, target: Path) -> None:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    with path.open("rb") as file, target.open("wb") as out:
        try:
            while chunk := file.read(_CHUNK):
                out.write(decoder.decode(chunk).encode("utf-8", "surrogatepass"))
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise unreadable("The file ends in the middle of a character", "Send the whole file, or name another encoding.") from None
