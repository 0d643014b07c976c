"""The settings as an operator meets them: shown with their origin, refused with what to mend, and never a token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baybridge.cli.main import run
from baybridge.errors import Invalid
from baybridge.exchange import Exchange, load_settings
from baybridge.operate.home import Home, find_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("settings") / "home"
    Exchange.make(root, origin="exchange.example").close()
    return find_home(root)


def shown(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, tuple[object, str]]:
    capfd.readouterr()
    assert run(["settings", "--json", *map(str, arguments)]) == 0
    return {each["name"]: (each["value"], each["origin"]) for each in json.loads(capfd.readouterr().out)["settings"]}


def test_each_setting_is_shown_with_where_it_comes_from(
    home: Home, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAYBRIDGE_PORT", "9000")
    monkeypatch.setenv("BAYBRIDGE_HOME", str(home.root))
    listed = shown(capfd)
    assert listed["origin"] == ("exchange.example", "baybridge.toml")
    assert listed["port"] == (9000, "BAYBRIDGE_PORT")
    assert listed["host"] == ("127.0.0.1", "default")
    assert run(["settings"]) == 0
    text = capfd.readouterr().out
    assert all(name in text for name in listed)


def test_a_flag_goes_before_everything(home: Home) -> None:
    settings, listed = load_settings(home, flags={"port": 1, "host": None}, environment={"BAYBRIDGE_PORT": "2", "BAYBRIDGE_HOST": "::1"})
    assert (settings.port, settings.host) == (1, "::1")
    origins = {each.name: each.origin for each in listed}
    assert (origins["port"], origins["host"]) == ("flag", "BAYBRIDGE_HOST")


@pytest.mark.parametrize(
    ("variable", "text", "rule"),
    [
        ("BAYBRIDGE_PORT", "65536", "a whole number from 0 to 65535"),
        ("BAYBRIDGE_PORT", "-1", "a whole number from 0 to 65535"),
        ("BAYBRIDGE_PORT", "http", "a whole number from 0 to 65535"),
        ("BAYBRIDGE_QUESTION_SECONDS", "0", "a number of seconds above 0"),
        ("BAYBRIDGE_CHECKPOINT_SECONDS", "-1", "a number of seconds above 0"),
        ("BAYBRIDGE_EXTRACT_WAIT_SECONDS", "soon", "a number of seconds above 0"),
    ],
)
def test_a_value_outside_its_bounds_stops_the_start_and_says_the_rule(home: Home, variable: str, text: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_settings(home, flags={}, environment={variable: text})
    assert caught.value.code == "settings_invalid"
    assert rule in caught.value.detail
    assert variable in (caught.value.advice.next_step or "")


@pytest.mark.parametrize("text", ["0", "65535"])
def test_the_bounds_themselves_are_good(home: Home, text: str) -> None:
    assert load_settings(home, flags={}, environment={"BAYBRIDGE_PORT": text})[0].port == int(text)


def test_where_the_command_line_finds_its_token_is_no_setting_and_is_never_shown(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BAYBRIDGE_URL", "BAYBRIDGE_TOKEN", "BAYBRIDGE_TOKEN_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "bb_secret"))
    listed = shown(capfd, "--home", home.root)
    assert "bb_secret" not in json.dumps(listed)


def test_a_mistyped_variable_stops_every_command_on_the_home(
    home: Home, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAYBRIDGE_PROT", "1")
    for command in ("settings", "serve"):
        assert run([command, "--home", str(home.root)]) == 2
        error = capfd.readouterr().err
        assert "BAYBRIDGE_PROT" in error
        assert "did you mean port?" in error


def test_settings_without_a_home_say_how_to_name_one(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAYBRIDGE_HOME", raising=False)
    assert run(["settings"]) == 2
    assert "--home DIR or BAYBRIDGE_HOME" in capfd.readouterr().err
