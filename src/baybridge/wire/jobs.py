"""Jobs, as the operator sees them."""

from __future__ import annotations

from baybridge.wire.shape import Shape


class JobShape(Shape, frozen=True, kw_only=True):
    """One job. `payload` holds names and ids only; `error` is the class and the code of the last failure, never its text."""

    number: int
    kind: str
    payload: dict[str, str]
    state: str
    run_at: str
    attempt: int
    failures: int
    error: str | None
    worker: str | None
    lease_until: str | None
    created: str
    updated: str


class JobsShape(Shape, frozen=True, kw_only=True):
    """Jobs, the newest first; how many are in each state; and for how long the one has been due that has been longest."""

    jobs: list[JobShape]
    counts: dict[str, int]
    lag_seconds: float
