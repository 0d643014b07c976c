"""The whole life of an agreement through the command line: the same story that is replayed through REST and through the SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import FLIGHTS, OFFICERS, World, make_world, serving
from life_story import STORY, Step
from test_cli import Commands, Place

from baybridge.cli.agreement import agreement

pytestmark = [pytest.mark.xdist_group("cli_life"), pytest.mark.slow]

AS_PROCESSES = frozenset({"request", "revoke"})
"""Acts that are done by a process of its own, as a person would; the others run in this one."""


@pytest.fixture
def bay(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(capfd, monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    world = make_world(tmp_path / "home")
    world.employ("bts", *OFFICERS)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    for (organization, role), secret in world.secrets.items():
        (tokens / f"{organization}-{role}").write_text(secret + "\n")
    with serving(world.root) as server:
        yield Place(world, server, tokens)
    world.exchange.close()


def terms_of(world: World, folder: Path, changes: dict[str, object]) -> Path:
    shape = world.terms(**({"masks": {}} | changes))
    path = folder / "terms.json"
    path.write_text(json.dumps({field: getattr(shape, field) for field in shape.__struct_fields__}))
    return path


def command(step: Step, world: World, told: dict[str, dict[str, Any]], folder: Path) -> tuple[str, ...]:
    """What a person types for the step."""
    file = () if step.terms is None else ("--file", str(terms_of(world, folder, step.terms)))
    if step.act == "request":
        return "request", *file
    if step.act == "successor":
        assert step.of is not None
        return "renew", told[step.of]["id"], "--end", (datetime.now(UTC) + timedelta(days=730)).isoformat()
    standing = told[step.on]
    said = {
        "offer": file,
        "counter": file,
        "sign": ("--digest", standing["terms_sha256"]),
        "approve": ("--role", str(step.role), "--digest", standing["terms_sha256"]),
        "close": ("--statement", str(step.text)),
    }
    return step.act, standing["id"], *said.get(step.act, ("--reason", str(step.text)))


def as_process(*arguments: str) -> tuple[int, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "baybridge.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    return ran.returncode, json.loads(ran.stdout)


def test_the_whole_life_of_an_agreement_through_the_command_line(place: Place, bay: Commands, tmp_path: Path) -> None:
    told: dict[str, dict[str, Any]] = {}
    analyst = place.as_("dot", "analyst")
    for step in STORY:
        typed = ("agreement", *command(step, place.world, told, tmp_path), "--json", *place.as_(*step.who))
        if step.act in AS_PROCESSES:
            code, done = as_process(*typed)
        else:
            ran = bay(*typed)
            code, done = ran.code, ran.json()
        assert (code, done.get("state")) == (0, step.state), (step, done)
        told[step.on] = done
        for other, state in step.others.items():
            assert bay("agreement", "show", told[other]["id"], "--json", *analyst).json()["state"] == state, step
    first, second, third = (bay("agreement", "show", told[name]["id"], "--json", *analyst).json() for name in ("first", "second", "third"))
    assert (first["successor"], second["supersedes"], first["handed_over"]) == (second["id"], first["id"], second["took_over"])
    assert (third["code"], third["reason"]) == ("declined", "Not this year")
    shown = bay("agreement", "show", second["id"], *analyst).out
    for said in (f"supersedes  {first['id']}", "statement   All copies are destroyed", "took over"):
        assert f"  {said}" in shown
    words = bay("agreement", "text", second["id"], *analyst).out
    assert "dot may use the data for one purpose only: noise-study." in words.splitlines()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"columns": ["no_such_column"]}, "unknown_column"),
        ({"masks": {"flight": "year"}}, "terms_invalid"),
        ({"row_filter": "origin = 1"}, "filter_invalid"),
        ({"row_filter": 'origin = "JFK"'}, "unknown_column"),
        ({"dataset": "bts.no_such_dataset"}, "not_found"),
        ({"start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"}, "terms_invalid"),
    ],
)
def test_a_dry_run_refuses_the_terms_that_the_request_refuses(
    place: Place, bay: Commands, tmp_path: Path, wrong: dict[str, object], code: str
) -> None:
    asked = ("agreement", "request", "--file", terms_of(place.world, tmp_path, wrong), "--json", *place.as_("dot", "analyst"))
    tried, real = (bay(*asked, *dry) for dry in (("--dry-run",), ()))
    told, refused = ({name: said for name, said in each.json().items() if name != "request_id"} for each in (tried, real))
    assert (told, tried.code) == (refused, real.code)
    assert told["code"] == code


def test_terms_in_a_file_are_told_by_member_where_they_are_not_terms(bay: Commands, tmp_path: Path) -> None:
    file = tmp_path / "terms.json"
    for text, told in (
        ('{"colums": ["a"]}', "$.colums: not a known member (did you mean columns?)"),
        ('{"columns": ["a", 5]}', "$.columns[1]: Expected str, got int"),
        ('{"columns": ["secret"]}', "$.dataset: missing"),
        ("{", "body: not JSON"),
    ):
        file.write_text(text)
        ran = bay("agreement", "request", "--file", file)
        assert (ran.code, told in ran.err, "secret" in ran.err) == (2, True, False), ran.err


def test_a_dry_run_is_refused_to_whom_the_request_is(place: Place, bay: Commands, tmp_path: Path) -> None:
    file = terms_of(place.world, tmp_path, {})
    for who in (("bts", "steward"), ("dot", "auditor")):
        ran = [bay("agreement", "request", "--file", file, "--json", *place.as_(*who), *dry) for dry in (("--dry-run",), ())]
        assert ran[0].code == ran[1].code != 0
        assert ran[0].json()["code"] == ran[1].json()["code"]


def test_an_act_out_of_turn_is_a_conflict_that_says_what_is_possible(place: Place, bay: Commands, tmp_path: Path) -> None:
    file = terms_of(place.world, tmp_path, {})
    asked = bay("agreement", "request", "--file", file, "--json", *place.as_("dot", "analyst")).json()
    early = bay("agreement", "close", asked["id"], "--statement", "All is gone", *place.as_("dot", "steward"))
    assert (early.code, "(conflict)" in early.err, "Possible now: " in early.err) == (8, True, True)
    named = early.err.partition("Possible now: ")[2].partition(".")[0].split("; ")
    assert {each.partition(" (")[0] for each in named} <= set(agreement.commands), "each is a command"
    assert bay("agreement", "counter", asked["id"], "--file", file, *place.as_("bts", "steward")).code == 5
    approved = ("--role", "counsel", "--digest", asked["terms_sha256"])
    assert bay("agreement", "approve", asked["id"], *approved, *place.as_("bts", "steward")).code == 5
    assert bay("agreement", "amend", asked["id"], "--file", file, *place.as_("dot", "analyst")).code == 8
    assert bay("agreement", "renew", asked["id"], *place.as_("dot", "analyst")).code == 2  # without an end
    ended = bay("agreement", "terminate", asked["id"], "--reason", "r", "--code", "incomplete", "--json", *place.as_("bts", "steward"))
    assert (ended.code, ended.json()["code"]) == (0, "incomplete")
