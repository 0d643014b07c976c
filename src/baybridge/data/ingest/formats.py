"""Owns which formats a file may come in, and which source reads each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from baybridge.catalog.schema import Schema
from baybridge.data.ingest.csv_source import read_source
from baybridge.data.ingest.source import Source
from baybridge.data.ingest.workbook import open_sheet


class Format(StrEnum):
    """The formats of files that rows come in."""

    CSV = "csv"
    XLSX = "xlsx"


def open_source(path: Path, file_format: Format, schema: Schema | None, *, scratch: Path) -> Source:  # noqa: ARG001 -- see below
    """Read the file through as of that format. A format with types of its own is held against the `schema`, where there is one.

    `scratch` is a folder for what is made on the way. Raise Invalid (`file_unreadable`) for a file that is not of the format.
    """
    match file_format:
        case Format.CSV:
            return read_source(path)
        case Format.XLSX:  # a sheet that was read into a folder
            return open_sheet(path)
