"""Drift: a file is held against the version before it, and what is unlike is told with figures before anything is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from conftest import World, make_world, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog.dataset import Mode
from baybridge.catalog.schema import parse_table_schema
from baybridge.catalog.store import VERSIONS
from baybridge.cli.main import baybridge as command_line
from baybridge.client import Client, WarningsFound
from baybridge.data.ingest.evidence import evidence
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Publication, Upload
from baybridge.publish.drift import RULES
from baybridge.publish.threshold import parse_let_go

NAME = DatasetName("bts", "stays")
CARRIERS = ("AA", "B6", "DL", "UA")
MANY = tuple(f"C{n:02d}" for n in range(1, 41))


def rows(count: int = 40, *, start: int = 1, **columns: Any) -> bytes:
    """Stays by number: a code, a postal code, an amount, a remark that is different in each row; a column may be another function."""
    plain: dict[str, Any] = {
        "id": str,
        "carrier": lambda n: CARRIERS[n % 4],
        "zip": lambda n: f"0{2000 + n}",
        "amount": lambda n: f"{n}.5",
        "remark": lambda n: f"remark {n}",
        **columns,
    }
    shown = {name: make for name, make in plain.items() if make is not None}
    lines = [",".join(make(n) for make in shown.values()) for n in range(start, start + count)]
    return "\n".join([",".join(shown), *lines, ""]).encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = make_world(tmp_path_factory.mktemp("drift") / "home", "bts")
    world.publish(str(NAME), rows(), key=("id",))
    yield world
    world.exchange.close()


def look(
    world: World, data: bytes, *, mode: Mode = Mode.REPLACE, name: DatasetName = NAME, dry_run: bool = True, **said: Any
) -> Publication:
    upload = Upload([data], (), (), accept_schema=False, dry_run=dry_run, mode=mode, **said)
    return world.exchange.publish.publish(world.person("bts", "steward"), name, upload)


def found(report: Publication) -> list[tuple[Any, ...]]:
    return [(each.rule, each.column, each.before, each.after, each.values) for each in report.warnings]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rows(), []),
        (rows(20), []),
        (rows(80), []),
        (rows(19), [("rows", None, 40, 19, ())]),
        (rows(81), [("rows", None, 40, 81, ())]),
        (rows(carrier=lambda n: "ZZ" if n == 7 else CARRIERS[n % 4]), [("new_values", "carrier", 4, 5, ("ZZ",))]),
        (rows(carrier=lambda n: CARRIERS[n % 3]), [("lost_values", "carrier", 4, 3, ("UA",))]),
        (
            rows(carrier=lambda n: MANY[n - 1]),
            [("new_values", "carrier", 4, 44, MANY), ("lost_values", "carrier", 4, 0, CARRIERS)],
        ),
        (rows(carrier=lambda n: f"a code of more than a hundred characters {n % 4} " * 4), [("new_values", "carrier", 4, 4, ())]),
        (rows(zip=lambda n: str(2000 + n)), [("proposed_type", "zip", "text", "integer", ())]),
        (rows(amount=lambda n: "" if n <= 4 else f"{n}.5"), [("nulls", "amount", 0.0, 0.1, ())]),
        (rows(amount=lambda n: "" if n <= 3 else f"{n}.5"), []),
        (rows(remark=lambda _: ""), [("nulls", "remark", 0.0, 1.0, ())]),
        (rows(remark=lambda n: f"remark {n % 4}"), [("distinct", "remark", 40, 4, ())]),
        (rows(remark=lambda n: f"remark {n % 5}"), []),
        (rows(amount=str), []),  # whole numbers are decimals too
    ],
)  # fmt: skip
def test_what_is_unlike_the_version_before_is_told_with_the_figures_of_both(home: World, data: bytes, expected: list[Any]) -> None:
    assert found(look(home, data)) == expected


@pytest.mark.parametrize(
    ("mode", "data", "expected"),
    [
        (Mode.APPEND, rows(3, start=100), []),
        (Mode.APPEND, rows(41, start=100), [("rows", None, 40, 81, ())]),
        (Mode.APPEND, rows(20, start=100, carrier=lambda _: "AA"), []),
        (Mode.APPEND, rows(1, start=100, carrier=lambda _: "ZZ"), [("new_values", "carrier", 4, 5, ("ZZ",))]),
        (Mode.APPEND, rows(20, start=100, amount=lambda _: ""), [("nulls", "amount", 0.0, 1.0, ())]),
        (Mode.APPEND, rows(19, start=100, amount=lambda _: ""), []),
        (Mode.UPSERT, rows(2, carrier=lambda _: "ZZ"), [("new_values", "carrier", 4, 5, ("ZZ",))]),
        (Mode.DELETE, b"id\n" + b"".join(b"%d\n" % n for n in range(1, 22)), [("rows", None, 40, 19, ())]),
        (Mode.DELETE, b"id\n1\n", []),
    ],
)
def test_rows_that_change_a_version_are_held_against_it_as_far_as_they_tell(
    home: World, mode: Mode, data: bytes, expected: list[Any]
) -> None:
    assert found(look(home, data, mode=mode)) == expected


def test_columns_that_come_go_or_change_their_type_are_told(world: World) -> None:
    world.publish(str(NAME), rows(), key=("id",))
    types = {"id": "integer", "carrier": "string", "zip": "string", "amount": "string", "score": "integer"}
    fields = [{"name": name, "type": kind, "constraints": {"required": name == "id"}} for name, kind in types.items()]
    schema = world.exchange.catalog.schema(LOCAL_OPERATOR, NAME, None)
    changed = {"fields": fields, "primaryKey": ["id"], "missingValues": list(schema.null_words)}
    world.exchange.publish.declare(LOCAL_OPERATOR, NAME, Declaration(schema=parse_table_schema(changed), schema_change=True))
    assert found(look(world, rows(remark=None, score=str))) == [
        ("column_retyped", "amount", "decimal(18,1)", "text", ()),
        ("column_added", "score", None, "integer", ()),
        ("column_removed", "remark", "text", None, ()),
    ]


def test_what_is_remembered_goes_on_through_changes_and_says_nothing_that_it_does_not_know(world: World) -> None:
    world.publish(str(NAME), rows(), key=("id",))
    look(world, rows(1, start=100, carrier=lambda _: "ZZ"), mode=Mode.APPEND, dry_run=False)
    assert ("lost_values", "carrier", 5, 4, ("ZZ",)) in found(look(world, rows()))
    look(world, rows(1, start=100), mode=Mode.UPSERT, dry_run=False)
    assert found(look(world, rows())) == [], "ZZ may have gone with the change"
    assert ("new_values", "carrier", 5, 6, ("YY",)) in found(look(world, rows(carrier=lambda n: "YY" if n == 1 else CARRIERS[n % 4])))


def test_a_warning_stops_nothing_unless_it_is_asked_to(world: World) -> None:
    world.publish(str(NAME), rows(), key=("id",))
    stopped = look(world, rows(10), dry_run=False, stop_on_warnings=True)
    assert (stopped.version, stopped.stopped) == (None, True)
    assert look(world, rows(39), dry_run=False, stop_on_warnings=True).version == 2
    done = look(world, rows(10), dry_run=False)
    assert (done.version, [each.rule for each in done.warnings]) == (3, ["rows"])


def test_a_first_version_and_a_rejected_row_are_no_drift(world: World) -> None:
    assert world.publish(str(NAME), rows(), key=("id",)).warnings == ()
    bad = rows() + b"x,AA,02000,1.5,remark\n"
    assert look(world, bad).warnings == ()
    done = look(world, bad, dry_run=False, let_go=parse_let_go("1", "no"))
    assert (done.version, done.warnings) == (2, ())
    assert look(world, rows(19)).warnings != ()


def test_a_version_of_which_nothing_is_remembered_is_held_against_by_its_counts(world: World) -> None:
    world.publish(str(NAME), rows(), key=("id",))
    with world.exchange.database.write() as connection:
        connection.execute(sa.update(VERSIONS).values(facts=None))
    report = look(world, rows(19, carrier=lambda _: "ZZ", amount=lambda _: ""))
    assert [each.rule for each in report.warnings] == ["rows"]
    report = look(world, rows(20, carrier=lambda _: "ZZ", amount=lambda _: ""))
    assert [each.rule for each in report.warnings] == ["nulls"]


def test_a_purge_leaves_nothing_of_what_is_remembered(world: World) -> None:
    world.publish(str(NAME), rows(carrier=lambda _: "Zq7X"), key=("id",))
    purge = world.exchange.purge
    world.exchange.withdraw.withdraw(LOCAL_OPERATOR, NAME, 1, "no")
    purge.purge(LOCAL_OPERATOR, NAME, 1, reason="no", plan_sha256=purge.plan(LOCAL_OPERATOR, NAME, 1).sha256)
    with world.exchange.database.read() as connection:
        assert connection.execute(sa.select(VERSIONS.c.facts)).scalars().all() == [None]


@settings(max_examples=8)
@given(codes=st.lists(st.sampled_from(["AA", "B6", "DL", "UA", "ZZ", "YY"]), min_size=20, max_size=60))
def test_new_and_lost_codes_are_those_of_two_sets(home: World, codes: list[str]) -> None:
    report = look(home, rows(len(codes), carrier=lambda n: codes[n - 1]))
    told = {each.rule: set(each.values) for each in report.warnings}
    assert told.get("new_values", set()) == set(codes) - set(CARRIERS)
    assert told.get("lost_values", set()) == set(CARRIERS) - set(codes)


def test_every_rule_is_met_and_its_words_hold_no_value(home: World) -> None:
    odd = rows(81, carrier=lambda _: "Zq7X", zip=str, amount=lambda _: "", remark=lambda _: "Zq7X")
    report = look(home, odd)
    assert {each.rule for each in report.warnings} | {"column_added", "column_removed", "column_retyped"} == RULES.keys()
    assert not any("Zq7X" in each.message for each in report.warnings)
    assert not any("Zq7X" in evidence(each) for each in report.profile.columns)


def test_warnings_are_told_over_http_and_stop_with_their_report(world: World, tmp_path: Path) -> None:
    world.publish(str(NAME), rows(), key=("id",))
    file = tmp_path / "stays.csv"
    file.write_bytes(rows(carrier=lambda n: "ZZ" if n == 7 else CARRIERS[n % 4]))
    with serving(world.root) as server, Client(server.url, world.secrets["bts", "steward"]) as steward:
        with pytest.raises(WarningsFound) as stopped:
            steward.publish(str(NAME), file, stop_on_warnings=True)
        assert stopped.value.report is not None
        assert [each.values for each in stopped.value.report.warnings] == [["ZZ"]]
        assert "ZZ" not in f"{stopped.value.detail} {stopped.value.advice} {stopped.value.places}"
        assert steward.publish(str(NAME), file, dry_run=True, stop_on_warnings=True).warnings[0].values == ["ZZ"]
        done = steward.publish(str(NAME), file)
        assert (done.version, done.warnings[0].rule, done.warnings[0].values) == (2, "new_values", [])
    invoke, command = CliRunner().invoke, ["publish", str(NAME), str(file), "--home", str(world.root)]
    file.write_bytes(rows(10))
    said = "warning: 10 rows, 40 before"
    assert said in invoke(command_line, [*command, "--dry-run"]).output
    stopping = invoke(command_line, [*command, "--stop-on-warnings"])
    assert said in stopping.output
    assert isinstance(stopping.exception, WarningsFound)
    assert "published version 3" in invoke(command_line, command).output
