"""What tests share: homes, the people of two agencies, agreements between them, and real server processes on loopback."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from once import is_once, uses_a_world
from postgres import Cluster

from baybridge.agreements.agreement import Agreement
from baybridge.catalog.dataset import Access
from baybridge.catalog.schema import parse_table_schema
from baybridge.disclose import Ask, Encodable, Request
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Principal
from baybridge.publish import Declaration, Publication, Upload
from baybridge.publish.threshold import parse_let_go
from baybridge.wire.terms import TermsShape

SLOW_MACHINE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=SLOW_MACHINE)
settings.register_profile("prove", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

ON_POSTGRESQL = os.environ.get("TEST_CATALOG") == "postgresql"
_CLUSTERS: list[Cluster] = []


def cluster() -> Cluster:
    """This process's PostgreSQL, started when it is first needed."""
    if not _CLUSTERS:
        _CLUSTERS.append(Cluster())
        _CLUSTERS[0].make()
    return _CLUSTERS[0]


def pytest_unconfigure() -> None:
    for each in _CLUSTERS:
        each.remove()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The second pass runs what uses a world, and leaves out what is about SQLite's file, or slow and not about the catalog."""
    if ON_POSTGRESQL:
        chosen = [item for item in items if uses_a_world(item) and not is_once(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


PROVIDER = "bts"
BY_THE_CLOCK = {"checkpoints", "jobs"}
CONSUMER = "dot"
ROLES = ("steward", "signatory", "analyst", "auditor", "admin")
OFFICERS = ("privacy_officer", "security_officer", "counsel")
FOLDER = tempfile.TemporaryDirectory(prefix="baybridge-worlds-")

FLIGHTS = b"""flight,carrier,tailnum,origin,dest,delay,distance,departed
1,UA,N14228,EWR,IAH,2,1400.5,2013-01-01T10:00:00Z
2,UA,N24211,JFK,IAH,4,1416.0,2013-01-01T10:05:00Z
3,AA,N619AA,JFK,MIA,NA,1089.0,2013-01-01T10:10:00Z
4,B6,N804JB,JFK,BQN,-1,1576.0,2013-01-01T10:15:00Z
5,DL,N668DN,LGA,ATL,-6,762.0,2013-01-01T11:00:00Z
6,UA,N24211,JFK,ORD,120,719.0,2013-01-02T10:00:00Z
7,AA,NA,JFK,MIA,33,1089.0,2013-01-02T11:00:00Z
"""


def rows_of(connection: sa.Connection, table: str) -> list[str]:
    """The rows of a table, sorted; when a token was last used is noted by a timer."""
    rows = connection.execute(sa.text(f'SELECT * FROM "{table}"')).mappings()
    return sorted(repr({name: cell for name, cell in row.items() if name != "last_used"}) for row in rows)


@dataclass
class World:
    """An exchange with two agencies and a person for each role in both, with tokens."""

    root: Path
    exchange: Exchange
    people: dict[tuple[str, str], Principal] = field(default_factory=dict)
    secrets: dict[tuple[str, str], str] = field(default_factory=dict)

    def add_organization(self, name: str) -> None:
        self.exchange.administer.add_organization(LOCAL_OPERATOR, name, name.upper())
        self.employ(name, *ROLES)

    def employ(self, organization: str, *roles: str) -> None:
        """Give an agency a person for each of these roles, with a token. The officers, whom few tests need, come only this way."""
        for role in roles:
            person = self.exchange.administer.add_principal(LOCAL_OPERATOR, organization, f"{role} of {organization}", "person", [role])
            if person.pending:  # the steward, who is first, is the second person behind signatory and admin
                person = self.exchange.administer.confirm(self.person(organization, "steward"), person.id)
            self.people[organization, role] = person
            self.secrets[organization, role] = self.token(person)

    def token(self, principal: Principal, *, purpose: str | None = None, expires: datetime | None = None) -> str:
        issued = self.exchange.administer.issue_token(LOCAL_OPERATOR, principal.id, expires=expires, purpose=purpose)
        return issued.secret

    def person(self, organization: str, role: str) -> Principal:
        return self.people[organization, role]

    def publish(
        self,
        dataset: str,
        data: bytes,
        *,
        key: tuple[str, ...] = (),
        access: str = "agreement",
        schema: Mapping[str, object] | None = None,
        null_words: tuple[str, ...] = ("", "NA"),
        max_rejects: str | None = None,
    ) -> Publication:
        name = DatasetName.parse(dataset)
        steward = self.person(name.organization, "steward")
        given = None if schema is None else parse_table_schema(schema)
        self.exchange.publish.declare(steward, name, Declaration(title=name.name, access=Access(access), schema=given))
        let_go = None if max_rejects is None else parse_let_go(max_rejects, "Typed by hand")
        upload = Upload(chunks=[data], null_words=null_words, key=key, accept_schema=True, dry_run=False, let_go=let_go)
        return self.exchange.publish.publish(steward, name, upload)

    def publish_and_let_go(self, dataset: str) -> None:
        """A version that let a row go, and after it an upload that was refused."""
        schema = {"fields": [{"name": "number", "type": "integer"}]}
        assert self.publish(dataset, b"number\n1\nx\n", schema=schema, null_words=(), max_rejects="1").version == 1
        assert self.publish(dataset, b"number\ny\n", null_words=()).blocked

    def stored(self) -> list[str]:
        """Every row of the catalog as text, whatever it is on, but for what a server does by the clock."""
        with self.exchange.database.read() as connection:
            tables = sorted({*sa.inspect(connection).get_table_names()} - BY_THE_CLOCK)
            assert len(tables) > 10
            return [f"{table}: {row}" for table in tables for row in rows_of(connection, table)]

    def terms(self, **changes: object) -> TermsShape:
        """Terms on bts.flights for dot, in force now, with what is changed."""
        now = datetime.now(UTC)
        plain: dict[str, object] = {
            "dataset": "bts.flights",
            "columns": ["flight", "carrier", "tailnum", "origin", "delay"],
            "purposes": ["noise-study"],
            "provider_authority": "49 U.S.C. 6302",
            "consumer_authority": "Charter, section 191",
            "start": (now - timedelta(days=1)).isoformat(),
            "end": (now + timedelta(days=365)).isoformat(),
            "row_filter": "origin = 'JFK'",
            "masks": {"tailnum": "pseudonym"},
        }
        return TermsShape(**{**plain, **changes})

    def sign(self, terms: TermsShape, *, consumer: str = CONSUMER) -> Agreement:
        """Take terms all the way: asked for, offered, signed by both sides."""
        provider = terms.dataset.partition(".")[0]
        agree = self.exchange.agree
        asked = agree.request(self.person(consumer, "analyst"), terms)
        agree.offer(self.person(provider, "steward"), asked.id, None)
        agree.sign(self.person(provider, "signatory"), asked.id, asked.terms_sha256)
        return agree.sign(self.person(consumer, "signatory"), asked.id, asked.terms_sha256)


def page_request(ask: Ask, encode: Callable[[Encodable], bytes], *, limit: int = 100) -> Request:
    """The first page of what is asked for, with nothing else said."""
    return Request(
        ask=ask,
        version=None,
        sort=(),
        limit=limit,
        after=None,
        cursor_extract=None,
        known=frozenset(),
        representation="rows",
        channel="test",
        encode=encode,
    )


@dataclass(frozen=True)
class Kind:
    """Worlds that are made alike: a home that is not open, and the people in it."""

    home: Path
    people: dict[tuple[str, str], Principal]
    secrets: dict[tuple[str, str], str]
    catalog: str = ""

    def copy(self, root: Path) -> World:
        shutil.copytree(self.home, root)
        if self.catalog:
            settings = root / "baybridge.toml"
            settings.write_text(settings.read_text().replace(self.catalog, cluster().database(self.catalog)))
        return World(root, Exchange.open(root), dict(self.people), dict(self.secrets))


@functools.cache
def kind_of_worlds(*organizations: str, on_postgresql: bool, published: bool = False) -> Kind:
    """Made once in a run, so that a test costs a copy of files. Worlds of one kind have the same keys and the same tokens."""
    home = Path(tempfile.mkdtemp(dir=FOLDER.name)) / "home"
    if published:
        world = kind_of_worlds(*organizations, on_postgresql=on_postgresql).copy(home)
    else:
        catalog = cluster().database() if on_postgresql else ""
        world = World(home, Exchange.make(home, origin="exchange.example", catalog=catalog))
    if published:
        world.publish("bts.flights", FLIGHTS, key=("flight",))
    else:
        for organization in organizations:
            world.add_organization(organization)
    world.exchange.close()
    return Kind(home, world.people, world.secrets, world.exchange.settings.catalog)


def make_world(root: Path, *organizations: str, on_postgresql: bool = ON_POSTGRESQL) -> World:
    """A world in that folder; its catalog is one on PostgreSQL in the second pass of `make test`."""
    return kind_of_worlds(*(organizations or (PROVIDER, CONSUMER)), on_postgresql=on_postgresql).copy(root)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two agencies, bts and dot, and nothing published."""
    made = make_world(tmp_path / "home")
    yield made
    made.exchange.close()
    if ON_POSTGRESQL:
        cluster().drop(made.exchange.settings.catalog)


@pytest.fixture
def flights(tmp_path: Path) -> Iterator[World]:
    """The same with seven flights in bts.flights, under the key flight."""
    made = kind_of_worlds(PROVIDER, CONSUMER, on_postgresql=ON_POSTGRESQL, published=True).copy(tmp_path / "home")
    yield made
    made.exchange.close()
    if ON_POSTGRESQL:
        cluster().drop(made.exchange.settings.catalog)


@dataclass(frozen=True)
class Server:
    """A served home: a real process, real sockets. Its clients are closed with it."""

    url: str
    process: subprocess.Popen[str]
    clients: list[httpx2.Client] = field(default_factory=list)
    listening: threading.Thread | None = None

    def client(self, token: str | None = None, *, purpose: str | None = None, **headers: str) -> httpx2.Client:
        sent = dict(headers)
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        if purpose is not None:
            sent["baybridge-purpose"] = purpose
        client = httpx2.Client(base_url=self.url, headers=sent, timeout=30, trust_env=False)
        self.clients.append(client)
        return client


def start_server(root: Path, *, command: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> Server:
    """Serve a home on a free port, as `baybridge serve` does; `command` goes in front (strace), and nothing is inherited but PATH."""
    process = subprocess.Popen(
        [*command, sys.executable, "-m", "baybridge.cli.main", "serve", "--home", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"], **(environment or {})},
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "http://" in line:
            # What it says from here on is taken in too: a full pipe would hold the server.
            listening = threading.Thread(target=process.stdout.read, daemon=True)
            listening.start()
            return Server(line[line.index("http://") :].strip(), process, listening=listening)
    process.wait(timeout=10)
    raise AssertionError("The server did not start: " + "".join(said))


def stop_server(server: Server) -> None:
    for client in server.clients:
        client.close()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(timeout=10)
    if server.listening is not None:
        server.listening.join(timeout=10)
    if server.process.stdout is not None:
        server.process.stdout.close()


@contextlib.contextmanager
def serving(root: Path, *, command: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server process for the block."""
    server = start_server(root, command=command, environment=environment)
    try:
        yield server
    finally:
        stop_server(server)


@pytest.fixture
def served(flights: World) -> Iterator[Server]:
    """The flights, served by a process of its own; the test's own exchange on the same home stays open beside it."""
    with serving(flights.root) as server:
        yield server


def wait_until(holds: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait for something that is bound to happen; fail when it has not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
