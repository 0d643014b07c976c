"""Holds the pages to the code: examples are run, generated parts are fresh, and nothing that a reader meets is left out.

How a page's examples are run. Each `console` block of README.md, docs/tutorial and docs/how-to is run by one bash for the page, in an
empty folder, top to bottom. `$ ` begins a command and `> ` goes on with it. What follows is its output, in which `...` stands for anything;
without any, only the exit status is looked at. The status is 0, or the number in brackets on the last line, as in `[5]`. A command that
ends in `&` is a server: the page goes on when it has said where it serves. Pages say port 8080; the test puts a free one in its place.

A `python` block among them is run as a script, in the environment of the commands before it. A line `print(...)  # text` prints that text.

Each `http` block of docs/reference/http.md is sent, in order, to one real server, by the person that its first line names.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, Final

import click
import pytest
from conftest import FLIGHTS, World, make_world, serving

from baybridge.audit.entry import Kind
from baybridge.cli.main import baybridge as command_line
from baybridge.errors import CODES
from baybridge.exchange import Exchange
from baybridge.http.app import ROUTES
from baybridge.names import DatasetName
from baybridge.operate.settings import ENVIRONMENT_PREFIX, Settings
from baybridge.principals.principal import LOCAL_OPERATOR, Move
from baybridge.wire.terms import TermsShape

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
# Needs a PostgreSQL of its own and several hosts; tests/test_postgresql_nodes.py does what it says.
UNTOLD: Final = ROOT / "docs/how-to/run-several-nodes.md"
STORIES: Final = (
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorial").glob("*.md")),
    *sorted({*(ROOT / "docs/how-to").glob("*.md")} - {UNTOLD}),
)
REFERENCE: Final = ROOT / "docs/reference"
PORT_OF_PAGES: Final = "8080"
LONGEST_STORY: Final = 240


def page(path: str) -> str:
    return (REFERENCE / path).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> Iterator[tuple[str, str]]:
    """Yield each fenced block of the language: the rest of its first line, and its lines."""
    for match in re.finditer(rf"^```{language}\b ?(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE):
        yield match[1], match[2]


@dataclass(frozen=True)
class Example:
    """A command of a console block with what the page says of it."""

    command: str
    output: str
    status: int

    def is_server(self) -> bool:
        return self.command.endswith("&")


def examples(text: str) -> Iterator[Example]:
    for kind, block in blocks(text, "(?=console|python)"):
        if kind == "python":
            shown = re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)
            yield Example(f"python3 - <<'END'\n{block}END", "\n".join(shown), 0)
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = part.splitlines()
            more = next((at for at, line in enumerate(rest) if not line.startswith(">")), len(rest))
            command = "\n".join([first, *(line[2:] for line in rest[:more])])
            output = [line.rstrip() for line in rest[more:]]
            while output and not output[-1]:
                output.pop()
            status = re.fullmatch(r"\[(\d+)\]", output[-1]) if output else None
            yield Example(command, "\n".join(output[:-1] if status else output), int(status[1]) if status else 0)


def script_of(shown: list[Example], marker: str, port: str) -> str:
    """Give the bash script that runs the examples and marks where the output of each ends, with its status."""
    lines = ["exec 2>&1 < /dev/null", "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT"]
    for each in shown:
        command = each.command.replace(PORT_OF_PAGES, port)
        if each.is_server():
            lines.append(f"{command[:-1]} > server.log &")
            lines.append("for _ in $(seq 300); do [ -s server.log ] && break; sleep 0.1; done")
            lines.append("cat server.log")
        else:
            lines.append(command)
        lines.append(f'printf "\\n%s %s\\n" {marker} "$?"')
    return "\n".join([*lines, ""])


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def run_story(shown: list[Example], folder: Path) -> list[tuple[str, int]]:
    """Run the examples in the folder, and give the output and status of each that was reached."""
    commands = folder / "commands"
    commands.mkdir()
    code = "import sys; from baybridge.cli.main import main; sys.argv[0] = 'baybridge'; main()"
    (commands / "baybridge").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n', encoding="utf-8")
    (commands / "baybridge").chmod(0o755)
    scratch = folder / "scratch"
    scratch.mkdir()
    marker, port = secrets.token_hex(8), free_port()
    ran = subprocess.run(
        ["bash", "-c", script_of(shown, marker, port)],
        cwd=scratch,
        env={
            "PATH": os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(scratch),
            "LANG": "C.UTF-8",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        },
        stdout=subprocess.PIPE,
        text=True,
        timeout=LONGEST_STORY,
        check=False,
    )
    found = [part.replace(port, PORT_OF_PAGES) for part in ran.stdout.split(f"\n{marker} ")]
    statuses = [int(part.partition("\n")[0]) for part in found[1:]]
    outputs = [found[0], *(part.partition("\n")[2] for part in found[1:])]
    return list(zip(outputs, statuses, strict=False))


def matches(shown: str, found: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return not shown or re.fullmatch(pattern, "\n".join(line.rstrip() for line in found.strip().splitlines()), re.DOTALL) is not None


def test_an_example_is_a_command_with_its_output_and_its_status() -> None:
    text = "```console\n$ one \\\n> two\nsaid ... done\n[5]\n\n$ three &\n```\n```sh\n$ never\n```\n```python\nprint(1)  # one\n```\n"
    script = Example("python3 - <<'END'\nprint(1)  # one\nEND", "one", 0)
    assert list(examples(text)) == [Example("one \\\ntwo", "said ... done", 5), Example("three &", "", 0), script]


def test_an_example_with_another_output_or_status_is_found(tmp_path: Path) -> None:
    shown = [Example("echo abc; exit_with() { return $1; }; exit_with 3", "a...c", 3), Example("echo later", "", 0)]
    assert run_story(shown, tmp_path) == [("abc\n", 3), ("later\n", 0)]
    assert matches("a...c", "abc\n")
    assert matches("", "anything")
    assert not matches("a...d", "abc\n")
    assert not matches("b", "abc\n")


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=name_of)
def test_what_a_page_tells_the_reader_to_type_does_what_the_page_says(story: Path, tmp_path: Path) -> None:
    shown = list(examples(story.read_text(encoding="utf-8")))
    assert shown, "the page has no example"
    ran = run_story(shown, tmp_path)
    for example, (output, status) in zip(shown, ran, strict=False):
        assert (example.command, status) == (example.command, example.status), output
        assert matches(example.output, output), f"{example.command}\n--- the page\n{example.output}\n--- the command\n{output}"
    assert len(ran) == len(shown)


@dataclass(frozen=True)
class Exchanged:
    """A request of an http block, and the answer that the page shows."""

    who: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    shown_headers: dict[str, str]
    shown_body: Any


def body_of(media_type: str, text: str) -> Any:
    """A body to compare: lines of CSV, else what JSON says."""
    if media_type.startswith("text/csv"):
        return text.splitlines()
    return json.loads(text) if text else None


def exchanged(who: str, block: str) -> Exchanged:
    request, _, answer = block.partition("\nHTTP/1.1 ")
    head, _, body = request.strip().partition("\n\n")
    line, *headers = head.splitlines()
    method, path = line.split(" ", 1)
    answer_head, _, answer_body = answer.strip().partition("\n\n")
    status, *shown = answer_head.splitlines()
    shown_headers = {name.lower(): value for name, value in (header.split(": ", 1) for header in shown)}
    return Exchanged(
        who=who,
        method=method,
        path=path,
        headers=dict(header.split(": ", 1) for header in headers),
        body=body,
        status=int(status.split()[0]),
        shown_headers=shown_headers,
        shown_body=body_of(shown_headers.get("content-type", ""), answer_body),
    )


def differs(shown: Any, found: Any, where: str = "body") -> list[str]:
    """Name the places where an answer is not what the page shows; `...` stands for any text, further items or further members."""
    if isinstance(shown, str) and isinstance(found, str):
        pattern = "*".join(re.sub(r"([*?[])", r"[\1]", part) for part in shown.split("..."))
        return [] if fnmatch.fnmatchcase(found, pattern) else [f"{where}: {found!r} is not {shown!r}"]
    if isinstance(shown, dict) and isinstance(found, dict):
        named = {name: value for name, value in shown.items() if name != "..."}
        others = [] if "..." in shown else [f"{where}: {name} is not on the page" for name in found.keys() - named.keys()]
        missing = [f"{where}: {name} is not in the answer" for name in named.keys() - found.keys()]
        return (
            others
            + missing
            + [each for name in named.keys() & found.keys() for each in differs(named[name], found[name], f"{where}.{name}")]
        )
    if isinstance(shown, list) and isinstance(found, list):
        named_items = shown[:-1] if shown and shown[-1] == "..." else shown
        if len(named_items) > len(found) or (named_items is shown and len(shown) != len(found)):
            return [f"{where}: {len(found)} items are not the {len(shown)} of the page"]
        return [each for at, item in enumerate(named_items) for each in differs(item, found[at], f"{where}[{at}]")]
    return [] if shown == found and type(shown) is type(found) else [f"{where}: {found!r} is not {shown!r}"]


def test_an_answer_that_is_not_the_page_s_is_found() -> None:
    shown = {"a": "x...z", "b": [1, "..."], "...": "..."}
    assert differs(shown, {"a": "xyz", "b": [1, 2, 3], "c": 1}) == []
    assert len(differs(shown, {"a": "xy", "b": [2], "c": 1})) == 2
    assert differs({"a": 1}, {"a": 1, "b": 2}) == ["body: b is not on the page"]
    assert differs({"a": 1}, {}) == ["body: a is not in the answer"]
    assert differs([1], [1, 2]) != []
    assert differs([1, 2, "..."], [1]) != []
    assert differs({"a": True}, {"a": 1}) != []


def secret_of(world: World, who: str) -> str:
    organization, _, role = who.partition("/")
    return world.secrets[organization, role]


@pytest.mark.slow
def test_each_request_of_the_http_page_gets_the_answer_of_the_page(tmp_path: Path) -> None:
    shown = [exchanged(who, block) for who, block in blocks(page("http.md"), "http")]
    assert len(shown) > 10
    world = make_world(tmp_path / "home", "health", "education")
    remembered: dict[str, str] = {}
    with serving(world.root) as server, server.client() as client:
        for each in shown:
            headers = {
                name: value.replace("bb_...", secret_of(world, each.who)) if each.who else value for name, value in each.headers.items()
            }
            body = each.body
            for placeholder, value in remembered.items():
                body = body.replace(placeholder, value)
            world.exchange.watch.sign_new()  # what the page shows of the log is signed, however slow the server's own timer is
            answer = client.request(each.method, each.path, headers=headers, content=f"{body}\n".encode() if body else b"")
            found = body_of(answer.headers.get("content-type", ""), answer.text)
            assert (each.method, each.path, answer.status_code) == (each.method, each.path, each.status), answer.text
            assert differs(each.shown_headers, {name: answer.headers.get(name) for name in each.shown_headers}, each.path) == []
            assert differs(each.shown_body, found, f"{each.method} {each.path}") == []
            if "terms_sha256" in found:
                remembered["TERMS_SHA256"] = found["terms_sha256"]
            if each.path.endswith("/principals"):
                remembered["PRINCIPAL"] = found["id"]
    world.exchange.close()


def test_every_error_code_has_its_section_with_its_status() -> None:
    sections = dict(re.findall(r"^### (\w+)\n\n.*\n\nHTTP status (\d+)", page("errors.md"), re.MULTILINE))
    assert sections == {code: str(facts.status) for code, facts in CODES.items()}


def test_every_address_is_documented_and_nothing_else_is() -> None:
    routes = {f"{method} {re.sub(r':[a-z]+}', '}', route.path)}" for route in ROUTES for method in (route.methods or set()) - {"HEAD"}}
    table = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", page("http.md"), re.MULTILINE))
    assert table == routes


def test_every_setting_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| \w+ \| `([^`]*)` \| (.+) \|$", page("settings.md"), re.MULTILINE)
    wanted = [
        (each.name, ENVIRONMENT_PREFIX + each.name.upper(), str("unset" if each.default is None else each.default), each.metadata["doc"])
        for each in fields_of(Settings)
    ]
    assert rows == wanted


def test_every_term_is_documented() -> None:
    section = page("terms.md").split("## Terms\n")[1].split("## Masks\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(TermsShape.__struct_fields__)


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for each, sub in command.commands.items():
            yield from commands(sub, f"{name} {each}")


def test_every_command_and_every_flag_is_documented() -> None:
    text = page("cli.md")
    sections = {match[1]: match[2] for match in re.finditer(r"^##+ `(baybridge[^`]*)`\n((?:(?!##).*\n)*)", text, re.MULTILINE)}
    root = command_line_group()
    found = dict(commands(root, "baybridge"))
    assert set(sections) == {name for name, command in found.items() if not command.hidden}
    missing = [
        (name, flag)
        for name, command in found.items()
        if not command.hidden
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for flag in parameter.opts
        if flag not in sections[name]
    ]
    assert missing == []


def command_line_group() -> click.Group:
    assert isinstance(command_line, click.Group)
    return command_line


# Facts of acts that the story below does not have: tests/test_life.py, test_handover.py and test_umbrellas.py have them.
OF_SOME_ACTS: Final = {"umbrella", "supersedes", "successor", "voided", "role", "statement_sha256"}


def facts_documented() -> dict[str, set[str]]:
    """Give each kind's facts as the page has them."""
    sections = re.split(r"^### ", page("entries.md"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        kind, _, body = section.partition("\n")
        body = body.split("\n## ")[0]
        rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", body, re.MULTILINE)
        found[kind] = {name for row in rows for name in re.findall(r"`(\w+)`", row)} or {"actor"}
    return found


def test_every_kind_of_entry_is_documented() -> None:
    assert set(facts_documented()) == {kind.value for kind in Kind}


@pytest.mark.slow
def test_the_facts_of_each_entry_are_those_of_the_page(flights: World, tmp_path: Path) -> None:
    kept = {"checkpoint_copy": str(tmp_path / "copy.json")}
    flights.exchange.close()  # to copy an open database in its own process would drop that process's locks
    shutil.copytree(flights.root, tmp_path / "other")
    flights.exchange = Exchange.open(flights.root)
    with Exchange.open(tmp_path / "other", flags=kept) as other:  # goes its own way from here, and is what is kept outside
        other.administer.add_principal(LOCAL_OPERATOR, "bts", "another", "person", ["analyst"])
        other.sign()
    agreement = flights.sign(flights.terms())
    admin, steward = flights.person("bts", "admin"), flights.person("bts", "steward")
    issued = flights.exchange.administer.issue_token(admin, steward.id, expires=None, purpose=None)
    rotated = flights.exchange.administer.rotate_token(admin, issued.token.id, overlap_seconds=0)
    flights.exchange.administer.revoke_token(admin, rotated.token.id)
    for act in (Move.SUSPEND, Move.RESUME):
        flights.exchange.administer.move_organization(LOCAL_OPERATOR, "bts", act, "no")
    with serving(flights.root) as server, server.client(flights.secrets["dot", "analyst"]) as client:
        address = "/api/v1/collections/bts.flights/items"
        assert server.client().get(address).status_code == 401
        assert client.get(f"{address}?f=csv", headers={"baybridge-purpose": "noise-study"}).status_code == 200
        assert client.get(address).status_code == 403
        assert client.get(address, headers={"baybridge-purpose": "noise-study"}).status_code == 200
        changes = client.get("/api/v1/collections/bts.flights/changes?since=1", headers={"baybridge-purpose": "noise-study"})
        assert changes.status_code == 200
        assert client.post(f"/api/v1/agreements/{agreement.id}/revoke", json={"reason": "no"}).status_code == 403
        publishing, versions = server.client(flights.secrets["bts", "steward"]), "/api/v1/collections/bts.flights/versions"
        let_go = f"{versions}?mode=upsert&max_rejects=1&rejects_reason=no"
        changed = publishing.post(let_go, content=FLIGHTS + b"8,UA\n", headers={"content-type": "text/csv"})
        assert changed.status_code == 201, changed.text
        assert publishing.get(f"{versions}/2/rejects").status_code == 200
    exchange, name = flights.exchange, DatasetName("bts", "flights")
    exchange.inbox.require_approvals(admin, "bts", ["counsel"])
    asked = exchange.agree.request(flights.person("dot", "analyst"), flights.terms())
    exchange.agree.terminate(steward, asked.id, "no", code="not_needed")
    exchange.erase.erase(admin, "bts", stop=1000)
    exchange.withdraw.withdraw(steward, name, 1, "no")
    exchange.withdraw.restore(steward, name, 1)
    exchange.withdraw.withdraw(steward, name, 1, "no")
    exchange.purge.purge(steward, name, 1, reason="no", plan_sha256=exchange.purge.plan(steward, name, 1).sha256)
    with Exchange.open(flights.root, flags=kept) as exchange:
        exchange.outside.restore(LOCAL_OPERATOR, who="the operator", reason="a test")
    flights.exchange.rotate.rotate(LOCAL_OPERATOR)
    auditor = flights.person("bts", "auditor")
    run = flights.exchange.watch.entries(auditor, "bts", start=0, limit=1000)
    entries = [json.loads(data) for _, data in run.entries]
    documented = facts_documented()
    met: dict[str, set[str]] = {}
    for entry in entries:
        facts = set(entry) - {"format", "log", "kind", "nonce", "time"}
        met.setdefault(entry["kind"], set()).update(facts)
    met["agreement_act"] |= OF_SOME_ACTS
    assert met == documented


@pytest.mark.parametrize("path", [path for path in PAGES if "[[[cog" in path.read_text(encoding="utf-8")], ids=name_of)
def test_what_is_printed_from_the_code_is_fresh(path: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "--diff", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings as they are made from their text: lower case, punctuation gone, spaces to hyphens."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_to_a_page_and_a_heading_of_it(path: Path) -> None:
    text = re.sub(r"^```.*?^```$|<!-- \[\[\[cog.*?\]\]\] -->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)) if not re.match(r"[a-z]+:", link)]
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        there = path if not target else (path.parent / target)
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        links = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", path.read_text(encoding="utf-8"))
        waiting += [path.parent / link for link in links if not re.match(r"[a-z]+:", link)]
    assert [name_of(path) for path in PAGES if path not in seen] == []
