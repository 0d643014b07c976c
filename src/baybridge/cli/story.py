"""The demo's steps, in order: agencies, publications, an agreement, reads, refusals, a revocation, the log. Each ends in a check.

People act over HTTP on a real server with their own tokens; what they get is compared with DuckDB's own answer on the source files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from baybridge.audit.entry import decode
from baybridge.cli import demo_source
from baybridge.cli.demo_server import running_server
from baybridge.cli.demo_source import Publication, Source
from baybridge.cli.local import LocalOperator, make_home
from baybridge.client import Client
from baybridge.errors import BaybridgeError
from baybridge.terms.terms import format_instant
from baybridge.wire.agreements import AgreementShape
from baybridge.wire.collections import DeclareRequest
from baybridge.wire.terms import TermsShape

ORIGIN: Final = "demo.baybridge.localhost"
CONSUMER: Final = "nyc_planning"
PURPOSE: Final = "noise-study"
RELEASED: Final = ("time_hour", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "distance")
KEY: Final = ("time_hour", "carrier", "flight")
_REVOKED_WITHIN: Final = 1.0

_AGENCIES: Final = {
    "bts": "Bureau of Transportation Statistics",
    "faa": "Federal Aviation Administration",
    "noaa": "National Oceanic and Atmospheric Administration",
    CONSUMER: "A city's planning agency",
}
_PEOPLE: Final = {
    "steward": ("bts", "steward"),
    "provider_signatory": ("bts", "signatory"),
    "auditor": ("bts", "auditor"),
    "faa_steward": ("faa", "steward"),
    "faa_signatory": ("faa", "signatory"),
    "noaa_steward": ("noaa", "steward"),
    "analyst": (CONSUMER, "analyst"),
    "consumer_signatory": (CONSUMER, "signatory"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agreement stands at the story's end."""

    id: str
    dataset: str
    state: str


@dataclass(slots=True)
class Told:
    """What the story leaves behind."""

    tokens: dict[str, str] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    agreements: list[Standing] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


@dataclass(slots=True)
class _Stage:
    """Where the story plays: how it is told, and, once the server runs, each person's client."""

    root: Path
    outside: Path
    source: Source
    say: Callable[[str], None]
    told: Told
    term: tuple[str, str] = ("", "")
    waiting: list[tuple[str, str]] = field(default_factory=list)
    clients: dict[str, Client] = field(default_factory=dict)

    def check(self, name: str, detail: str, *, ok: bool) -> None:
        """Keep and tell the outcome of a step."""
        self.told.checks.append(Check(name, ok, detail))
        self.say(f"  {'ok' if ok else 'FAILED'}  {name}: {detail}")

    def refused(self, name: str, code: str, act: Callable[[], object]) -> None:
        """The check that an act is refused with that code."""
        try:
            act()
        except BaybridgeError as refusal:
            self.check(name, f"{refusal.code}: {refusal.detail}", ok=refusal.code == code)
        else:
            self.check(name, "it was not refused", ok=False)


def tell(root: Path, *, say: Callable[[str], None]) -> Told:
    """Tell the whole story in a new home at `root`. An error that stops it is a failed check of its own."""
    told = Told()
    with demo_source.unpacked() as source:
        stage = _Stage(root, source.folder, source, say, told)
        try:
            _make(stage)
            with running_server(root) as url, _people(stage, url):
                _confirm(stage)
                _publish(stage)
                agreement = _agree(stage)
                checkpoint = _keep_checkpoint(stage)
                pages = _read(stage, agreement)
                _refuse(stage)
                _revoke(stage)
                _verify(stage, checkpoint, pages)
                _stand(stage)
        except BaybridgeError as stopped:
            stage.check("the story goes on", f"{stopped.code}: {stopped.detail}", ok=False)
    return told


def _make(stage: _Stage) -> None:
    stage.say("1. An exchange is made, and four agencies join it with their people.")
    make_home(stage.root, origin=ORIGIN)
    with LocalOperator(stage.root, {}) as operator:
        for name, title in _AGENCIES.items():
            operator.add_organization(name, title)
        for person, (organization, role) in _PEOPLE.items():
            added = operator.add_principal(organization, f"{role.title()} of {organization}", roles=[role])
            bound = PURPOSE if person == "analyst" else None
            if added.pending:
                stage.waiting.append((organization, added.id))
            stage.told.tokens[person] = operator.issue_token(added.id, purpose=bound).token
        now = operator.exchange.agree.clock()
        joined = [each.name for each in operator.organizations().organizations]
    stage.term = (format_instant(now - timedelta(days=1)), format_instant(now + timedelta(days=730)))
    stage.check("agencies and people", f"{', '.join(joined)}; {len(_PEOPLE)} people with a token each", ok=set(joined) == set(_AGENCIES))


def _confirm(stage: _Stage) -> None:
    """The operator alone cannot make a signatory: a colleague of each confirms."""
    colleagues = {"bts": "steward", "faa": "faa_steward", CONSUMER: "analyst"}
    confirmed = [stage.clients[colleagues[organization]].confirm_roles(principal) for organization, principal in stage.waiting]
    detail = ", ".join(each.name for each in confirmed)
    stage.check("two people stand behind each signatory", detail, ok=[each.roles for each in confirmed] == [["signatory"]] * 3)


def _publish(stage: _Stage) -> None:
    stage.say("2. Their stewards publish; NA is null, every row is profiled and checked.")
    for each in demo_source.PUBLICATIONS:
        _publish_one(stage, each)


def _publish_one(stage: _Stage, publication: Publication) -> None:
    steward = stage.clients["steward" if publication.organization == "bts" else f"{publication.organization}_steward"]
    steward.declare(publication.dataset, DeclareRequest(title=publication.title, access=publication.access))
    began = time.monotonic()
    report = steward.publish(publication.dataset, stage.source.path(publication), null=["NA"], key=publication.key, accept_schema=True)
    seconds = time.monotonic() - began
    stage.told.datasets.append(publication.dataset)
    in_file = stage.source.count(publication)
    balanced = report.rows_read == report.rows_loaded + report.rows_rejected == in_file and report.rows_loaded == in_file
    counts = f"{report.rows_read:,} rows read = {report.rows_loaded:,} loaded + {report.rows_rejected:,} rejected, in {seconds:.1f} s"
    stage.check(f"{publication.dataset} ({publication.access}) balances", counts, ok=balanced and report.version == 1)


def _agree(stage: _Stage) -> AgreementShape:
    stage.say(f"3. {CONSUMER} asks for the flights of JFK for a noise study, tail numbers as pseudonyms. Both sides sign.")
    analyst = stage.clients["analyst"]
    stage.refused("nothing without an agreement", "no_agreement", lambda: analyst.items("bts.flights", limit=1))
    asked = analyst.request_agreement(
        TermsShape(
            dataset="bts.flights",
            columns=list(RELEASED),
            purposes=[PURPOSE],
            provider_authority="49 U.S.C. 6302",
            consumer_authority="City charter, planning and environmental review",
            start=stage.term[0],
            end=stage.term[1],
            row_filter="origin = 'JFK'",
            masks={"tailnum": "pseudonym"},
        )
    )
    stage.clients["steward"].offer(asked.id)
    stage.clients["provider_signatory"].sign(asked.id, asked.terms_sha256)
    stage.refused("one signature is not enough", "request_pending", lambda: analyst.items("bts.flights", limit=1))
    signed = stage.clients["consumer_signatory"].sign(asked.id, asked.terms_sha256)
    sides = " and ".join(each.organization for each in signed.signatures)
    stage.check(
        f"{signed.id} is in force",
        f"{signed.state}, signed by {sides} over sha256 {signed.terms_sha256[:16]}...",
        ok=signed.state == "ACTIVE",
    )
    return signed


def _keep_checkpoint(stage: _Stage) -> Path:
    """The auditor keeps a checkpoint outside the home, from before anything was read."""
    kept = stage.outside / "bts.checkpoint"
    kept.write_text(stage.clients["auditor"].checkpoint("bts"), encoding="utf-8")
    return kept


def _read(stage: _Stage, agreement: AgreementShape) -> int:
    stage.say(f"4. The analyst reads under {agreement.id}. DuckDB answers the same on the source file.")
    analyst = stage.clients["analyst"]
    pages = list(analyst.pages("bts.flights", limit=10_000))
    rows = [row for page in pages for row in page.items]
    wanted = stage.source.flights_of("JFK", RELEASED)
    _compare_rows(stage, rows, wanted)
    question = "dep_delay >= 120 AND dest IN ('LAX', 'SFO')"
    order = ("-dep_delay", *KEY)
    page = analyst.items("bts.flights", filter=question, sortby=order, properties=("dep_delay", *KEY), limit=50)
    expected = stage.source.late_flights("JFK", limit=50)
    answered = [tuple(str(value) for value in row.values()) for row in page.items]
    stage.check("a filtered, sorted page", f"{len(answered)} rows, as DuckDB has them: {question}", ok=answered == expected)
    with Client(analyst.url) as public:
        weather = public.items("noaa.weather", limit=1)
    stage.check("public data needs no token", f"noaa.weather, version {weather.version}", ok=len(weather.items) == 1)
    return len(pages) + 1


def _compare_rows(stage: _Stage, rows: list[dict[str, Any]], wanted: list[dict[str, str | None]]) -> None:
    """Same rows and values but for tail numbers; those are equal where the originals are, and differ from every original."""
    plain = [name for name in RELEASED if name != "tailnum"]
    got = sorted((_texts(row, plain) for row in rows), key=str)
    stage.check(
        "the agreed rows and columns, and no others",
        f"{len(rows):,} rows, {len(RELEASED)} columns",
        ok=got == sorted((_texts(row, plain) for row in wanted), key=str) and all(tuple(row) == RELEASED for row in rows),
    )
    originals = {_texts(row, KEY): row["tailnum"] for row in wanted}
    pairs = {(originals.get(_texts(row, KEY)), row["tailnum"]) for row in rows}
    known = {original for original, _ in pairs if original is not None}
    pseudonyms = {pseudonym for _, pseudonym in pairs if pseudonym is not None}
    one_to_one = len(known) == len(pseudonyms) == len(pairs - {(None, None)}) and not known & pseudonyms
    stage.check("tail numbers are pseudonyms", f"{len(known):,} tail numbers, {len(pseudonyms):,} pseudonyms, one for each", ok=one_to_one)


def _texts(row: dict[str, Any], columns: tuple[str, ...] | list[str]) -> tuple[str | None, ...]:
    return tuple(None if row[name] is None else str(row[name]) for name in columns)


def _refuse(stage: _Stage) -> None:
    stage.say("5. What was not agreed is refused, with the reason.")
    analyst = stage.clients["analyst"]
    stage.refused("a withheld column", "column_not_in_agreement", lambda: analyst.items("bts.flights", properties=["air_time"], limit=1))
    stage.refused(
        "a filter on a withheld column", "column_not_in_agreement", lambda: analyst.items("bts.flights", filter="air_time > 60", limit=1)
    )
    stage.refused("another purpose", "purpose_not_allowed", lambda: analyst.items("bts.flights", purpose="marketing", limit=1))
    stage.refused("another dataset", "no_agreement", lambda: analyst.items("faa.aircraft", limit=1))


def _revoke(stage: _Stage) -> None:
    stage.say("6. A second agreement, on the FAA's aircraft registry, is signed, read, and revoked while the analyst reads.")
    analyst, steward = stage.clients["analyst"], stage.clients["faa_steward"]
    asked = analyst.request_agreement(
        TermsShape(
            dataset="faa.aircraft",
            columns=["year", "type", "manufacturer", "model", "engines", "seats"],
            purposes=[PURPOSE],
            provider_authority="49 U.S.C. 44103",
            consumer_authority="City charter, planning and environmental review",
            start=stage.term[0],
            end=stage.term[1],
        )
    )
    steward.offer(asked.id)
    stage.clients["faa_signatory"].sign(asked.id, asked.terms_sha256)
    stage.clients["consumer_signatory"].sign(asked.id, asked.terms_sha256)
    analyst.items("faa.aircraft", limit=100)
    reader = _Reader(analyst.url, stage.told.tokens["analyst"])
    thread = threading.Thread(target=reader.read, daemon=True)
    thread.start()
    reader.reading.wait(10)
    steward.revoke(asked.id, "The demo revokes it.")
    answered = time.monotonic()
    thread.join(10)
    late = max(0.0, reader.last_data - answered)
    detail = f"{reader.reads} reads before, then {reader.code}; last data {late * 1000:.0f} ms after the revoke call was answered"
    refused = reader.code == "agreement_revoked" and not thread.is_alive()
    stage.check(f"{asked.id} is revoked within a second", detail, ok=refused and late < _REVOKED_WITHIN)


@dataclass(slots=True)
class _Reader:
    """Reads in a loop until it is refused, on a connection of its own."""

    url: str
    token: str
    reads: int = 0
    last_data: float = 0.0
    code: str = "no refusal"
    reading: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        deadline = time.monotonic() + 10
        with Client(self.url, self.token) as client:
            while time.monotonic() < deadline:
                try:
                    client.items("faa.aircraft", limit=100)
                except BaybridgeError as refusal:
                    self.code = refusal.code
                    return
                self.last_data = time.monotonic()
                self.reads += 1
                if self.reads >= 3:  # noqa: PLR2004 -- reading is under way
                    self.reading.set()


def _verify(stage: _Stage, checkpoint: Path, pages: int) -> None:
    stage.say("7. The auditor of bts fetches the log and verifies it offline, against a checkpoint that was kept outside the home.")
    auditor = stage.clients["auditor"]
    verdict = auditor.verify_log("bts", [checkpoint.read_text(encoding="utf-8")])
    found = "; ".join(verdict.findings) or "nothing is missing, moved or altered"
    stage.check("the log verifies", f"{verdict.size} entries, {found}", ok=not verdict.findings and verdict.size > 0)
    kinds = [decode(entry).kind for entry in _entries(auditor)]
    disclosures = kinds.count("disclosure")  # more than pages where a slow machine had one read again
    stage.check(
        "every page is on the record",
        f"{disclosures} disclosures for {pages} pages, {kinds.count('refusal')} refusals",
        ok=disclosures >= pages,
    )
    stage.refused("the log is for its auditors", "role_required", lambda: stage.clients["steward"].entries("bts"))


def _entries(auditor: Client) -> Iterator[bytes]:
    for _, data in auditor.all_entries("bts"):
        yield data


def _stand(stage: _Stage) -> None:
    for each in stage.clients["analyst"].agreements().agreements:
        stage.told.agreements.append(Standing(each.id, each.dataset, each.state))
    standing = ", ".join(f"{each.id} on {each.dataset} {each.state}" for each in stage.told.agreements)
    states = {each.dataset: each.state for each in stage.told.agreements}
    stage.check("where the agreements stand", standing, ok=states == {"bts.flights": "ACTIVE", "faa.aircraft": "REVOKED"})


@contextmanager
def _people(stage: _Stage, url: str) -> Iterator[None]:
    """Each person's client of the running server, for the block."""
    stage.say(f"   The exchange is served at {url}; from here on people act over HTTP, each with a token.")
    try:
        stage.clients = {person: Client(url, token) for person, token in stage.told.tokens.items()}
        yield
    finally:
        for client in stage.clients.values():
            client.close()
