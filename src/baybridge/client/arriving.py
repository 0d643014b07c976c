"""Answers taken in while they arrive: rows one by one, or a file that has its name only when it is whole. It sends nothing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from baybridge.client.answers import not_understood
from baybridge.client.results import Provenance, provenance_of, rows_of


class LineReceiver:
    """Each line of NDJSON as a row."""

    def __init__(self, response: httpx2.Response) -> None:
        """Raise AnswerNotUnderstood for an answer that cannot show its end."""
        _require_end(response)
        self._path = response.request.url.path
        self._rest = b""

    def take(self, piece: bytes) -> list[dict[str, Any]]:
        """Give the rows that the piece completes."""
        whole, newline, self._rest = (self._rest + piece).rpartition(b"\n")
        return rows_of(whole + newline, self._path)

    def end(self) -> list[dict[str, Any]]:
        """Give the row of a last line without a newline."""
        return rows_of(self._rest, self._path)

    def close(self) -> None:
        """There is nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is whole: how many bytes it has and their SHA-256, which the log's entry of its end has too."""

    path: Path
    bytes: int
    sha256: str
    provenance: Provenance


class FileReceiver:
    """The answer as a file, under another name beside its own until it is whole."""

    def __init__(self, response: httpx2.Response, dataset: str, path: Path) -> None:
        """Raise AnswerNotUnderstood for an answer that cannot show its end; then nothing is made."""
        _require_end(response)
        self._path = Path(path)
        self._provenance = provenance_of(response, dataset)
        self._hash, self._size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".part", dir=self._path.parent)
        self._file, self._part = os.fdopen(descriptor, "wb"), Path(name)

    def take(self, piece: bytes) -> tuple[()]:
        """Write the piece."""
        self._file.write(piece)
        self._hash.update(piece)
        self._size += len(piece)
        return ()

    def end(self) -> tuple[Download]:
        """Bring all of it to the disk, and only then give the file its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._path)
        return (Download(self._path, self._size, self._hash.hexdigest(), self._provenance),)

    def close(self) -> None:
        """Close the file, and remove what has not got its name."""
        try:
            self._file.close()
        finally:
            self._part.unlink(missing_ok=True)


def _require_end(response: httpx2.Response) -> None:
    """An answer that ends with its connection (RFC 9112, section 6.3, number 8) looks whole when it is cut."""
    if not {"transfer-encoding", "content-length"} & set(response.headers):
        raise not_understood(response.request.url.path)
