"""Rows as frames: exact in every library, and with where they came from."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Server, World, make_world, serving

from baybridge.client import AsyncClient, Client, Provenance, Table

pytestmark = pytest.mark.xdist_group("client")

PURPOSE = "noise-study"
TYPES = {
    "id": "integer",
    "name": "text",
    "code": "text",
    "price": "decimal(38,6)",
    "ratio": "double",
    "open": "boolean",
    "day": "date",
    "at": "timestamp",
    "clock": "datetime",
    "person": "integer",
}
LOOSE = {"text": "string", "double": "number", "timestamp": "datetime"}
CSV = b"""id,name,code,price,ratio,open,day,at,clock,person
1,=1+1,007,12345678901234567890123456789012.000001,0.1,true,0001-01-01,2013-01-01T10:00:00+02:00,2013-01-01T10:00:00,1
2,,,-0.000001,-1e300,false,9999-12-31,2026-11-24T00:00:00.000001Z,9999-12-31T23:59:59.999999,2
9007199254740993,\xe2\x82\xac,NA,,,,,,,
"""
EXPECTED = {
    "id": [1, 2, 9007199254740993],
    "name": ["=1+1", None, "€"],
    "code": ["007", None, "NA"],
    "price": [Decimal("12345678901234567890123456789012.000001"), Decimal("-0.000001"), None],
    "ratio": [0.1, -1e300, None],
    "open": [True, False, None],
    "day": [date.min, date.max, None],
    "at": [datetime(2013, 1, 1, 8, tzinfo=UTC), datetime(2026, 11, 24, 0, 0, 0, 1, tzinfo=UTC), None],
    "clock": [datetime(2013, 1, 1, 10), datetime(9999, 12, 31, 23, 59, 59, 999999), None],  # noqa: DTZ001 -- a wall clock has no zone
}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("frames") / "home")
    fields = [
        {"name": name, "type": "number" if kind.startswith("decimal") else LOOSE.get(kind, kind), "baybridge:type": kind}
        for name, kind in TYPES.items()
    ]
    made.publish("bts.kinds", CSV, schema={"fields": fields}, null_words=())
    made.sign(made.terms(dataset="bts.kinds", columns=list(TYPES), masks={"person": "pseudonym"}, row_filter=None))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


@pytest.fixture(scope="module")
def table(exchange: World, server: Server) -> Table:
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        return client.table("bts.kinds", sortby=["id"])


def test_an_arrow_table_is_exact_and_says_where_it_came_from(table: Table) -> None:
    found = table.to_arrow()
    assert {name: found[name].to_pylist() for name in EXPECTED} == EXPECTED
    assert [str(field.type) for field in found.schema] == [
        "int64",
        "string",
        "string",
        "decimal128(38, 6)",
        "double",
        "bool",
        "date32[day]",
        "timestamp[us, tz=UTC]",
        "timestamp[us]",
        "string",
    ]
    assert json.loads(found.schema.metadata[b"baybridge"])["dataset"] == "bts.kinds"


def test_a_pandas_frame_is_exact_and_says_where_it_came_from(table: Table) -> None:
    found = table.to_pandas()
    assert {name: [None if each is pd.NA or each is pd.NaT else each for each in found[name]] for name in EXPECTED} == EXPECTED
    assert [str(each) for each in found.dtypes] == [
        "Int64",
        "string",
        "string",
        "object",
        "Float64",
        "boolean",
        "object",
        "datetime64[us, UTC]",
        "datetime64[us]",
        "string",
    ]
    provenance = found.attrs["baybridge"]
    assert (provenance["dataset"], provenance["version"], provenance["purpose"]) == ("bts.kinds", 1, PURPOSE)


def test_a_polars_frame_is_exact(table: Table) -> None:
    found = table.to_polars()
    assert {name: found[name].to_list() for name in EXPECTED} == EXPECTED
    assert found.schema["price"] == pl.Decimal(38, 6)
    assert found.schema["at"] == pl.Datetime("us", "UTC")
    assert found.schema["day"] == pl.Date()
    assert found.schema["person"] == pl.String()


def test_a_masked_column_is_of_the_type_that_the_mask_made(table: Table) -> None:
    tokens = table.to_arrow()["person"].to_pylist()
    assert [type(each) for each in tokens] == [str, str, type(None)]
    assert table.to_pandas()["person"].tolist()[:2] == tokens[:2]
    assert table.to_polars()["person"].to_list() == tokens


def test_a_table_says_under_which_entry_its_rows_left(exchange: World, server: Server) -> None:
    """The oracle is the log itself."""
    with Client(server.url, exchange.secrets["dot", "analyst"]) as client, client.purpose(PURPOSE):
        found = client.table("bts.kinds", agreement="AGR-0001")
        assert len({page.provenance.entry for page in client.pages("bts.kinds", limit=1)} - {None}) == 3
    with Client(server.url, exchange.secrets["bts", "auditor"]) as auditor:
        entries = {f"bts/{index}": json.loads(data) for index, data in auditor.all_entries("bts")}
    assert found.provenance.entry is not None
    entry = entries[found.provenance.entry]
    assert (entry["kind"], entry["agreement"]["id"]) == ("disclosure", found.provenance.agreement)
    retrieved = datetime.fromisoformat(found.provenance.retrieved)
    assert datetime.fromisoformat(entry["time"]) <= retrieved <= datetime.now(UTC), "nothing is retrieved before it is disclosed"


def test_the_limit_of_a_table_is_exact(exchange: World, server: Server) -> None:
    async def of(limit: int) -> Table:
        async with AsyncClient(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
            return await client.table("bts.kinds", limit=limit, properties=["id"])

    assert [len(asyncio.run(of(limit)).items) for limit in (1, 2, 3, 4)] == [1, 2, 3, 3]


def test_an_empty_table_has_the_columns_and_types_of_the_schema(exchange: World, server: Server) -> None:
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        empty = client.table("bts.kinds", filter="id = 5")
    assert empty.to_arrow().schema.field("price").type == pa.decimal128(38, 6)
    assert len(empty.to_pandas()) == len(empty.to_polars()) == 0
    assert list(empty.to_pandas().columns) == list(empty.to_polars().columns) == list(TYPES)


@pytest.mark.parametrize(("extra", "method", "package"), [("arrow", "to_arrow", "pyarrow"), ("pandas",) * 3, ("polars",) * 3])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(extra: str, method: str, package: str) -> None:
    method = method if method.startswith("to_") else f"to_{method}"
    script = f"""
import sys
from baybridge.client import Provenance, Table
from baybridge.errors import Invalid
sys.modules[{package!r}] = None
try:
    Table([], {{"fields": []}}, Provenance("a.b", 1, None, None, None, "t")).{method}()
except Invalid as error:
    print(error.advice.next_command)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == f"pip install 'baybridge[{extra}]'\n"


def test_a_field_without_an_exact_type_is_of_its_plain_type() -> None:
    fields = [{"name": "n", "type": "number"}, {"name": "t", "type": "string"}, {"name": "at", "type": "datetime"}]
    rows = [{"n": "1.500000000", "t": "x", "at": "2026-01-01T00:00:00Z"}]
    found = Table(rows, {"fields": fields}, Provenance("a.b", 1, None, None, None, "t")).to_arrow()
    assert found.to_pylist() == [{"n": Decimal("1.5"), "t": "x", "at": datetime(2026, 1, 1, tzinfo=UTC)}]


def test_a_member_that_is_no_column_of_the_schema_is_kept_as_text() -> None:
    rows = [{"new": {"a": 1}}, {"new": None}]
    found = Table(rows, {"fields": []}, Provenance("a.b", 1, None, None, None, "t"))
    assert found.to_polars().to_dicts() == [{"new": '{"a": 1}'}, {"new": None}]
