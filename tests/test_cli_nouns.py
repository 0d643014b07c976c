"""The commands of each noun: the same verb over HTTP and on a home, what each prints, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import FLIGHTS, World, make_world, serving
from test_cli import Commands, Place

from baybridge.audit.checkpoint import Checkpoint, sign

pytestmark = [pytest.mark.xdist_group("cli_nouns"), pytest.mark.slow]

LATER = FLIGHTS.replace(b"6,UA,N24211,JFK,ORD,120,", b"6,UA,N24211,JFK,ORD,121,") + b"8,DL,N1,JFK,ATL,5,760.0,2013-01-03T10:00:00Z\n"


@pytest.fixture
def bay(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(capfd, monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A served home with two versions of flights and an agreement for all versions, and each person's token in a file."""
    world = make_world(tmp_path / "home")
    world.employ("bts", "counsel")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.flights", LATER, key=("flight",))
    world.sign(world.terms(history="all"))
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    for (organization, role), secret in world.secrets.items():
        (tokens / f"{organization}-{role}").write_text(secret + "\n")
    with serving(world.root) as server:
        yield Place(world, server, tokens)
    world.exchange.close()


def terms_file(world: World, folder: Path, name: str = "terms.json", **changes: object) -> Path:
    path = folder / name
    shape = world.terms(**changes)
    path.write_text(json.dumps({field: getattr(shape, field) for field in shape.__struct_fields__}))
    return path


def test_who_may_read_a_dataset_is_told_in_the_words_that_were_signed(place: Place, bay: Commands) -> None:
    world = place.world
    suspended = world.sign(world.terms(purposes=["census"], columns=["flight"], masks={}, row_filter=None))
    world.exchange.agree.suspend(world.person("bts", "steward"), suspended.id, "a question")
    ended = world.sign(world.terms(purposes=["old"]))
    world.exchange.agree.revoke(world.person("bts", "steward"), ended.id, "over")
    for door in (place.as_("bts", "auditor"), ("--home", world.root)):
        told = bay("who-has", "bts.flights", "--json", *door).json()
        readers = {each["agreement"]: each for each in told["readers"]}
        assert set(readers) == {"AGR-0001", suspended.id}
        first = readers["AGR-0001"]
        assert (first["organization"], first["state"], first["reads_now"]) == ("dot", "ACTIVE", True)
        assert {each["name"]: each["mask"] for each in first["columns"]}["tailnum"] == "pseudonym"
        assert (first["row_filter"], first["purposes"]) == ("origin = 'JFK'", ["noise-study"])
        assert readers[suspended.id]["reads_now"] is False
        signed = bay("agreement", "text", "AGR-0001", "--json", *door).json()["text"].splitlines()
        assert first["words"]
        assert set(first["words"]) <= set(signed)
        text = bay("who-has", "bts.flights", *door).out
        assert f"dot under {suspended.id}: SUSPENDED, nothing is read now" in text
        assert all(f"  {line}" in text.splitlines() for line in first["words"])
    assert bay("who-has", "bts.flights", *place.as_("dot", "admin")).code == 5
    assert bay("who-has", "bts.nothing", "--home", world.root).code == 7


def test_who_may_read_says_of_a_public_and_of_a_withdrawn_dataset_what_holds(place: Place, bay: Commands) -> None:
    place.world.publish("bts.open", b"a\n1\n", access="public")
    home = ("--home", place.world.root)
    assert "everyone reads every row and column" in bay("who-has", "bts.open", *home).out
    assert bay("withdraw", "bts.open", "--reason", "wrong file", *home).code == 0
    assert bay("who-has", "bts.open", *home).out.startswith("bts.open is withdrawn: nobody reads it now.")


def test_a_profile_a_diff_and_changes_are_those_of_the_agreement(place: Place, bay: Commands) -> None:
    reader = ("--purpose", "noise-study", *place.as_("dot", "analyst"))
    profile = bay("profile", "bts.flights", "--json", *reader).json()
    assert (profile["version"], profile["rows"]) == (2, 6)
    assert [each["name"] for each in profile["columns"]] == ["flight", "carrier", "tailnum", "origin", "delay"]
    shown = bay("profile", "bts.flights", "--version", 1, *reader).out.splitlines()
    assert shown[0] == "5 rows of version 1"
    assert [line.split()[:4] for line in shown if line.startswith("delay ")] == [["delay", "integer", "1", "4"]]
    counted = bay("diff", "bts.flights", 1, 2, "--json", *reader).json()
    assert [counted[each] for each in ("added", "removed", "changed", "unchanged")] == [1, 0, 1, 4]
    assert "  added                1" in bay("diff", "bts.flights", 1, 2, *reader).out.splitlines()
    lines = [json.loads(line) for line in bay("changes", "bts.flights", "--since", 1, *reader).out.splitlines()]
    assert sorted(each["change"] for each in lines) == ["insert", "update"]
    assert bay("changes", "bts.flights", "--since", 1, "--json", *reader).json() == {"since": 1, "changes": lines}
    assert bay("profile", "bts.flights", "--purpose", "marketing", *place.as_("dot", "analyst")).code == 5


@pytest.mark.parametrize("door", ["home", "http"])
def test_a_version_is_withdrawn_restored_and_purged_as_planned(place: Place, bay: Commands, door: str) -> None:
    steward = ("--home", place.world.root) if door == "home" else place.as_("bts", "steward")
    reason = ("--reason", "the wrong file")
    assert bay("withdraw", "bts.flights", *steward).code == 2  # without a reason
    for version, undo in (((), "restore-version bts.flights"), (("--version", 1), "restore-version bts.flights --version 1")):
        moved = bay("withdraw", "bts.flights", *version, *reason, *steward)
        assert moved.out.endswith("withdrawn, the wrong file\n")
        assert undo in moved.err
        restored = bay("restore-version", "bts.flights", *version, "--json", *steward).json()
        assert restored["state"] == "published"
    version = ("bts.flights", "--version", 1)
    for confirmed in ((), ("--yes", "0" * 64)):
        early = bay("purge", *version, *reason, *confirmed, "--json", *steward)
        assert (early.code, early.json()["next_step"]) == (8, "Withdraw it first.")
        assert early.json()["next_command"] == "baybridge withdraw bts.flights --version 1 --reason TEXT"
    bay("withdraw", *version, *reason, *steward)
    early = bay("purge", *version, *reason, "--json", *steward).json()
    assert (early["versions"], early["rows"], early["purged"]) == ([1], 7, False)
    plan = bay("purge", *version, *reason, *steward)
    assert "would be destroyed" in plan.out
    command = f"baybridge purge bts.flights --version 1 --reason 'the wrong file' --yes {early['plan_sha256']}\n"
    assert plan.err == f"Nothing was destroyed. To do it: {command}"
    assert bay("purge", *version, *reason, "--yes", "0" * 64, *steward).code == 8
    done = bay("purge", *version, *reason, "--yes", early["plan_sha256"], *steward)
    assert (done.code, done.out.splitlines()[0]) == (0, "bts.flights: destroyed")
    assert bay("purge", *version, *reason, *steward).code == 7


def test_people_are_given_roles_suspended_resumed_and_seen_off(place: Place, bay: Commands) -> None:
    person = place.world.person("dot", "auditor").id
    admin, home = place.as_("dot", "admin"), ("--home", place.world.root)
    for door in (admin, home):
        changed = bay("user", "roles", person, "--role", "auditor", "--role", "analyst", "--json", *door).json()
        assert changed["roles"] == ["analyst", "auditor"]
        assert bay("user", "suspend", person, *door).code == 2  # without a reason
        assert bay("user", "suspend", person, "--reason", "on leave", "--json", *door).json()["status"] == "suspended"
        assert bay("whoami", *place.as_("dot", "auditor")).code == 5
        assert "active" in bay("user", "resume", person, "--reason", "back", *door).out
        assert bay("whoami", *place.as_("dot", "auditor")).code == 0
    waiting = bay("user", "roles", person, "--role", "signatory", *home)
    assert waiting.out.endswith("signatory (waits).\n")
    assert f"baybridge user confirm {person}" in waiting.err
    assert bay("user", "offboard", person, "--reason", "left", "--json", *home).json()["status"] == "offboarded"
    assert bay("whoami", *place.as_("dot", "auditor")).code == 4
    assert bay("user", "suspend", person, "--reason", "no", *place.as_("dot", "steward")).code == 5


def test_tokens_are_narrowed_rotated_and_listed(place: Place, bay: Commands, tmp_path: Path) -> None:
    person = place.world.person("dot", "analyst").id
    for number, door in enumerate((place.as_("dot", "admin"), ("--home", place.world.root))):
        issued = bay("token", "issue", person, "--scope", "read", "--purpose", "noise-study", "--json", *door).json()
        assert (issued["scopes"], issued["purpose"]) == (["read"], "noise-study")
        out = tmp_path / f"rotated-{number}"
        rotated = bay("token", "rotate", issued["id"], "--overlap", 3600, "--out", out, "--json", *door).json()
        assert (rotated["scopes"], rotated["purpose"], stat.S_IMODE(out.stat().st_mode)) == (["read"], "noise-study", 0o600)
        listed = {each["id"]: each for each in bay("token", "list", "dot", "--json", *door).json()["tokens"]}
        assert listed[issued["id"]]["expires"] is not None  # the overlap ends it
        assert listed[rotated["id"]]["expires"] is None
        text = bay("token", "list", "dot", *door).out
        assert rotated["id"] in text
        assert "bb_" not in text
        assert bay("whoami", "--url", place.server.url, "--token-file", out, "--json").json()["scopes"] == ["read"]
    own = bay("token", "list", "dot", "--json", *place.as_("dot", "analyst")).json()["tokens"]
    assert {each["principal"] for each in own} == {person}


def test_several_agreements_are_asked_for_and_signed_in_one_act(place: Place, bay: Commands, tmp_path: Path) -> None:
    files = [terms_file(place.world, tmp_path, f"{purpose}.json", purposes=[purpose]) for purpose in ("roads", "rails")]
    options = [each for file in files for each in ("--file", file)]
    analyst, steward = place.as_("dot", "analyst"), place.as_("bts", "steward")
    asked = bay("umbrella", "request", "--title", "Transport study", *options, "--json", *analyst).json()
    assert [each["state"] for each in asked["agreements"]] == ["REQUESTED", "REQUESTED"]
    name, digest = asked["id"], asked["terms_sha256"]
    offered = bay("umbrella", "offer", name, *steward)
    assert offered.out.splitlines()[-1] == f"next: signatories of bts and dot: baybridge umbrella sign {name} --digest {digest}"
    wrong = bay("umbrella", "sign", name, "--digest", "0" * 64, *place.as_("bts", "signatory"))
    assert (wrong.code, f"baybridge umbrella show {name}" in wrong.err) == (8, True)
    bay("umbrella", "sign", name, "--digest", digest, *place.as_("bts", "signatory"))
    signed = bay("umbrella", "sign", name, "--digest", digest, "--json", *place.as_("dot", "signatory")).json()
    assert [each["state"] for each in signed["agreements"]] == ["ACTIVE", "ACTIVE"]
    for door in (analyst, ("--home", place.world.root)):
        assert bay("umbrella", "show", name, "--json", *door).json()["title"] == "Transport study"
    assert [each["id"] for each in bay("umbrella", "list", "--json", *analyst).json()["umbrellas"]] == [name]
    stranger = terms_file(place.world, tmp_path, "stranger.json", dataset="nobody.flights")
    assert bay("umbrella", "request", "--title", "t", "--file", stranger, *analyst).code == 7
    for act in (("offer", name), ("sign", name, "--digest", digest), ("request", "--title", "t", *options)):
        assert bay("umbrella", *act, "--home", place.world.root).code == 5


def test_a_notice_is_shown_until_it_is_read_and_what_ends_soon_beside_it(place: Place, bay: Commands) -> None:
    soon = (datetime.now(UTC) + timedelta(days=10)).isoformat()
    ending = place.world.sign(place.world.terms(purposes=["census"], end=soon))
    steward = place.as_("bts", "steward")
    told = bay("notices", "--limit", 2, "--json", *steward).json()
    assert (len(told["notices"]), [each["agreement"] for each in told["ending_soon"]]) == (2, [ending.id])
    newest = told["notices"][0]["id"]
    shown = bay("notices", *steward).out
    assert f"ends in 9 days: {ending.id} on bts.flights" in shown
    assert [line for line in shown.splitlines() if line.split()[:1] == [str(newest)] and " new " in line]
    assert bay("notices", "--read", newest, "--json", *steward).json()["read"] is not None
    older = bay("notices", "--before", newest, "--json", *steward).json()["notices"]
    assert newest not in [each["id"] for each in older]
    assert bay("notices", "--read", 999_999, *steward).code == 7


def answered(place: Place, bay: Commands, **more: object) -> Any:
    options = [each for name, value in more.items() for each in (f"--{name}", value)]
    return bay("get", "bts.flights", "--purpose", "noise-study", *options, *place.as_("dot", "analyst"))


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_rows_go_into_a_file_that_is_whole_and_its_owners(place: Place, bay: Commands, tmp_path: Path, form: str) -> None:
    out = tmp_path / "rows" / "flights"
    out.parent.mkdir()
    saved = answered(place, bay, format=form, output=out, filter="delay > 0")
    assert (saved.code, saved.err) == (0, "")
    content = out.read_bytes()
    assert hashlib.sha256(content).hexdigest() in saved.out
    assert (stat.S_IMODE(out.stat().st_mode), list(out.parent.iterdir())) == (0o600, [out])
    printed = answered(place, bay, format=form, filter="delay > 0").out
    rows = content.decode().replace("\r\n", "\n")
    assert sorted(rows.splitlines()) == sorted(printed.splitlines())
    shape = bay(
        "get", "bts.flights", "--purpose", "noise-study", "--output", out, "--limit", 1, "--json", *place.as_("dot", "analyst")
    ).json()
    assert (shape["path"], shape["bytes"], shape["provenance"]["version"]) == (str(out), out.stat().st_size, 2)
    assert len(out.read_bytes().splitlines()) == 2


def test_a_refused_answer_leaves_the_file_as_it_was(place: Place, bay: Commands, tmp_path: Path) -> None:
    out = tmp_path / "flights.csv"
    out.write_text("before")
    assert answered(place, bay, output=out, columns="distance").code == 5
    assert answered(place, bay, output=out, format="table").code == 2
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.glob(".*.part")] == []


def at_a_terminal(*arguments: object) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run a command whose standard error is a terminal: what came of it, and what stood there."""
    theirs, ours = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-m", "baybridge.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=ours,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
    )
    os.close(ours)
    drawn = os.read(theirs, 10_000).decode()
    os.close(theirs)
    return ran, drawn


def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "flights.csv"
    ran, drawn = at_a_terminal(
        *("get", "bts.flights", "--purpose", "noise-study", "--output", out),
        *place.as_("dot", "analyst"),
    )
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"Wrote {out}: ")
    assert f"{out.stat().st_size} bytes" in drawn


def test_a_log_is_proved_to_have_grown_only_and_a_forged_checkpoint_is_not(place: Place, bay: Commands, tmp_path: Path) -> None:
    kept, public = tmp_path / "kept", ("--url", place.server.url)
    key = bay("audit", "checkpoint", "bts", "--out", kept, "--json", *public).json()["verifier"]
    place.world.publish("bts.flights", FLIGHTS, key=("flight",))
    assert bay("audit", "checkpoint", "bts", "--home", place.world.root).code == 0
    proved = bay("audit", "prove", "bts", "--checkpoint", kept, "--key", key, "--json", *public).json()
    assert (proved["ok"], proved["size"] > proved["kept"][0]) == (True, True)
    assert "goes on from" in bay("audit", "prove", "bts", "--checkpoint", kept, *public).out
    origin, size, *rest = kept.read_text().split("\n")
    forged = tmp_path / "forged"
    forged.write_text("\n".join([origin, str(int(size) + 1), *rest]))
    assert bay("audit", "prove", "bts", "--checkpoint", forged, *public).code == 9
    assert bay("audit", "prove", "dot", "--checkpoint", kept, *public).code == 9
    forked = tmp_path / "forked"  # the home's own key has signed another history
    forked.write_text(sign(Checkpoint(origin, int(size), bytes(32)), place.world.exchange.keys.log, origin))
    told = bay("audit", "prove", "bts", "--checkpoint", kept, "--checkpoint", forked, *public)
    assert (told.code, "FAILED: does not go on from" in told.out) == (9, True)


def test_a_file_that_is_no_checkpoint_is_a_mistake_and_no_finding(place: Place, bay: Commands, tmp_path: Path) -> None:
    stray = tmp_path / "stray"
    for content in (b"", b"not a checkpoint\n", b"\x00\xff" * 9, b"origin\n7\nroot\n\n"):
        stray.write_bytes(content)
        for act in (("verify", "bts", *place.as_("bts", "auditor")), ("prove", "bts", "--url", place.server.url)):
            ran = bay("audit", *act, "--checkpoint", stray)
            assert (ran.code, f"{stray} is not a checkpoint." in ran.err) == (2, True)


@pytest.mark.parametrize("form", ["table", "csv", "ndjson"])
def test_a_page_says_its_entry_to_programs_and_to_people_at_a_terminal(place: Place, bay: Commands, form: str) -> None:
    ask = ("get", "bts.flights", "--purpose", "noise-study", "--limit", 2, *place.as_("dot", "analyst"))
    found = bay(*ask, "--json").json()
    organization, _, index = found["entry"].partition("/")
    assert found["entries"] == [found["entry"]]
    assert bay("audit", "receipt", organization, index, *place.as_("dot", "analyst")).code == 0
    assert "Entry " not in bay(*ask, "--format", form).err
    _, drawn = at_a_terminal(*ask, "--format", form)
    assert f"Entry {organization}/{int(index) + 2}" in drawn.splitlines()


def test_a_receipt_is_fetched_and_checked_with_the_network_off(place: Place, bay: Commands, tmp_path: Path) -> None:
    saved = bay(
        *("get", "bts.flights", "--purpose", "noise-study", "--output", tmp_path / "f.csv", "--json"), *place.as_("dot", "analyst")
    ).json()
    organization, _, index = saved["provenance"]["entry"].partition("/")
    proof = tmp_path / "mine.tlog-proof"
    key = bay("audit", "checkpoint", "bts", "--json", "--home", place.world.root).json()["verifier"]
    for door in (place.as_("dot", "analyst"), ("--home", place.world.root)):
        got = bay("audit", "receipt", organization, index, "--out", proof, *door)
        assert (got.code, stat.S_IMODE(proof.stat().st_mode)) == (0, 0o600)
        checked = bay("audit", "check-receipt", proof, "--key", key, "--json").json()
        assert (checked["index"], checked["kind"]) == (int(index), "disclosure")
    assert bay("audit", "receipt", organization, index, *place.as_("dot", "analyst")).out == proof.read_text()
    held = tmp_path / "key"
    held.write_text(f"{key}\n")
    told = bay("audit", "check-receipt", proof, "--key", held)
    rows = len((tmp_path / "f.csv").read_text().splitlines()) - 1
    of_read = {name: str(saved["provenance"][name]) for name in ("agreement", "dataset", "version")} | {"rows": str(rows)}
    assert dict(line.split() for line in told.out.splitlines()[1:]) == of_read
    forged = tmp_path / "forged"
    forged.write_text(proof.read_text().replace(f"index {index}", f"index {int(index) - 1}"))
    assert bay("audit", "check-receipt", forged, "--key", key).code == 9
    other = bay("audit", "checkpoint", "dot", "--json", "--home", place.world.root).json()["verifier"]
    assert bay("audit", "check-receipt", proof, "--key", other).code == 9
    assert bay("audit", "receipt", "bts", 0, *place.as_("dot", "analyst")).code == 7
