"""What an organization is told about its agreements, and the approvals that it requires."""

from __future__ import annotations

from collections.abc import Sequence

from baybridge.client.call import Call, Steps, get, send
from baybridge.client.questions import linked, part
from baybridge.wire.agreements import ApprovalsRequest, ApprovalsShape
from baybridge.wire.notices import NoticeShape, NoticesShape


def notices(*, before: int | None = None, limit: int = 100) -> Call[NoticesShape]:
    """The newest notices, or those before one, and what ends soon."""
    asked = {"limit": str(limit)}
    return get("/notices", NoticesShape, asked if before is None else asked | {"before": str(before)})


def all_notices() -> Steps[NoticesShape]:
    """Every notice, newest first."""
    return linked(notices(limit=1000))


def in_page(page: NoticesShape) -> Sequence[NoticeShape]:
    """The notices of one page."""
    return page.notices


def mark_read(notice: int) -> Call[NoticeShape]:
    """Mark a notice as read, for the whole organization."""
    return send("POST", f"/notices/{notice:d}/read", None, NoticeShape)


def required_approvals(organization: str) -> Call[ApprovalsShape]:
    """The roles whose approval an agency requires before its signatory signs."""
    return get(f"/organizations/{part(organization)}/approvals", ApprovalsShape)


def require_approvals(organization: str, roles: Sequence[str]) -> Call[ApprovalsShape]:
    """Require the approval of these roles from now on, and of no others."""
    return send("PUT", f"/organizations/{part(organization)}/approvals", ApprovalsRequest(roles=list(roles)), ApprovalsShape)
