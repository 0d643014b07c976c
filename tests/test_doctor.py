"""The doctor: each check is met by the very damage that it is for, done to a real home; and what it says is never a secret or a value."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import FLIGHTS, World, make_world, serving

from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, Log
from baybridge.cli.main import run
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.operate import doctor
from baybridge.operate.doctor import free_disk
from baybridge.principals.principal import LOCAL_OPERATOR

PAGE = Path(__file__).parent.parent / doctor.DOCS

Examine = Callable[..., tuple[int, dict[str, dict[str, Any]], str]]


@pytest.fixture
def kept_outside(tmp_path: Path) -> Path:
    """Where checkpoints are kept outside of the home."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere" / "checkpoints.json"


@pytest.fixture
def examine(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept_outside: Path) -> Examine:
    """Runs the doctor on a home, and gives exit code, checks by id, and all that it printed."""
    for name in [name for name in os.environ if name.startswith("BAYBRIDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BAYBRIDGE_CHECKPOINT_COPY", str(kept_outside))

    def examine_one(root: Path, *more: str) -> tuple[int, dict[str, dict[str, Any]], str]:
        capfd.readouterr()
        code = run(["doctor", "--home", str(root), "--json", *more])
        out = capfd.readouterr().out
        return code, {each["id"]: each for each in json.loads(out)["checks"]}, out

    return examine_one


@pytest.fixture
def home(tmp_path: Path, kept_outside: Path) -> Iterator[World]:
    """A home with two versions, an agreement far from its end, and signed checkpoints, here and outside."""
    world = make_world(tmp_path / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.flights", FLIGHTS.replace(b"UA", b"ZZ"), key=("flight",))
    world.sign(world.terms())
    with Exchange.open(world.root, environment={"BAYBRIDGE_CHECKPOINT_COPY": str(kept_outside)}) as exchange:
        exchange.sign()
    yield world
    world.exchange.close()


def edit(world: World, statement: str, *values: object) -> None:
    """Do it in the database itself, as nobody should."""
    with sqlite3.connect(world.root / "catalog.sqlite") as connection:
        connection.execute(statement, values)
    connection.close()


def an_object(world: World) -> Path:
    return next(path for path in sorted((world.root / "objects").glob("*/*")))


def not_well(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: each["state"] for name, each in checks.items() if each["state"] != "ok"}


def test_a_sound_home_passes_every_check_and_is_left_as_it_was(home: World, examine: Examine) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file() and "catalog" not in path.name}
    root = home.exchange.watch.verify("bts", ()).root
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (0, {})
    assert home.exchange.watch.verify("bts", ()).root == root
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file() and "catalog" not in path.name} == before


@pytest.mark.slow
def test_every_check_is_explained_where_it_points(home: World, examine: Examine) -> None:
    headings = {line.removeprefix("### ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("### ")}
    with serving(home.root) as server:
        _, checks, _ = examine(home.root, "--url", server.url)
    assert headings == set(checks)
    assert {each["docs"] for each in checks.values()} == {f"{doctor.DOCS}#{name}" for name in checks}
    assert set(doctor.OPENED) < set(checks)


def test_a_setting_that_does_not_parse_fails_and_the_rest_is_not_looked_at(home: World, examine: Examine) -> None:
    with (home.root / "baybridge.toml").open("a") as file:
        file.write("colour = 'blue'\n")
    code, checks, _ = examine(home.root)
    assert code == 9
    assert not_well(checks) == {"settings": "fail", "objects_folder": "warn", **dict.fromkeys(doctor.OPENED, "warn")}
    assert "no setting colour" in checks["settings"]["evidence"]


def test_a_secret_file_that_others_may_read_fails(home: World, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "token"
    named.write_text("bb_unspeakable")
    named.chmod(0o644)
    monkeypatch.setenv("BAYBRIDGE_TOKEN_FILE", str(named))
    code, checks, out = examine(home.root)
    assert (code, not_well(checks)) == (9, {"secrets": "fail"})
    assert checks["secrets"]["fix"] == f"chmod go= {named}"
    assert "unspeakable" not in out
    named.chmod(0o600)
    home.root.chmod(0o755)
    assert not_well(examine(home.root)[1]) == {"secrets": "fail"}
    home.root.chmod(0o700)
    assert examine(home.root)[0] == 0


def test_a_key_that_is_open_or_gone_fails(home: World, examine: Examine) -> None:
    key = home.root / "keys" / "wrapping.key"
    key.chmod(0o640)
    code, checks, _ = examine(home.root)
    assert (code, checks["keys"]["state"], checks["keys"]["fix"]) == (9, "fail", f"chmod 600 {key}")
    key.unlink()
    code, checks, _ = examine(home.root)
    assert (code, checks["keys"]["evidence"]) == (9, "The key wrapping.key is missing from the home.")


@pytest.mark.parametrize("damage", ["gone", "torn", "older", "no database"])
def test_a_catalog_that_is_gone_damaged_or_of_another_revision_fails(home: World, examine: Examine, damage: str) -> None:
    database = home.root / "catalog.sqlite"
    if damage == "older":
        edit(home, "UPDATE alembic_version SET version_num = '0001'")
    home.exchange.close()  # what the write-ahead log held is in the file now
    if damage == "gone":
        database.unlink()
    elif damage == "torn":
        content = database.read_bytes()
        database.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    elif damage == "no database":
        database.write_bytes(b"no database at all" * 1000)
    code, checks, _ = examine(home.root)
    assert (code, checks["catalog"]["state"]) == (9, "fail")
    assert checks["log"]["state"] == "warn"
    assert (damage == "gone") is not database.exists()


def test_an_objects_folder_that_cannot_be_written_fails(home: World, examine: Examine) -> None:
    folder = home.root / "objects"
    folder.rename(home.root / "elsewhere")
    folder.write_bytes(b"")
    code, checks, _ = examine(home.root)
    assert (code, checks["objects_folder"]["state"], checks["objects"]["state"]) == (9, "fail", "fail")


def test_a_disk_that_fills_warns_and_then_fails(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    judged = [
        free_disk(free, tmp_path, least=least, enough=enough).state for least, enough in ((1, 2), (1, 2 * free), (2 * free, 4 * free))
    ]
    assert judged == ["ok", "warn", "fail"]


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_an_object_that_is_gone_or_not_what_was_written_fails(home: World, examine: Examine, damage: str) -> None:
    path = an_object(home)
    content = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (9, {"objects": "fail"})
    assert path.name[:12] in checks["objects"]["evidence"]
    assert checks["objects"]["fix"] == f"cp -p BACKUP/objects/{path.parent.name}/{path.name} {path}"


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_log_that_was_altered_or_cut_short_fails(home: World, examine: Examine, damage: str) -> None:
    if damage == "flipped":
        edit(home, "UPDATE entries SET data = CAST(replace(data, 'steward', 'auditor') AS BLOB) WHERE organization = 'bts' AND number = 1")
    else:
        last = "(SELECT max(number) FROM entries WHERE organization = 'bts')"
        edit(home, f"DELETE FROM side_records WHERE organization = 'bts' AND number = {last}")
        edit(home, f"DELETE FROM entries WHERE organization = 'bts' AND number = {last}")
    code, checks, _ = examine(home.root)
    assert (code, checks["log"]["state"]) == (9, "fail")
    assert checks["log"]["evidence"].startswith("the log of bts: ")


def test_a_log_that_does_not_go_on_from_what_is_kept_outside_fails(
    home: World, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BAYBRIDGE_CHECKPOINT_COPY")
    assert not_well(examine(home.root)[1]) == {"outside": "warn"}
    copy = tmp_path / "outside" / "checkpoints.json"
    copy.parent.mkdir()
    monkeypatch.setenv("BAYBRIDGE_CHECKPOINT_COPY", str(copy))
    code, checks, _ = examine(home.root)
    assert (code, checks["outside"]["evidence"]) == (0, "nothing is kept outside yet; the server does it")
    home.exchange.close()
    shutil.copytree(home.root, tmp_path / "yesterday")
    with Exchange.open(home.root, environment={"BAYBRIDGE_CHECKPOINT_COPY": str(copy)}) as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "faa", "FAA")
        exchange.sign()
    assert examine(home.root)[1]["outside"]["evidence"] == "every log goes on from the checkpoint kept outside"
    shutil.rmtree(home.root)
    shutil.copytree(tmp_path / "yesterday", home.root)
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (9, {"outside": "fail"})
    assert checks["outside"]["evidence"] == "there is no log of faa"
    shutil.rmtree(copy.parent)
    copy.parent.write_bytes(b"")
    assert not_well(examine(home.root)[1]) == {"outside": "fail"}


def test_a_clock_that_was_set_back_fails(home: World, examine: Examine) -> None:
    """The machine's clock is not moved: a log whose clock is a day ahead makes the newest entry."""
    ahead = Log(
        database=home.exchange.database,
        origin="exchange.example",
        clock=lambda: datetime.now(UTC) + timedelta(days=1),
        entropy=os.urandom,
    )
    with home.exchange.database.write() as connection:
        ahead.append(connection, Draft("dot", Kind.ORGANIZATION_ACT, {}))
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (9, {"clock": "fail"})
    assert checks["clock"]["evidence"] == "the newest entry of dot is in the future"


def test_a_purge_that_is_not_done_warns(home: World, examine: Examine) -> None:
    steward, name = home.person("bts", "steward"), DatasetName("bts", "flights")
    home.exchange.withdraw.withdraw(steward, name, 1, "wrong file")
    edit(home, "UPDATE versions SET state = 'purging' WHERE number = 1")
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (0, {"purges": "warn"})
    assert checks["purges"]["evidence"] == "1 versions are being purged: version 1 of bts.flights"


def test_an_agreement_that_ends_within_thirty_days_warns_until_it_has_a_successor(home: World, examine: Examine) -> None:
    ends = (datetime.now(UTC) + timedelta(days=29)).isoformat()
    ending = home.sign(home.terms(end=ends, purposes=["census"]))
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (0, {"agreements_ending": "warn"})
    assert checks["agreements_ending"]["evidence"] == f"1 end within 30 days: {ending.id} on bts.flights"
    begins = (datetime.now(UTC) + timedelta(days=20)).isoformat()
    agree, later = home.exchange.agree, home.terms(purposes=["census"], start=begins)
    successor = agree.succeed(home.person("dot", "analyst"), ending.id, later)
    agree.offer(home.person("bts", "steward"), successor.id, None)
    agree.sign(home.person("bts", "signatory"), successor.id, successor.terms_sha256)
    agree.sign(home.person("dot", "signatory"), successor.id, successor.terms_sha256)
    assert agree.show(LOCAL_OPERATOR, ending.id).standing(datetime.now(UTC)) == "ACTIVE"  # until the successor begins
    assert not_well(examine(home.root)[1]) == {}


def test_a_role_that_waits_for_a_second_person_warns(home: World, examine: Examine) -> None:
    added = home.exchange.administer.add_principal(LOCAL_OPERATOR, "bts", "Unspeakable Name", "person", ["signatory"])
    code, checks, out = examine(home.root)
    assert (code, not_well(checks)) == (0, {"second_person": "warn"})
    assert checks["second_person"]["fix"] == f"baybridge user confirm {added.id}"
    assert "Unspeakable" not in out


def test_the_size_of_extracts_is_told(home: World, examine: Examine) -> None:
    with (home.root / "extracts" / "ballast").open("wb") as file:
        file.truncate(3 << 20)
    assert examine(home.root)[1]["extracts"]["evidence"].startswith("3.0 MiB in ")
    with (home.root / "extracts" / "ballast").open("wb") as file:
        file.truncate(1 << 43)  # a sparse file: larger than what is free, and no block of it is written
    code, checks, _ = examine(home.root)
    assert (code, not_well(checks)) == (0, {"extracts": "warn"})


class _Other(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_a_server_that_is_down_another_or_not_ready_fails(home: World, examine: Examine) -> None:
    assert not_well(examine(home.root, "--url", "http://127.0.0.1:1")[1]) == {"server": "fail"}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        assert not_well(examine(home.root, "--url", f"http://127.0.0.1:{other.server_port}")[1]) == {"server": "fail"}
        other.shutdown()
    with serving(home.root) as server:
        assert examine(home.root, "--url", server.url)[1]["server"]["state"] == "ok"
        key = home.root / "keys" / "cursor.key"
        key.chmod(0o644)
        code, checks, _ = examine(home.root, "--url", server.url)
        assert (code, checks["server"]["evidence"]) == (9, "it answers, and cannot use keys")


def test_what_is_not_well_is_told_to_people_with_what_mends_it(home: World, capfd: pytest.CaptureFixture[str]) -> None:
    an_object(home).unlink()
    capfd.readouterr()
    assert run(["doctor", "--home", str(home.root)]) == 9
    out, err = capfd.readouterr()
    lines = out.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("fail  objects: "))
    assert lines[at + 1].startswith("        try:   cp -p BACKUP/objects/")
    assert lines[at + 2] == f"        docs:  {doctor.DOCS}#objects"
    assert err == "1 of 15 checks failed.\n"
