"""The state that a caller expects a thing to be in when it changes it, named by the tag of what was read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from baybridge.errors import Advice, Conflict

_ANY_THERE_IS: Final = "*"


@dataclass(frozen=True, slots=True)
class Expected:
    """The tags of the states that a change may start from, `*` for any that there is. None expects nothing.

    Ask for it last in the transaction of the change: what would be refused anyhow is refused as such (RFC 9110, section 13.2.1).
    """

    tags: frozenset[str] | None = None

    def require(self, present: str | None) -> None:
        """Raise Conflict (`precondition_failed`) unless the present tag is expected; it is None for what is not there yet."""
        if self.tags is None or (present is not None and (present in self.tags or _ANY_THERE_IS in self.tags)):
            return
        raise Conflict(
            "precondition_failed",
            "It is not in the state that If-Match names.",
            advice=Advice(
                rule="A change that names the state it starts from is made from that state only.",
                who_can_change="you",
                next_step="Read it again, see what has changed, and send its new ETag.",
            ),
        )


WHATEVER: Final = Expected()
