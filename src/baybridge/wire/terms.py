"""An agreement's terms as they travel."""

from __future__ import annotations

import msgspec

from baybridge.wire.shape import RequestShape


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
    pseudonym_domain: str | None = None
