"""The whole life of an agreement through the SDK, waited for and awaited: the same story that is replayed through REST."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import FLIGHTS, OFFICERS, Server, World, make_world, serving
from life_story import STORY, Step

from baybridge.client import AsyncClient, Client
from baybridge.wire.agreements import AgreementShape

pytestmark = pytest.mark.xdist_group("client")

Told = dict[str, AgreementShape]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[World, Server]]:
    world = make_world(tmp_path / "home")
    world.employ("bts", *OFFICERS)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield world, server
    world.exchange.close()


def perform(client: Any, world: World, step: Step, told: Told) -> Any:
    """Do the step's act: the methods have the same names and take the same in both clients."""
    terms = None if step.terms is None else world.terms(**({"masks": {}} | step.terms))
    standing = told.get(step.on)
    acts: dict[str, Callable[[], Any]] = {
        "request": lambda: client.request_agreement(terms),
        "offer": lambda: client.offer(standing.id, terms),
        "counter": lambda: client.counter(standing.id, terms),
        "approve": lambda: client.approve(standing.id, step.role, standing.terms_sha256),
        "sign": lambda: client.sign(standing.id, standing.terms_sha256),
        "successor": lambda: client.successor(told[step.of].id, terms),
        "close": lambda: client.close_agreement(standing.id, step.text),
    }
    return acts[step.act]() if step.act in acts else getattr(client, step.act)(standing.id, step.text)


def check_end(first: AgreementShape, second: AgreementShape, third: AgreementShape) -> None:
    assert (first.successor, second.supersedes, first.handed_over) == (second.id, first.id, second.took_over)
    assert second.statement == "All copies are destroyed"
    assert (third.code, third.reason) == ("declined", "Not this year")


def test_the_whole_life_of_an_agreement_waited_for(stage: tuple[World, Server]) -> None:
    world, server = stage
    told: Told = {}
    with contextlib.ExitStack() as stack:
        clients = {who: stack.enter_context(Client(server.url, secret)) for who, secret in world.secrets.items()}
        for step in STORY:
            told[step.on] = perform(clients[step.who], world, step, told)
            assert told[step.on].state == step.state, step
            for other, state in step.others.items():
                assert clients["dot", "analyst"].agreement(told[other].id).state == state, step
        check_end(*(clients["dot", "analyst"].agreement(told[name].id) for name in ("first", "second", "third")))


def test_the_whole_life_of_an_agreement_awaited(stage: tuple[World, Server]) -> None:
    world, server = stage

    async def live() -> None:
        told: Told = {}
        async with contextlib.AsyncExitStack() as stack:
            clients = {who: await stack.enter_async_context(AsyncClient(server.url, secret)) for who, secret in world.secrets.items()}
            for step in STORY:
                done: Awaitable[AgreementShape] = perform(clients[step.who], world, step, told)
                told[step.on] = await done
                assert told[step.on].state == step.state, step
                for other, state in step.others.items():
                    assert (await clients["dot", "analyst"].agreement(told[other].id)).state == state, step
            check_end(*[await clients["dot", "analyst"].agreement(told[name].id) for name in ("first", "second", "third")])

    asyncio.run(live())
