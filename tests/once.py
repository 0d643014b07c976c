"""Which tests run a second time with the catalog on PostgreSQL: those that make a world, but not those named here with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

ITS_FILE = "reads, alters or locks SQLite's file"
NOT_ITS_SUBJECT = "takes long, and the catalog is not its subject"

ONCE: dict[str, str] = {}


def is_once(item: pytest.Item) -> bool:
    """Whether the test, or all of its file, is named."""
    file, function = Path(str(item.fspath)).name, getattr(item, "originalname", None) or item.name
    return file in ONCE or f"{file}::{function}" in ONCE


def uses_a_world(item: pytest.Item) -> bool:
    """Whether the test may make a world: by the fixture, or in its file by name."""
    module = getattr(item, "module", None)
    return "world" in getattr(item, "fixturenames", ()) or hasattr(module, "make_world")
