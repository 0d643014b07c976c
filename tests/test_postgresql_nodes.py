"""Several server processes and hosts on one PostgreSQL: what one does holds in all of them, and what they count together is exact."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle
from pathlib import Path

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from raw_http import Wire

from baybridge.audit import store as audit_store
from baybridge.audit.checkpoint import open_note
from baybridge.audit.entry import Kind, decode
from baybridge.audit.log import Draft, always
from baybridge.errors import BaybridgeError, Conflict, Invalid
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.operate.replies import HELD
from baybridge.principals.principal import LOCAL_OPERATOR, Principal

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nodes")]

ITEMS = "/api/v1/collections/bts.flights/items"
LONG = "number,word\n" + "".join(f"{number},{number:0200d}\n" for number in range(40_000))


def node_folder(first: Path, root: Path) -> Path:
    """What an operator prepares for a further node: the keys of the first, and the folder of objects that both share."""
    root.mkdir(mode=0o700)
    shutil.copytree(first / "keys", root / "keys")
    (root / "objects").symlink_to(first / "objects")
    return root


@dataclass
class Nodes:
    """Two nodes of one catalog, each served by two processes."""

    world: World
    second: Path
    servers: list[Server]

    def sign(self, consumer: str, **terms: object) -> str:
        self.world.add_organization(consumer)
        return self.world.sign(self.world.terms(**terms), consumer=consumer).id


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    world = make_world(folder / "first", "bts", on_postgresql=True)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.long", LONG.encode(), key=("number",))
    second = node_folder(world.root, folder / "second")
    Exchange.make(second, origin="exchange.example", catalog=world.exchange.settings.catalog).close()
    with ExitStack() as stack:
        yield Nodes(world, second, [stack.enter_context(serving(root)) for root in (world.root, second, world.root, second)])
    world.exchange.close()


def test_a_day_s_requests_are_exact_over_four_processes(nodes: Nodes) -> None:
    nodes.sign("quota", requests_per_day=40)
    token = nodes.world.secrets["quota", "analyst"]
    clients = [server.client(token, purpose="noise-study") for server in nodes.servers]
    for client in clients:
        client.get("/api/v1/collections")

    def ask(turn: int) -> tuple[int, str]:
        answer = clients[turn % len(clients)].get(f"{ITEMS}?limit=1")
        return answer.status_code, "" if answer.is_success else answer.json()["code"]

    with ThreadPoolExecutor(16) as threads:
        answers = Counter(threads.map(ask, range(120)))
    waiting = answers.pop((503, "extract_building"), 0)
    assert answers == {(200, ""): 40, (429, "limit_reached"): 80 - waiting}
    assert waiting < 80


def test_an_agreement_revoked_through_one_process_cuts_the_streams_of_all_within_a_second(nodes: Nodes) -> None:
    terms = {"dataset": "bts.long", "columns": ["number", "word"], "row_filter": None, "masks": {}}
    agreement = nodes.sign("streams", **terms)
    token = nodes.world.secrets["streams", "analyst"]
    streams: list[Wire] = []
    for server in nodes.servers:
        wire = Wire(server.url, receive_buffer=4096)
        wire.ask("/api/v1/collections/bts.long/items?f=ndjson&limit=40000", token=token, baybridge_purpose="noise-study")
        reply = wire.head()
        assert reply.status == 200
        streams.append(wire)
    with nodes.servers[0].client(nodes.world.secrets["bts", "steward"]) as steward:
        assert steward.post(f"/api/v1/agreements/{agreement}/revoke", json={"reason": "as the test says"}).status_code == 200
    answered = time.monotonic()
    for server in nodes.servers:
        with server.client(token, purpose="noise-study") as client:
            refused = client.get("/api/v1/collections/bts.long/items")
            assert (refused.status_code, refused.json()["code"]) == (403, "agreement_revoked")
    time.sleep(max(0.0, answered + 1.25 - time.monotonic()))
    for wire in streams:
        with wire:
            assert was_reset(wire)
    endings = entries(nodes, "stream_ended")
    assert [entry["ending"] for entry in endings[-4:]] == ["cut"] * 4


def was_reset(wire: Wire) -> bool:
    """What the client's own kernel held is all that comes, and then a reset."""
    try:
        while wire.socket.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    return False


def entries(nodes: Nodes, kind: str) -> list[dict[str, object]]:
    run = nodes.world.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=100_000)
    return [dict(decoded.facts) for decoded in (decode(data) for _, data in run.entries) if decoded.kind == kind]


def test_a_token_revoked_through_one_process_signs_in_nowhere(nodes: Nodes) -> None:
    holder = nodes.world.person("bts", "analyst")
    secret = nodes.world.token(holder)
    clients = [server.client(secret) for server in nodes.servers]
    assert {client.get("/api/v1/notices").status_code for client in clients} == {200}
    (newest, *_) = nodes.world.exchange.administer.tokens(LOCAL_OPERATOR, "bts")
    with nodes.servers[1].client(secret) as itself:
        assert itself.delete(f"/api/v1/tokens/{newest.id}").status_code in {200, 204}
    assert {client.get("/api/v1/notices").status_code for client in clients} == {401}


def test_what_is_purged_through_one_node_leaves_no_extract_on_another(nodes: Nodes) -> None:
    nodes.world.publish("bts.going", FLIGHTS.replace(b"UA", b"LH"), key=("flight",))
    agreement = nodes.sign("purged", dataset="bts.going")
    assert agreement
    for server in nodes.servers[:2]:
        with server.client(nodes.world.secrets["purged", "analyst"], purpose="noise-study") as client:
            address = "/api/v1/collections/bts.going/items"
            wait_until(lambda client=client, address=address: client.get(address).status_code == 200, seconds=30)
    exchange, name, steward = nodes.world.exchange, DatasetName.parse("bts.going"), nodes.world.person("bts", "steward")
    manifest = manifest_of(exchange, name)
    assert [made_from(root, manifest) for root in (nodes.world.root, nodes.second)] == [1, 1]
    exchange.withdraw.withdraw(steward, name, None, "over")
    plan = exchange.purge.plan(steward, name, None)
    exchange.purge.purge(steward, name, None, reason="over", plan_sha256=plan.sha256)
    wait_until(lambda: [made_from(root, manifest) for root in (nodes.world.root, nodes.second)] == [0, 0], seconds=20)


def manifest_of(exchange: Exchange, name: DatasetName) -> str:
    return exchange.catalog.versions(None, name, before=None, limit=1).versions[0].manifest_sha256


def made_from(root: Path, manifest: str) -> int:
    locks = (root / "extracts").glob("*.lock")
    return sum(lock.read_text() == manifest and (lock.parent / lock.stem).exists() for lock in locks)


def test_two_processes_that_sign_make_one_tree(nodes: Nodes) -> None:
    first, second = (Exchange.open(root) for root in (nodes.world.root, nodes.second))
    with first, second:
        stop = threading.Event()

        def sign(exchange: Exchange) -> int:
            turns = 0
            while not stop.is_set():
                exchange.watch.sign_new()
                turns += 1
            return turns

        with ThreadPoolExecutor(2) as threads:
            signing = [threads.submit(sign, exchange) for exchange in (first, second)]
            for exchange, turn in zip(cycle((first, second)), range(100), strict=False):
                exchange.log.record(Draft("bts", Kind.DISCLOSURE, {"turn": turn}), always)
            stop.set()
            assert min(each.result() for each in signing) > 0
        assert first.watch.verify("bts", ()).findings == ()
        with first.database.read() as connection:
            notes = audit_store.checkpoints(connection, "bts")
        sizes = [open_note(note, first.watch.verifier("bts")).size for note in notes]
        assert sizes == sorted(set(sizes))


def test_a_key_that_another_process_works_on_is_under_way_and_later_unknown(nodes: Nodes) -> None:
    first, second = (Exchange.open(root) for root in (nodes.world.root, nodes.second))
    caller = nodes.world.person("bts", "admin")
    with first, second:
        reserved = first.replies.reserve(caller, "both", "POST /a?")
        assert code_of(second, caller, "both") == "request_under_way"
        late = replace(second.replies, clock=lambda: second.replies.clock() + HELD + timedelta(seconds=1))
        with pytest.raises(Conflict) as unknown:
            late.reserve(caller, "both", "POST /a?")
        assert unknown.value.code == "outcome_unknown"
        assert isinstance(reserved, str)
        first.replies.leave_open(reserved)
        assert code_of(second, caller, "both") == "outcome_unknown"


def code_of(exchange: Exchange, caller: Principal, key: str) -> str:
    with pytest.raises(BaybridgeError) as refused:
        exchange.replies.reserve(caller, key, "POST /a?")
    return refused.value.code


def test_a_node_with_other_keys_or_another_origin_does_not_open(nodes: Nodes, tmp_path: Path) -> None:
    catalog = nodes.world.exchange.settings.catalog
    with pytest.raises(Conflict, match="log key and wrapping key and cursor key") as stranger:
        Exchange.make(tmp_path / "stranger", origin="exchange.example", catalog=catalog)
    assert stranger.value.code == "node_differs"
    with pytest.raises(Conflict, match="origin"):
        Exchange.make(node_folder(nodes.world.root, tmp_path / "other"), origin="other.example", catalog=catalog)
    third = node_folder(nodes.world.root, tmp_path / "third")
    Exchange.make(third, origin="exchange.example", catalog=catalog).close()
    (third / "keys" / "cursor.key").write_bytes(os.urandom(32))
    with pytest.raises(Conflict, match="cursor key"):
        Exchange.open(third)


def test_a_rotated_key_is_what_the_catalog_expects_from_then_on(tmp_path: Path) -> None:
    world = make_world(tmp_path / "first", "bts", on_postgresql=True)
    second = node_folder(world.root, tmp_path / "second")
    Exchange.make(second, origin="exchange.example", catalog=world.exchange.settings.catalog).close()
    behind = Exchange.open(second)
    world.exchange.rotate.rotate(LOCAL_OPERATOR)
    world.exchange.close()
    with behind:
        assert behind.failing_parts() == ["keys"]
        with pytest.raises(BaybridgeError):
            behind.watch.checkpoint("bts")
    with pytest.raises(Conflict, match="log key"):
        Exchange.open(second)
    shutil.copytree(world.root / "keys", second / "keys", dirs_exist_ok=True)
    with Exchange.open(second) as caught_up:
        caught_up.watch.checkpoint("bts")
        assert caught_up.watch.verify("bts", ()).findings == ()


@pytest.mark.parametrize("url", ["postgresql://user:hidden@host/name", "postgresql://user@host/name?password=hidden"])
def test_a_password_stands_in_no_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        Exchange.make(tmp_path / "home", origin="exchange.example", catalog=url)
    assert "hidden" not in str(refused.value)


def test_the_password_is_read_from_the_environment_and_never_shown(nodes: Nodes) -> None:
    with Exchange.open(nodes.second, environment={"BAYBRIDGE_CATALOG_PASSWORD": "hidden"}) as opened:
        shown = {each.name: each.value for each in opened.listed}
        assert shown["catalog_password"] == "set"  # noqa: S105 -- what is shown in its place
        assert "hidden" not in repr(opened.settings) + repr(opened.listed) + repr(opened.database._engine)
