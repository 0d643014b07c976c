"""A home that was set back in time: it stops with the reason, and serves again only after the operator has said so in the log."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import CONSUMER, PROVIDER, make_world, serving, wait_until

from baybridge.audit import side as audit_side
from baybridge.audit import store as audit_store
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.merkle import Frontier, leaf_hash
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange
from baybridge.operate.home import make_next_key, use_next_key
from baybridge.principals.principal import LOCAL_OPERATOR

pytestmark = pytest.mark.slow


@dataclass
class Aged:
    """A home, an older copy of it, and the checkpoints of the newer state, kept outside."""

    newest: Path
    older: Path
    copy: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"BAYBRIDGE_CHECKPOINT_COPY": str(self.copy)}

    def open(self, root: Path) -> Exchange:
        return Exchange.open(root, environment=self.environment)


def record(exchange: Exchange, count: int, organization: str = PROVIDER) -> None:
    for number in range(count):
        exchange.log.record(Draft(organization, Kind.DISCLOSURE, {"rows": number}), always)


@pytest.fixture
def aged(tmp_path: Path) -> Aged:
    world = make_world(tmp_path / "home")
    made = Aged(world.root, tmp_path / "older", tmp_path / "outside" / "copy.json")
    made.copy.parent.mkdir()
    record(world.exchange, 3)
    world.exchange.watch.sign_new()
    world.exchange.close()
    shutil.copytree(world.root, made.older)
    with made.open(world.root) as exchange:
        record(exchange, 5)
        exchange.sign()
    return made


def command(*arguments: str, environment: dict[str, str]) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "baybridge.cli.main", *arguments, "--json"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


def refused(aged: Aged, root: Path) -> tuple[str, str]:
    """How a start of the server on that home ends."""
    code, said = command("serve", "--home", str(root), "--port", "0", environment=aged.environment)
    assert code == 9
    return str(said["code"]), str(said["detail"])


def entries(exchange: Exchange, organization: str = PROVIDER) -> list[dict[str, object]]:
    with exchange.database.read() as connection:
        return [json.loads(data) for _, data in audit_store.entries(connection, organization)]


def test_a_home_set_back_in_time_stops_with_the_reason(aged: Aged) -> None:
    with serving(aged.newest, environment=aged.environment):
        pass
    code, reason = refused(aged, aged.older)
    assert code == "log_set_back"
    assert "the log of bts has 16 entries, and 21 were signed" in reason


def test_after_a_restore_entry_the_home_serves_and_others_can_read_what_was_lost(aged: Aged) -> None:
    kept = json.loads(aged.copy.read_bytes())["checkpoints"][PROVIDER].split("\n")
    code, said = command(
        "restore", "--home", str(aged.older), "--who", "Ada Nowak", "--reason", "a disk failed on Tuesday", environment=aged.environment
    )
    assert (code, said) == (0, {"lost": [{"organization": "bts", "lost": "the log of bts has 16 entries, and 21 were signed"}]})
    with serving(aged.older, environment=aged.environment) as server:
        note = server.client().get(f"/api/v1/audit/{PROVIDER}/checkpoint").text
        assert note.split("\n")[1] == "17"
    with aged.open(aged.older) as exchange:
        entry = entries(exchange)[16]
        assert entry["kind"] == "restored"
        assert entry["actor"] == {"organization": "", "principal": "operator"}
        assert entry["size"] == 16
        assert entry["lost"] == {"size": int(kept[1]), "root": base64.b64decode(kept[2]).hex()}
        assert b"Ada" not in json.dumps(entry).encode()
        assert entries(exchange, CONSUMER)[-1]["lost"] is None
        with exchange.database.read() as connection:
            (_, side), *_ = audit_side.side_records(connection, PROVIDER)
        assert (json.loads(side)["who"], json.loads(side)["reason"]) == ("Ada Nowak", "a disk failed on Tuesday")
        assert exchange.watch.verify(PROVIDER, ()).findings == ()
        exchange.outside.require_consistent()
    assert refused(aged, aged.newest)[0] == "log_set_back", "the state that was given up is not taken up again"


def test_a_log_that_is_gone_altogether_stops_the_start_too(aged: Aged) -> None:
    with aged.open(aged.newest) as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "faa", "FAA")
        exchange.sign()
    code, reason = refused(aged, aged.older)
    assert code == "log_set_back"
    assert "there is no log of faa" in reason
    with aged.open(aged.older) as exchange:
        exchange.outside.restore(LOCAL_OPERATOR, who="x", reason="y")
        assert entries(exchange)[-1]["lost_logs"] == ["faa"]
        exchange.outside.require_consistent()


def rewrite(root: Path) -> None:
    """A history of the same length, with which everything in the home agrees."""
    connection = sqlite3.connect(root / "catalog.sqlite", isolation_level=None)
    select = "SELECT data FROM entries WHERE organization = ? ORDER BY number"
    data = [row[0] for row in connection.execute(select, (PROVIDER,))]
    data[5] = data[6]
    connection.execute("UPDATE entries SET data = ? WHERE organization = ? AND number = 5", (data[5], PROVIDER))
    frontier = Frontier().extend(map(leaf_hash, data))
    connection.execute("UPDATE logs SET frontier = ? WHERE organization = ?", (frontier.to_bytes(), PROVIDER))
    connection.execute("DELETE FROM checkpoints")
    connection.close()


def test_a_rewritten_history_of_the_same_length_stops_the_start(aged: Aged) -> None:
    rewrite(aged.newest)
    code, reason = refused(aged, aged.newest)
    assert code == "log_set_back"
    assert "the first 21 entries of the log of bts are not those that were signed" in reason


def test_a_key_that_was_replaced_without_a_note_stops_the_start_and_one_that_handed_over_does_not(aged: Aged) -> None:
    with aged.open(aged.newest) as exchange:
        exchange.rotate.rotate(LOCAL_OPERATOR)
    with aged.open(aged.newest) as exchange:
        exchange.outside.require_consistent()
        exchange.sign()
        make_next_key(exchange.home)
        use_next_key(exchange.home)
    assert refused(aged, aged.newest)[0] == "corrupt"
    connection = sqlite3.connect(aged.newest / "catalog.sqlite", isolation_level=None)
    connection.execute("DELETE FROM key_rotations")
    connection.execute("DELETE FROM checkpoints")
    connection.close()
    assert refused(aged, aged.newest)[0] == "corrupt"
    code, said = command("audit", "verify", PROVIDER, "--home", str(aged.newest), environment=aged.environment)
    assert (code, said["ok"]) == (9, False)


@pytest.mark.parametrize("content", [b"", b"{}", b"x", b'{"key": "AAAA", "checkpoints": {"bts": "x"}}'])
def test_a_copy_that_is_none_stops_the_start(aged: Aged, content: bytes) -> None:
    aged.copy.write_bytes(content)
    assert refused(aged, aged.newest)[0] == "corrupt"


def test_the_copy_follows_the_logs_and_is_never_written_over_what_they_do_not_go_on_from(aged: Aged) -> None:
    with serving(aged.newest, environment={**aged.environment, "BAYBRIDGE_CHECKPOINT_SECONDS": "0.1"}):
        with aged.open(aged.newest) as exchange:
            record(exchange, 4)
        wait_until(lambda: "\n25\n" in json.loads(aged.copy.read_bytes())["checkpoints"][PROVIDER])
    before = aged.copy.read_bytes()
    with aged.open(aged.older) as exchange:
        with pytest.raises(BaybridgeError) as wrong:
            exchange.sign()
        assert wrong.value.code == "log_set_back"
    assert aged.copy.read_bytes() == before
    assert aged.copy.stat().st_mode & 0o777 == 0o600


def test_there_is_nothing_to_restore_where_nothing_is_lost_or_while_the_home_is_served(aged: Aged) -> None:
    with aged.open(aged.newest) as exchange, pytest.raises(BaybridgeError) as nothing:
        exchange.outside.restore(LOCAL_OPERATOR, who="x", reason="y")
    assert nothing.value.code == "conflict"
    with serving(aged.older), aged.open(aged.older) as exchange, pytest.raises(BaybridgeError) as served:
        exchange.outside.restore(LOCAL_OPERATOR, who="x", reason="y")
    assert served.value.code == "conflict"
    with aged.open(aged.older) as exchange, pytest.raises(BaybridgeError) as person:
        exchange.outside.restore(exchange.administer.principals(LOCAL_OPERATOR, PROVIDER)[0], who="x", reason="y")
    assert person.value.code == "role_required"


@pytest.mark.parametrize("place", ["copy.json", "ftp://x/y", "relative/path", "/", "http://"])
def test_a_place_that_is_none_or_inside_the_home_stops_every_command(aged: Aged, place: str) -> None:
    named = str(aged.newest / place) if place == "copy.json" else place
    code, said = command("settings", "--home", str(aged.newest), environment={"BAYBRIDGE_CHECKPOINT_COPY": named})
    assert (code, said["code"]) == (2, "settings_invalid")


@dataclass
class Shelf:
    """A server that keeps what is put, and nothing more."""

    kept: dict[str, bytes] = field(default_factory=dict)
    status: int | None = None
    url: str = ""


@contextmanager
def shelf() -> Iterator[Shelf]:
    here = Shelf()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(here.kept.get(self.path))

        def do_PUT(self) -> None:
            here.kept[self.path] = self.rfile.read(int(self.headers["content-length"]))
            self.reply(b"")

        def reply(self, body: bytes | None) -> None:
            self.send_response(here.status or (404 if body is None else 200))
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        here.url = f"http://127.0.0.1:{server.server_address[1]}/copy"
        yield here
        server.shutdown()
        thread.join()


def test_a_copy_can_be_at_a_url(aged: Aged) -> None:
    with shelf() as here:
        environment = {"BAYBRIDGE_CHECKPOINT_COPY": here.url}
        with Exchange.open(aged.newest, environment=environment) as exchange:
            exchange.sign()
        assert PROVIDER in json.loads(here.kept["/copy"])["checkpoints"]
        with Exchange.open(aged.older, environment=environment) as exchange:
            with pytest.raises(BaybridgeError) as back:
                exchange.outside.require_consistent()
            assert back.value.code == "log_set_back"
        here.status = 500
        code, said = command("serve", "--home", str(aged.newest), "--port", "0", environment=environment)
        assert (code, said["code"]) == (10, "copy_unreachable")
    code, said = command("serve", "--home", str(aged.newest), "--port", "0", environment=environment)
    assert (code, said["code"]) == (10, "copy_unreachable")
