"""Rejects: rows are let go only up to a threshold and for a reason; why is kept for the steward, and for nobody else."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from conftest import FLIGHTS, World, serving
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.side import SIDE_RECORDS
from baybridge.audit.store import ENTRIES
from baybridge.catalog.dataset import Mode
from baybridge.catalog.refused import REFUSED_UPLOADS
from baybridge.cli.main import baybridge as command_line
from baybridge.client import Client, RowsRejected
from baybridge.data.ingest.order import Threshold
from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Publication, Upload
from baybridge.publish.threshold import parse_let_go

NAME = DatasetName("bts", "flights")
CELL = "Zq7Xlate"
BAD = f"8,UA,N1,JFK,IAH,{CELL},1.5,2013-01-01T10:00:00Z\n9,UA,N1\n"
FILE = FLIGHTS + BAD.encode()
REASON = "Two rows were typed by hand, ask Ann"


def send(world: World, data: bytes = FILE, *, max_rejects: str | None = None, reason: str | None = REASON, **changes: Any) -> Publication:
    let_go = None if max_rejects is None else parse_let_go(max_rejects, reason)
    upload = Upload([data], (), (), accept_schema=False, dry_run=False, let_go=let_go, **changes)
    return world.exchange.publish.publish(world.person("bts", "steward"), NAME, upload)


def newest_entry(world: World) -> dict[str, Any]:
    with world.exchange.database.read() as connection:
        data = connection.execute(sa.select(ENTRIES.c.data).where(ENTRIES.c.organization == "bts").order_by(ENTRIES.c.number.desc()))
        found: dict[str, Any] = json.loads(data.scalars().first())
    return found


def read(world: World, number: int | None) -> list[dict[str, str]]:
    handed = world.exchange.rejects.read(world.person("bts", "steward"), NAME, number)
    return list(csv.DictReader(io.StringIO(handed.data.decode())))


@pytest.mark.parametrize("threshold", ["2", "100000", "22.3%", "100%"])
def test_rows_that_do_not_fit_are_left_out_up_to_the_threshold_and_all_is_counted(flights: World, threshold: str) -> None:
    report = send(flights, max_rejects=threshold)
    assert (report.version, report.rows_read, report.rows_loaded, report.rows_rejected) == (2, 9, 7, 2)
    version = flights.exchange.catalog.version(LOCAL_OPERATOR, NAME, 2).versions[0]
    assert (version.rows, version.rejected) == (7, 2)
    entry = newest_entry(flights)
    assert (entry["rows"], entry["rows_read"], entry["rows_rejected"], entry["max_rejects"]) == (7, 9, 2, threshold)
    assert flights.exchange.watch.verify("bts", ()).findings == ()


@pytest.mark.parametrize("threshold", [None, "0", "1", "22.2%", "0%"])
def test_one_row_more_and_nothing_is_published(flights: World, threshold: str | None) -> None:
    report = send(flights, max_rejects=threshold)
    assert (report.blocked, report.version, report.rows_rejected) == (True, None, 2)
    assert flights.exchange.catalog.version(LOCAL_OPERATOR, NAME, 1).versions[0].number == 1
    with pytest.raises(BaybridgeError):
        flights.exchange.catalog.version(LOCAL_OPERATOR, NAME, 2)


def test_the_reason_is_beside_the_entry_to_be_erased_and_not_in_it(flights: World) -> None:
    send(flights, max_rejects="2")
    entry = newest_entry(flights)
    assert REASON not in json.dumps(entry)
    assert CELL not in json.dumps(entry)
    with flights.exchange.database.read() as connection:
        (side,) = connection.execute(sa.select(SIDE_RECORDS).where(SIDE_RECORDS.c.dataset == str(NAME))).all()
    assert (json.loads(side.data)["rejects_reason"], side.version) == (REASON, 2)
    assert hashlib.sha256(side.data).hexdigest() == entry["side_sha256"]


def test_where_all_rows_fit_no_reason_is_kept(flights: World) -> None:
    send(flights, FLIGHTS, max_rejects="5")
    assert newest_entry(flights).keys().isdisjoint({"side_sha256", "max_rejects", "rows_rejected"})


@pytest.mark.parametrize(
    ("max_rejects", "reason", "place"),
    [
        ("5", None, "rejects_reason"),
        (None, "because", "max_rejects"),
        ("5", " ", "reason"),
        *((text, "because", "max_rejects") for text in ("", "-1", "1.5", "101%", "100.1%", "%", "5 %", "1e3", "٣")),
    ],
)
def test_a_threshold_without_a_reason_or_that_is_none_is_refused(max_rejects: str | None, reason: str | None, place: str) -> None:
    with pytest.raises(BaybridgeError) as refused:
        parse_let_go(max_rejects, reason)
    assert (refused.value.code, refused.value.places[0].parameter) == ("invalid_request", place)


@given(rows=st.integers(0, 100), percent=st.decimals(0, 100, places=4), read_rows=st.integers(0, 10**9))
def test_a_percentage_never_allows_a_row_above_it(rows: int, percent: Decimal, read_rows: int) -> None:
    allowed = Threshold(percent=percent).allows(read_rows)
    hundredths = int(percent * 10_000)
    assert allowed * 1_000_000 <= hundredths * read_rows < (allowed + 1) * 1_000_000
    assert Threshold(rows=rows).allows(read_rows) == rows


def test_rows_are_let_go_in_every_mode_and_the_changes_balance(flights: World) -> None:
    upsert = b"flight,carrier,tailnum,origin,dest,delay,distance,departed\n1,ZZ,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n" + BAD.encode()
    done = send(flights, upsert, max_rejects="2", mode=Mode.UPSERT)
    assert (done.changes.updated, done.changes.inserted, done.rows_loaded, done.rows_rejected) == (1, 0, 1, 2)
    done = send(flights, b"flight\n1\nx\n", max_rejects="1", mode=Mode.DELETE)
    assert (done.changes.deleted, done.rows_rejected) == (1, 1)
    done = send(flights, FLIGHTS.replace(b"7,AA", b"17,AA"), max_rejects="90%", mode=Mode.APPEND)
    assert (done.changes.inserted, done.rows_rejected, {each.rule for each in done.rejects}) == (2, 5, {"key_taken"})


def test_why_rows_were_let_go_is_kept_with_their_version(flights: World) -> None:
    send(flights, max_rejects="2")
    found = read(flights, 2)
    assert [(each["row"], each["column"], each["rule"], each["value"]) for each in found] == [
        ("8", "delay", "not_integer", CELL),
        ("9", "", "missing_columns", "9,UA,N1"),
    ]
    assert [FILE[int(each["offset"]) :].split(b",")[0] for each in found] == [b"8", b"9"]
    assert all(each["message"] for each in found)
    entry = newest_entry(flights)
    assert (entry["kind"], entry["version"], entry["rows_rejected"]) == ("rejects_read", 2, 2)
    assert CELL not in json.dumps(entry)


def test_those_of_the_latest_refused_upload_are_kept_until_a_version_comes_or_their_days_end(flights: World) -> None:
    send(flights)
    assert len(read(flights, None)) == 2
    send(flights, FLIGHTS + b"9,UA,N1\n")
    assert [each["rule"] for each in read(flights, None)] == ["missing_columns"]
    flights.exchange.rejects.expire()
    assert len(read(flights, None)) == 1
    with flights.exchange.database.write() as connection:
        connection.execute(sa.update(REFUSED_UPLOADS).values(time=datetime.now(UTC) - timedelta(days=7, seconds=1)))
    flights.exchange.rejects.expire()
    with pytest.raises(BaybridgeError) as gone:
        read(flights, None)
    assert gone.value.code == "not_found"
    send(flights)
    send(flights, FLIGHTS)
    with pytest.raises(BaybridgeError):
        read(flights, None)


def test_what_nobody_keeps_any_more_is_collected(flights: World) -> None:
    objects = flights.root / "objects"
    send(flights)
    send(flights, FLIGHTS)
    assert any(CELL.encode() in path.read_bytes() for path in objects.rglob("*") if path.is_file())
    flights.exchange.purge._destroy()
    assert not any(CELL.encode() in path.read_bytes() for path in objects.rglob("*") if path.is_file())


def test_a_dry_run_keeps_nothing_and_says_what_would_be_let_go(flights: World) -> None:
    upload = Upload([FILE], (), (), accept_schema=False, dry_run=True, let_go=parse_let_go("2", REASON))
    report = flights.exchange.publish.publish(flights.person("bts", "steward"), NAME, upload)
    assert (report.blocked, report.version, report.rejects_allowed, report.rejects_kept) == (False, None, 2, False)
    assert report.changes.inserted == 7
    with pytest.raises(BaybridgeError):
        read(flights, None)


def test_what_is_withdrawn_hands_out_no_rejects(flights: World) -> None:
    send(flights, max_rejects="2")
    flights.exchange.withdraw.withdraw(LOCAL_OPERATOR, NAME, 2, "Mistake")
    with pytest.raises(BaybridgeError) as refused:
        read(flights, 2)
    assert refused.value.code == "version_withdrawn"


@pytest.mark.parametrize("who", [("dot", "analyst"), ("dot", "steward"), ("bts", "analyst"), ("bts", "auditor")])
def test_nobody_but_a_steward_of_the_owner_gets_rejects_and_the_refusal_is_entered(flights: World, who: tuple[str, str]) -> None:
    flights.sign(flights.terms())
    send(flights, max_rejects="2")
    with pytest.raises(BaybridgeError):
        flights.exchange.rejects.read(flights.person(*who), NAME, 2)
    entry = newest_entry(flights)
    assert (entry["kind"], entry["act"]) == ("refusal", "read_rejects")


def test_the_report_of_what_was_done_holds_no_cell_and_the_steward_downloads_them(flights: World, tmp_path: Path) -> None:
    file = tmp_path / "flights.csv"
    file.write_bytes(FILE)
    with serving(flights.root) as server, Client(server.url, flights.secrets["bts", "steward"]) as steward:
        with pytest.raises(RowsRejected) as blocked:
            steward.publish("bts.flights", file)
        assert blocked.value.report is not None
        assert blocked.value.advice.next_command == "baybridge rejects bts.flights REJECTS"
        assert CELL in str(blocked.value.report)
        assert CELL in steward.rejects("bts.flights")
        report = steward.publish("bts.flights", file, max_rejects="25%", rejects_reason=REASON)
        assert (report.version, report.rows_rejected, report.rejects_found, report.rejects_allowed) == (2, 2, 2, 2)
        assert report.rejects_kept
        assert CELL not in str(report)
        answer = server.client(flights.secrets["bts", "steward"]).get("/api/v1/collections/bts.flights/versions/2/rejects")
        assert answer.text == steward.rejects("bts.flights", 2)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["baybridge-entry"] == f"bts/{newest_entry_number(flights) - 1}"


def newest_entry_number(world: World) -> int:
    with world.exchange.database.read() as connection:
        return connection.execute(sa.select(sa.func.max(ENTRIES.c.number)).where(ENTRIES.c.organization == "bts")).scalar_one()


def test_the_command_line_lets_go_writes_rejects_and_hints_at_upsert(flights: World, tmp_path: Path) -> None:
    file, rejects = tmp_path / "flights.csv", tmp_path / "rejects.csv"
    file.write_bytes(FILE)
    home = ["--home", str(flights.root)]
    publish = ["publish", "bts.flights", str(file), *home]
    invoke = CliRunner().invoke
    assert "baybridge rejects bts.flights FILE" in invoke(command_line, publish).output
    assert invoke(command_line, ["rejects", "bts.flights", str(rejects), *home]).exit_code == 0
    assert CELL in rejects.read_text()
    assert rejects.stat().st_mode & 0o777 == 0o600
    let_go = [*publish, "--max-rejects", "2", "--rejects-reason", REASON]
    assert invoke(command_line, [*publish, "--dry-run"]).exit_code == 8
    assert invoke(command_line, [*let_go, "--dry-run"]).exit_code == 0
    rejects.unlink()
    done = invoke(command_line, [*let_go, "--rejects", str(rejects)])
    assert "published version 2" in done.output
    assert CELL in rejects.read_text()
    again = invoke(command_line, [*publish, "--mode", "append"])
    assert "to change them: --mode upsert" in again.output
