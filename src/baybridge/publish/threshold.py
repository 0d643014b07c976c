"""How many rows a publication lets go, and why: said in words at the edge, and parsed here. Without it no row is let go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from baybridge.catalog.dataset import parse_reason
from baybridge.data.ingest.order import NOTHING_LET_GO, Threshold
from baybridge.errors import Advice, Invalid, Place

__all__ = ["NOTHING_LET_GO", "LetGo", "Threshold", "parse_let_go"]

_ROWS: Final = re.compile("[0-9]{1,12}")
_PERCENT: Final = re.compile(r"((?:100(?:\.0{1,4})?)|(?:[0-9]{1,2}(?:\.[0-9]{1,4})?))%")
_RULE: Final = "a number of rows, or a percentage of them as 0.5%"


@dataclass(frozen=True, slots=True)
class LetGo:
    """So many rows may be left out, for a reason; `said` is the threshold as it was said."""

    threshold: Threshold
    said: str
    reason: str


def parse_let_go(max_rejects: str | None, reason: str | None) -> LetGo | None:
    """Give what is let go; None where nothing is said of it. Raise Invalid for one without the other, and for what is no threshold."""
    if max_rejects is None and reason is None:
        return None
    if max_rejects is None or reason is None:
        missing = "max_rejects" if max_rejects is None else "rejects_reason"
        raise Invalid(
            "invalid_request",
            f"{missing} is missing: who lets rows go says how many, and why.",
            advice=Advice(
                rule="Rows are let go up to a threshold, and for a reason that is recorded.",
                who_can_change="you",
                next_step="Send max_rejects and rejects_reason (--max-rejects, --rejects-reason), or neither.",
            ),
            places=(Place(missing, "missing"),),
        )
    return LetGo(_parse_threshold(max_rejects), max_rejects, parse_reason(reason))


def _parse_threshold(text: str) -> Threshold:
    if _ROWS.fullmatch(text):
        return Threshold(rows=int(text))
    if percent := _PERCENT.fullmatch(text):
        return Threshold(percent=Decimal(percent[1]))
    raise Invalid("invalid_request", f"max_rejects is {_RULE}.", places=(Place("max_rejects", _RULE),))
