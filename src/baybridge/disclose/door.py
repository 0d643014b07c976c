"""The one door: load, decide, compute, record, and only then let bytes go. Every face comes here; nothing else does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

import sqlalchemy as sa

from baybridge.agreements import store as agreement_store
from baybridge.agreements.agreement import Agreement
from baybridge.agreements.domains import unwrap_key
from baybridge.agreements.readers import note_reader
from baybridge.audit.counts import Counted
from baybridge.audit.entry import JSON, Kind, canonical, column_list
from baybridge.audit.log import Draft, Log, always
from baybridge.audit.side import Side
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import NOBODY, Dataset, State, Version
from baybridge.data.engines.duckdb import Engine, Rows, Stop, Whole
from baybridge.data.engines.duckdb import Question as PageQuestion
from baybridge.data.extracts import Extract, Extracts
from baybridge.db import Database
from baybridge.disclose.guard import Granted, Guard, holds
from baybridge.disclose.question import Body, Opened
from baybridge.disclose.reads import Answer, Encodable, Examination, Read, Request, StreamRequest, columns_of, question_of
from baybridge.disclose.stream import Ending, HandedOut, Stream
from baybridge.errors import Advice, BaybridgeError, Invalid, Place, Refused, Unavailable
from baybridge.names import DatasetName
from baybridge.policy.decision import Grant, Refusal, decide
from baybridge.policy.refusals import limit_reached
from baybridge.policy.sight import sight_of
from baybridge.principals.principal import Principal
from baybridge.principals.tokens import present

_TRIES: Final = 4
_VERSIONS_KEPT: Final = 1024

Leaving = TypeVar("Leaving", bound="Answer | Stream")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog says of a read, in one snapshot: the version asked for, and behind it the older one that it is compared with.

    `superseded` is set for a walk through a version that is not the latest now.
    """

    dataset: Dataset
    versions: tuple[Version, ...]
    agreements: tuple[Agreement, ...]
    superseded: datetime | None


@dataclass(frozen=True, slots=True)
class Disclose:
    """The door, bound to what it needs. `wait` is how many seconds a request waits for an extract that is being made."""

    database: Database
    log: Log
    extracts: Extracts
    engine: Engine
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    wrapping_key: bytes
    wait: float
    _versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    _referred: set[tuple[str, str]] = field(default_factory=set)
    _readers: dict[tuple[str, str | None], datetime] = field(default_factory=dict)

    def read(self, request: Request | Examination, principal: Principal | None, stop: Stop) -> Answer:
        """Answer the request, with its entry durable, or raise the reason why not."""
        answer, entry, _ = self._granted(request, principal, lambda granted: self._answer(request, granted, stop))
        return answer if entry is None else replace(answer, entry=entry)

    def stream(self, request: StreamRequest, principal: Principal | None, stop: Stop) -> Answer | Stream:
        """Open a stream, with its opening entry durable, or raise the reason why not; a caller that has it all gets an Answer without body.

        The first rows are computed before the entry is made: what cannot be answered is refused, not begun.
        """
        leaving, entry, granted = self._granted(request, principal, lambda granted: self._stream(request, granted, stop))
        if isinstance(leaving, Answer):
            return leaving if entry is None else replace(leaving, entry=entry)
        leaving.entry = entry
        if granted.principal is not None and entry is not None:
            leaving.enter_end = self._entering_end(leaving, request, granted.principal, entry)
        return leaving

    @contextmanager
    def counting_strangers(self, dataset: DatasetName, channel: str) -> Iterator[None]:
        """Count a refusal that the block raises because it does not know who asks: without a valid token there is no one to enter."""
        try:
            yield
        except Refused as refused:
            with self.database.read() as connection:
                known = catalog.find(connection, dataset, NOBODY)
            if known is not None:
                self.log.counts.add(Counted(dataset.organization, str(dataset), "refusal", refused.code, channel))
            raise

    def let_go(self) -> None:
        """Close what was opened of extracts that are no longer there, and forget what is kept of purged versions: statistics are values."""
        self.engine.close_missing()
        with self.database.read() as connection:
            purged = [each for state in (State.PURGING, State.PURGED) for each in catalog.in_state(connection, state)]
        for name, number in purged:
            self._versions.pop((str(name), number), None)

    def _granted(
        self, request: Read, principal: Principal | None, compute: Callable[[Granted], tuple[Leaving, Draft | None]]
    ) -> tuple[Leaving, int | None, Granted]:
        """Load, decide, compute, record.

        When the agreement moves between decision and entry, the request is decided again; nothing of the first try leaves.
        """
        for again in range(_TRIES):
            if again and principal is not None:
                principal = self._present(request, principal)
            granted = self._decide(request, principal, self._load(request, principal))
            if isinstance(granted, Refusal):
                raise self._refused(request, principal, granted)
            try:
                leaving, draft = compute(granted)
            except Exception as failure:
                if self._stands(granted) and (isinstance(failure, Invalid | Unavailable) or self._are_present(granted)):
                    raise
                continue  # what it was reading from was withdrawn, purged or collected meanwhile: decide again
            if draft is None:
                self._count(request, "read", None)
                return leaving, None, granted
            guard = Guard(granted, rows=leaving.rows)
            entry = self.log.record(draft, guard)
            if entry is not None:
                return leaving, entry, granted
            if isinstance(leaving, Stream):
                leaving.batches.close()
            if granted.first.agreement is not None and guard.reached is not None:
                refusal = limit_reached(granted.first.agreement, guard.reached.what, guard.reached.limit, now=self.clock())
                raise self._refused(request, principal, refusal)
        raise Unavailable(
            "extract_building",
            "The agreement keeps changing.",
            advice=Advice(
                rule="What is served was decided under what holds when it is entered.",
                who_can_change="nobody needs to",
                next_step="Send the same request again in a moment.",
            ),
            retry_after=1,
        )

    def _decide(self, request: Read, principal: Principal | None, known: _Known) -> Granted | Refusal:
        """A grant for each version, or the first refusal. What compares two versions needs both."""
        grants: list[Grant] = []
        for version in known.versions:
            decision = decide(
                request.ask, principal, known.dataset, version, known.agreements, now=self.clock(), superseded=known.superseded
            )
            if isinstance(decision, Refusal):
                return decision
            grants.append(decision)
        keys = tuple(version.schema.key for version in known.versions)
        refusal = request.question.refusal(tuple(grants), keys) if isinstance(request, Examination) else None
        return refusal or Granted(principal, tuple(grants), keys[0])

    def _load(self, request: Read, principal: Principal | None) -> _Known:
        with self.database.read() as connection:
            dataset = catalog.require(connection, request.ask.dataset, sight_of(principal))
            numbers = [request.version]
            if isinstance(request, Examination) and request.since is not None:
                numbers.append(request.since)
            versions = tuple(self._version(connection, dataset, number) for number in numbers)
            agreements = () if principal is None else agreement_store.of_consumer(connection, principal.organization, dataset.name)
            walks_on = isinstance(request, Request) and request.cursor_extract is not None and versions[0].number != dataset.latest
            superseded = catalog.superseded(connection, dataset.name, versions[0].number) if walks_on else None
        return _Known(dataset, versions, agreements, superseded)

    def _version(self, connection: sa.Connection, dataset: Dataset, number: int | None) -> Version:
        """A version as it stands now. What never changes of it is kept."""
        wanted = (dataset.latest or dataset.last) if number is None else number
        version = self._versions.get((str(dataset.name), wanted))
        if version is None:
            version = catalog.find_version(connection, dataset, wanted)
            if len(self._versions) >= _VERSIONS_KEPT:
                self._versions.clear()
            self._versions[str(dataset.name), wanted] = version
        state = catalog.state_of(connection, dataset.name, wanted)
        if state is not version.state:
            self._versions.pop((str(dataset.name), wanted), None)  # of a purged version, its statistics are values
            version = replace(version, state=state)
        return version

    def _answer(self, request: Request | Examination, granted: Granted, stop: Stop) -> tuple[Answer, Draft | None]:
        digest = self._digest(granted)
        if request.cursor_extract not in (None, digest):
            raise _moved_cursor()
        etag = _etag(granted.first, digest, request.representation, request.after)
        if request.bodiless or _known(request, etag):
            return self._headers(request, granted, etag)
        if isinstance(request, Examination):
            opened = tuple(Opened(grant, self._extract(grant), granted.key) for grant in granted.grants)
            body = request.question.answer(self.engine, opened, stop)
        else:
            body = self._page(request, granted.first, digest, stop)
        sha256 = hashlib.sha256(body.data).hexdigest()
        outcome: dict[str, JSON] = {"bytes": len(body.data), "rows": body.rows, "sha256": sha256, "status": 200}
        return self._leaving(granted, etag, body), self._draft(request, granted, outcome)

    def _headers(self, request: Read, granted: Granted, etag: str) -> tuple[Answer, Draft | None]:
        """An answer without a body: nothing has changed since, or nothing but the headers was asked for."""
        unchanged = _known(request, etag)
        outcome: dict[str, JSON] = {"bytes": 0, "rows": 0, "sha256": None, "status": 304 if unchanged else 200}
        return replace(self._leaving(granted, etag, None), unchanged=unchanged), self._draft(request, granted, outcome)

    def _page(self, request: Request, grant: Grant, digest: str, stop: Stop) -> Body:
        types = grant.projection.types
        question = PageQuestion(columns_of(request, types), request.ask.row_filter, request.sort, request.limit, request.after)
        page = self.engine.page(self._extract(grant), types, question, stop)
        named = {name: types[name] for name in question.columns}
        return Body(request.encode(Encodable(grant.projection.version, digest, named, page)), len(page.rows))

    def _stream(self, request: StreamRequest, granted: Granted, stop: Stop) -> tuple[Answer | Stream, Draft | None]:
        grant, types = granted.first, granted.first.projection.types
        whole = Whole(columns_of(request, types), request.ask.row_filter, request.sort, request.limit)
        etag = _etag(grant, self._digest(granted), request.representation, None)
        if request.bodiless or _known(request, etag):
            return self._headers(request, granted, etag)
        extract = self._extract(grant)
        rows = self.engine.count(extract, types, whole, stop)
        stream = Stream(
            rows=rows,
            etag=etag,
            version=grant.projection.version,
            governed=grant.standing != "public",
            organization=grant.projection.dataset.organization,
            agreement=granted.agreement,
            stands=lambda: self._stands(granted),
            stop=stop,
            batches=_begun(self.engine.stream(extract, types, whole, stop)),
            lines=request.begin({name: types[name] for name in whole.columns}),
        )
        opened: dict[str, JSON] = {"bytes": None, "rows": rows, "sha256": None, "status": 200, "stream": True}
        return stream, self._draft(request, granted, opened)

    def _leaving(self, granted: Granted, etag: str, body: Body | None) -> Answer:
        projection = granted.first.projection
        return Answer(
            body=None if body is None else body.data,
            rows=0 if body is None else body.rows,
            etag=etag,
            version=projection.version,
            governed=granted.first.standing != "public",
            organization=projection.dataset.organization,
            agreement=granted.agreement,
            entry=None,
            stands=lambda: self._stands(granted),
        )

    def _are_present(self, granted: Granted) -> bool:
        return all(self.extracts.is_present(each.projection) for each in granted.grants)

    def _digest(self, granted: Granted) -> str:
        return "-".join(self.extracts.digest(grant.projection) for grant in granted.grants)

    def _entering_end(self, stream: Stream, request: Read, principal: Principal, opening: int) -> Callable[[Ending, HandedOut], None]:
        def enter(ending: Ending, handed: HandedOut) -> None:
            facts: dict[str, JSON] = {
                "actor": {"organization": principal.organization, "principal": principal.id},
                "bytes": handed.size,
                "dataset": str(request.ask.dataset),
                "ending": ending.value,
                "opening": opening,
                "rows": handed.rows,
                "sha256": handed.sha256,
            }
            self.log.record(Draft(stream.organization, Kind.STREAM_ENDED, facts), always)

        return enter

    def _extract(self, grant: Grant) -> Extract:
        extract = self.extracts.find(grant.projection, self._domain_key, wait=self.wait)
        if grant.agreement is not None and (grant.agreement.id, extract.sha256) not in self._referred:
            with self.database.write() as connection:
                referred = agreement_store.refer_to_extract(connection, grant.agreement, extract.sha256, now=self.clock())
            if referred:
                self._referred.add((grant.agreement.id, extract.sha256))
        self._note_reader(grant)
        return extract

    def _note_reader(self, grant: Grant) -> None:
        """Note who reads the dataset, once an hour: what is read of late is made ahead of the readers of its next version."""
        dataset, hour = grant.projection.dataset, self.clock().replace(minute=0, second=0, microsecond=0)
        reader = (str(dataset), None if grant.agreement is None else grant.agreement.id)
        if self._readers.get(reader) != hour:
            with self.database.write() as connection:
                note_reader(connection, dataset, grant.agreement, now=self.clock())
            self._readers[reader] = hour

    def _domain_key(self, key_id: str) -> bytes:
        with self.database.read() as connection:
            return unwrap_key(connection, key_id, wrapping_key=self.wrapping_key)

    def _stands(self, granted: Granted) -> bool:
        with self.database.read() as connection:
            return holds(granted, connection, self.clock())

    def _present(self, request: Read, principal: Principal) -> Principal:
        """The principal as it stands now. Raise the reason, entered, where it may not act any more or its provider takes no part."""
        provider = request.ask.dataset.organization
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "channel": request.channel,
            "dataset": str(request.ask.dataset),
        }
        with self.log.entering_refusals(provider, facts), self.database.read() as connection:
            return present(connection, principal, now=self.clock(), counterpart=provider)

    def _draft(self, request: Read, granted: Granted, outcome: Mapping[str, JSON]) -> Draft | None:
        """The entry of a disclosure, or None where reads are not entered one by one.

        `outcome` are the facts of what leaves: rows, bytes, sha256, status.
        """
        principal, grant = granted.principal, granted.first
        if principal is None or grant.standing == "public":
            return None
        asked, used = question_of(request, grant)
        side = canonical({"question": asked, "salt": self.entropy(16).hex()})
        facts: dict[str, JSON] = {
            **outcome,
            "actor": {"organization": principal.organization, "principal": principal.id},
            "channel": request.channel,
            "columns": column_list(used),
            "dataset": str(grant.projection.dataset),
            "extract": self.extracts.digest(grant.projection),
            "purpose": grant.purpose,
            "side_sha256": hashlib.sha256(side).hexdigest(),
            "standing": grant.standing,
            "version": grant.projection.version,
        }
        for older in granted.grants[1:]:
            facts |= {"since": older.projection.version, "since_extract": self.extracts.digest(older.projection)}
        if grant.agreement is not None:
            facts["agreement"] = {"id": grant.agreement.id, "terms_sha256": grant.agreement.terms_sha256}
        since = granted.grants[1].projection.version if len(granted.grants) > 1 else None
        kept = Side(side, str(grant.projection.dataset), grant.projection.version, since)
        return Draft(grant.projection.dataset.organization, Kind.DISCLOSURE, facts, kept)

    def _count(self, request: Read, kind: str, code: str | None) -> None:
        name = request.ask.dataset
        self.log.counts.add(Counted(name.organization, str(name), kind, code, request.channel))

    def _refused(self, request: Read, principal: Principal | None, refusal: Refusal) -> BaybridgeError:
        """The refusal as an error, entered if the principal is known. Unknown callers would fill the log: theirs are counted."""
        if principal is None:
            self._count(request, "refusal", refusal.code)
            return refusal.error()
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "agreement": refusal.agreement,
            "channel": request.channel,
            "code": refusal.code,
            "dataset": str(request.ask.dataset),
            "purpose": principal.purpose if request.ask.purpose is None else request.ask.purpose,
        }
        self.log.record(Draft(request.ask.dataset.organization, Kind.REFUSAL, facts), always)
        return refusal.error()


def _known(request: Read, etag: str) -> bool:
    """Whether the caller has this answer already (RFC 9110, section 13.1.2)."""
    return etag in request.known or "*" in request.known


def _begun(batches: Rows) -> Rows:
    """The same batches with the first computed now, so that what cannot be answered fails here."""
    first = next(batches, None)

    def rest() -> Rows:
        try:
            if first is not None:
                yield first
                yield from batches
        finally:
            batches.close()

    return rest()


def _etag(grant: Grant, extract: str, representation: str, after: int | None) -> str:
    """A strong validator (RFC 9110, section 8.8.1): the same extract and representation give the same bytes."""
    named = canonical([extract, representation, after])
    return f'"v{grant.projection.version}-{hashlib.sha256(named).hexdigest()[:32]}"'


def _moved_cursor() -> Invalid:
    return Invalid(
        "cursor_invalid",
        "The cursor belongs to other terms than those in force now.",
        advice=Advice(
            rule="A cursor goes on with the same question under the same terms and version.",
            who_can_change="you",
            next_step="Start again without a cursor.",
        ),
        places=(Place("cursor", "made under other terms"),),
    )
