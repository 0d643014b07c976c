"""The whole life of one agreement and its renewal, as data: any door that knows the acts can replay it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Step:
    """One act: by whom, on which of the two agreements, with which change of the first terms or which text, and where they stand then.

    `request` and `successor` make an agreement under the name `on`; a successor is begun on `of`. `terms` None keeps what stands.
    """

    who: tuple[str, str]
    act: str
    on: str
    state: str
    terms: dict[str, object] | None = None
    text: str | None = None
    role: str | None = None
    of: str | None = None
    others: dict[str, str] = field(default_factory=dict)


ANALYST, STEWARD = ("dot", "analyst"), ("bts", "steward")
SIGNS_FOR_DOT, SIGNS_FOR_BTS = ("dot", "signatory"), ("bts", "signatory")
STORY: Final = (
    Step(ANALYST, "request", "first", "REQUESTED", terms={}),
    Step(STEWARD, "offer", "first", "OFFERED", terms={"columns": ["flight", "tailnum"]}),
    Step(SIGNS_FOR_DOT, "sign", "first", "ACCEPTED"),
    Step(STEWARD, "offer", "first", "OFFERED", terms={"columns": ["flight", "tailnum", "origin"]}),
    Step(ANALYST, "counter", "first", "REQUESTED", terms={"columns": ["flight", "tailnum", "delay"]}),
    Step(("bts", "counsel"), "approve", "first", "REQUESTED", role="counsel"),
    Step(SIGNS_FOR_BTS, "sign", "first", "AGREED"),
    Step(SIGNS_FOR_DOT, "sign", "first", "ACTIVE"),
    Step(STEWARD, "suspend", "first", "SUSPENDED", text="A question from counsel"),
    Step(STEWARD, "resume", "first", "ACTIVE", text="It is answered"),
    Step(ANALYST, "successor", "second", "REQUESTED", of="first", others={"first": "ACTIVE"}),
    Step(STEWARD, "offer", "second", "OFFERED"),
    Step(SIGNS_FOR_DOT, "sign", "second", "ACCEPTED", others={"first": "ACTIVE"}),
    Step(SIGNS_FOR_BTS, "sign", "second", "ACTIVE", others={"first": "SUPERSEDED"}),
    Step(STEWARD, "revoke", "second", "REVOKED", text="The study is over", others={"first": "SUPERSEDED"}),
    Step(("dot", "steward"), "close", "second", "CLOSED", text="All copies are destroyed", others={"first": "SUPERSEDED"}),
    Step(ANALYST, "request", "third", "REQUESTED", terms={}),
    Step(STEWARD, "terminate", "third", "TERMINATED", text="Not this year"),
)
