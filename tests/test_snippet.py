"""The lines that `snippet` prints run as they are; the shells complete; a bar is for terminals only."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

pytestmark = [pytest.mark.xdist_group("snippet"), pytest.mark.slow]

COMMAND = (sys.executable, "-m", "baybridge.cli.main")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("snippet") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    made.publish("bts.airports", b'code,name\nJFK,John\'s "F"\n', access="public")
    made.sign(made.terms())
    made.sign(made.terms(purposes=["safety"]))
    made.exchange.agree.revoke(made.person("bts", "steward"), made.sign(made.terms(purposes=["over"])).id, "over")
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


def environment(exchange: World, server: Server, who: tuple[str, str] | None = ("dot", "analyst")) -> dict[str, str]:
    token = {} if who is None else {"BAYBRIDGE_TOKEN": exchange.secrets[who]}
    return {"PATH": os.environ["PATH"], "BAYBRIDGE_URL": server.url, **token}


def ran(*command: str, env: dict[str, str]) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def snippet(language: str, *arguments: str, env: dict[str, str]) -> str:
    return ran(*COMMAND, "snippet", *arguments, "--lang", language, env=env)


def flights_read(language: str, printed: str) -> list[int]:
    if language == "python":
        return [int(line.partition("'flight': ")[2].partition(",")[0]) for line in printed.splitlines()]
    return [row["flight"] for row in json.loads(printed)["items"]]


RUNNERS = {"python": (sys.executable, "-c"), "curl": ("bash", "-c")}


@pytest.mark.parametrize("language", ["python", "curl"])
@pytest.mark.parametrize("named", [(), ("--agreement", "AGR-0002"), ("--agreement", "AGR-0001", "--purpose", "noise-study")])
def test_the_lines_run_as_they_are_and_read_what_the_agreement_allows(
    language: str, named: tuple[str, ...], exchange: World, server: Server
) -> None:
    env = environment(exchange, server)
    lines = snippet(language, "bts.flights", *named, env=env)
    assert env["BAYBRIDGE_TOKEN"] not in lines
    assert sorted(flights_read(language, ran(*RUNNERS[language], lines, env=env))) == [2, 3, 4, 6, 7]


@pytest.mark.parametrize("language", ["python", "curl"])
def test_the_public_needs_no_token_for_the_lines_of_a_public_dataset(language: str, exchange: World, server: Server) -> None:
    env = environment(exchange, server, None)
    printed = ran(*RUNNERS[language], snippet(language, "bts.airports", env=env), env=env)
    assert "John" in printed


@pytest.mark.parametrize("language", ["r", "javascript"])
def test_other_languages_name_version_agreement_and_purpose_too(language: str, exchange: World, server: Server) -> None:
    lines = snippet(language, "bts.flights", env=environment(exchange, server))
    for each in ("/versions/1/items", "AGR-0001", "noise-study", "BAYBRIDGE_TOKEN"):
        assert each in lines


def test_the_lines_are_one_member_of_a_json_object(exchange: World, server: Server) -> None:
    said = json.loads(snippet("curl", "bts.flights", "--json", env=environment(exchange, server)))
    lines = snippet("curl", "bts.flights", env=environment(exchange, server)).rstrip("\n")
    assert said == {"language": "curl", "snippet": lines, "remark": None}


@pytest.mark.parametrize(
    ("arguments", "who", "remark"),
    [
        (("--purpose", "marketing"), ("dot", "analyst"), "AGR-0001 does not allow the purpose marketing"),
        (("--agreement", "AGR-0001", "--purpose", "safety"), ("dot", "analyst"), "It allows: noise-study."),
        (("--agreement", "AGR-0009"), ("dot", "analyst"), "AGR-0009 is no agreement of your organization over bts.flights"),
        (("--agreement", "AGR-0003"), ("dot", "analyst"), "AGR-0003 is REVOKED, not in force"),
        (("--purpose", "safety"), ("dot", "analyst"), None),
        ((), ("bts", "analyst"), None),
    ],
)
def test_lines_that_would_be_refused_are_printed_with_the_reason(
    arguments: tuple[str, ...], who: tuple[str, str], remark: str | None, exchange: World, server: Server
) -> None:
    command = (*COMMAND, "snippet", "bts.flights", *arguments)
    env = environment(exchange, server, who)
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(ran(*command, "--json", env=env))["remark"]
    assert said.stderr == ("" if told is None else f"note: {told}\n")
    assert told is None if remark is None else remark in told
    if arguments == ("--purpose", "safety"):
        assert "AGR-0002" in said.stdout, "of those in force, the one that allows the purpose"


def test_bash_completes_commands_and_flags_of_both_names() -> None:
    path = {"PATH": os.environ["PATH"]}
    script = ran(*COMMAND, "completion", "bash", env=path)
    assert "complete -o nosort -F _baybridge_completion baybridge" in script
    assert "complete -o nosort -F _bay_completion bay\n" in script
    completed = ran(*COMMAND, env={**path, "_BAYBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "bay sni", "COMP_CWORD": "1"})
    assert completed.split() == ["plain,snippet"]
    for shell in ("zsh", "fish"):
        assert "_BAYBRIDGE_COMPLETE" in json.loads(ran(*COMMAND, "completion", shell, "--json", env=path))["script"]


def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(exchange: World, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "big.csv"
    file.write_bytes(b"a,b\n" + b"1,x\n" * 600_000)
    env = {**environment(exchange, server, ("bts", "steward")), "TERM": "xterm"}
    command = [*COMMAND, "publish", "bts.big", str(file), "--accept-schema", "--json"]
    quiet = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    ours, theirs = pty.openpty()
    shown = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    drawn = io.BytesIO()
    while piece := read_terminal(ours):
        drawn.write(piece)
    os.close(ours)
    assert b"big.csv" in drawn.getvalue()
    assert b"100%" in drawn.getvalue()
    assert json.loads(shown.stdout)["rows_loaded"] == 600_000


def read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # all is read, and the other end is closed
        return b""
