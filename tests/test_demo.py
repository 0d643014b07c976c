"""The demo, as a newcomer runs it: one command, real data, a real server, and a home that can be served afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import serving

from baybridge.audit.entry import decode
from baybridge.cli.main import run
from baybridge.client import Client
from baybridge.errors import BaybridgeError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]


@contextlib.contextmanager
def demo(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A demo as a process of its own, killed where the block ends before it does."""
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH"}}
    with subprocess.Popen(
        [sys.executable, "-m", "baybridge.cli.main", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=inherited | environment,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # and not killed, so that it stops its own server


@dataclass(frozen=True)
class Told:
    """A demo that has ended, and the home that it kept."""

    home: Path
    code: int
    out: str
    err: str
    seconds: float

    @property
    def object(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    scratch = tmp_path_factory.mktemp("scratch")
    home = tmp_path_factory.mktemp("demo") / "home"
    began = time.monotonic()
    with demo("--json", "--home", home, TMPDIR=str(scratch)) as process:
        out, err = process.communicate(timeout=120)
    seconds = time.monotonic() - began
    assert list(scratch.iterdir()) == []
    return Told(home, process.returncode, out, err, seconds)


@pytest.fixture(scope="module")
def url(told: Told) -> Iterator[str]:
    with serving(told.home) as server:
        yield server.url


def test_the_story_holds_within_a_minute_and_prints_one_object(told: Told) -> None:
    assert (told.code, told.err) == (0, "")
    assert told.out.count("\n") == 1
    assert set(told.object) == {"home", "tokens", "datasets", "agreements", "checks"}
    assert told.object["home"] == str(told.home)
    assert {"steward", "analyst", "auditor"} <= set(told.object["tokens"])
    assert set(told.object["datasets"]) == {"bts.flights", "bts.airlines", "faa.aircraft", "faa.airports", "noaa.weather"}
    assert [(each["dataset"], each["state"]) for each in told.object["agreements"]] == [
        ("bts.flights", "ACTIVE"),
        ("faa.aircraft", "REVOKED"),
    ]
    assert len(told.object["checks"]) > 20
    assert all(set(each) == {"name", "ok", "detail"} and each["ok"] is True for each in told.object["checks"])
    assert any("336,776 rows read = 336,776 loaded + 0 rejected" in each["detail"] for each in told.object["checks"])
    assert told.seconds < 60


def test_the_kept_home_serves_the_analyst_under_the_agreement(told: Told, url: str) -> None:
    with Client(url, told.object["tokens"]["analyst"]) as analyst:
        me = analyst.whoami()
        agreement = analyst.agreement(told.object["agreements"][0]["id"])
        assert me.roles == ["analyst"]
        assert agreement.terms is not None
        assert [me.purpose] == agreement.terms.purposes
        assert agreement.terms.end[:4] > agreement.created[:4]
        page = analyst.items("bts.flights", filter="dest = 'LAX'", sortby=["-dep_delay"], limit=5)
        assert [list(row) for row in page.items] == [agreement.terms.columns] * 5
        assert {row["origin"] for row in page.items} == {"JFK"}
        for columns, dataset, code in (
            (["air_time"], "bts.flights", "column_not_in_agreement"),
            ([], "faa.aircraft", "agreement_revoked"),
        ):
            with pytest.raises(BaybridgeError) as refused:
                analyst.items(dataset, properties=columns)
            assert refused.value.code == code


def test_the_kept_homes_log_verifies_for_the_auditor_of_the_provider(told: Told, url: str) -> None:
    tokens = told.object["tokens"]
    with Client(url, tokens["auditor"]) as auditor, Client(url, tokens["steward"]) as steward:
        assert steward.whoami().organization == auditor.whoami().organization == "bts"
        assert auditor.verify_log("bts").findings == ()
        entries = [data for _, data in auditor.all_entries("bts")]
    assert {"publication", "agreement_act", "disclosure", "refusal"} <= {decode(each).kind for each in entries}
    secrets = [token.encode() for token in tokens.values()]
    assert not any(secret in entry for secret in secrets for entry in entries)


def test_each_token_is_kept_in_a_file_that_only_its_owner_reads(told: Told) -> None:
    kept = {file.name: file.read_text().strip() for file in (told.home / "demo-tokens").iterdir()}
    assert kept == told.object["tokens"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (told.home / "demo-tokens").iterdir()} == {0o600}


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("kept")
    assert run(["demo", "--home", str(tmp_path)]) == 8
    assert "is not empty" in capfd.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_a_step_that_does_not_hold_is_told_and_ends_with_9(tmp_path: Path) -> None:
    """The server process is made to end at its start, by a module that Python loads before anything else."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import sys\nif 'serve' in sys.orig_argv: sys.exit(3)\n")
    path = os.pathsep.join([str(broken), *filter(None, [os.environ.get("PYTHONPATH")])])
    with demo("--json", TMPDIR=str(tmp_path), PYTHONPATH=path) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 9
    failed = [each for each in json.loads(out)["checks"] if not each["ok"]]
    assert [each["name"] for each in failed] == ["the story goes on"]
    assert [each.name for each in tmp_path.iterdir()] == ["broken"]


def test_a_demo_that_is_stopped_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    with demo(TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        served = next(line for line in process.stdout if "http://" in line)
        address = served[served.index("http://") :].partition(";")[0]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []
    with Client(address) as client, pytest.raises(BaybridgeError) as gone:
        client.organizations()
    assert gone.value.code == "unreachable"
