"""Promise 5, watched from outside: a second after the revoke call answered, a server writes nothing and has reset the connection."""

from __future__ import annotations

import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from conftest import Server, World, make_world, serving, wait_until
from raw_http import Reply, Wire, kernel_view, server_holds

from baybridge.agreements.agreement import Agreement
from baybridge.operate.administer import Administer
from baybridge.principals.principal import LOCAL_OPERATOR, Move, Principal

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("revocation")]

COLUMNS = ["id", *(f"c{number}" for number in range(20))]
ROWS = 10_500
ITEMS = "/api/v1/collections/bts.wide/items"
SMALL, LARGE = f"{ITEMS}?limit=60", f"{ITEMS}?limit=10000"
DEADLINE = 1.0
GONE = 1.25
IN_FLIGHT = 256 * 1024
TINY = 4096  # a receive buffer with which nearly everything unread stays on the server's side


def wide_csv() -> bytes:
    values = random.Random(5)
    lines = [",".join(COLUMNS)]
    lines += [f"{row + 1}," + ",".join(f"text{values.getrandbits(64):020d}" for _ in COLUMNS[1:]) for row in range(ROWS)]
    return ("\n".join(lines) + "\n").encode()


@dataclass
class Stage:
    """A served home with one wide dataset, to which each test brings a consumer of its own."""

    world: World
    server: Server
    names: Iterator[str]

    def agree(self, **terms: object) -> Played:
        consumer = next(self.names)
        self.world.add_organization(consumer)
        plain: dict[str, object] = {"dataset": "bts.wide", "columns": COLUMNS, "row_filter": None, "masks": {}}
        agreement = self.world.sign(self.world.terms(**{**plain, **terms}), consumer=consumer)
        return Played(self, agreement, self.world.secrets[consumer, "analyst"])


@dataclass
class Played:
    """One agreement, its reader's token, and the provider's acts on it over HTTP."""

    stage: Stage
    agreement: Agreement
    token: str

    def act(self, act: str) -> float:
        """Do it, and give the time at which the answer had come."""
        with self.stage.server.client(self.stage.world.secrets["bts", "steward"]) as steward:
            answer = steward.post(f"/api/v1/agreements/{self.agreement.id}/{act}", json={"reason": "as the test says"})
        assert answer.status_code == 200, answer.text
        return time.monotonic()

    def wire(self, *, receive_buffer: int | None = None) -> Wire:
        return Wire(self.stage.server.url, receive_buffer=receive_buffer)

    def ask(self, wire: Wire, path: str, **headers: str) -> None:
        wire.ask(path, token=self.token, baybridge_purpose="noise-study", **headers)

    def get(self, path: str = SMALL) -> Reply:
        with self.wire() as wire:
            self.ask(wire, path)
            return wire.fill(wire.head())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = make_world(tmp_path_factory.mktemp("revocation") / "home", "bts")
    world.publish("bts.wide", wide_csv(), key=("id",))
    with serving(world.root) as server:
        staged = Stage(world, server, (f"consumer{number}" for number in itertools.count()))
        staged.agree().get(LARGE)  # the extract, which all agreements here share, is made
        yield staged
    world.exchange.close()


def code(reply: Reply) -> str:
    return str(json.loads(reply.body)["code"])


@dataclass
class Reader:
    """Reads the same page again and again, each time on a connection as it finds it, and keeps what it saw."""

    played: Played
    path: str
    piece: int = 262_144
    pause: float = 0.0
    receive_buffer: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    replies: list[Reply] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    current: Wire | None = None

    def start(self) -> Reader:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def finish(self) -> None:
        self.stop.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()
        assert self.failures == []

    def disclosed(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.status == 200]

    def refused(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.status != 200]

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                with self.played.wire(receive_buffer=self.receive_buffer) as wire:
                    self.current = wire
                    self._read_on(wire)
        except BaseException as failure:  # noqa: BLE001 -- told by `finish`, in the test's own thread
            self.failures.append(failure)

    def _read_on(self, wire: Wire) -> None:
        while not self.stop.is_set():
            self.played.ask(wire, self.path)
            try:
                reply = wire.head()
            except ConnectionError:
                return  # reset before its head: nothing was given away
            self.replies.append(reply)
            wire.fill(reply, piece=self.piece, pause=self.pause)
            if not reply.whole:
                return
            if reply.status != 200:
                time.sleep(0.05)


def eight_readers(played: Played) -> list[Reader]:
    fast = [Reader(played, SMALL), Reader(played, SMALL), Reader(played, SMALL), Reader(played, LARGE), Reader(played, LARGE)]
    slow = [Reader(played, LARGE, piece=TINY, pause=0.02, receive_buffer=TINY) for _ in range(3)]
    return [reader.start() for reader in fast + slow]


def check_stopped(readers: list[Reader], answered: float, code_wanted: str) -> None:
    """What all eight saw, against the time at which the act's answer had come."""
    deadline = answered + DEADLINE
    for reader in readers:
        for reply in reader.disclosed():
            if not reader.pause:  # what a fast reader gets, the server has just written
                late = [came - answered for came, _ in reply.chunks if came > deadline]
                assert late == [], "data was written after the deadline"
            if not reply.whole:
                assert reply.reset
                assert len(reply.body) < reply.promised
            if reply.chunks and reader.pause:
                obtained_late = sum(size for came, size in reply.chunks if came > deadline)
                assert obtained_late <= IN_FLIGHT + 4 * TINY
        assert {code(reply) for reply in reader.refused()} <= {code_wanted}
    assert all(reader.refused() for reader in readers if not reader.pause), "each fast reader was refused in the end"
    assert all(reader.disclosed() for reader in readers), "and had read before"
    slow = [reader.disclosed()[-1] for reader in readers if reader.pause]
    assert all(reply.reset and not reply.whole for reply in slow), "each slow reader was cut"


def play(stage: Stage, act: str, code_wanted: str, seed: int) -> Played:
    """Eight readers loop; the provider acts at a random moment; a second and a quarter later nothing is open but idle connections."""
    played = stage.agree()
    readers = eight_readers(played)
    wait_until(lambda: all(reader.disclosed() for reader in readers), seconds=20)
    time.sleep(random.Random(seed).uniform(0.05, 0.8))
    slow = [reader.current for reader in readers if reader.pause]
    answered = played.act(act)
    time.sleep(max(0.0, answered + GONE - time.monotonic()))
    open_still = [wire for wire in slow if wire is not None and server_holds(wire)]
    time.sleep(0.4)
    for reader in readers:
        reader.stop.set()
    for reader in readers:
        reader.finish()
    assert open_still == []
    check_stopped(readers, answered, code_wanted)
    return played


@pytest.mark.parametrize("seed", range(5))
def test_a_revoked_agreement_yields_no_byte_after_a_second(stage: Stage, seed: int) -> None:
    play(stage, "revoke", "agreement_revoked", seed)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100, 160))
def test_a_revoked_agreement_yields_no_byte_after_a_second_however_often(stage: Stage, seed: int) -> None:
    play(stage, "revoke", "agreement_revoked", seed)


def test_a_suspended_agreement_yields_no_byte_after_a_second_and_reads_again_when_resumed(stage: Stage) -> None:
    played = play(stage, "suspend", "agreement_suspended", 7)
    played.act("resume")
    resumed = played.get(LARGE)
    assert (resumed.status, resumed.whole) == (200, True)


def begin_slowly(played: Played, path: str = LARGE, **headers: str) -> tuple[Wire, Reply]:
    """A reader that takes the head and little more, with a kernel that takes little more."""
    wire = played.wire(receive_buffer=TINY)
    played.ask(wire, path, **headers)
    reply = wire.head()
    assert reply.status == 200
    return wire, wire.fill(reply, piece=TINY, until=lambda: bool(reply.body))


def check_cut(wire: Wire, reply: Reply, since: float) -> None:
    """Within a second and a quarter the server's end is gone; what the client's own kernel held is all that comes, and then a reset."""
    time.sleep(max(0.0, since + GONE - time.monotonic()))
    with wire:
        assert not server_holds(wire)
        before = len(reply.body)
        wire.fill(reply)
        assert reply.reset
        assert not reply.whole
        assert len(reply.body) - before <= wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) * 2


def test_an_answer_is_cut_when_its_agreement_expires(stage: Stage) -> None:
    end = datetime.now(UTC) + timedelta(seconds=4)
    played = stage.agree(end=end.isoformat())
    wire, reply = begin_slowly(played)
    remaining = (end - datetime.now(UTC)).total_seconds()
    assert remaining > 0.5, "the machine was too slow for this test to mean anything"
    time.sleep(remaining - 0.3)
    assert server_holds(wire), "it is not cut early"
    check_cut(wire, reply, time.monotonic() + 0.3)
    assert code(played.get()) == "agreement_expired"


def test_a_revocation_by_another_process_on_the_home_takes_effect_as_fast(stage: Stage) -> None:
    played = stage.agree()
    wire, reply = begin_slowly(played)
    stage.world.exchange.agree.revoke(stage.world.person("bts", "steward"), played.agreement.id, "from the operator's own process")
    check_cut(wire, reply, time.monotonic())
    assert code(played.get()) == "agreement_revoked"


ENDINGS: dict[str, tuple[Callable[[Administer, Principal], object], str]] = {
    "token revoked": (lambda administer, reader: administer.revoke_token(LOCAL_OPERATOR, str(reader.token)), "not_signed_in"),
    "token rotated": (
        lambda administer, reader: administer.rotate_token(LOCAL_OPERATOR, str(reader.token), overlap_seconds=0),
        "token_expired",
    ),
    "role taken away": (lambda administer, reader: administer.set_roles(LOCAL_OPERATOR, reader.id, ["auditor"]), "role_required"),
    "suspended": (
        lambda administer, reader: administer.move_principal(LOCAL_OPERATOR, reader.id, Move.SUSPEND, "now"),
        "principal_suspended",
    ),
    "off-boarded": (lambda administer, reader: administer.move_principal(LOCAL_OPERATOR, reader.id, Move.OFFBOARD, "now"), "not_signed_in"),
    "organization suspended": (
        lambda administer, reader: administer.move_organization(LOCAL_OPERATOR, reader.organization, Move.SUSPEND, "now"),
        "organization_suspended",
    ),
    "organization off-boarded": (
        lambda administer, reader: administer.move_organization(LOCAL_OPERATOR, reader.organization, Move.OFFBOARD, "now"),
        "not_signed_in",
    ),
    "provider suspended": (
        lambda administer, _: administer.move_organization(LOCAL_OPERATOR, "bts", Move.SUSPEND, "now"),
        "organization_suspended",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_answer_is_cut_when_who_it_is_for_may_not_act_any_more(stage: Stage, ending: str) -> None:
    """Each is done by another process on the home, so that the server can only know it from the catalog."""
    act, wanted = ENDINGS[ending]
    played, administer = stage.agree(), stage.world.exchange.administer
    reader = administer.authenticate(played.token)
    wire, reply = begin_slowly(played)
    act(administer, reader)
    try:
        check_cut(wire, reply, time.monotonic())
        assert code(played.get()) == wanted
    finally:
        if ending == "provider suspended":
            administer.move_organization(LOCAL_OPERATOR, "bts", Move.RESUME, "the others go on")


def test_a_stream_is_cut_when_its_token_is_revoked(stage: Stage) -> None:
    played = stage.agree()
    with played.wire(receive_buffer=TINY) as wire, stage.server.client(played.token) as holder:
        played.ask(wire, f"{ITEMS}?f=csv")
        reply = wire.head()
        wire.fill_chunks(reply, piece=TINY, until=lambda: bool(reply.body))
        token_id = stage.world.exchange.administer.authenticate(played.token).token
        assert holder.delete(f"/api/v1/tokens/{token_id}").status_code == 204
        time.sleep(GONE)
        assert not server_holds(wire)
        wire.fill_chunks(reply)
    assert reply.reset
    assert not reply.whole


def test_an_answer_goes_on_when_somebody_elses_token_is_revoked(stage: Stage) -> None:
    """The watch asks after this reader and nobody else; without this the cuts above would pass on a server that cuts anything."""
    played, administer = stage.agree(), stage.world.exchange.administer
    reader = administer.authenticate(played.token)
    other = administer.issue_token(LOCAL_OPERATOR, reader.id, expires=None, purpose=None)
    wire, reply = begin_slowly(played)
    administer.revoke_token(LOCAL_OPERATOR, other.token.id)
    administer.set_roles(LOCAL_OPERATOR, reader.id, ["analyst", "auditor"])
    time.sleep(GONE)
    with wire:
        assert server_holds(wire)
        wire.fill(reply)
    assert reply.whole


def test_a_small_answer_that_the_client_does_not_take_is_dropped_too(stage: Stage) -> None:
    """All of it fits into the server's kernel, which would keep it for the client for as long as it likes."""
    played = stage.agree()
    wire, reply = begin_slowly(played, SMALL)
    assert reply.promised < IN_FLIGHT / 4
    check_cut(wire, reply, played.act("revoke"))


def test_closing_after_the_answer_does_not_leave_it_to_the_kernel(stage: Stage) -> None:
    played = stage.agree()
    wire, reply = begin_slowly(played, SMALL, connection="close")
    check_cut(wire, reply, played.act("revoke"))


def test_the_last_piece_of_a_large_answer_is_watched_like_the_first(stage: Stage) -> None:
    """The client reads until less is left than server and kernel can hold: the answer is written, and has not left."""
    played = stage.agree()
    wire, reply = begin_slowly(played)
    wire.fill(reply, piece=TINY, until=lambda: reply.promised - len(reply.body) < 100_000)
    time.sleep(0.3)
    check_cut(wire, reply, played.act("revoke"))


def test_requests_sent_ahead_are_decided_when_their_turn_comes(stage: Stage) -> None:
    """Many requests at once on one connection whose client does not read: none waits, granted and entered, for the client to take it."""
    played = stage.agree()
    wire = played.wire(receive_buffer=TINY)
    for _ in range(20):
        played.ask(wire, SMALL)
    time.sleep(1.0)
    answered = played.act("revoke")
    time.sleep(max(0.0, answered + GONE - time.monotonic()))
    assert not server_holds(wire)
    assert sum(len(chunk) for chunk in drained(wire)) <= 4 * TINY


def test_a_request_that_is_none_does_not_end_the_watch_over_the_answer_before_it(stage: Stage) -> None:
    """The server's words about it would stand inside the answer, and its closing would leave the rest to the kernel."""
    played = stage.agree()
    wire, reply = begin_slowly(played)
    wire.socket.sendall(b"\x00\x01 this is no request\r\n\r\n")
    with wire:
        wire.fill(reply)
    assert reply.reset
    assert not reply.whole
    assert b"Invalid HTTP request" not in reply.body


def test_no_number_of_waiting_uploads_keeps_a_grant_from_being_asked_after(stage: Stage) -> None:
    """Each of these holds or waits for one of the threads of uploads; the watch over answers has threads of its own."""
    played = stage.agree()
    wire, reply = begin_slowly(played)
    uploads = [Wire(stage.server.url) for _ in range(110)]
    for upload in uploads:
        upload.ask(
            "/api/v1/collections/bts.wide/versions?dry_run=true",
            method="POST",
            token=stage.world.secrets["bts", "steward"],
            content_length="1000000",
        )
    time.sleep(0.5)
    stage.world.exchange.agree.revoke(stage.world.person("bts", "steward"), played.agreement.id, "while the threads are busy")
    try:
        check_cut(wire, reply, time.monotonic())
    finally:
        for upload in uploads:
            upload.close()
    wait_until(lambda: played.get().status == 403, seconds=20)


def drained(wire: Wire) -> Iterator[bytes]:
    with wire:
        while True:
            try:
                chunk = wire.socket.recv(65_536)
            except ConnectionError:
                return
            if not chunk:
                return
            yield chunk


def test_the_kernel_view_sees_both_ends_of_a_connection(stage: Stage) -> None:
    """The observer itself can fail: without this, a test that looks for an absent connection would pass on anything."""
    with Wire(stage.server.url) as wire:
        assert server_holds(wire)
        assert kernel_view(wire.local_port, wire.address[1]) is not None
        wire.ask("/livez")
        assert wire.fill(wire.head()).status == 200
        assert server_holds(wire)
    wait_until(lambda: not server_holds(wire))
