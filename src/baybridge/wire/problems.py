"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import msgspec

from baybridge.wire.collections import PublishReport
from baybridge.wire.shape import Shape


class PlaceShape(Shape, frozen=True, kw_only=True):
    """Where in a request something is wrong. `column` counts characters from 1."""

    parameter: str
    message: str
    column: int | None = None
    hint: str | None = None


class ProblemShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 problem details, with our members beside the standard ones."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    rule: str | None = None
    who_can_change: str | None = None
    next_step: str | None = None
    next_command: str | None = None
    next_url: str | None = None
    retry: int | None = None
    errors: list[PlaceShape] = []
    request_id: str | None = None
    report: PublishReport | None = None
