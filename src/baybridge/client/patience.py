"""When a call is sent again, and after how long. It neither sends nor sleeps."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Final

from baybridge.errors import Unavailable

_PAUSES: Final = (0.1, 0.2)  # seconds, after a connection that broke: enough for one that was idle, short where nobody listens
_SHORTEST: Final = 0.05  # seconds: "at once" is no leave to ask in a circle
_HOPELESS: Final = frozenset({"query_limit"})  # the same question would run into the same limit


@dataclass(slots=True)
class Attempts:
    """The sendings of one call, none later than `patience` seconds after the first."""

    repeatable: bool
    patience: float
    tries: int = 0
    began: float = field(default_factory=time.monotonic)

    def pause_after(self, error: Unavailable) -> float:
        """Give the seconds to wait before the call is sent again. Raise the error where that may not be, or cannot help.

        The server says when (Retry-After); only where none answers is the pause our own. Chance spreads clients that were
        all refused in the same moment.
        """
        self.tries += 1
        pause = self._pause(error)
        if not self.repeatable or pause is None or time.monotonic() - self.began + pause > self.patience:
            raise error
        return pause

    def _pause(self, error: Unavailable) -> float | None:
        chance = random.random()  # noqa: S311 -- spreads load, keeps no secret
        if error.retry_after is not None:
            said = max(error.retry_after, _SHORTEST)
            return None if error.code in _HOPELESS else said + chance * min(said, 1)
        if error.code == "unreachable" and self.tries <= len(_PAUSES):
            return _PAUSES[self.tries - 1] * (1 + chance)
        return None
