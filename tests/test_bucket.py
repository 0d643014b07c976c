"""Objects in a bucket hold the same promises as objects in the home, on a real S3 server; a store that breaks them is refused at start."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import FLIGHTS, make_world, serving
from stores import CREDENTIALS, Store, running_store
from swarm.store import FaultyWay, faulty_way

from baybridge.data.bucket import Address, Bucket
from baybridge.data.turns import FolderTurn
from baybridge.errors import Corrupt, Invalid, Unavailable
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR

FLIGHTS_NAME = DatasetName.parse("bts.flights")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bucket")]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        with running_store() as running:
            yield running


@pytest.fixture
def name(store: Store, request: pytest.FixtureRequest) -> str:
    return store.bucket(hashlib.sha256(request.node.name.encode()).hexdigest()[:20])


@pytest.fixture
def bucket(store: Store, name: str, tmp_path: Path) -> Bucket:
    (tmp_path / "turn").mkdir()
    return Bucket(Address(name, "lake/", store.url), FolderTurn(tmp_path / "turn"))


def put(bucket: Bucket, folder: Path, content: bytes) -> str:
    source = folder / "source"
    source.write_bytes(content)
    stored = bucket.adopt(source)
    assert not source.exists()
    assert (stored.sha256, stored.size) == (hashlib.sha256(content).hexdigest(), len(content))
    return stored.sha256


@pytest.mark.parametrize("size", [0, 1, (16 << 20) - 1, 16 << 20, (16 << 20) + 1, 40 << 20])
def test_an_object_is_in_the_bucket_under_its_digest_byte_for_byte(
    size: int, bucket: Bucket, store: Store, name: str, tmp_path: Path
) -> None:
    content = os.urandom(size)
    digest = put(bucket, tmp_path, content)
    assert put(bucket, tmp_path, content) == digest, "adopted again, it is kept"
    assert store.keys(name) == [f"lake/{digest[:2]}/{digest}"]
    assert store.body(name, f"lake/{digest[:2]}/{digest}") == content
    [fetched] = bucket.fetch([digest], tmp_path)
    assert fetched.read_bytes() == content
    assert bucket.sizes() == {digest: size}
    bucket.check(digest)


def test_an_object_that_was_changed_in_the_bucket_is_never_opened(bucket: Bucket, store: Store, name: str, tmp_path: Path) -> None:
    digest = put(bucket, tmp_path, b"what was written")
    store.client.put_object(Bucket=name, Key=f"lake/{digest[:2]}/{digest}", Body=b"what was changed")
    with pytest.raises(Corrupt):
        bucket.fetch([digest], tmp_path)
    with pytest.raises(Corrupt):
        bucket.check(digest)
    store.client.delete_object(Bucket=name, Key=f"lake/{digest[:2]}/{digest}")
    with pytest.raises(Corrupt):
        bucket.fetch([digest], tmp_path)


def test_collecting_leaves_what_is_named_and_not_even_the_parts_of_an_unfinished_upload(
    bucket: Bucket, store: Store, name: str, tmp_path: Path
) -> None:
    kept, garbage = put(bucket, tmp_path, b"kept"), put(bucket, tmp_path, b"garbage")
    store.client.put_object(Bucket=name, Key="another/tenant", Body=b"not ours")
    upload = store.client.create_multipart_upload(Bucket=name, Key="lake/00/unfinished")["UploadId"]
    store.client.upload_part(Bucket=name, Key="lake/00/unfinished", UploadId=upload, PartNumber=1, Body=b"rows")
    assert garbage in bucket.sizes()
    bucket.collect(lambda: frozenset({kept}))
    assert store.keys(name) == ["another/tenant", f"lake/{kept[:2]}/{kept}"]
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=name)


def test_a_store_that_honours_conditional_writes_is_fit_and_nothing_is_left_of_the_probe(bucket: Bucket, store: Store, name: str) -> None:
    bucket.require_fit()
    bucket.probe()
    bucket.reach()
    assert store.keys(name) == []


def test_a_bucket_that_keeps_older_versions_is_refused(bucket: Bucket, store: Store, name: str) -> None:
    store.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(Invalid) as refused:
        bucket.require_fit()
    assert refused.value.code == "settings_invalid"
    assert "older versions" in refused.value.detail


class Forgetful(BaseHTTPRequestHandler):
    """A store that ignores If-None-Match, as one that was measured does."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>')

    def do_DELETE(self) -> None:
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_home_on_a_store_that_accepts_a_second_conditional_put_does_not_open(store: Store, tmp_path: Path) -> None:
    del store  # its credentials
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        Exchange.make(tmp_path / "home", origin="test").close()
        environment = {"BAYBRIDGE_OBJECTS": "s3://lake", "BAYBRIDGE_OBJECTS_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        with pytest.raises(Invalid) as refused:
            Exchange.open(tmp_path / "home", environment=environment)
        assert "second put" in refused.value.detail
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_store_that_cannot_be_reached_is_said_to_be_so_and_never_with_a_key_or_a_secret(tmp_path: Path, store: Store) -> None:
    del store
    (tmp_path / "turn").mkdir()
    nowhere = Bucket(Address("lake", "", "http://127.0.0.1:9"), FolderTurn(tmp_path / "turn"))
    (tmp_path / "source").write_bytes(b"rows")
    with pytest.raises(Unavailable) as refused:
        nowhere.adopt(tmp_path / "source")
    assert refused.value.code == "objects_unreachable"
    assert (tmp_path / "source").exists(), "nothing is lost"
    assert "test" not in refused.value.detail


class Scripted(FaultyWay):
    """What goes wrong is said, one request after the other; then nothing does."""

    faults: list[str]

    def draw(self) -> tuple[str, float]:
        return (self.faults.pop(0) if self.faults else "passed"), 0.0


@contextmanager
def scripted(store: Store, name: str, folder: Path, *faults: str) -> Iterator[Bucket]:
    (folder / "turn").mkdir(exist_ok=True)
    with faulty_way(store.url, 0, kind=Scripted) as way:
        way.faults = list(faults)
        yield Bucket(Address(name, "lake/", way.url), FolderTurn(folder / "turn"))


def test_an_object_whose_download_breaks_off_is_read_again_from_its_start(store: Store, name: str, bucket: Bucket, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    digest = put(bucket, tmp_path, content)
    with scripted(store, name, tmp_path, "cut", "refused", "cut") as broken:
        [fetched] = broken.fetch([digest], tmp_path)
        assert fetched.read_bytes() == content
    with scripted(store, name, tmp_path, *["cut"] * 4) as lost, pytest.raises(Unavailable):
        lost.fetch([digest], tmp_path)


def test_a_fit_store_is_fit_also_where_the_answer_to_the_first_put_was_lost(store: Store, name: str, tmp_path: Path) -> None:
    with scripted(store, name, tmp_path, "passed", "cut") as lossy:
        lossy.require_fit()


def test_a_version_is_published_served_and_purged_with_its_objects_in_a_bucket(store: Store, name: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.exchange.close()
    environment = {"BAYBRIDGE_OBJECTS": f"s3://{name}/lake", "BAYBRIDGE_OBJECTS_ENDPOINT": store.url}
    world.exchange = Exchange.open(world.root, environment=environment)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.sign(world.terms())
    assert {store.body(name, key)[:4] for key in store.keys(name)} == {b"PAR1", FLIGHTS[:4]}, "the rows and the original"
    with serving(world.root, environment={**CREDENTIALS, **environment}) as server:
        with server.client(world.secrets["dot", "analyst"], purpose="noise-study") as analyst:
            answer = analyst.get("/api/v1/collections/bts.flights/items")
            assert [row["origin"] for row in answer.json()["items"]] == ["JFK"] * 5
            assert analyst.get("/readyz").status_code == 200
        extracts = [path.name for path in world.exchange.home.extracts.rglob("*") if path.is_file()]
        assert sorted(Path(each).suffix for each in extracts) == [".duckdb", ".lock"], "no copy of an object stays on the node"
        assert not [path for path in world.exchange.home.objects.rglob("*") if path.is_file()]
    assert world.publish("bts.flights", FLIGHTS + b"9,UA\n").blocked
    assert b"missing_columns" in world.exchange.rejects.read(LOCAL_OPERATOR, FLIGHTS_NAME, None).data
    world.exchange.withdraw.withdraw(LOCAL_OPERATOR, FLIGHTS_NAME, None, "Published by mistake")
    plan = world.exchange.purge.plan(LOCAL_OPERATOR, FLIGHTS_NAME, None)
    world.exchange.purge.purge(LOCAL_OPERATOR, FLIGHTS_NAME, None, reason="Published by mistake", plan_sha256=plan.sha256)
    assert store.keys(name) == []
    world.exchange.close()
