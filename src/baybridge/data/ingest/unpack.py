"""Owns what an upload is packed in: gzip, a zip of one file, or nothing. It writes the file that is read, and trusts no name or size in it.

What a file is says its first bytes. One level is unpacked; whatever is inside is data, and an archive inside is refused.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from baybridge.data.ingest.limits import Limits, over_limits
from baybridge.errors import Advice, Invalid

_CHUNK: Final = 1 << 20
_RATIO: Final = 250
"""A table that is this many times as large as its archive is a bomb; deflate reaches 1,032. Small files may repeat themselves more."""

_SMALL: Final = 100_000_000
_MAX_MEMBERS: Final = 10_000
_ENCRYPTED: Final = 0x1
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_OTHERS: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel file (.xls) or one with a password",
    b"%PDF-": "PDF",
}
_PLACES_OF_MACOS: Final = "__MACOSX/"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The file to be read, and what was unpacked, for the report."""

    path: Path
    notes: tuple[str, ...] = ()


def unpack(upload: Path, target: Path, limits: Limits) -> Unpacked:
    """Give the file that is in the upload: the upload itself, a workbook too, or what is packed in it, written to `target`.

    Raise Invalid (`file_unreadable`) for an archive that is not one file, and Invalid (`file_over_limits`) for a bomb.
    """
    magic = _magic(upload)
    if magic.startswith(_GZIP):
        with _readable("gzip"), gzip.open(upload, "rb") as packed:
            _copy(packed, target, packed_bytes=upload.stat().st_size, limits=limits)
        return Unpacked(_plain(target), ("The file was unpacked from gzip.",))
    if magic.startswith((_ZIP, _EMPTY_ZIP)):
        if is_workbook(upload):
            return Unpacked(upload)
        with _readable("zip"), zipfile.ZipFile(upload) as archive, archive.open(_only_member(archive)) as packed:
            _copy(packed, target, packed_bytes=upload.stat().st_size, limits=limits)
        return Unpacked(_plain(target), ("The file was unpacked from zip.",))
    return Unpacked(_plain(upload))


def is_workbook(upload: Path) -> bool:
    """Whether the file is an Excel workbook: a zip with the parts that one has (ECMA-376, part 2)."""
    if not _magic(upload).startswith(_ZIP):
        return False
    with _readable("zip"), zipfile.ZipFile(upload) as archive:
        return "[Content_Types].xml" in archive.namelist() and "xl/workbook.xml" in archive.namelist()


class _readable:  # noqa: N801 -- reads as the words of a with
    """Say `file_unreadable` for every way in which an archive is broken."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EOFError | zlib.error | zipfile.BadZipFile | gzip.BadGzipFile | RuntimeError):
            raise _refuse(
                f"The {self._kind} archive is damaged, cut off, or packed in a way that is not read", "Pack the file again."
            ) from None


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of a zip. Its name is judged, for it tells who made the archive, and used for nothing."""
    listed = archive.infolist()
    if len(listed) > _MAX_MEMBERS:
        raise _refuse(f"The zip archive has {len(listed):,} members", "Pack one file alone.")
    files = [each for each in listed if not each.is_dir() and not each.filename.startswith(_PLACES_OF_MACOS)]
    if len(files) != 1:
        office = any(each.filename in {"mimetype", "xl/workbook.bin"} for each in files)
        what = "is an OpenDocument or binary workbook" if office else f"has {len(files):,} files in it, not one"
        raise _refuse(f"The zip archive {what}", "Pack one file alone, or save a workbook as .xlsx or CSV.")
    (member,) = files
    name = member.filename.replace("\\", "/")
    if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name or not name.isprintable():
        raise _refuse("The zip archive names its file with an absolute path, a drive or ..", "Pack the file alone, by its own name.")
    if member.flag_bits & _ENCRYPTED:
        raise _refuse("The zip archive is encrypted", "Pack the file without a password: the connection is what protects it.")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _refuse("The zip archive is packed with a method other than deflate", "Pack it as zip programs do by default.")
    return member


def _copy(packed: IO[bytes] | gzip.GzipFile, target: Path, *, packed_bytes: int, limits: Limits) -> None:
    size = 0
    with target.open("wb") as file:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > limits.bytes:
                raise over_limits(f"The file is larger than {limits.bytes:,} bytes when it is unpacked.")
            if size > max(_SMALL, _RATIO * packed_bytes):
                raise over_limits(f"The file is more than {_RATIO} times as large as its archive.")
            file.write(chunk)


def _plain(path: Path) -> Path:
    """Give the path back. Raise Invalid for an archive, which here is one too many, or of a kind that is not unpacked."""
    magic = _magic(path)
    if magic.startswith((_GZIP, _ZIP)):
        raise _refuse("There is an archive or a workbook inside the archive", "Pack the file once, and send a workbook as it is.")
    for beginning, kind in _OTHERS.items():
        if magic.startswith(beginning):
            raise _refuse(f"The file is {kind}, which is not read", "Send CSV or .xlsx, as it is, in gzip, or alone in a zip.")
    return path


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _refuse(what: str, next_step: str) -> Invalid:
    rule = "An upload is one table: as it is, in gzip, or alone in a zip archive without a password."
    return Invalid("file_unreadable", f"{what}.", advice=Advice(rule=rule, who_can_change="you", next_step=next_step))
