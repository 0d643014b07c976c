"""Datasets and their versions, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from baybridge.catalog.manifest import Manifest
from baybridge.catalog.schema import Schema
from baybridge.errors import Invalid, Place
from baybridge.names import DatasetName, nearest

MAX_TITLE: Final = 200
MAX_DESCRIPTION: Final = 4_000


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


def parse_title(text: str) -> str:
    """Give the title back: a printable text of 1 to 200 characters. Raise Invalid otherwise."""
    if text.strip() and len(text) <= MAX_TITLE and text.isprintable():
        return text.strip()
    raise _not_a_text("title", f"a printable text of 1 to {MAX_TITLE} characters")


def parse_description(text: str) -> str:
    """Give the description back: at most 4,000 characters, printable, or line feeds and tabs. Raise Invalid otherwise."""
    if len(text) <= MAX_DESCRIPTION and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    raise _not_a_text("description", f"printable characters, line feeds and tabs, at most {MAX_DESCRIPTION:,}")


def _not_a_text(parameter: str, rule: str) -> Invalid:
    return Invalid("invalid_request", f"The {parameter} of a dataset is {rule}.", places=(Place(parameter, rule),))
