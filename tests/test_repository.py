"""Holds the repository itself to what linters and import contracts cannot see. Reads committed files only; runs nothing but git."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
LONGEST_FUNCTION: Final = 100

# Written in halves, so that this file passes its own test.
HOSTS: Final = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com", "deb.deb" + "ian.org")
MACHINE_PATHS: Final = ("/wo" + "rk/", "/ro" + "ot/", "/opt/" + "wheels", "/opt/" + "pypi", ".py" + "env/")
UNFINISHED: Final = re.compile("TO" + r"DO\b|FIX" + r"ME\b|\bXX" + r"X\b|NotImplemented" + "Error")
# The clock is read here and handed down as an argument; results.py reads the clock of the machine that an answer came to.
CLOCKS: Final = re.compile(r"exchange\.py|client/results\.py|cli/.*|http/.*|operate/.*")

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def committed() -> list[Path]:
    # CI's clone may belong to another user than the one who tests it.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in committed():
        raw = path.read_bytes()
        if b"\0" not in raw:
            yield path.relative_to(ROOT).as_posix(), raw.decode()


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_repository_has_committed_files() -> None:
    assert {"pyproject.toml", "tests/test_repository.py"} <= {name for name, _ in texts()}


@pytest.mark.parametrize("word", [*HOSTS, *MACHINE_PATHS])
def test_no_committed_file_names_a_registry_or_a_machine(word: str) -> None:
    assert [name for name, text in texts() if word in text] == []


def test_nothing_is_left_unfinished() -> None:
    found = {name: UNFINISHED.findall(text) for name, text in texts() if name.endswith((".py", ".md", ".toml", "Makefile", ".html"))}
    assert {name: words for name, words in found.items() if words} == {}


def test_every_rule_that_is_switched_off_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pylint]")]
    rules = [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+[0-9]*",', line)]
    assert len(rules) > 10
    assert [line for line in rules if not re.search(r"# \w.{7,}", line)] == []


def test_every_exception_to_a_rule_names_the_rule_and_the_reason() -> None:
    marker = re.compile("# (?:no" + "qa|type: " + "ignore).*")
    reasoned = re.compile(r"# (?:noqa: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\])(?:\s+(?:--?|—|#)|:)? \w.{5,}")
    found = [(name, match[0]) for name, text in texts() if name.endswith(".py") for match in marker.finditer(text)]
    assert [exception for exception in found if not reasoned.match(exception[1])] == []


def test_every_dependency_says_what_it_is_for() -> None:
    facts = project()
    groups = {**facts["project"]["optional-dependencies"], **facts["dependency-groups"]}
    wanted = [*facts["project"]["dependencies"], *(item for group in groups.values() for item in group if isinstance(item, str))]
    names = {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in wanted}
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert len(names) > 15
    assert sorted(names - set(lines)) == []
    assert sorted(set(lines) - names - {"package"}) == []
    assert len(lines) - lines.count("package") == len(set(lines) - {"package"})


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-build.txt"])
def test_every_requirement_is_one_version_with_hashes(name: str) -> None:
    entries = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    assert len(entries) > 5
    pinned = re.compile(r"[a-z0-9-]+==[0-9][\w.!+]* (?:; [^#]*?)?(?: *--hash=sha256:[0-9a-f]{64})+")
    assert [entry for entry in entries if not pinned.fullmatch(" ".join(entry.split()))] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_the_development_environment_holds_what_the_others_hold(name: str) -> None:
    every = set(re.findall(r"^\S+==\S+", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)) - every == set()


def refused_in_tests(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                places = [getattr(node, "module", None) or "", *(alias.name for alias in names)]
                yield from (place for place in places if re.search(r"\bmock\b|^patch$|pytest_mock", place))
            case ast.Attribute(value=ast.Name(id="monkeypatch"), attr=attr) if attr.startswith(("setattr", "delattr", "setitem")):
                yield f"monkeypatch.{attr}"
            case ast.Attribute(attr="skip" | "skipif" | "importorskip" | "skipTest" as attr):
                yield attr
            case ast.Name(id="patch" | "mocker" | "MagicMock" | "Mock" as name):
                yield name
            case _:
                pass


def test_no_test_patches_or_skips() -> None:
    found = {name: list(refused_in_tests(tree)) for name, tree in modules("tests")}
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from unittest.mock import patch",
        "import unittest.mock",
        "monkeypatch.setattr(a, 'b', c)",
        "pytest.skip('later')",
        "@pytest.mark.skipif(True)\ndef f(): ...",
        "np = pytest.importorskip('numpy')",
        "def f(mocker): mocker.spy(a, 'b')",
    ],
)
def test_a_patch_or_a_skip_would_be_found(source: str) -> None:
    assert list(refused_in_tests(ast.parse(source))) != []


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "tools"])
def test_no_function_passes_a_hundred_lines(folder: str) -> None:
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if isinstance(node, Definition)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def clocks_read(tree: ast.Module) -> list[str]:
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (node.attr in {"now", "utcnow", "today"} or ast.unparse(node) in {"time.time", "time.time_ns", "time.gmtime"})
        and isinstance(node.value, ast.Name | ast.Attribute)
        and re.search(r"(?:^|\.)(?:datetime|date|time)$", ast.unparse(node.value))
    ]


def test_the_clock_is_read_only_in_the_wiring_and_the_faces() -> None:
    inside = {name.removeprefix("src/baybridge/"): clocks_read(tree) for name, tree in modules("src/baybridge")}
    assert {name: reads for name, reads in inside.items() if reads and not CLOCKS.fullmatch(name)} == {}


@pytest.mark.parametrize("source", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "time.time()", "clock = time.time"])
def test_a_reading_of_the_clock_would_be_found(source: str) -> None:
    assert clocks_read(ast.parse(source)) != []


def test_every_file_of_the_package_opens_with_what_it_owns() -> None:
    silent = [name for name, tree in modules("src/baybridge") if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_ci_runs_what_the_readme_tells_a_newcomer_to_type() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("make demo", "make test"):
        assert command in script
        assert command in readme


def test_every_command_of_the_makefile_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = set(re.findall(r"^([a-z]+):.*## \S", makefile, re.MULTILINE))
    assert told >= {"demo", "serve", "test", "check", "prove", "bench", "docs", "lock", "clean", "help"}


def test_every_decision_is_listed_and_every_listed_decision_is_there() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def links_of(text: str) -> list[str]:
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:|#", target)]


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [(name, text) for name, text in texts() if name.endswith(".md")]
    broken = {
        name: [target for target in links_of(text) if not ((ROOT / name).parent / target.partition("#")[0]).exists()]
        for name, text in pages
    }
    assert {name: targets for name, targets in broken.items() if targets} == {}
