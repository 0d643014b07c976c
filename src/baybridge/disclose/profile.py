"""Profiles and statistics of what the caller may read anyway: computed over its own extract, so masked columns show masked values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baybridge.audit.entry import JSON
from baybridge.data.engines.duckdb import Engine, Stop
from baybridge.data.summaries import AGGREGATES, statistics_sql, statistics_types, top_sql
from baybridge.disclose.question import Body, Opened
from baybridge.policy.decision import Grant
from baybridge.terms.columns import ColumnType, Kind


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """One column of an extract. `top` are its most frequent values with their counts; empty where no value occurs twice.

    Of a struct or a list there are counts only: it has no least, no greatest, and no frequent values.
    """

    name: str
    type: ColumnType
    nulls: int
    distinct: int
    least: Any
    greatest: Any
    top: tuple[tuple[Any, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """An extract's rows and columns in numbers."""

    version: int
    rows: int
    columns: tuple[ColumnSummary, ...]


@dataclass(frozen=True, slots=True)
class Summarize:
    """The question for an extract's summary, with each column's `top` most frequent values."""

    top: int
    encode: Callable[[Summary], bytes]

    def refusal(self, grants: tuple[Grant, ...], keys: tuple[tuple[str, ...], ...]) -> None:
        """Whoever may read an extract may have it summed up."""
        del grants, keys

    def facts(self) -> dict[str, JSON]:
        """The question as its side record keeps it."""
        return {"summary": True, "top": self.top}

    def answer(self, engine: Engine, opened: tuple[Opened, ...], stop: Stop) -> Body:
        """Count all columns in one pass, then the frequent values of those that repeat any."""
        (read,) = opened
        types = read.types
        ((rows, *counted),) = engine.rows((read.extract,), statistics_sql(types), statistics_types(types), stop).rows
        columns = []
        for position, (name, column) in enumerate(types.items()):
            present, distinct, least, greatest = counted[AGGREGATES * position : AGGREGATES * (position + 1)]
            top: tuple[tuple[Any, int], ...] = ()
            if self.top and distinct < present and not column.is_nested:
                frequent = engine.rows((read.extract,), top_sql(name, column, self.top), (column, ColumnType(Kind.INTEGER)), stop)
                top = tuple((value, count) for value, count in frequent.rows)
            columns.append(ColumnSummary(name, column, rows - present, distinct, least, greatest, top))
        return Body(self.encode(Summary(read.version, rows, tuple(columns))), rows)
