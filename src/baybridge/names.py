"""Names, parsed once at the edge into types whose existence is the proof that they are well formed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from baybridge.errors import Advice, Invalid, Place

_PART: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PART_RULE: Final = "lower-case letters, digits and _, first a letter, at most 63 characters"
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def parse_organization(text: str, *, parameter: str = "organization") -> str:
    """Give the organization's name back: `[a-z][a-z0-9_]*`, at most 63 characters. Raise Invalid otherwise."""
    return _parse(_PART, text, parameter, f"A name is {_PART_RULE}.")


def parse_purpose(text: str, *, parameter: str = "purpose") -> str:
    """Give the purpose code back: `[a-z][a-z0-9_-]*`, at most 63 characters. Raise Invalid otherwise."""
    return _parse(_PURPOSE, text, parameter, "A purpose is lower-case letters, digits, _ and -, first a letter, at most 63 characters.")


def _parse(pattern: re.Pattern[str], text: str, parameter: str, rule: str) -> str:
    if pattern.fullmatch(text):
        return text
    raise _malformed(parameter, rule, "Correct the name and try again.")


def _malformed(parameter: str, rule: str, next_step: str) -> Invalid:
    return Invalid(
        "invalid_request",
        f"{parameter} is not well formed.",
        advice=Advice(rule=rule, who_can_change="you", next_step=next_step),
        places=(Place(parameter, rule),),
    )


@dataclass(frozen=True, slots=True, order=True)
class DatasetName:
    """A dataset's id `org.name`, the same in URLs and SQL."""

    organization: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `org.name`. Raise Invalid when a part is not `[a-z][a-z0-9_]*`."""
        organization, dot, name = text.partition(".")
        if dot and _PART.fullmatch(organization) and _PART.fullmatch(name):
            return cls(organization, name)
        rule = "A dataset is named AGENCY.NAME, as building.permits."
        raise _malformed("dataset", rule, f"Correct the name and try again. Each part is {_PART_RULE}.")

    def __str__(self) -> str:
        return f"{self.organization}.{self.name}"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that a mistyped name most likely meant, or None. Candidates must be names the caller may know."""
    by_fold = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None
