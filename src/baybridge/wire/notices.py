"""Notices: what an organization is told about its agreements."""

from __future__ import annotations

import msgspec

from baybridge.wire.shape import LinkShape, Shape


class NoticeShape(Shape, frozen=True, kw_only=True):
    """One notice. `kind` is the act, `subject` what it is about; `read` is null until somebody of the organization has marked it."""

    id: int
    time: str
    kind: str
    subject: str
    text: str
    read: str | None


class EndingShape(Shape, frozen=True, kw_only=True):
    """An agreement in force that ends within 90 days and has no successor yet."""

    agreement: str
    dataset: str
    end: str
    days: int


class OverdueShape(Shape, frozen=True, kw_only=True):
    """An agreement under which the consumer has not stated in time that what it received is destroyed."""

    agreement: str
    dataset: str
    consumer: str
    destroy_by: str


class NoticesShape(Shape, frozen=True, kw_only=True):
    """One page of an organization's notices, newest first, and what ends soon and is overdue at this moment."""

    notices: list[NoticeShape]
    ending_soon: list[EndingShape]
    links: list[LinkShape]
    overdue: list[OverdueShape] = msgspec.field(default_factory=list)
