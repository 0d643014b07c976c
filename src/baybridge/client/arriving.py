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
from baybridge.errors import Advice, Invalid, Place


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
        descriptor, self._part = _part_of(self._path)
        self._file = os.fdopen(descriptor, "wb")

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


def require_place(path: Path) -> None:
    """Raise Invalid where no file of that name can be made: an answer that is asked for in vain counts as one."""
    if path.is_dir():
        raise _no_place(path, "it is a folder")
    descriptor, part = _part_of(path)
    os.close(descriptor)
    part.unlink()


def _part_of(path: Path) -> tuple[int, Path]:
    """A new file beside the path, for its owner alone. Raise Invalid where none can be made."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as wrong:
        raise _no_place(path, wrong.strerror or "the system refuses") from wrong
    return descriptor, Path(name)


def _no_place(path: Path, why: str) -> Invalid:
    return Invalid(
        "invalid_request",
        f"{path.name} cannot be made in the folder {path.parent}: {why}.",
        advice=Advice(
            rule="An answer is written beside its own name until it is whole, so its folder is there and can be written.",
            who_can_change="you",
            next_step=f"Make the folder {path.parent}, or name another that you can write.",
        ),
        places=(Place("path", "a file in a folder that can be written"),),
    )


def _require_end(response: httpx2.Response) -> None:
    """An answer that ends with its connection (RFC 9112, section 6.3, number 8) looks whole when it is cut."""
    if not {"transfer-encoding", "content-length"} & set(response.headers):
        raise not_understood(response.request.url.path)
