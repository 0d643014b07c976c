"""A home: made once, its keys kept to its owner, its settings from four places in one order."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import duckdb
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from baybridge.errors import Conflict, Corrupt, Invalid, NotFound
from baybridge.exchange import Exchange
from baybridge.operate.home import Home, find_home, make_home, read_keys
from baybridge.operate.settings import Setting, Settings, load_settings
from baybridge.principals.principal import LOCAL_OPERATOR

SECRETS = {"wrapping_key", "checkpoint_copy_token", "catalog_password"}  # tested in test_settings.py
KEYS = ("log.pem", "wrapping.key", "cursor.key")


def without_catalog(home: Home) -> None:
    """For tests of keys and settings, which need none."""
    assert not home.settings.exists(), "the settings file comes last"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home", origin="exchange.example", make_catalog=without_catalog)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(root: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """Each file and folder with its mode, its time of change and its bytes."""
    return {
        path.relative_to(root).as_posix(): (mode(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted([root, *root.rglob("*")])
    }


def settled(home: Home, *, flags: dict[str, object] | None = None, environment: dict[str, str] | None = None) -> dict[str, Setting]:
    return {each.name: each for each in load_settings(home, flags=flags or {}, environment=environment or {})[1]}


def refused_setting(home: Home, *, environment: dict[str, str] | None = None) -> Invalid:
    with pytest.raises(Invalid) as refused:
        load_settings(home, flags={}, environment=environment or {})
    assert refused.value.code == "settings_invalid"
    return refused.value


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_home_and_its_keys_are_the_owners_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        home = make_home(tmp_path / "home", origin="exchange.example", make_catalog=without_catalog)
    finally:
        os.umask(before)
    assert mode(home.root) == 0o700
    assert {name: mode(home.root / "keys" / name) for name in KEYS} == dict.fromkeys(KEYS, 0o600)
    assert sorted(path.name for path in (home.root / "keys").iterdir()) == sorted(KEYS)


def test_a_made_home_opens_with_the_origin_that_it_was_given(tmp_path: Path) -> None:
    with Exchange.make(tmp_path / "home", origin="data.example.gov") as exchange:
        assert exchange.settings.origin == "data.example.gov"
        assert exchange.failing_parts() == []
    with Exchange.open(tmp_path / "home") as again:
        assert again.log.origin("bts") == "data.example.gov/audit/bts"


def test_two_homes_have_different_keys(tmp_path: Path) -> None:
    one, two = (make_home(tmp_path / name, origin="exchange.example", make_catalog=without_catalog) for name in ("one", "two"))
    assert all((one.root / "keys" / name).read_bytes() != (two.root / "keys" / name).read_bytes() for name in KEYS)
    keys = read_keys(one)
    assert len(keys.wrapping) == len(keys.cursor) == 32
    assert keys.wrapping != keys.cursor
    assert keys.log.private_bytes_raw() == load_pem_private_key((one.root / "keys" / "log.pem").read_bytes(), None).private_bytes_raw()


def test_making_a_home_where_there_is_one_refuses_and_touches_nothing(tmp_path: Path) -> None:
    Exchange.make(tmp_path / "home", origin="exchange.example").close()
    before = everything(tmp_path / "home")
    with pytest.raises(Conflict) as refused:
        Exchange.make(tmp_path / "home", origin="other.example")
    assert (refused.value.code, refused.value.facts.exit_code) == ("conflict", 8)
    assert refused.value.advice.next_step
    assert everything(tmp_path / "home") == before


def test_a_folder_without_a_home_says_how_to_make_one(tmp_path: Path) -> None:
    for opening in (find_home, Exchange.open):
        with pytest.raises(NotFound) as refused:
            opening(tmp_path)
        assert refused.value.advice.next_command == f"baybridge init {tmp_path}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [(), KEYS[:1], KEYS, (*KEYS, "catalog.sqlite")])
def test_a_home_whose_making_was_cut_short_is_finished_and_nothing_in_it_replaced(tmp_path: Path, there: tuple[str, ...]) -> None:
    root = tmp_path / "home"
    Exchange.make(root, origin="exchange.example").close()
    (root / "baybridge.toml").unlink()
    for path in [root / "catalog.sqlite", *(root / "keys").iterdir()]:
        if path.name not in there:
            path.unlink()
    (root / "keys" / "wrapping.key.partial").write_bytes(b"half a k")
    kept = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name in KEYS}
    with pytest.raises(NotFound):
        Exchange.open(root)
    with Exchange.make(root, origin="exchange.example") as exchange:
        assert exchange.failing_parts() == []
    assert {name: mode(root / "keys" / name) for name in KEYS} == dict.fromkeys(KEYS, 0o600)
    assert sorted(path.name for path in (root / "keys").iterdir()) in (sorted(KEYS), sorted([*KEYS, "wrapping.key.partial"]))
    assert {path: path.read_bytes() for path in kept} == kept


def test_what_was_agreed_outlives_a_lost_settings_file(tmp_path: Path) -> None:
    with Exchange.make(tmp_path / "home", origin="exchange.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "Statistics")
    (tmp_path / "home" / "baybridge.toml").unlink()
    with Exchange.make(tmp_path / "home", origin="exchange.example") as again:
        assert [each.name for each in again.administer.organizations()] == ["bts"]
        assert again.watch.verify("bts", ()).findings == ()


@pytest.mark.parametrize("name", ["two words", "50%20", "#1", "o'brien", "Zoë", "a;b&c=d"])
def test_a_home_can_be_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    with Exchange.make(tmp_path / name, origin="exchange.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "Statistics")
    assert (tmp_path / name / "catalog.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["what?", "a*", "a[1]", "back\\slash", "deep?/er"])
def test_a_folder_in_which_the_engine_could_not_work_takes_no_home(tmp_path: Path, name: str) -> None:
    for opening in (lambda root: Exchange.make(root, origin="exchange.example"), Exchange.open):
        with pytest.raises(Invalid) as refused:
            opening(tmp_path / name)
        assert refused.value.places[0].parameter == "home"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("rights", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o660, 0o644, 0o666])
def test_a_key_that_others_can_touch_stops_the_start(tmp_path: Path, name: str, rights: int) -> None:
    Exchange.make(tmp_path / "home", origin="exchange.example").close()
    key = tmp_path / "home" / "keys" / name
    key.chmod(rights)
    with pytest.raises(Corrupt) as refused:
        Exchange.open(tmp_path / "home")
    assert name in refused.value.detail
    assert refused.value.advice.next_command == f"chmod 600 {key}"
    key.chmod(0o600)
    Exchange.open(tmp_path / "home").close()


def test_a_key_that_its_owner_only_reads_is_good(home: Home) -> None:
    for name in KEYS:
        (home.root / "keys" / name).chmod(0o400)
    assert read_keys(home).log


@pytest.mark.parametrize("name", KEYS)
def test_a_missing_key_stops_the_start(tmp_path: Path, name: str) -> None:
    with Exchange.make(tmp_path / "home", origin="exchange.example") as exchange:
        (tmp_path / "home" / "keys" / name).unlink()
        assert exchange.failing_parts() == ["keys"]
    with pytest.raises(Corrupt, match=name):
        Exchange.open(tmp_path / "home")
    assert not (tmp_path / "home" / "keys" / name).exists(), "a lost key is never replaced in silence"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_key_that_is_no_key_stops_the_start_and_is_not_printed(home: Home, name: str, content: bytes) -> None:
    (home.root / "keys" / name).write_bytes(content)
    with pytest.raises(Corrupt) as refused:
        read_keys(home)
    assert "short" not in str(refused.value)


def test_a_setting_comes_from_flag_then_environment_then_file_then_default(home: Home) -> None:
    assert settled(home)["port"] == Setting("port", 8080, "default", settled(home)["port"].doc)
    home.settings.write_text('origin = "exchange.example"\nport = 1111\n')
    assert (settled(home)["port"].value, settled(home)["port"].origin) == (1111, "baybridge.toml")
    environment = {"BAYBRIDGE_PORT": "2222"}
    from_environment = settled(home, environment=environment)["port"]
    assert (from_environment.value, from_environment.origin) == (2222, "BAYBRIDGE_PORT")
    from_flag = settled(home, environment=environment, flags={"port": 3333})["port"]
    assert (from_flag.value, from_flag.origin) == (3333, "flag")
    # A flag that was not given says nothing, and one setting's place says nothing of another's.
    assert settled(home, environment=environment, flags={"port": None})["port"].value == 2222
    assert (settled(home)["origin"].value, settled(home)["origin"].origin) == ("exchange.example", "baybridge.toml")
    assert settled(home)["host"].origin == "default"


def test_every_setting_is_listed_with_its_meaning_and_its_type(home: Home) -> None:
    listed = settled(home)
    assert list(listed) == [each.name for each in dataclasses.fields(Settings)]
    settings, _ = load_settings(home, flags={}, environment={})
    for name, each in listed.items():
        assert each.doc.endswith(".")
        if name in SECRETS:
            assert each.value == "unset"
        else:
            assert each.value == getattr(settings, name)
            assert type(each.value) is type(getattr(Settings(), name))


def test_every_setting_can_come_from_the_environment(home: Home) -> None:
    texts = {"str": "a", "int": "7", "float": "7.5", "bool": "false"}
    for each in dataclasses.fields(Settings):
        if each.name in SECRETS:
            continue
        text = "7MB" if each.name.endswith("memory") else texts[type(getattr(Settings(), each.name)).__name__]
        text = {
            "checkpoint_copy": "/a",
            "publish_bytes": "7MB",
            "extract_budget": "7MB",
            "catalog": "postgresql://a@b/c",
            "objects": "s3://a-bucket",
            "objects_endpoint": "http://a",
        }.get(each.name, text)
        found = settled(home, environment={f"BAYBRIDGE_{each.name.upper()}": text})[each.name]
        assert str(found.value) == {"false": "False"}.get(text, text)


@pytest.mark.parametrize("text", ["512MB", "2GB", "1 GiB", "900KB", "1TiB"])
def test_a_memory_is_a_number_with_a_unit(home: Home, text: str) -> None:
    assert settled(home, environment={"BAYBRIDGE_BUILD_MEMORY": text})["build_memory"].value == text
    duckdb.connect(":memory:", config={"memory_limit": text}).close()


@pytest.mark.parametrize("text", ["much", "-1GB", "", "0MB", "512", "512M", "1 parsec", "1GB; x", "80%", "1GB\n"])
@pytest.mark.parametrize("name", ["build_memory", "engine_memory"])
def test_a_memory_that_is_none_stops_the_start(home: Home, name: str, text: str) -> None:
    refused = refused_setting(home, environment={f"BAYBRIDGE_{name.upper()}": text})
    assert "512MB" in refused.places[0].message


def test_a_whole_number_is_good_for_a_time_in_the_file(home: Home) -> None:
    home.settings.write_text("question_seconds = 5\n")
    value = settled(home)["question_seconds"].value
    assert value == 5.0
    assert type(value) is float


def test_an_unknown_setting_stops_the_start_and_names_the_nearest(tmp_path: Path) -> None:
    Exchange.make(tmp_path / "home", origin="exchange.example").close()
    home = find_home(tmp_path / "home")
    assert refused_setting(home, environment={"BAYBRIDGE_PROT": "1"}).places[0].hint == "port"
    assert "BAYBRIDGE_PROT" in refused_setting(home, environment={"BAYBRIDGE_PROT": "1"}).detail
    home.settings.write_text("question_second = 5.0\n")
    in_file = refused_setting(home)
    assert in_file.places[0].hint == "question_seconds"
    assert "baybridge.toml" in in_file.detail
    with pytest.raises(Invalid):
        Exchange.open(tmp_path / "home")
    home.settings.write_text("colour = 1\n")
    assert refused_setting(home).places[0].hint is None


def test_variables_of_the_command_line_and_of_others_are_no_settings(home: Home) -> None:
    environment = {"BAYBRIDGE_HOME": "/x", "BAYBRIDGE_URL": "x", "BAYBRIDGE_TOKEN": "bb_x", "PORT": "1", "OTHER_PORT": "2"}
    assert {each.origin for each in settled(home, environment=environment).values()} == {"default", "baybridge.toml"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('port = "8080"', "port"),
        ("port = 80.5", "port"),
        ("port = true", "port"),
        ("host = 1", "host"),
        ("question_seconds = [1]", "question_seconds"),
        ("[port]\nnumber = 1", "port"),
    ],
)
def test_a_value_of_another_type_in_the_file_stops_the_start(home: Home, text: str, name: str) -> None:
    home.settings.write_text(text + "\n")
    refused = refused_setting(home)
    assert refused.places[0].parameter == name
    assert "baybridge.toml" in refused.detail


@pytest.mark.parametrize(("variable", "text"), [("PORT", "eighty"), ("PORT", "80.5"), ("PORT", ""), ("QUESTION_SECONDS", "soon")])
def test_a_value_of_another_type_in_the_environment_stops_the_start(home: Home, variable: str, text: str) -> None:
    refused = refused_setting(home, environment={f"BAYBRIDGE_{variable}": text})
    assert f"BAYBRIDGE_{variable}" in refused.detail
    assert "eighty" not in refused.detail + str(refused.places)


@pytest.mark.parametrize("text", ["port = ", "port: 1", '"', "port = 1\nport = 2", 'host = "\udcff"'])
def test_a_file_that_is_no_toml_stops_the_start(home: Home, text: str) -> None:
    home.settings.write_text(text, errors="surrogateescape")
    assert refused_setting(home).places[0].parameter == "baybridge.toml"


@pytest.mark.parametrize("origin", ['say "no"', "two words", "a+b", "line\nbreak", "", "back\\slash"])
def test_an_origin_that_no_checkpoint_can_carry_makes_no_home(tmp_path: Path, origin: str) -> None:
    with pytest.raises(Invalid) as refused:
        Exchange.make(tmp_path / "home", origin=origin)
    assert refused.value.code == "settings_invalid"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("origin", ["two words", "a+b", ""])
def test_an_origin_that_no_checkpoint_can_carry_stops_the_start(home: Home, origin: str) -> None:
    home.settings.write_text(f'origin = "{origin}"\n')
    assert refused_setting(home).places[0].parameter == "origin"


@pytest.mark.parametrize("origin", ["baybridge.localhost", "data.example.gov", "exchange.example:8443", "example.gov/exchange-2", "a"])
def test_an_origin_that_a_checkpoint_can_carry_makes_a_home(tmp_path: Path, origin: str) -> None:
    with Exchange.make(tmp_path / "home", origin=origin) as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "Statistics")
        assert exchange.watch.checkpoint("bts").startswith(f"{origin}/audit/bts\n")
