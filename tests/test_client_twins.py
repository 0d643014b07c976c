"""The awaited client against the waiting one, purposes that belong to a block, and an exception for each code."""

from __future__ import annotations

import asyncio
import importlib.metadata
import io
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from baybridge.client import AsyncClient, Client, exceptions
from baybridge.client.addresses import Addresses
from baybridge.client.methods import Address, Arrival, Flow, Walk, Whole
from baybridge.errors import CODES, BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Refused, Unavailable
from baybridge.wire.collections import DeclareRequest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.xdist_group("client")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("twins") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    made.sign(made.terms())
    made.sign(made.terms(purposes=["safety"]))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


def test_both_clients_have_every_address_under_one_name() -> None:
    shared = {name for name, each in vars(Addresses).items() if isinstance(each, Address | Arrival | Flow | Walk | Whole)}
    assert len(shared) > 70
    public = [{name for name in dir(kind) if not name.startswith("_")} for kind in (Client, AsyncClient)]
    assert public[0] == public[1] >= shared
    for name in shared:
        method = getattr(Client("http://127.0.0.1:1"), name)
        assert (method.__name__, bool(method.__doc__)) == (name, True)


def test_every_method_is_on_the_page_of_the_sdk() -> None:
    page = (ROOT / "docs/reference/sdk.md").read_text(encoding="utf-8")
    assert [name for name in dir(Client) if not name.startswith("_") and f"`{name}(" not in page] == []


def test_the_awaited_client_reads_what_the_waiting_one_reads(exchange: World, server: Server) -> None:
    token = exchange.secrets["dot", "analyst"]
    question = {"purpose": "noise-study", "sortby": ["-delay"], "limit": 2}

    async def read() -> tuple[object, ...]:
        async with AsyncClient(server.url, token) as client:
            pages = [page async for page in client.pages("bts.flights", **question)]
            rows = [row async for row in client.rows("bts.flights", **question)]
            with pytest.raises(exceptions.PurposeRequired):
                await client.items("bts.flights")
            return await client.whoami(), await client.agreements(), [page.items for page in pages], rows

    with Client(server.url, token) as client:
        pages = [page.items for page in client.pages("bts.flights", **question)]
        rows = list(client.rows("bts.flights", **question))
        assert asyncio.run(read()) == (client.whoami(), client.agreements(), pages, rows)
    assert [len(page) for page in pages] == [2, 2, 1]


def test_the_awaited_client_publishes_a_file_and_verifies_the_log(exchange: World, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,x\n")

    async def publish() -> list[int | None]:
        async with AsyncClient(server.url, exchange.secrets["bts", "steward"]) as steward:
            await steward.declare("bts.sent", DeclareRequest())
            sources = (tmp_path / "a.csv", io.BytesIO(b"a,b\n2,y\n"), [b"a,b\n", b"3,z\n"])
            return [(await steward.publish("bts.sent", source, accept_schema=True)).version for source in sources]

    async def verify() -> tuple[str, ...]:
        async with AsyncClient(server.url, exchange.secrets["bts", "auditor"]) as auditor:
            return (await auditor.verify_log("bts")).findings

    assert asyncio.run(publish()) == [1, 2, 3]
    assert asyncio.run(verify()) == ()


def test_a_purpose_holds_in_its_block_and_the_innermost_counts(exchange: World, server: Server) -> None:
    with Client(server.url, exchange.secrets["dot", "analyst"]) as client:
        with client.purpose("noise-study"):
            assert client.present_purpose() == "noise-study"
            assert len(client.items("bts.flights").items) == 5
            with client.purpose("marketing"):
                with pytest.raises(exceptions.PurposeNotAllowed):
                    client.items("bts.flights")
                assert len(client.items("bts.flights", purpose="safety").items) == 5
            assert len(client.items("bts.flights").items) == 5
        with pytest.raises(exceptions.PurposeRequired):
            client.items("bts.flights")


def test_a_purpose_is_of_one_client_and_goes_before_its_own() -> None:
    first, second = Client("http://127.0.0.1:1", purpose="own"), Client("http://127.0.0.1:1")
    with first.purpose("inner"):
        assert (first.present_purpose(), second.present_purpose()) == ("inner", None)
    assert first.present_purpose() == "own"
    with pytest.raises(Invalid), first.purpose("no purpose\n"):
        pass
    assert first.present_purpose() == "own"


def test_rows_that_were_asked_for_in_a_block_are_read_to_the_end_under_its_purpose(exchange: World, server: Server) -> None:
    with Client(server.url, exchange.secrets["dot", "analyst"]) as client:
        with client.purpose("noise-study"):
            rows = client.rows("bts.flights", limit=1)
        assert len(list(rows)) == 5


def test_tasks_and_threads_do_not_share_a_purpose() -> None:
    client = AsyncClient("http://127.0.0.1:1")

    async def acting(purpose: str, turn: asyncio.Barrier) -> str | None:
        with client.purpose(purpose):
            await turn.wait()  # all are in their blocks now
            found = client.present_purpose()
            await turn.wait()
            return found

    async def together() -> list[str | None]:
        turn = asyncio.Barrier(3)
        found = await asyncio.gather(*(acting(purpose, turn) for purpose in ("a", "b", "c")))
        await client.close()
        return [*found, client.present_purpose()]

    assert asyncio.run(together()) == ["a", "b", "c", None]
    seen: list[str | None] = []
    with client.purpose("mine"):
        thread = threading.Thread(target=lambda: seen.append(client.present_purpose()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_task_acts_for_the_purpose_of_the_block_that_started_it() -> None:
    client = AsyncClient("http://127.0.0.1:1")

    async def present() -> str | None:
        return client.present_purpose()

    async def start() -> str | None:
        with client.purpose("mine"):
            task = asyncio.create_task(present())
        found = await task
        await client.close()
        return found

    assert asyncio.run(start()) == "mine"


def test_a_walk_can_be_left_early(exchange: World, server: Server) -> None:
    async def first(client: AsyncClient) -> dict[str, object]:
        rows: AsyncIterator[dict[str, object]] = client.rows("bts.flights", purpose="safety", limit=1)
        async for row in rows:
            return row
        raise AssertionError

    async def run() -> dict[str, object]:
        async with AsyncClient(server.url, exchange.secrets["dot", "analyst"]) as client:
            return await first(client)

    assert asyncio.run(run())["flight"] == 2


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_an_exception_under_the_class_of_its_status(code: str) -> None:
    kind = exceptions.OF_CODE[code]
    moves = {400: Invalid, 401: Refused, 403: Refused, 404: NotFound, 409: Conflict, 410: NotFound, 429: Unavailable, 503: Unavailable}
    status = CODES[code].status
    expected = moves.get(status) or (BaybridgeError if code in {"internal", "answer_not_understood"} else None)
    if expected is not None:
        assert issubclass(kind, expected)
    elif status == 500:
        assert issubclass(kind, Corrupt)
    else:
        assert issubclass(kind, Invalid | Conflict)
    assert issubclass(kind, NotFound) == (status in {404, 410})
    if kind not in {NotFound, Conflict, Corrupt}:
        assert kind.__name__.lower() == code.replace("_", "")
        assert kind.__doc__ is not None
        assert kind.__doc__.startswith(CODES[code].meaning)


def test_the_exceptions_are_those_of_the_table() -> None:
    """`make docs` writes the file anew."""
    printed = subprocess.run([sys.executable, ROOT / "tools/exceptions.py"], capture_output=True, text=True, check=True)
    assert printed.stdout == (ROOT / "src/baybridge/client/exceptions.py").read_text(encoding="utf-8")


def test_no_two_codes_share_an_exception() -> None:
    assert len(set(exceptions.OF_CODE.values())) == len(CODES) == len(exceptions.OF_CODE)


def test_the_plain_package_weighs_less_than_40_mb() -> None:
    """Counted over what its own requirements name, extras aside; compiled modules weigh about what their sources do."""
    found, waiting = set(), ["baybridge"]
    weight = 0
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
        files = importlib.metadata.files(name) or []
        weight += sum((each.size or 0) * (2 if each.suffix == ".py" else 1) for each in files)
    assert {"click", "cryptography", "httpx2", "msgspec"} < found
    assert found.isdisjoint({"duckdb", "numpy", "pandas", "polars", "pyarrow", "sqlalchemy", "starlette"})
    ours = sum(each.stat().st_size for each in (ROOT / "src").rglob("*.py"))  # an editable install lists no sources
    assert 5_000_000 < weight + 2 * ours < 40_000_000
