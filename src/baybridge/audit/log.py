"""The audit log's entries in the catalog's database: appended, and read. There is no update and no delete of an entry in this file.

An entry and the fact it records share a transaction. Disclosures and refusals, which change nothing else, wait for each other
for a moment and share one commit (group commit), so that many readers cost one fsync.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from baybridge.audit.counts import Counts, facts_of
from baybridge.audit.entry import JSON, Kind, encode
from baybridge.audit.merkle import Frontier, TileRoot, leaf_hash
from baybridge.db import METADATA, Database, UtcDateTime
from baybridge.errors import Advice, Refused, Unavailable

LOGS: Final = sa.Table(
    "logs",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("organizations.name"), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
)
ENTRIES: Final = sa.Table(
    "entries",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
SIDE_RECORDS: Final = sa.Table(
    "side_records",
    METADATA,
    sa.Column("organization", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["organization", "number"], ["entries.organization", "entries.number"]),
)
TILE_ROOTS: Final = sa.Table(
    "tile_roots",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
)
CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)
KEY_ROTATIONS: Final = sa.Table(
    "key_rotations",
    METADATA,
    sa.Column("organization", sa.Text, sa.ForeignKey("logs.organization"), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
)

_BATCH: Final = 256
_READ_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has an index: the provider whose log it goes to, its kind and facts, and the erasable side record."""

    organization: str
    kind: Kind
    facts: Mapping[str, JSON]
    side: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An encoded entry on its way into a group commit. `guard` decides inside the transaction whether it still may be entered."""

    organization: str
    data: bytes
    side: bytes | None
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
        data, name = self._encode(draft), draft.organization
        return _append(connection, name, _taken(connection, [name])[name], [(data, draft.side)])

    def record(self, draft: Draft, guard: Callable[[sa.Connection, datetime], bool]) -> int | None:
        """Enter the draft durably, and give its index; give None, with nothing entered, when the guard says no.

        Returns only after the commit's fsync has returned. Raise Unavailable (`log_unavailable`) when it cannot be written.
        """
        pending = Pending(draft.organization, self._encode(draft), draft.side, guard, Future())
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

    def _encode(self, draft: Draft) -> bytes:
        return encode(draft.facts, log=self.origin(draft.organization), kind=draft.kind, nonce=self._entropy(16), time=self._clock())

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
            first = _append(
                connection, organization, edges[organization], [(batch[position].data, batch[position].side) for position in positions]
            )
            for offset, position in enumerate(positions):
                numbers[position] = first + offset
        return numbers


def always(connection: sa.Connection, now: datetime) -> bool:
    """The guard of an entry that nothing can overtake."""
    del connection, now
    return True


def _taken(connection: sa.Connection, organizations: Collection[str]) -> dict[str, Frontier]:
    """Take the rows of these logs, in the order of their names, and give their right edges.

    Until the commit nobody else gives out indexes.
    """
    rows = connection.execute(
        sa.select(LOGS.c.organization, LOGS.c.size, LOGS.c.frontier)
        .where(LOGS.c.organization.in_(sorted(organizations)))
        .order_by(LOGS.c.organization)
        .with_for_update()
    )
    return {row.organization: Frontier.from_bytes(row.size, row.frontier) for row in rows}


def _append(connection: sa.Connection, organization: str, edge: Frontier, records: list[tuple[bytes, bytes | None]]) -> int:
    """Append to one log, whose row has been taken, and give the first index."""
    frontier, filled = edge.grow(leaf_hash(data) for data, _ in records)
    connection.execute(
        sa.insert(ENTRIES),
        [{"organization": organization, "number": edge.size + offset, "data": data} for offset, (data, _) in enumerate(records)],
    )
    sides = [
        {"organization": organization, "number": edge.size + offset, "data": side}
        for offset, (_, side) in enumerate(records)
        if side is not None
    ]
    if sides:
        connection.execute(sa.insert(SIDE_RECORDS), sides)
    if filled:
        connection.execute(sa.insert(TILE_ROOTS), [{"organization": organization, **tile._asdict()} for tile in filled])
    connection.execute(sa.update(LOGS).where(LOGS.c.organization == organization).values(size=frontier.size, frontier=frontier.to_bytes()))
    return edge.size


def frontier(connection: sa.Connection, organization: str) -> Frontier:
    """The log's size and right edge as stored; `audit.replay` is what proves it from the entries."""
    row = connection.execute(sa.select(LOGS.c.size, LOGS.c.frontier).where(LOGS.c.organization == organization)).one()
    return Frontier.from_bytes(row.size, row.frontier)


def logs(connection: sa.Connection) -> tuple[str, ...]:
    """The organizations that have a log, by name."""
    return tuple(connection.execute(sa.select(LOGS.c.organization).order_by(LOGS.c.organization)).scalars())


def entries(connection: sa.Connection, organization: str, *, start: int = 0, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) from `start` on, in order; read a thousand at a time."""
    remaining = limit
    while remaining is None or remaining > 0:
        size = _READ_BATCH if remaining is None else min(_READ_BATCH, remaining)
        rows = connection.execute(
            sa.select(ENTRIES.c.number, sa.type_coerce(ENTRIES.c.data, sa.types.NullType))
            .where(ENTRIES.c.organization == organization, ENTRIES.c.number >= start)
            .order_by(ENTRIES.c.number)
            .limit(size)
        ).all()
        yield from ((row[0], _stored_bytes(row[1])) for row in rows)
        if len(rows) < size:
            return
        start = rows[-1][0] + 1
        remaining = None if remaining is None else remaining - len(rows)


def tile_roots(connection: sa.Connection, organization: str, level: int, first: int, count: int) -> tuple[bytes, ...]:
    """The roots of the full tiles `first` and on of a level, as far as they are there without a gap."""
    rows = connection.execute(
        sa.select(TILE_ROOTS.c.number, sa.type_coerce(TILE_ROOTS.c.root, sa.types.NullType))
        .where(TILE_ROOTS.c.organization == organization, TILE_ROOTS.c.level == level)
        .where(TILE_ROOTS.c.number >= first, TILE_ROOTS.c.number < first + count)
        .order_by(TILE_ROOTS.c.number)
    )
    return tuple(_stored_bytes(root) for number, root in rows)


def all_tile_roots(connection: sa.Connection, organization: str) -> frozenset[TileRoot]:
    """Every stored root of a full tile."""
    rows = connection.execute(
        sa.select(TILE_ROOTS.c.level, TILE_ROOTS.c.number, sa.type_coerce(TILE_ROOTS.c.root, sa.types.NullType)).where(
            TILE_ROOTS.c.organization == organization
        )
    )
    return frozenset(TileRoot(level, number, _stored_bytes(root)) for level, number, root in rows)


def _stored_bytes(value: object) -> bytes:
    """What stands where an entry was written: whoever altered it may have left a text or a number, which hashes to something else."""
    return value if isinstance(value, bytes) else repr(value).encode()


def side_records(connection: sa.Connection, organization: str) -> Iterator[tuple[int, bytes]]:
    """(index, bytes) of the side records that have not been erased."""
    rows = connection.execute(
        sa.select(SIDE_RECORDS.c.number, sa.type_coerce(SIDE_RECORDS.c.data, sa.types.NullType))
        .where(SIDE_RECORDS.c.organization == organization)
        .order_by(SIDE_RECORDS.c.number)
    )
    yield from ((row[0], _stored_bytes(row[1])) for row in rows)


class _About(msgspec.Struct):
    """What a disclosure's entry is about; `since` is the older version of a question over two."""

    dataset: str | None = None
    version: int | None = None
    since: int | None = None


def side_records_about(connection: sa.Connection, organization: str, dataset: str, version: int) -> tuple[int, ...]:
    """The indices of the side records, not erased, of the entries about that version of that dataset."""
    rows = connection.execute(
        sa.select(ENTRIES.c.number, ENTRIES.c.data)
        .join_from(
            SIDE_RECORDS, ENTRIES, sa.and_(ENTRIES.c.organization == SIDE_RECORDS.c.organization, ENTRIES.c.number == SIDE_RECORDS.c.number)
        )
        .where(SIDE_RECORDS.c.organization == organization)
    )
    about = ((row.number, msgspec.json.decode(row.data, type=_About)) for row in rows)
    return tuple(number for number, each in about if each.dataset == dataset and version in (each.version, each.since))


def erase_side_records_of(connection: sa.Connection, organization: str, numbers: Iterable[int]) -> None:
    """Erase these side records. Their entries stay, and so does every hash."""
    for number in numbers:
        connection.execute(sa.delete(SIDE_RECORDS).where(SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number == number))


def keep_checkpoint(connection: sa.Connection, organization: str, *, size: int, note: str, now: datetime) -> None:
    """Keep a signed checkpoint; the first of a size stays."""
    present = sa.select(CHECKPOINTS.c.size).where(CHECKPOINTS.c.organization == organization, CHECKPOINTS.c.size == size)
    if connection.execute(present).first() is None:
        connection.execute(sa.insert(CHECKPOINTS).values(organization=organization, size=size, note=note, time=now))


def checkpoints(connection: sa.Connection, organization: str) -> tuple[str, ...]:
    """All kept checkpoints as signed notes, smallest first."""
    return tuple(
        connection.execute(
            sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.organization == organization).order_by(CHECKPOINTS.c.size)
        ).scalars()
    )


def signed_size(connection: sa.Connection, organization: str) -> int:
    """How many entries the newest checkpoint covers; 0 before the first one."""
    query = sa.select(sa.func.coalesce(sa.func.max(CHECKPOINTS.c.size), 0)).where(CHECKPOINTS.c.organization == organization)
    return int(connection.execute(query).scalar_one())


def grown(connection: sa.Connection) -> tuple[str, ...]:
    """The organizations whose log has grown since its newest checkpoint."""
    signed = sa.select(sa.func.max(CHECKPOINTS.c.size)).where(CHECKPOINTS.c.organization == LOGS.c.organization).scalar_subquery()
    query = sa.select(LOGS.c.organization).where(LOGS.c.size > sa.func.coalesce(signed, -1)).order_by(LOGS.c.organization)
    return tuple(connection.execute(query).scalars())


def latest_checkpoint(connection: sa.Connection, organization: str) -> str | None:
    """The newest kept checkpoint as a signed note, or None."""
    return connection.execute(
        sa.select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.organization == organization).order_by(CHECKPOINTS.c.size.desc()).limit(1)
    ).scalar()


def keep_rotation(connection: sa.Connection, organization: str, *, size: int, note: str, now: datetime) -> None:
    """Keep the note by which a log's key handed over to the next after `size` entries."""
    connection.execute(sa.insert(KEY_ROTATIONS).values(organization=organization, size=size, note=note, time=now))


def rotations(connection: sa.Connection, organization: str) -> tuple[str, ...]:
    """All rotation notes of a log, oldest first."""
    return tuple(
        connection.execute(
            sa.select(KEY_ROTATIONS.c.note).where(KEY_ROTATIONS.c.organization == organization).order_by(KEY_ROTATIONS.c.size)
        ).scalars()
    )


def erase_side_records(connection: sa.Connection, organization: str, *, start: int, stop: int) -> int:
    """Erase the side records of the entries `start` (with) to `stop` (without), and give how many there were."""
    erased = sa.delete(SIDE_RECORDS).where(
        SIDE_RECORDS.c.organization == organization, SIDE_RECORDS.c.number >= start, SIDE_RECORDS.c.number < stop
    )
    return connection.execute(erased).rowcount


def first_side_record(connection: sa.Connection, organization: str) -> int | None:
    """The index of the oldest side record that is there."""
    return connection.execute(sa.select(sa.func.min(SIDE_RECORDS.c.number)).where(SIDE_RECORDS.c.organization == organization)).scalar()


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
