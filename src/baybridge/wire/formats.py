"""The formats of files that rows come in: how each is named, by itself, by a media type, and at the end of a file's name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Final

from baybridge.errors import Invalid, Place
from baybridge.names import nearest


class Format(StrEnum):
    """The formats that a publication takes."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    XLSX = "xlsx"


MEDIA_TYPES: Final = {
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_SUFFIXES: Final = {
    ".csv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.JSON,
    ".parquet": Format.PARQUET,
    ".xlsx": Format.XLSX,
}


def parse_format(text: str | None, media_type: str | None = None) -> Format:
    """The format that is named, else that of the media type, else CSV. Raise Invalid (`invalid_request`) for a name that is none."""
    if text is None:
        essence = (media_type or "").partition(";")[0].strip().lower()
        return next((each for each, named in MEDIA_TYPES.items() if named == essence), Format.CSV)
    if text in set(Format):
        return Format(text)
    known = f"one of {', '.join(Format)}"
    raise Invalid("invalid_request", f"format is {known}.", places=(Place("format", known, hint=nearest(text[:100], Format)),))


def format_of_name(path: PurePath) -> Format:
    """The format that the end of a file's name tells; CSV where it tells none."""
    table = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return _SUFFIXES.get(table.suffix.lower(), Format.CSV)
