"""Manifests: the ordered list of immutable Parquet objects that make one version. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import rfc8785


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """One column of one object: its nulls, and its least and greatest value as text (None where all are null)."""

    name: str
    nulls: int
    least: str | None
    greatest: str | None


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """One Parquet object by its SHA-256 (hex), with its size in bytes, its rows and its statistics."""

    sha256: str
    size: int
    rows: int
    statistics: tuple[ColumnStatistics, ...]


@dataclass(frozen=True, slots=True)
class Rejects:
    """The rows of an upload that are not in the version, or of one that was refused: how many, and the object that lists why."""

    rows: int
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version's objects in row order, and the original upload, kept byte for byte."""

    objects: tuple[ManifestObject, ...]
    original_sha256: str
    original_size: int

    @property
    def rows(self) -> int:
        """Rows of the whole version."""
        return sum(entry.rows for entry in self.objects)

    def digest(self) -> str:
        """SHA-256 of the canonical list of objects: equal exactly when the version's bytes are equal."""
        listing = [{"rows": entry.rows, "sha256": entry.sha256, "size": entry.size} for entry in self.objects]
        canonical: dict[str, Any] = {"objects": listing, "original": self.original_sha256}
        return hashlib.sha256(rfc8785.dumps(canonical)).hexdigest()
