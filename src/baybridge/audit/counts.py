"""What happened too often to be entered one by one, counted in memory until it is entered together. It decides nothing and writes nothing.

The keys are few: providers and datasets that exist, two kinds, the codes of errors.py, the doors. Nobody can make more by asking.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from baybridge.audit.entry import JSON

PER_ENTRY: Final = 20  # a name has at most 127 characters, so that many lines stay well below the 8,192 bytes of an entry


class Counted(NamedTuple):
    """What is counted: in whose log, of which dataset, a `read` or a `refusal` with its code, and the door."""

    organization: str
    dataset: str
    kind: str
    code: str | None
    channel: str


class Counts:
    """Counters that many threads may raise."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock = threading.Lock()
        self._counter: Counter[Counted] = Counter()

    def add(self, counted: Counted, times: int = 1) -> None:
        """Count once more."""
        with self._lock:
            self._counter[counted] += times

    def take(self) -> Mapping[Counted, int]:
        """Give what was counted, and begin anew."""
        with self._lock:
            taken, self._counter = self._counter, Counter()
        return taken

    def give_back(self, taken: Mapping[Counted, int]) -> None:
        """Take back what could not be entered."""
        with self._lock:
            self._counter.update(taken)


def facts_of(counts: Mapping[Counted, int]) -> dict[str, list[dict[str, JSON]]]:
    """Give the facts of the entries that hold these counts, by log: in an order of their own, so that no caller's order shows."""
    lines: dict[str, list[JSON]] = {}
    for each in sorted(counts, key=str):
        line: dict[str, JSON] = {
            "channel": each.channel,
            "code": each.code,
            "count": counts[each],
            "dataset": each.dataset,
            "kind": each.kind,
        }
        lines.setdefault(each.organization, []).append(line)
    return {
        organization: [{"counts": of_one[start : start + PER_ENTRY]} for start in range(0, len(of_one), PER_ENTRY)]
        for organization, of_one in lines.items()
    }
