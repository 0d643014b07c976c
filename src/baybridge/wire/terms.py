"""An agreement's terms as they travel."""

from __future__ import annotations

import msgspec

from baybridge.wire.shape import RequestShape


class CodeListShape(RequestShape, frozen=True, kw_only=True):
    """A broader code for each code, and the one that stands for every code that is not listed."""

    codes: dict[str, str]
    otherwise: str


class TermsShape(RequestShape, frozen=True, kw_only=True):
    """An agreement's terms as they travel; `terms.terms` gives them their meaning."""

    dataset: str
    columns: list[str]
    purposes: list[str]
    provider_authority: str
    consumer_authority: str
    start: str
    end: str
    row_filter: str | None = None
    masks: dict[str, str] = msgspec.field(default_factory=dict)
    code_lists: dict[str, CodeListShape] = msgspec.field(default_factory=dict)
    history: str = "latest"
    linkage: bool = False
    pseudonym_domain: str | None = None
    requests_per_day: int | None = None
    rows_per_day: int | None = None
    destroy_within_days: int | None = None
