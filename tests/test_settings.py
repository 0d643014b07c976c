"""The settings as an operator meets them: shown with their origin, refused with what to mend, and never a token."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from conftest import FLIGHTS, World, make_world

from baybridge.agreements.domains import unwrap_key
from baybridge.cli.main import run
from baybridge.errors import Corrupt, Invalid
from baybridge.exchange import Exchange
from baybridge.operate.home import Home, find_home
from baybridge.operate.settings import load_settings


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


# --- secrets ---

KEY = base64.b64encode(bytes(range(32))).decode()


def test_a_secret_comes_from_the_environment_or_a_file_that_it_names(home: Home, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    for environment in ({"BAYBRIDGE_WRAPPING_KEY": KEY}, {"BAYBRIDGE_WRAPPING_KEY_FILE": str(tmp_path / "key")}):
        settings, listed = load_settings(home, flags={}, environment=environment)
        assert settings.wrapping_key is not None
        assert settings.wrapping_key.value == bytes(range(32))
        (shown_key,) = [each for each in listed if each.name == "wrapping_key"]
        assert (shown_key.value, shown_key.origin) == ("set", *environment)
    settings, listed = load_settings(home, flags={}, environment={})
    assert (settings.wrapping_key, {each.name: each.value for each in listed}["wrapping_key"]) == (None, "unset")


def test_a_secret_is_never_shown(home: Home, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAYBRIDGE_WRAPPING_KEY", KEY)
    assert shown(capfd, "--home", home.root)["wrapping_key"] == ("set", "BAYBRIDGE_WRAPPING_KEY")
    assert run(["settings", "--home", str(home.root)]) == 0
    written = capfd.readouterr()
    settings, listed = load_settings(home, flags={}, environment={"BAYBRIDGE_WRAPPING_KEY": KEY})
    for form in (KEY, repr(bytes(range(32))), bytes(range(32)).hex()):
        assert form not in written.out + written.err + repr(settings) + repr(listed) + str(settings.wrapping_key)


@pytest.mark.parametrize(
    "environment",
    [
        {"BAYBRIDGE_WRAPPING_KEY": "c2hvcnQ="},
        {"BAYBRIDGE_WRAPPING_KEY": f"{KEY}!"},
        {"BAYBRIDGE_WRAPPING_KEY": ""},
        {"BAYBRIDGE_WRAPPING_KEY_FILE": "/nowhere/at/all"},
        {"BAYBRIDGE_WRAPPING_KEY_FILE": "/bin/true"},
        {"BAYBRIDGE_WRAPPING_KEY": KEY, "BAYBRIDGE_WRAPPING_KEY_FILE": "/nowhere/at/all"},
        {"BAYBRIDGE_PORT_FILE": "/nowhere/at/all"},
    ],
)
def test_a_secret_that_is_not_one_stops_the_start_and_is_not_repeated(home: Home, environment: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        load_settings(home, flags={}, environment=environment)
    assert caught.value.code == "settings_invalid"
    assert "c2hvcnQ" not in repr((caught.value.detail, caught.value.advice, caught.value.places))
    assert KEY not in repr((caught.value.detail, caught.value.advice, caught.value.places))


def test_a_secret_in_the_settings_file_stops_the_start(tmp_path: Path) -> None:
    Exchange.make(tmp_path / "home", origin="exchange.example").close()
    written = find_home(tmp_path / "home")
    written.settings.write_text(f'origin = "exchange.example"\nwrapping_key = "{KEY}"\n')
    with pytest.raises(Invalid) as caught:
        load_settings(written, flags={}, environment={})
    assert "BAYBRIDGE_WRAPPING_KEY_FILE" in (caught.value.advice.next_step or "")


def test_pseudonyms_are_made_under_the_wrapping_key_that_is_set(tmp_path: Path) -> None:
    """What was wrapped under one key is not unwrapped under another: the home alone does not give pseudonyms away."""
    made = make_world(tmp_path / "home")
    made.exchange.close()
    environment = {"BAYBRIDGE_WRAPPING_KEY": KEY}
    with Exchange.open(made.root, environment=environment) as exchange:
        world = World(made.root, exchange, made.people, made.secrets)
        world.publish("bts.flights", FLIGHTS, key=("flight",))
        agreement = world.sign(world.terms())
        assert agreement.domain_key is not None
        assert exchange.keys.wrapping == bytes(range(32))
        key_id = agreement.domain_key
    for given, opens in ((environment, True), ({}, False)):
        with Exchange.open(made.root, environment=given) as exchange, exchange.database.read() as connection:
            if opens:
                assert len(unwrap_key(connection, key_id, wrapping_key=exchange.keys.wrapping)) == 32
            else:
                with pytest.raises(Corrupt):
                    unwrap_key(connection, key_id, wrapping_key=exchange.keys.wrapping)
