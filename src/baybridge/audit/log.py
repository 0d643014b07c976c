"""The audit log's entries in the catalog's database: appended. There is no update and no delete of an entry in this file.

An entry and the fact it records share a transaction. Disclosures and refusals, which change nothing else, wait for each other
for a moment and share one commit (group commit), so that many readers cost one fsync. An entry gets its time with its index,
so that the times of a log never go back.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from baybridge.audit.counts import Counts, facts_of
from baybridge.audit.entry import JSON, Kind, Untimed, prepare
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.audit.side import SIDE_RECORDS, Side
from baybridge.audit.store import ENTRIES, LOGS, TILE_ROOTS
from baybridge.db import Database
from baybridge.errors import Advice, Refused, Unavailable

_BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has an index: the provider whose log it goes to, its kind and facts, and the erasable side record."""

    organization: str
    kind: Kind
    facts: Mapping[str, JSON]
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry on its way into a group commit. `guard` decides inside the transaction whether it still may be entered."""

    organization: str
    entry: Untimed
    side: Side | None
    guard: Callable[[sa.Connection, datetime], bool]
    outcome: Future[int | None]


class Log:
    """The logs of one home. Safe to use from many threads; `close` ends its one thread."""

    def __init__(self, *, database: Database, origin: str, clock: Callable[[], datetime], entropy: Callable[[int], bytes]) -> None:
        """Start nothing yet: the group commit's thread starts with the first entry that waits for it."""
        self.counts = Counts()
        self._database = database
        self._origin = origin
        self._clock = clock
        self._entropy = entropy
        self._waiting: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def origin(self, organization: str) -> str:
        """The name of a provider's log, as checkpoints carry it."""
        return f"{self._origin}/audit/{organization}"

    def open(self, connection: sa.Connection, organization: str) -> None:
        """Begin an empty log for a new organization, in the transaction that adds it."""
        connection.execute(sa.insert(LOGS).values(organization=organization, size=0, frontier=Frontier(0, ()).to_bytes()))

    def append(self, connection: sa.Connection, draft: Draft) -> int:
        """Append in the caller's write transaction, and give the index: durable when that transaction is."""
        return self.append_all(connection, draft.organization, [draft])

    def append_all(self, connection: sa.Connection, organization: str, drafts: Sequence[Draft]) -> int:
        """Append to one log in the caller's write transaction, and give the index of the first."""
        edge = _taken(connection, [organization])[organization]
        return _append(connection, organization, edge, [(self._prepare(draft), draft.side) for draft in drafts], self._clock())

    def record(self, draft: Draft, guard: Callable[[sa.Connection, datetime], bool]) -> int | None:
        """Enter the draft durably, and give its index; give None, with nothing entered, when the guard says no.

        Returns only after the commit's fsync has returned. Raise Unavailable (`log_unavailable`) when it cannot be written.
        """
        pending = Pending(draft.organization, self._prepare(draft), draft.side, guard, Future())
        self._start()
        self._waiting.put(pending)
        return pending.outcome.result()

    @contextmanager
    def entering_refusals(self, organization: str, facts: Mapping[str, JSON]) -> Iterator[None]:
        """Enter a refusal that the block raises, with its code and these facts, before letting it go on.

        The block's own transaction has been rolled back by then. A refusal about an organization that does not exist has no log.
        """
        try:
            yield
        except Refused as refused:
            with self._database.read() as connection:
                known = connection.execute(sa.select(LOGS.c.organization).where(LOGS.c.organization == organization)).first()
            if known is not None:
                self.record(Draft(organization, Kind.REFUSAL, {**facts, "code": refused.code}), always)
            raise

    def enter_counts(self) -> None:
        """Enter what was counted since the last time, in each log that it is about. What cannot be entered now is counted on."""
        taken = self.counts.take()
        if not taken:
            return
        try:
            with self._database.write() as connection:
                for organization, entries_of in facts_of(taken).items():
                    for facts in entries_of:
                        self.append(connection, Draft(organization, Kind.COUNTS, facts))
        except BaseException:
            self.counts.give_back(taken)
            raise

    def close(self) -> None:
        """Enter what was counted, commit what waits, and end the thread."""
        self.enter_counts()
        with self._starting:
            if self._thread is not None:
                self._waiting.put(None)
                self._thread.join()
                self._thread = None

    def _prepare(self, draft: Draft) -> Untimed:
        return prepare(draft.facts, log=self.origin(draft.organization), kind=draft.kind, nonce=self._entropy(16))

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            batch = [first]
            last = False
            while len(batch) < _BATCH and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    last = True
                    break
                batch.append(more)
            self._commit(batch)
            if last:
                return

    def _commit(self, batch: list[Pending]) -> None:
        """One transaction for the batch. Outcomes are told only after the commit has returned."""
        try:
            with self._database.entering() as connection:
                numbers = self._enter(connection, batch)
        except Exception as failure:  # noqa: BLE001 -- whatever it was, each waiting reader must be refused, not left waiting
            if len(batch) == 1 or isinstance(failure, OperationalError | Unavailable):  # the database itself cannot be written now
                for pending in batch:
                    pending.outcome.set_exception(_unavailable(failure))
            else:  # one that cannot be entered must not refuse the others: each by itself
                for pending in batch:
                    self._commit([pending])
            return
        for pending, number in zip(batch, numbers, strict=True):
            pending.outcome.set_result(number)

    def _enter(self, connection: sa.Connection, batch: list[Pending]) -> list[int | None]:
        """The rows of the logs come first: they order batches of other processes, and what a guard counts belongs to one of them."""
        edges = _taken(connection, {pending.organization for pending in batch})
        now = self._clock()
        admitted = [pending.guard(connection, now) for pending in batch]
        numbers: list[int | None] = [None] * len(batch)
        by_log: dict[str, list[int]] = {}
        for position, pending in enumerate(batch):
            if admitted[position]:
                by_log.setdefault(pending.organization, []).append(position)
        for organization, positions in by_log.items():
            records = [(batch[position].entry, batch[position].side) for position in positions]
            first = _append(connection, organization, edges[organization], records, now)
            for offset, position in enumerate(positions):
                numbers[position] = first + offset
        return numbers


def always(connection: sa.Connection, now: datetime) -> bool:
    """The guard of an entry that nothing can overtake."""
    del connection, now
    return True


@dataclass(frozen=True, slots=True)
class _Edge:
    """Where a log ends: its right edge, and the time of its newest entry."""

    frontier: Frontier
    time: datetime | None


def _taken(connection: sa.Connection, organizations: Collection[str]) -> dict[str, _Edge]:
    """Take the rows of these logs, in the order of their names, and give their edges.

    Until the commit nobody else gives out indexes.
    """
    rows = connection.execute(
        sa.select(LOGS.c.organization, LOGS.c.size, LOGS.c.frontier, LOGS.c.time)
        .where(LOGS.c.organization.in_(sorted(organizations)))
        .order_by(LOGS.c.organization)
        .with_for_update()
    )
    return {row.organization: _Edge(Frontier.from_bytes(row.size, row.frontier), row.time) for row in rows}


def _append(connection: sa.Connection, organization: str, edge: _Edge, records: list[tuple[Untimed, Side | None]], now: datetime) -> int:
    """Append to one log, whose row has been taken, and give the first index.

    `now` was read once the row was taken. Where the clock was set back, the entries have the time of the one before them.
    """
    size, time = edge.frontier.size, now if edge.time is None else max(now, edge.time)
    entries = [entry.at(time) for entry, _ in records]
    frontier, filled = edge.frontier.grow(leaf_hash(data) for data in entries)
    connection.execute(
        sa.insert(ENTRIES),
        [{"organization": organization, "number": size + offset, "data": data} for offset, data in enumerate(entries)],
    )
    sides = [
        {"organization": organization, "number": size + offset, **asdict(side)}
        for offset, (_, side) in enumerate(records)
        if side is not None
    ]
    if sides:
        connection.execute(sa.insert(SIDE_RECORDS), sides)
    if filled:
        connection.execute(sa.insert(TILE_ROOTS), [{"organization": organization, **tile._asdict()} for tile in filled])
    grown = {"size": frontier.size, "frontier": frontier.to_bytes(), "time": time}
    connection.execute(sa.update(LOGS).where(LOGS.c.organization == organization).values(grown))
    return size


def _unavailable(failure: Exception) -> Unavailable:
    unavailable = Unavailable(
        "log_unavailable",
        "The audit log cannot be written, so nothing is served.",
        advice=Advice(
            rule="Nothing leaves without an entry.",
            who_can_change="the operator of this server",
            next_step="Try again shortly; tell the operator if it lasts.",
        ),
        retry_after=5,
    )
    unavailable.__cause__ = failure
    return unavailable
