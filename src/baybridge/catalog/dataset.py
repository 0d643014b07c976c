"""Datasets and their versions, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from baybridge.catalog.manifest import Manifest
from baybridge.catalog.schema import Schema
from baybridge.errors import Invalid, Place
from baybridge.names import DatasetName, nearest


class Access(StrEnum):
    """Who may read: everyone, or whoever has an agreement in force."""

    PUBLIC = "public"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One published table. `schema` is None until confirmed or given; `latest` is 0 before the first version."""

    name: DatasetName
    title: str
    description: str
    access: Access
    schema: Schema | None
    latest: int
    updated: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable, numbered state of a dataset, under the schema that was its contract."""

    dataset: DatasetName
    number: int
    schema: Schema
    manifest: Manifest
    published: datetime


def parse_access(text: str) -> Access:
    """Give the access of that name. Raise Invalid otherwise."""
    if text in set(Access):
        return Access(text)
    raise Invalid(
        "invalid_request",
        "The access of a dataset is public or agreement.",
        places=(Place("access", "public or agreement", hint=nearest(text, Access)),),
    )
