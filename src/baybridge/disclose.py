"""VERB: disclose. The one door: load, decide, compute, record, and only then let bytes go. Every face comes here; nothing else does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.agreements import store as agreement_store
from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.domains import unwrap_key
from baybridge.audit.counts import Counted
from baybridge.audit.entry import JSON, Kind, canonical, column_list
from baybridge.audit.log import Draft, Log, always
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import Dataset, Version
from baybridge.data.engines.duckdb import Engine, Page, Question, SortKey, Stop
from baybridge.data.extracts import Extract, Extracts
from baybridge.db import Database
from baybridge.errors import Advice, Invalid, Place, Refused, Unavailable
from baybridge.policy.decision import Ask, Grant, Refusal, UsedColumn, decide
from baybridge.principals.principal import Principal
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType

__all__ = ["Answer", "Ask", "Disclose", "Encodable", "Request", "SortKey", "Stop", "UsedColumn"]
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

    def read(self, request: Request, principal: Principal | None, stop: Stop) -> Answer:
        """Answer the request, with its entry durable, or raise the reason why not.

        When the agreement moves between decision and entry, the request is decided again; nothing of the first try leaves.
        """
        for _ in range(_TRIES):
            dataset, version, agreements = self._load(request, principal)
            decision = decide(request.ask, principal, dataset, version, agreements, now=self.clock())
            if isinstance(decision, Refusal):
                self._enter_refusal(request, principal, dataset, decision)
                raise decision.error()
            answer, draft = self._compute(request, principal, version, decision, stop)
            if draft is None:
                self._count(dataset, "read", None, request.channel)
                return answer
            entry = self.log.record(draft, _guard(decision))
            if entry is not None:
                return replace(answer, entry=entry)
        raise Unavailable("extract_building", "The agreement keeps changing; try again shortly.", retry_after=1)

    @contextmanager
    def counting_strangers(self, request: Request) -> Iterator[None]:
        """Count a refusal that the block raises because it does not know who asks: without a valid token there is no one to enter."""
        try:
            yield
        except Refused as refused:
            with self.database.read() as connection:
                dataset = catalog.find(connection, request.ask.dataset)
            if dataset is not None:
                self._count(dataset, "refusal", refused.code, request.channel)
            raise

    def _load(self, request: Request, principal: Principal | None) -> tuple[Dataset, Version, tuple[Agreement, ...]]:
        with self.database.read() as connection:
            dataset = catalog.require(connection, request.ask.dataset)
            number = dataset.latest if request.version is None else request.version
            version = self._versions.get((str(dataset.name), number))
            if version is None:
                version = catalog.find_version(connection, dataset, number)
                if len(self._versions) >= _VERSIONS_KEPT:
                    self._versions.clear()
                self._versions[str(dataset.name), number] = version
            agreements = () if principal is None else agreement_store.of_consumer(connection, principal.organization, dataset.name)
        return dataset, version, agreements

    def _compute(
        self, request: Request, principal: Principal | None, version: Version, grant: Grant, stop: Stop
    ) -> tuple[Answer, Draft | None]:
        types = dict(grant.projection.types)
        columns = tuple(dict.fromkeys(column.name for column in request.ask.columns if column.parameter == "properties")) or tuple(types)
        digest = self.extracts.digest(grant.projection)
        if request.cursor_extract not in (None, digest):
            raise _moved_cursor()
        question = Question(columns, request.ask.row_filter, request.sort, request.limit, request.after)
        etag = _etag(version, digest, request)
        body, rows = None, 0
        if etag not in request.known and "*" not in request.known:
            extract = self._extract(grant)
            page = self.engine.page(extract, types, question, stop)
            body = request.encode(Encodable(version.number, digest, {name: types[name] for name in columns}, page))
            rows = len(page.rows)
        answer = Answer(
            body=body,
            etag=etag,
            version=version.number,
            governed=grant.standing != "public",
            organization=version.dataset.organization,
            entry=None,
            stands=lambda: self._stands(grant),
        )
        if grant.standing == "public" or principal is None:
            return answer, None
        return answer, self._draft(request, principal, grant, question, digest, body=body, rows=rows)

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

    def _stands(self, grant: Grant) -> bool:
        with self.database.read() as connection:
            return _guard(grant)(connection, self.clock())

    def _draft(
        self,
        request: Request,
        principal: Principal,
        grant: Grant,
        question: Question,
        extract: str,
        *,
        body: bytes | None,
        rows: int,
    ) -> Draft:
        side = canonical({"question": _question_json(question), "salt": self.entropy(16).hex()})
        filtered = () if question.row_filter is None else cql2.properties_of(question.row_filter)
        used = dict.fromkeys([*question.columns, *(each.name for each in filtered), *(key.column for key in question.sort)])
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "bytes": 0 if body is None else len(body),
            "channel": request.channel,
            "columns": column_list(tuple(used)),
            "dataset": str(grant.projection.dataset),
            "extract": extract,
            "purpose": grant.purpose,
            "rows": rows,
            "sha256": None if body is None else hashlib.sha256(body).hexdigest(),
            "side_sha256": hashlib.sha256(side).hexdigest(),
            "standing": grant.standing,
            "status": 304 if body is None else 200,
            "version": grant.projection.version,
        }
        if grant.agreement is not None:
            facts["agreement"] = {"id": grant.agreement.id, "terms_sha256": grant.agreement.terms_sha256}
        return Draft(grant.projection.dataset.organization, Kind.DISCLOSURE, facts, side)

    def _enter_refusal(self, request: Request, principal: Principal | None, dataset: Dataset, refusal: Refusal) -> None:
        """Enter what a known principal was refused. Unknown callers would fill the log: theirs are counted."""
        if principal is None:
            self._count(dataset, "refusal", refusal.code, request.channel)
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

    def _count(self, dataset: Dataset, kind: str, code: str | None, channel: str) -> None:
        self.log.counts.add(Counted(dataset.name.organization, str(dataset.name), kind, code, channel))


def _guard(grant: Grant) -> Callable[[sa.Connection, datetime], bool]:
    """Promise 5: whether the grant still holds, asked inside the transaction that records its disclosure."""
    agreement = grant.agreement
    if agreement is None:
        return always

    def holds(connection: sa.Connection, now: datetime) -> bool:
        return agreement_store.epoch(connection, agreement.id) == agreement.epoch and agreement.standing(now) is Standing.ACTIVE

    return holds


def _etag(version: Version, extract: str, request: Request) -> str:
    """A strong validator (RFC 9110, section 8.8.1): the same extract and representation give the same bytes."""
    named = canonical([extract, request.representation, request.after])
    return f'"v{version.number}-{hashlib.sha256(named).hexdigest()[:32]}"'


def _question_json(question: Question) -> dict[str, JSON]:
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
