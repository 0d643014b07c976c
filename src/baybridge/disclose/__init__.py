"""VERB: disclose. The one door: load, decide, compute, record, and only then let bytes go. Every face comes here; nothing else does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.agreements import store as agreement_store
from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.domains import unwrap_key
from baybridge.audit.entry import JSON, Kind, canonical, column_list
from baybridge.audit.log import Draft, Log, always
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import Dataset, State, Version
from baybridge.data.engines.duckdb import Engine, Page, SortKey, Stop
from baybridge.data.engines.duckdb import Question as PageQuestion
from baybridge.data.extracts import Extract, Extracts
from baybridge.db import Database
from baybridge.disclose.question import Body, Opened, Question
from baybridge.errors import Advice, Invalid, Place, Unavailable
from baybridge.policy.decision import Ask, Grant, Refusal, UsedColumn, decide
from baybridge.principals.principal import Principal
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType

__all__ = ["Answer", "Ask", "Disclose", "Encodable", "Examination", "Request", "SortKey", "Stop", "UsedColumn"]
"""All that a face needs of the door: faces import nothing from behind it."""

_TRIES: Final = 4
_VERSIONS_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A read, whatever face it came through. `after` (a `_row`) and `cursor_extract` come from a cursor; `known` are the caller's ETags.

    `representation` names path, parameters and format, so that two answers with one ETag are one sequence of bytes. `encode` makes
    the body from a page; it is called before the entry is written, because the entry holds the body's SHA-256.
    """

    ask: Ask
    version: int | None
    sort: tuple[SortKey, ...]
    limit: int
    after: int | None
    cursor_extract: str | None
    known: frozenset[str]
    representation: str
    channel: str
    encode: Callable[[Encodable], bytes]


@dataclass(frozen=True, slots=True)
class Examination:
    """Another kind of question than a page: about one version, or where `since` is given, about two."""

    ask: Ask
    version: int | None
    since: int | None
    known: frozenset[str]
    representation: str
    channel: str
    question: Question
    after: int | None = None
    cursor_extract: str | None = None


@dataclass(frozen=True, slots=True)
class Encodable:
    """What a face makes a body of: a page of one version's extract, and the names and types of its columns."""

    version: int
    extract: str
    types: dict[str, ColumnType]
    page: Page


@dataclass(frozen=True, slots=True)
class Answer:
    """What may leave now. `body` is None for a 304. `entry` is None for a public dataset, whose reads are not entered one by one.

    `stands` says whether the grant still holds: a face that is still sending asks every 250 ms, and resets the connection on False.
    """

    body: bytes | None
    etag: str
    version: int
    governed: bool
    organization: str
    entry: int | None
    stands: Callable[[], bool]


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

    def read(self, request: Request | Examination, principal: Principal | None, stop: Stop) -> Answer:
        """Answer the request, with its entry durable, or raise the reason why not.

        When the agreement moves between decision and entry, the request is decided again; nothing of the first try leaves.
        """
        for _ in range(_TRIES):
            dataset, versions, agreements = self._load(request, principal)
            decision = self._decide(request, principal, dataset, versions, agreements)
            if isinstance(decision, Refusal):
                self._enter_refusal(request, principal, dataset, decision)
                raise decision.error()
            try:
                answer, draft = self._compute(request, principal, versions, decision, stop)
            except Exception:
                if self._stands(decision):
                    raise
                continue  # what it was reading from was withdrawn or purged meanwhile: decide again
            if draft is None:
                return answer
            entry = self.log.record(draft, _guard(decision))
            if entry is not None:
                return replace(answer, entry=entry)
        raise Unavailable("extract_building", "The agreement keeps changing; try again shortly.", retry_after=1)

    def let_go(self) -> None:
        """Close what was opened of extracts that are no longer there: another process may have purged them."""
        self.engine.close_missing()

    def _decide(
        self,
        request: Request | Examination,
        principal: Principal | None,
        dataset: Dataset,
        versions: tuple[Version, ...],
        agreements: tuple[Agreement, ...],
    ) -> tuple[Grant, ...] | Refusal:
        """A grant for each version, or the first refusal. What compares two versions needs both."""
        grants: list[Grant] = []
        for version in versions:
            decision = decide(request.ask, principal, dataset, version, agreements, now=self.clock())
            if isinstance(decision, Refusal):
                return decision
            grants.append(decision)
        if isinstance(request, Examination):
            return request.question.refusal(tuple(grants), versions[0].schema.key) or tuple(grants)
        return tuple(grants)

    def _load(
        self, request: Request | Examination, principal: Principal | None
    ) -> tuple[Dataset, tuple[Version, ...], tuple[Agreement, ...]]:
        """The dataset, the version asked for and the older one that it is compared with, and what the caller's organization has agreed."""
        with self.database.read() as connection:
            dataset = catalog.require(connection, request.ask.dataset)
            numbers = [request.version]
            if isinstance(request, Examination) and request.since is not None:
                numbers.append(request.since)
            versions = tuple(self._version(connection, dataset, number) for number in numbers)
            agreements = () if principal is None else agreement_store.of_consumer(connection, principal.organization, dataset.name)
        return dataset, versions, agreements

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

    def _compute(
        self,
        request: Request | Examination,
        principal: Principal | None,
        versions: tuple[Version, ...],
        grants: tuple[Grant, ...],
        stop: Stop,
    ) -> tuple[Answer, Draft | None]:
        digest = "-".join(self.extracts.digest(grant.projection) for grant in grants)
        if request.cursor_extract not in (None, digest):
            raise _moved_cursor()
        etag = _etag(versions[0], digest, request)
        body = None
        if etag not in request.known and "*" not in request.known:
            if isinstance(request, Examination):
                opened = tuple(Opened(grant, self._extract(grant), versions[0].schema.key) for grant in grants)
                body = request.question.answer(self.engine, opened, stop)
            else:
                body = self._page(request, grants[0], digest, stop)
        answer = Answer(
            body=None if body is None else body.data,
            etag=etag,
            version=versions[0].number,
            governed=grants[0].standing != "public",
            organization=versions[0].dataset.organization,
            entry=None,
            stands=lambda: self._stands(grants),
        )
        if grants[0].standing == "public" or principal is None:
            return answer, None
        return answer, self._draft(request, principal, grants, body)

    def _page(self, request: Request, grant: Grant, digest: str, stop: Stop) -> Body:
        types = dict(grant.projection.types)
        question = _question(request, types)
        page = self.engine.page(self._extract(grant), types, question, stop)
        named = {name: types[name] for name in question.columns}
        return Body(request.encode(Encodable(grant.projection.version, digest, named, page)), len(page.rows))

    def _extract(self, grant: Grant) -> Extract:
        extract = self.extracts.find(grant.projection, self._domain_key, wait=self.wait)
        if grant.agreement is not None and (grant.agreement.id, extract.sha256) not in self._referred:
            with self.database.write() as connection:
                agreement_store.refer_to_extract(connection, grant.agreement.id, extract.sha256, now=self.clock())
            self._referred.add((grant.agreement.id, extract.sha256))
        return extract

    def _domain_key(self, key_id: str) -> bytes:
        with self.database.read() as connection:
            return unwrap_key(connection, key_id, wrapping_key=self.wrapping_key)

    def _stands(self, grants: tuple[Grant, ...]) -> bool:
        with self.database.read() as connection:
            return _guard(grants)(connection, self.clock())

    def _draft(self, request: Request | Examination, principal: Principal, grants: tuple[Grant, ...], body: Body | None) -> Draft:
        grant = grants[0]
        asked, used = _asked(request, grant)
        side = canonical({"question": asked, "salt": self.entropy(16).hex()})
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "bytes": 0 if body is None else len(body.data),
            "channel": request.channel,
            "columns": column_list(used),
            "dataset": str(grant.projection.dataset),
            "extract": self.extracts.digest(grant.projection),
            "purpose": grant.purpose,
            "rows": 0 if body is None else body.rows,
            "sha256": None if body is None else hashlib.sha256(body.data).hexdigest(),
            "side_sha256": hashlib.sha256(side).hexdigest(),
            "standing": grant.standing,
            "status": 304 if body is None else 200,
            "version": grant.projection.version,
        }
        for older in grants[1:]:
            facts |= {"since": older.projection.version, "since_extract": self.extracts.digest(older.projection)}
        if grant.agreement is not None:
            facts["agreement"] = {"id": grant.agreement.id, "terms_sha256": grant.agreement.terms_sha256}
        return Draft(grant.projection.dataset.organization, Kind.DISCLOSURE, facts, side)

    def _enter_refusal(self, request: Request | Examination, principal: Principal | None, dataset: Dataset, refusal: Refusal) -> None:
        """Enter what a known principal was refused; unknown callers would fill the log."""
        if principal is None:
            return
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "agreement": refusal.agreement,
            "channel": request.channel,
            "code": refusal.code,
            "dataset": str(dataset.name),
            "purpose": principal.purpose if request.ask.purpose is None else request.ask.purpose,
        }
        self.log.record(Draft(dataset.name.organization, Kind.REFUSAL, facts), always)


def _guard(grants: tuple[Grant, ...]) -> Callable[[sa.Connection, datetime], bool]:
    """Promise 5: whether the grants still hold, asked inside the transaction that records their disclosure."""
    return lambda connection, now: all(_holds(grant, connection, now) for grant in grants)


def _holds(grant: Grant, connection: sa.Connection, now: datetime) -> bool:
    agreement, projection = grant.agreement, grant.projection
    if catalog.state_of(connection, projection.dataset, projection.version) is not State.PUBLISHED:
        return False
    if agreement is None:
        return True
    return agreement_store.epoch(connection, agreement.id) == agreement.epoch and agreement.standing(now) is Standing.ACTIVE


def _question(request: Request, types: Mapping[str, ColumnType]) -> PageQuestion:
    columns = tuple(dict.fromkeys(column.name for column in request.ask.columns if column.parameter == "properties")) or tuple(types)
    return PageQuestion(columns, request.ask.row_filter, request.sort, request.limit, request.after)


def _asked(request: Request | Examination, grant: Grant) -> tuple[dict[str, JSON], tuple[str, ...]]:
    """The question as its side record keeps it, and the columns that it gives out, filters or sorts by."""
    types = grant.projection.types
    if isinstance(request, Examination):
        return request.question.facts(), tuple(types)
    question = _question(request, types)
    filtered = () if question.row_filter is None else cql2.properties_of(question.row_filter)
    used = dict.fromkeys([*question.columns, *(each.name for each in filtered), *(key.column for key in question.sort)])
    return _question_json(question), tuple(used)


def _etag(version: Version, extract: str, request: Request | Examination) -> str:
    """A strong validator (RFC 9110, section 8.8.1): the same extract and representation give the same bytes."""
    named = canonical([extract, request.representation, request.after])
    return f'"v{version.number}-{hashlib.sha256(named).hexdigest()[:32]}"'


def _question_json(question: PageQuestion) -> dict[str, JSON]:
    return {
        "after": question.after,
        "columns": list(question.columns),
        "filter": None if question.row_filter is None else cql2.to_text(question.row_filter),
        "limit": question.limit,
        "sort": [("-" if key.descending else "") + key.column for key in question.sort],
    }


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
