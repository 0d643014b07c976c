"""Whoever adopts objects and whoever collects them take turns, over hosts too; a hold that was lost on the way publishes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import FLIGHTS, World, cluster, make_world

from baybridge.data.turns import CatalogTurn, FolderTurn, Turn
from baybridge.db import Database
from baybridge.errors import Unavailable

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgresql")]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path / "home", on_postgresql=True)
    yield world
    world.exchange.close()
    cluster().drop(world.exchange.settings.catalog)


@pytest.fixture(params=["folder", "catalog"])
def turns(request: pytest.FixtureRequest, shared: World) -> tuple[Turn, Turn]:
    """The turn as two processes see it."""
    if request.param == "folder":
        return FolderTurn(shared.exchange.home.objects), FolderTurn(shared.exchange.home.objects)
    return CatalogTurn(shared.exchange.database), CatalogTurn(shared.exchange.database)


def test_many_adopt_at_once_and_nobody_collects_meanwhile(turns: tuple[Turn, Turn]) -> None:
    here, there = turns
    with here.shared(), there.shared(), pytest.raises(BlockingIOError), there.alone_now():
        pytest.fail("nobody is alone while two adopt")
    with there.alone_now():
        pass


def test_whoever_collects_waits_for_those_who_adopt_and_is_alone(turns: tuple[Turn, Turn]) -> None:
    here, there = turns
    alone = threading.Event()

    def collect() -> None:
        with there.alone():
            alone.set()

    with here.shared():
        collector = threading.Thread(target=collect)
        collector.start()
        assert not alone.wait(0.3)
    assert alone.wait(10)
    collector.join()


def test_a_publication_whose_hold_was_lost_names_no_object(shared: World) -> None:
    """A restart of the server drops the hold, and another host may have collected: what was uploaded is not sure to be there."""
    database: Database = shared.exchange.database
    ending = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
    objects = shared.exchange.objects
    with objects.adopting() as hold:
        with database.write() as connection:
            hold.keep(connection)
        with database.write() as connection:
            assert connection.execute(sa.text(ending)).scalar_one() == 1
        with pytest.raises(Unavailable) as refused, database.write() as connection:
            hold.keep(connection)
    assert refused.value.code == "catalog_unavailable"
    assert shared.publish("bts.flights", FLIGHTS, key=("flight",)).version == 1
