"""Owns which source reads each format of files."""

from __future__ import annotations

from pathlib import Path

from baybridge.catalog.schema import Schema
from baybridge.data.ingest.csv_source import read_source
from baybridge.data.ingest.json_elements import elements, lines
from baybridge.data.ingest.json_source import read_json_source
from baybridge.data.ingest.parquet_source import read_parquet_source
from baybridge.data.ingest.source import Source
from baybridge.data.ingest.workbook import open_sheet
from baybridge.wire.formats import Format

__all__ = ["Format", "open_source"]


def open_source(path: Path, file_format: Format, schema: Schema | None, *, scratch: Path, names: tuple[str, ...] = ()) -> Source:
    """Read the file through as of that format. A format with types of its own is held against the `schema`, where there is one.

    `scratch` is a folder for what is made on the way, `names` are those of a file that has no object to learn them from.
    Raise Invalid (`file_unreadable`) for a file that is not of the format.
    """
    match file_format:
        case Format.CSV:
            return read_source(path)
        case Format.NDJSON:
            return read_json_source(lines(path), schema, scratch=scratch, whole=False, names=names)
        case Format.JSON:
            return read_json_source(elements(path), schema, scratch=scratch, whole=True, names=names)
        case Format.XLSX:  # a sheet that was read into a folder
            return open_sheet(path)
        case Format.PARQUET:
            return read_parquet_source(path, scratch=scratch)
