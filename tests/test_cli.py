"""The command line: what each command prints, where, and with which exit code. Real processes where a process is the point."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

import baybridge
from baybridge.cli.main import baybridge as command_line
from baybridge.cli.main import run
from baybridge.cli.printing import csv_lines, printable, table
from baybridge.terms.masks import MASKS
from baybridge.terms.terms import Terms
from baybridge.wire.terms import TermsShape

pytestmark = pytest.mark.xdist_group("cli")

MANY = 10_500  # more than one page


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one JSON object that stdout is."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        return json.loads(self.out)


class Commands:
    """Runs commands in this process, with an environment that has nothing of Baybridge but what is given."""

    def __init__(self, capfd: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch) -> None:
        self._capfd = capfd
        self._environment = environment
        for name in [name for name in os.environ if name.startswith("BAYBRIDGE_")]:
            environment.delenv(name)

    def set(self, **variables: object) -> None:
        for name, value in variables.items():
            self._environment.setenv(name, str(value))

    def __call__(self, *arguments: object) -> Ran:
        self._capfd.readouterr()
        code = run([str(each) for each in arguments])
        return Ran(code, *self._capfd.readouterr())


@pytest.fixture
def bay(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(capfd, monkeypatch)


@dataclass(frozen=True)
class Place:
    """A served home, and the files that hold its people's tokens."""

    world: World
    server: Server
    tokens: Path

    def as_(self, organization: str, role: str) -> tuple[str, ...]:
        return ("--url", self.server.url, "--token-file", str(self.tokens / f"{organization}-{role}"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("cli")
    world = make_world(folder / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.many", b"n,v\n" + b"".join(b"%d,x\n" % n for n in range(MANY + 500)), key=("n",), access="public")
    world.publish("bts.hostile", b"t\n\x1b[2J\x1b]0;owned\x07\n", access="public")
    world.sign(world.terms())
    tokens = folder / "tokens"
    tokens.mkdir()
    for (organization, role), secret in world.secrets.items():
        purpose = "noise-study" if role == "analyst" else None
        token = world.token(world.person(organization, role), purpose=purpose) if purpose else secret
        (tokens / f"{organization}-{role}").write_text(token + "\n")
    with serving(world.root) as server:
        yield Place(world, server, tokens)
    world.exchange.close()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command as a process of its own. Whatever still runs when the test ends is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: object, environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "baybridge.cli.main", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | dict(environment or {}),
            **options,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        if process.poll() is None:
            process.kill()
        with process:
            process.wait(timeout=20)


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))
    else:
        yield path, group


ALL = dict(commands(command_line))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_json_and_help_and_no_option_takes_a_secret(path: tuple[str, ...]) -> None:
    options = [each for each in ALL[path].params if isinstance(each, click.Option)]
    names = {name for each in options for name in each.opts}
    assert "--json" in names
    assert not names & {"--token", "--secret", "--password", "--key-file"}
    assert ALL[path].help
    assert all(each.help for each in options)


def told_commands() -> Iterator[str]:
    """Every text in the product that begins as a command of ours, up to the first thing that is filled in."""
    for path in Path(baybridge.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("baybridge "):
                yield node.value


def test_every_command_that_an_error_names_is_one() -> None:
    groups = {path[0] for path in ALL if len(path) > 1}
    told = [text.split()[1:] for text in told_commands()]
    named = {tuple(words[: 2 if words[0] in groups else 1]) for words in told if words and words[0].isalpha()}
    assert len(named) > 15
    assert named - set(ALL) == set()


def test_the_help_of_a_request_names_every_mask() -> None:
    (option,) = (each for each in ALL["agreement", "request"].params if each.name == "masks")
    assert isinstance(option, click.Option)
    assert set(MASKS) <= set(re.findall("[a-z]+", option.help or ""))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_prints_its_error_as_one_problem_object_with_json(path: tuple[str, ...], bay: Commands) -> None:
    ran = bay(*path, "--no-such-option", "--json")
    assert (ran.code, ran.json()["code"], ran.err) == (2, "invalid_request", "")


def test_an_error_says_what_rule_whom_and_what_to_do(place: Place, bay: Commands) -> None:
    ran = bay("get", "bts.flights", "--columns", "distance", *place.as_("dot", "analyst"))
    assert ran.code == 5
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert lines[0] == 'error: Column "distance" is not in agreement AGR-0001. (column_not_in_agreement)'
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == ["at:", "rule:", "ask:", "try:", "next:", "docs:"]
    as_json = bay("get", "bts.flights", "--columns", "distance", "--json", *place.as_("dot", "analyst"))
    assert (as_json.code, as_json.err) == (5, "")
    problem = as_json.json()
    assert problem["code"] == "column_not_in_agreement"
    assert f"  ask:   {problem['who_can_change']}" in lines
    assert f"  try:   {problem['next_command']}" in lines


def test_the_exit_code_says_whose_move_is_next(place: Place, bay: Commands, tmp_path: Path) -> None:
    analyst, steward = place.as_("dot", "analyst"), place.as_("bts", "steward")
    unknown = tmp_path / "unknown"
    unknown.write_text("bb_nobody")
    asked = place.world.exchange.agree.request(place.world.person("dot", "analyst"), place.world.terms(purposes=["not-yet"]))
    cases = {
        0: ("get", "bts.flights", "--filter", "delay > 10000", *analyst),
        2: ("get", "bts.flights", "--limit", "0", *analyst),
        4: ("whoami", "--url", place.server.url, "--token-file", unknown),
        5: ("agreement", "revoke", "AGR-0001", "--reason", "r", *analyst),
        7: ("get", "bts.nothing", *analyst),
        8: ("agreement", "sign", asked.id, "--digest", "0" * 64, *place.as_("bts", "signatory")),
        10: ("whoami", "--url", "http://127.0.0.1:1", "--token-file", unknown),
    }
    assert {code: bay(*case).code for code, case in cases.items()} == {code: code for code in cases}
    assert bay("get", "bts.flights", "--columns", "colum", *analyst).code == 2
    assert "names no column" in bay("get", "bts.flights", "--columns", "", *analyst).err
    assert bay("publish", "bts.flights", unknown, *steward).code == 2


def test_a_request_that_waits_on_a_person_has_its_own_exit_code(tmp_path: Path, bay: Commands) -> None:
    world = make_world(tmp_path / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.exchange.agree.request(world.person("dot", "analyst"), world.terms())
    token = tmp_path / "token"
    token.write_text(world.secrets["dot", "analyst"])
    with serving(world.root) as server:
        ran = bay("get", "bts.flights", "--purpose", "noise-study", "--url", server.url, "--token-file", token)
    world.exchange.close()
    assert (ran.code, "(request_pending)" in ran.err) == (6, True)


def test_a_home_is_made_once(tmp_path: Path, bay: Commands) -> None:
    home = tmp_path / "home"
    made = bay("init", home, "--origin", "exchange.example", "--json")
    assert (made.code, made.json()) == (0, {"home": str(home), "origin": "exchange.example"})
    assert {stat.S_IMODE(key.stat().st_mode) for key in (home / "keys").iterdir()} == {0o600}
    keys = {key.name: key.read_bytes() for key in (home / "keys").iterdir()}
    again = bay("init", home)
    assert again.code == 8
    assert {key.name: key.read_bytes() for key in (home / "keys").iterdir()} == keys


def test_the_local_operator_takes_a_home_from_nothing_to_a_verified_log(tmp_path: Path, bay: Commands) -> None:
    home, file = tmp_path / "home", tmp_path / "f.csv"
    file.write_bytes(b"id,word\n1,a\n2,NA\n")
    bay("init", home)
    bay.set(BAYBRIDGE_HOME=home)
    assert bay("org", "add", "health", "--title", "Health", "--json").json() == {"name": "health", "title": "Health", "status": "active"}
    person = bay("user", "add", "health", "A steward", "--role", "steward", "--json").json()
    assert bay("user", "list", "health", "--json").json()["principals"] == [person]
    token = bay("token", "issue", person["id"], "--json").json()
    assert token["token"].startswith("bb_")
    assert bay("token", "revoke", token["id"], "--json").json() == {"id": token["id"], "revoked": True}
    report = bay("publish", "health.visits", file, "--null", "NA", "--key", "id", "--accept-schema", "--title", "Visits", "--json").json()
    assert (report["version"], report["rows_read"], report["rows_loaded"]) == (1, 2, 2)
    shown = bay("show", "health.visits", "--json").json()
    assert (shown["collection"]["title"], shown["schema"]["primaryKey"], len(shown["versions"])) == ("Visits", ["id"], 1)
    note = bay("audit", "checkpoint", "health", "--out", tmp_path / "note", "--json").json()
    assert (tmp_path / "note").read_text() == note["checkpoint"]
    verified = bay("audit", "verify", "--checkpoint", tmp_path / "note", "--json")
    assert (verified.code, verified.json()["ok"]) == (0, True)
    assert bay("agreement", "list", "--json").json() == {"agreements": []}
    for path in (("org", "list"), ("user", "list", "health"), ("show", "health.visits"), ("audit", "verify"), ("agreement", "list")):
        text = bay(*path)
        assert (text.code, text.err) == (0, "")
        assert text.out


def test_a_token_alone_is_on_standard_output_and_a_file_of_it_is_its_owners(tmp_path: Path, place: Place, bay: Commands) -> None:
    person = place.world.person("dot", "auditor").id
    issued = bay("token", "issue", person, "--home", place.world.root)
    assert issued.out.startswith("bb_")
    assert issued.out.count("\n") == 1
    assert issued.out.strip() not in issued.err
    kept = tmp_path / "token"
    kept.write_text("old")
    kept.chmod(0o644)
    written = bay("token", "issue", person, "--home", place.world.root, "--out", kept)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().startswith("bb_")
    assert "bb_" not in written.out + written.err


def test_the_local_operator_cannot_sign_for_a_party(place: Place, bay: Commands) -> None:
    digest = place.world.exchange.agree.show(place.world.person("dot", "analyst"), "AGR-0001").terms_sha256
    home = ("--home", place.world.root)
    for act in (("sign", "AGR-0001", "--digest", digest), ("revoke", "AGR-0001", "--reason", "r"), ("offer", "AGR-0001")):
        ran = bay("agreement", *act, *home)
        assert (ran.code, "token_wrong_organisation" in ran.err) == (5, True)
    assert bay("agreement", "show", "AGR-0001", "--json", *home).json()["state"] == "ACTIVE"


def test_a_dry_run_writes_nothing_and_shows_the_proposal(place: Place, tmp_path: Path, bay: Commands) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(FLIGHTS)
    bad.write_bytes(FLIGHTS.replace(b"1,UA,N14228,EWR,IAH,2,", b"1,UA,N14228,EWR,IAH,late,"))
    before = place.world.exchange.watch.verify("bts", ()).root
    for door in (("--home", place.world.root), place.as_("bts", "steward")):
        tried = bay("publish", "bts.flights", good, "--dry-run", "--json", *door)
        assert (tried.code, tried.json()["published"], tried.json()["rows_loaded"]) == (0, False, 7)
        text = bay("publish", "bts.flights", good, "--dry-run", *door)
        assert text.code == 0
        assert [line.split()[:3] for line in text.out.splitlines() if line.startswith("delay ")] == [["delay", "integer", "integer"]]
        assert bay("publish", "bts.flights", good, "--dry-run", "--title", "Another title", *door).code == 0
        first = bay("publish", "bts.undeclared", good, "--dry-run", "--null", "NA", "--key", "flight", "--json", *door)
        assert (first.code, first.json()["published"], first.json()["schema"]["primaryKey"]) == (0, False, ["flight"])
        assert bay("show", "bts.undeclared", *door).code == 7
        refused = bay("publish", "bts.flights", bad, "--dry-run", "--json", *door)
        assert (refused.code, refused.json()["rows_rejected"]) == (8, 1)
    assert place.world.exchange.watch.verify("bts", ()).root == before
    assert list((place.world.root / "scratch").glob("publish-*")) == []


def test_rejected_cells_go_into_a_file_of_the_uploader_and_not_to_the_terminal(place: Place, tmp_path: Path, bay: Commands) -> None:
    bad, rejects = tmp_path / "bad.csv", tmp_path / "rejects.csv"
    bad.write_bytes(FLIGHTS.replace(b"1,UA,N14228,EWR,IAH,2,", b"1,UA,N14228,EWR,IAH,unspeakable,"))
    rejects.touch(mode=0o644)
    message = "A whole number of 64 bits: digits, a minus before them if need be, no leading zero."
    for door in (("--home", place.world.root), place.as_("bts", "steward")):
        ran = bay("publish", "bts.flights", bad, "--rejects", rejects, *door)
        assert (ran.code, "(rows_rejected)" in ran.err) == (8, True)
        assert "unspeakable" not in ran.out + ran.err
        assert f"Wrote {rejects}: 1 cell.\nnext: correct the file, and publish it again: baybridge publish bts.flights FILE\n" in ran.err
        assert "--rejects FILE" not in ran.out
        assert list(csv.reader(io.StringIO(rejects.read_text()))) == [
            ["row", "column", "rule", "value", "offset", "message"],
            ["1", "delay", "not_integer", "unspeakable", str(FLIGHTS.index(b"1,UA")), message],
        ]
        assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
        problem = bay("publish", "bts.flights", bad, "--json", *door).json()
        assert (problem["code"], problem["report"]["rows_rejected"]) == ("rows_rejected", 1)
        assert {"rule", "who_can_change", "next_step"} <= {name for name, value in problem.items() if value}


def test_nothing_is_declared_for_an_upload_that_could_not_be_published(place: Place, tmp_path: Path, bay: Commands) -> None:
    """A first try without a schema leaves nothing behind."""
    file, home = tmp_path / "f.csv", ("--home", place.world.root)
    file.write_bytes(b"a\n1\n")
    assert "(schema_unconfirmed)" in bay("publish", "bts.first", file, *home).err
    assert bay("show", "bts.first", *home).code == 7
    assert bay("publish", "bts.first", file, "--accept-schema", "--access", "public", *home).code == 0
    assert bay("show", "bts.first", "--json", *home).json()["collection"]["access"] == "public"
    assert (
        "  note: the file has the same bytes as that of version 1" in bay("publish", "bts.first", file, "--dry-run", *home).out.splitlines()
    )
    other = bay("publish", "bts.first", file, "--access", "agreement", *home)
    assert (other.code, "(conflict)" in other.err) == (8, True)
    assert len(bay("show", "bts.first", "--json", *home).json()["versions"]) == 1


UNFIT = {"rows_rejected": b"n\n1\nx,2\n", "reading_unconfirmed": b"a;b\n1;2\n", "schema_unconfirmed": b"n\n"}


@pytest.mark.parametrize("door", ["home", "server"])
@pytest.mark.parametrize("code", UNFIT)
def test_a_first_file_that_does_not_fit_fixes_nothing(place: Place, tmp_path: Path, bay: Commands, code: str, door: str) -> None:
    """What its first try said of a dataset is said anew with the next: title, access, key and schema."""
    file, schema = tmp_path / "f.csv", tmp_path / "schema.json"
    name, at = f"bts.unfit_{door}_{code}", ("--home", place.world.root) if door == "home" else place.as_("bts", "steward")
    file.write_bytes(UNFIT[code])
    first = bay("publish", name, file, "--accept-schema", "--access", "public", "--title", "Wrong", *at)
    assert first.code != 0
    assert f"({code})" in first.err
    assert f"{name} is declared and has no version yet: with the next try everything can be said anew." in first.err.splitlines()
    file.write_bytes(b"code,n\n007,1\n")
    schema.write_text(json.dumps({"fields": [{"name": "code", "type": "string"}, {"name": "n", "type": "integer"}]}))
    again = bay("publish", name, file, "--schema", schema, "--access", "agreement", "--title", "Right", *at)
    assert again.code == 0, again.err
    shown = bay("show", name, "--json", *at).json()
    assert (shown["collection"]["access"], shown["collection"]["title"]) == ("agreement", "Right")
    assert [each["version"] for each in shown["versions"]] == [1]


def test_a_given_schema_is_the_contract(place: Place, tmp_path: Path, bay: Commands) -> None:
    file, schema, home = tmp_path / "f.csv", tmp_path / "schema.json", ("--home", place.world.root)
    file.write_bytes(b"code,n\n007,1\n")
    fields = [{"name": "code", "type": "string"}, {"name": "n", "type": "string"}]
    schema.write_text(json.dumps({"fields": fields, "primaryKey": "code"}))
    done = bay("publish", "bts.given", file, "--schema", schema, "--json", *home)
    assert [each["baybridge:type"] for each in done.json()["schema"]["fields"]] == ["text", "text"]
    schema.write_text("{")
    assert bay("publish", "bts.given", file, "--schema", schema, *home).code == 2
    assert bay("publish", "bts.given", file, "--schema", schema, "--dry-run", *home).code == 2
    assert bay("publish", "bts.given", file, "--schema", schema, "--null", "NA", *home).code == 2


def test_columns_change_where_the_schema_is_given_again_and_confirmed(place: Place, tmp_path: Path, bay: Commands) -> None:
    world, file, schema = place.world, tmp_path / "f.csv", tmp_path / "schema.json"
    file.write_bytes(b"a,b\n1,2\n")
    world.publish("bts.changing", b"a,b\n1,2\n", key=("a",))
    signed = world.sign(world.terms(dataset="bts.changing", columns=["a", "b"], row_filter=None, masks={}))
    for version, door, names in ((2, ("--home", world.root), "acd"), (3, place.as_("bts", "steward"), "ae")):
        file.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
        schema.write_text(json.dumps({"fields": [{"name": name, "type": "integer"} for name in names], "primaryKey": "a"}))
        assert bay("publish", "bts.changing", file, "--schema-change", *door).code == 2
        refused = bay("publish", "bts.changing", file, "--schema", schema, "--json", *door).json()
        assert refused["code"] == "schema_is_contract"
        assert refused["next_command"] == "baybridge publish bts.changing FILE --schema SCHEMA --schema-change"
        changed = bay("publish", "bts.changing", file, "--schema", schema, "--schema-change", "--json", *door)
        if version == 3:  # the agreement is suspended already
            assert (changed.code, changed.json()["version"]) == (0, 3)
            continue
        assert (changed.code, changed.json()["code"]) == (8, "agreements_affected")
        assert changed.json()["next_command"] == "baybridge publish bts.changing FILE --suspend"
        tried = bay("publish", "bts.changing", file, "--dry-run", *door)
        assert f"  suspends {signed.id} (dot): b" in tried.out.splitlines()
        done = bay("publish", "bts.changing", file, "--suspend", *door)
        assert f"  suspended {signed.id} (dot): b" in done.out.splitlines()


def test_what_is_accepted_is_printed_and_nothing_is_proposed_by_no_rows(place: Place, tmp_path: Path, bay: Commands) -> None:
    file = tmp_path / "f.csv"
    for number, door in enumerate((("--home", place.world.root), place.as_("bts", "steward"))):
        name = f"bts.accepted_{number}"
        file.write_bytes(b"code,n\n")
        empty = bay("publish", name, file, "--accept-schema", "--json", *door)
        assert (empty.code, empty.json()["code"]) == (8, "schema_unconfirmed")
        file.write_bytes(b"code,n\n007,1\n")
        done = bay("publish", name, file, "--accept-schema", *door)
        assert [line.split() for line in done.out.splitlines()[-2:]] == [["code", "text"], ["n", "integer"]]
        file.write_bytes(b"code,n\n")
        assert bay("publish", name, file, *door).code == 0


def test_show_tells_what_is_withdrawn_and_lists_datasets_and_the_nearest_name(place: Place, bay: Commands) -> None:
    home = ("--home", place.world.root)
    for number, door in enumerate((home, place.as_("bts", "steward"))):
        name = f"bts.ending_{number}"
        for _ in range(2):
            place.world.publish(name, b"a\n1\n")
        assert [line.split()[0] for line in bay("show", name, *door).out.splitlines()[-3:]] == ["version", "2", "1"]
        assert "rows" not in bay("show", name, *door).out
        bay("withdraw", name, "--version", 1, "--reason", "wrong file", *door)
        assert bay("show", name, *door).out.splitlines()[-1].endswith("  withdrawn  wrong file")
        bay("withdraw", name, "--reason", "under review", *door)
        assert "  state    withdrawn, under review" in bay("show", name, *door).out.splitlines()
        listed = [line.split() for line in bay("show", *door).out.splitlines()]
        assert listed[0] == ["dataset", "access", "state", "latest", "title"]
        assert [line[2] for line in listed if line[0] == name] == ["withdrawn"]
        assert name in {each["id"] for each in bay("show", "--json", *door).json()["collections"]}
        for mistyped in ("bts.flihgts", "btss.flights"):
            lost = bay("show", mistyped, *door)
            assert (lost.code, "did you mean bts.flights?" in lost.err) == (7, True)
    assert "rows" in bay("show", "bts.many", *home).out.splitlines()[-2].split()


def test_rows_are_printed_as_a_table_csv_ndjson_or_one_object(place: Place, bay: Commands) -> None:
    ask = ("get", "bts.flights", "--columns", "flight,delay,carrier", "--sort", "-delay", *place.as_("dot", "analyst"))
    rows = [[6, 120, "UA"], [7, 33, "AA"], [2, 4, "UA"], [4, -1, "B6"], [3, None, "AA"]]
    assert bay(*ask, "--format", "csv").out.splitlines() == ["flight,delay,carrier", "6,120,UA", "7,33,AA", "2,4,UA", "4,-1,B6", "3,,AA"]
    assert [list(json.loads(line).values()) for line in bay(*ask, "--format", "ndjson").out.splitlines()] == rows
    whole = bay(*ask, "--json").json()
    assert (whole["version"], [list(row.values()) for row in whole["items"]], whole["more"]) == (1, rows, False)
    drawn = bay(*ask)
    assert drawn.out.splitlines()[:3] == ["flight  delay  carrier", "     6    120  UA", "     7     33  AA"]
    assert "5 rows of version 1" in drawn.err
    assert bay(*ask, "--limit", 1).err.startswith("1 row of version 1; ")


def test_a_limit_is_exact_and_all_is_all(place: Place, bay: Commands) -> None:
    public = ("get", "bts.many", "--url", place.server.url)
    for limit in (1, 100, 10_000, 10_001, MANY):
        lines = bay(*public, "--limit", limit, "--format", "csv").out.splitlines()
        assert lines == ["n,v", *(f"{n},x" for n in range(limit))]
    assert bay(*public, "--limit", MANY, "--json").json()["more"] is True
    whole = bay(*public, "--all", "--json").json()
    assert (len(whole["items"]), whole["more"]) == (MANY + 500, False)
    assert len(bay(*public).out.splitlines()) == 101
    assert bay(*public, "--all", "--limit", "5").code == 2
    empty = bay(*public, "--filter", "n < 0", "--columns", "v,n", "--format", "csv")
    assert empty.out == "v,n\n"


def test_structs_and_lists_are_json_in_a_table_and_in_csv() -> None:
    row = (1, {"city": "Bosé", "zip": None, "open": True}, ["a", 'b"'])
    assert list(csv.reader([csv_lines([row])])) == [["1", '{"city":"Bosé","zip":null,"open":true}', '["a","b\\""]']]
    assert table(["id", "home", "tags"], [row])[1] == ' 1  {"city":"Bosé","zip":null,"open":true}  ["a","b\\""]'


def test_what_is_read_cannot_drive_the_terminal(place: Place, bay: Commands) -> None:
    drawn = bay("get", "bts.hostile", "--url", place.server.url)
    assert drawn.out.splitlines() == ["t", "\\x1b[2J\\x1b]0;owned\\x07"]
    assert bay("get", "bts.hostile", "--url", place.server.url, "--json").json()["items"] == [{"t": "\x1b[2J\x1b]0;owned\x07"}]


def test_a_table_is_aligned_and_cuts_nothing() -> None:
    assert table(["n", "text"], [[1, "a"], [None, "b\n"], [100, None]]) == ["  n  text", "  1  a", "     b\\n", "100"]
    assert table(["a"], []) == ["a"]
    assert printable("é — 日本 \u202e\x00") == "é — 日本 \\u202e\\x00"


def test_what_to_do_next_is_told_in_the_words_of_the_command_line(tmp_path: Path, bay: Commands) -> None:
    world, token = make_world(tmp_path / "home"), tmp_path / "token"
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    token.write_text(world.secrets["dot", "analyst"])
    agree, old = world.exchange.agree, world.sign(world.terms())
    new = agree.succeed(world.person("dot", "analyst"), old.id, None)
    for side in ("bts", "dot"):
        agree.sign(world.person(side, "signatory"), new.id, new.terms_sha256)
    other = world.sign(world.terms())
    purpose, who = ("--purpose", "noise-study"), ("--token-file", token)
    asked = {
        "Use --token-file FILE, or set BAYBRIDGE_TOKEN.": purpose,
        f"Use --agreement with one of: {new.id}, {other.id}.": (*purpose, *who),
        "Use --purpose with one of: noise-study.": who,
        f"Use --agreement {new.id}, or leave it out.": (*purpose, *who, "--agreement", old.id),
    }
    with serving(world.root) as server:
        for words, options in asked.items():
            for as_json in ((), ("--json",)):
                ran = bay("get", "bts.flights", *options, "--url", server.url, *as_json)
                told = ran.out if as_json else ran.err
                assert (words in told, "Send " in told) == (True, False), told
    world.exchange.close()


def test_what_is_asked_for_is_what_is_signed(place: Place, tmp_path: Path, bay: Commands) -> None:
    terms = place.world.terms(purposes=["by-command"])
    options = [
        *("--dataset", terms.dataset, "--columns", ",".join(terms.columns), "--filter", terms.row_filter, "--mask", "tailnum=pseudonym"),
        *("--purpose", "by-command", "--provider-authority", terms.provider_authority),
        *("--consumer-authority", terms.consumer_authority, "--start", terms.start, "--end", terms.end),
    ]
    before = len(bay("agreement", "list", "--json", *place.as_("dot", "analyst")).json()["agreements"])
    tried = bay("agreement", "request", "--dry-run", "--json", *options, *place.as_("dot", "analyst")).json()
    assert tried["terms_sha256"] == Terms.parse(terms).digest()
    assert tried["terms_sha256"] in bay("agreement", "request", "--dry-run", *options, *place.as_("dot", "analyst")).out
    assert len(bay("agreement", "list", "--json", *place.as_("dot", "analyst")).json()["agreements"]) == before
    file = tmp_path / "terms.json"
    file.write_text(json.dumps(tried["terms"]))
    asked = bay("agreement", "request", "--file", file, *place.as_("dot", "analyst")).out.splitlines()
    name, digest = asked[0].partition(":")[0], tried["terms_sha256"]
    assert asked[-1] == f"next: a steward of bts: baybridge agreement offer {name}"
    sign = f"baybridge agreement sign {name} --digest {digest}"
    offered = bay("agreement", "offer", name, *place.as_("bts", "steward"))
    assert offered.out.splitlines()[-1] == f"next: signatories of bts and dot: {sign}"
    first = bay("agreement", "sign", name, "--digest", digest, *place.as_("bts", "signatory"))
    assert first.out.splitlines()[-1] == f"next: a signatory of dot: {sign}", "the move is the other side's"
    signed = bay("agreement", "sign", name, "--digest", digest, "--json", *place.as_("dot", "signatory")).json()
    assert signed["state"] == "ACTIVE"
    assert [each["organization"] for each in signed["signatures"]] == ["bts", "dot"]
    for act, state in (("suspend", "SUSPENDED"), ("resume", "ACTIVE"), ("revoke", "REVOKED")):
        assert bay("agreement", act, name, *place.as_("bts", "steward")).code == 2  # without a reason
        moved = bay("agreement", act, name, "--reason", f"to {act}", "--json", *place.as_("bts", "steward")).json()
        assert (moved["state"], moved["reason"]) == (state, f"to {act}")
    assert bay("agreement", "request", "--file", file, "--dataset", "bts.flights").code == 2
    assert bay("agreement", "request", "--dataset", "bts.flights").code == 2
    assert bay("agreement", "request", *options, "--mask", "tailnum", "--dry-run").code == 2


def test_shown_terms_name_every_column_mask_and_date(place: Place, bay: Commands) -> None:
    shown = bay("agreement", "show", "AGR-0001", *place.as_("dot", "analyst"))
    terms: TermsShape = place.world.exchange.agree.show(place.world.person("dot", "analyst"), "AGR-0001").terms.shape()
    for text in (*terms.columns, "tailnum, as pseudonym", terms.row_filter, *terms.purposes, terms.start, terms.end):
        assert text in shown.out
    assert terms.provider_authority in shown.out
    assert terms.consumer_authority in shown.out


def test_a_token_comes_from_the_flag_then_the_variable_then_the_variables_file(place: Place, bay: Commands) -> None:
    files = {role: place.tokens / f"bts-{role}" for role in ("steward", "signatory", "auditor")}
    bay.set(BAYBRIDGE_URL=place.server.url)
    assert bay("whoami").code == 4
    bay.set(BAYBRIDGE_TOKEN_FILE=files["steward"])
    assert bay("whoami", "--json").json()["roles"] == ["steward"]
    bay.set(BAYBRIDGE_TOKEN=files["signatory"].read_text().strip())
    assert bay("whoami", "--json").json()["roles"] == ["signatory"]
    assert bay("whoami", "--json", "--token-file", files["auditor"]).json()["roles"] == ["auditor"]


def test_a_home_goes_before_a_server_unless_the_server_is_named_by_flag(place: Place, bay: Commands) -> None:
    bay.set(BAYBRIDGE_HOME=place.world.root, BAYBRIDGE_URL="http://127.0.0.1:1")
    assert bay("org", "list").code == 0
    assert bay("org", "list", "--url", "http://127.0.0.1:1").code == 10
    assert bay("org", "list", "--url", place.server.url, "--home", place.world.root).code == 2
    bay.set(BAYBRIDGE_HOME="")
    assert bay("org", "list").code == 10


@pytest.mark.parametrize("act", ["flipped", "dropped", "cut"])
def test_a_damaged_log_fails_its_verification_with_exit_code_9(tmp_path: Path, bay: Commands, act: str) -> None:
    world = make_world(tmp_path / "home")
    for _ in range(3):
        world.publish("bts.flights", FLIGHTS, key=("flight",))
    note = tmp_path / "note"
    note.write_text(world.exchange.watch.checkpoint("bts"))
    world.exchange.close()
    home = ("--home", world.root)
    assert bay("audit", "verify", *home, "--checkpoint", note).code == 0
    with sqlite3.connect(world.root / "catalog.sqlite") as connection:
        (last,) = connection.execute("SELECT max(number) FROM entries WHERE organization = 'bts'").fetchone()
        if act == "flipped":
            (data,) = connection.execute("SELECT data FROM entries WHERE organization = 'bts' AND number = 2").fetchone()
            flipped = data[:40] + bytes([data[40] ^ 1]) + data[41:]
            connection.execute("UPDATE entries SET data = ? WHERE organization = 'bts' AND number = 2", [flipped])
        elif act == "dropped":
            connection.execute("DELETE FROM entries WHERE organization = 'bts' AND number = 2")
        else:
            connection.execute("DELETE FROM entries WHERE organization = 'bts' AND number = ?", [last])
    connection.close()
    found = bay("audit", "verify", *home, "--checkpoint", note, "--json")
    logs = {each["organization"]: each["findings"] for each in found.json()["logs"]}
    assert (found.code, found.json()["ok"], logs["dot"]) == (9, False, [])
    assert logs["bts"]
    text = bay("audit", "verify", "bts", *home)
    assert text.code == 9
    assert text.out.startswith("bts: FAILED")
    assert "  found: " in text.out


def test_an_auditor_verifies_over_http_and_a_stray_checkpoint_is_a_finding(place: Place, tmp_path: Path, bay: Commands) -> None:
    kept, stray = tmp_path / "kept", tmp_path / "stray"
    assert bay("audit", "checkpoint", "bts", "--out", kept, "--url", place.server.url).code == 0
    verified = bay("audit", "verify", "--checkpoint", kept, "--json", *place.as_("bts", "auditor"))
    assert (verified.code, [each["organization"] for each in verified.json()["logs"]]) == (0, ["bts"])
    assert bay("audit", "verify", *place.as_("bts", "steward")).code == 5
    stray.write_text(kept.read_text().replace("/audit/bts", "/audit/elsewhere"))
    over_http = bay("audit", "verify", "--checkpoint", stray, *place.as_("bts", "auditor"))
    on_home = bay("audit", "verify", "--checkpoint", kept, "--checkpoint", stray, "--home", place.world.root, "--json")
    assert (over_http.code, on_home.code, on_home.json()["strays"]) == (9, 9, [str(stray)])


@pytest.mark.slow
def test_help_and_version_need_no_server_part_and_a_home_says_what_is_missing(tmp_path: Path) -> None:
    """Everything is hidden that only baybridge[server] installs."""
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "run.py").write_text(
        """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"duckdb", "sqlalchemy", "alembic", "starlette", "uvicorn", "httptools"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
from baybridge.cli.main import main
main()
"""
    )

    def light(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, hiding / "run.py", *arguments], capture_output=True, text=True, check=False)

    assert light("--help").returncode == 0
    assert light("version").stdout.startswith("baybridge ")
    assert light("agreement", "request", "--help").returncode == 0
    assert light("whoami", "--url", "http://127.0.0.1:1").returncode == 10
    for command in (("org", "list", "--home", "x"), ("init", str(tmp_path / "h")), ("serve", "--home", "x"), ("demo",)):
        ran = light(*command)
        assert (ran.returncode, "pip install 'baybridge[server]'" in ran.stderr) == (2, True)


@pytest.mark.slow
def test_a_server_says_where_it_serves_and_ends_well_and_quietly(tmp_path: Path, start: Start) -> None:
    world = make_world(tmp_path / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.sign(world.terms())
    serve = start("serve", "--home", world.root, "--port", "0", "--json")
    assert serve.stdout is not None
    url = json.loads(serve.stdout.readline())["url"]
    server = Server(url, serve)
    with server.client(world.secrets["dot", "analyst"], purpose="noise-study") as client:
        assert client.get("/api/v1/collections/bts.flights/items").status_code == 200
    second = start("serve", "--home", world.root, "--port", "0")
    assert "Another process serves this home" in second.communicate(timeout=20)[1]
    assert second.returncode == 8
    serve.send_signal(signal.SIGTERM)
    out, err = serve.communicate(timeout=20)
    world.exchange.close()
    assert (serve.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_a_publication_leaves_nothing_on_standard_error(place: Place, tmp_path: Path, start: Start) -> None:
    """The engine's bindings complain at exit about what was left open."""
    file = tmp_path / "f.csv"
    file.write_bytes(b"a\n1\n")
    done = start("publish", "bts.quiet", file, "--accept-schema", "--home", place.world.root)
    assert done.communicate(timeout=30)[1] == ""
    file.write_bytes(b'a\n"1\n')
    unreadable = start("publish", "bts.quiet", file, "--home", place.world.root)
    assert "leaked" not in unreadable.communicate(timeout=30)[1]
    assert (done.returncode, unreadable.returncode) == (0, 2)


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130_and_leaves_nothing(place: Place, start: Start) -> None:
    waiting = start("publish", "bts.flights", "-", "--home", place.world.root, stdin=subprocess.PIPE)
    scratch = place.world.root / "scratch"
    deadline = time.monotonic() + 20
    while not list(scratch.glob("publish-*/upload")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert "Traceback" not in err
    assert list(scratch.glob("publish-*")) == []


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(place: Place, start: Start) -> None:
    rows = start("get", "bts.many", "--all", "--format", "csv", environment={"BAYBRIDGE_URL": place.server.url})
    assert rows.stdout is not None
    assert rows.stderr is not None
    assert rows.stdout.readline() == "n,v\n"
    rows.stdout.close()
    assert rows.stderr.read() == ""
    rows.stderr.close()
    assert rows.wait(timeout=20) == 1


@pytest.mark.parametrize("missing", ["terms.json", "folder/terms.json"])
def test_a_file_that_is_not_there_or_cannot_be_written_is_named(tmp_path: Path, bay: Commands, missing: str, place: Place) -> None:
    assert bay("agreement", "request", "--file", tmp_path / missing).code == 2
    out = bay("audit", "checkpoint", "bts", "--home", place.world.root, "--out", tmp_path / "folder" / "note")
    assert (out.code, str(tmp_path / "folder" / "note") in out.err) == (2, True)
