"""What is asked, as far as the decision needs to know. Pure; each face parses its own dialect into this."""

from __future__ import annotations

from dataclasses import dataclass

from baybridge.names import DatasetName
from baybridge.terms import cql2


@dataclass(frozen=True, slots=True)
class UsedColumn:
    """A column that a question uses, and where it says so: the parameter and the 1-based character."""

    name: str
    parameter: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One read of one dataset. No `columns` means all that are released."""

    dataset: DatasetName
    columns: tuple[UsedColumn, ...] = ()
    row_filter: cql2.Filter | None = None
    purpose: str | None = None
    agreement: str | None = None
