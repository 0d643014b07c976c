"""Every address of the OpenAPI document is attacked with drawn requests, as each kind of caller: each answer is documented, none a 5xx."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.http.addresses import ADDRESSES
from baybridge.http.openapi import document
from baybridge.names import DatasetName

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("attack")]

CHECKS: Final = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CALLERS: Final = (
    None,
    *(("bts", role) for role in ("steward", "signatory", "analyst", "auditor", "admin")),
    *(("dot", role) for role in ("analyst", "signatory")),
    ("faa", "analyst"),
)


@dataclass(frozen=True)
class Attacked:
    world: World
    server: Server
    document: Path


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Three datasets, one of them withdrawn, an umbrella, agreements, and the document with their names as what the paths may hold."""
    folder = tmp_path_factory.mktemp("attack")
    world = make_world(folder / "home", "bts", "dot", "faa")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.open", FLIGHTS, access="public")
    world.publish("bts.withdrawn", b"number\n1\n")
    world.exchange.withdraw.withdraw(world.person("bts", "steward"), DatasetName("bts", "withdrawn"), None, "because")
    agree, steward = world.exchange.agree, world.person("bts", "steward")
    asked = agree.request(world.person("dot", "analyst"), world.terms(purposes=["other"]))
    offered = agree.offer(steward, agree.request(world.person("dot", "analyst"), world.terms(purposes=["other"])).id, None)
    covered = world.exchange.umbrellas.request(world.person("dot", "analyst"), "Noise", [world.terms(purposes=["other"])])
    world.exchange.watch.sign_new()
    names = {
        "dataset": ["bts.flights", "bts.open", "bts.made", "dot.made", "bts.nothing", "bts.withdrawn"],
        "agreement": [asked.id, offered.id, *(world.sign(world.terms(purposes=[f"study-{n}"])).id for n in range(4)), "AGR-9999"],
        "organization": ["bts", "dot", "nobody"],
        "umbrella": [covered.id, "UMB-9999"],
        "notice": [1, 2, 9999],
        "level": [0, 1, 63],
        "number": ["000", "000.p/1", "000.p/5", "x001/000"],
        "index": [0, 3, 9999],
        "principal": [world.person("bts", "auditor").id, "prn_0123456789abcdef"],
        "version": [1, 2, 9],
        "other": [1, 2, 9],
        "token": ["tok_0123456789abcdef"],
        "code": ["not_found", "nothing"],
    }
    described = json.loads(document(ADDRESSES))
    for parameter in _parameters(described):
        if parameter["in"] == "path" and parameter["name"] in names:
            parameter["schema"] = {"enum": names[parameter["name"]]}
    path = folder / "openapi.json"
    path.write_text(json.dumps(described), encoding="utf-8")
    with serving(world.root) as server:
        yield Attacked(world, server, path)
    world.exchange.close()


def _parameters(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in described["paths"].values():
        for operation in operations.values():
            yield from operation["parameters"]


def attack(attacked: Attacked, caller: tuple[str, str] | None, *, examples: int, phases: str = "fuzzing") -> str:
    """Run Schemathesis, and give what it has to complain of."""
    headers = [] if caller is None else ["--header", f"Authorization: Bearer {attacked.world.secrets[caller]}"]
    found = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(attacked.document), "--url", attacked.server.url),
            *("--checks", CHECKS, "--phases", phases, "--max-examples", str(examples), "--mode", "all", "--warnings", "off"),
            *("--generation-deterministic", "--suppress-health-check", "all", "--request-timeout", "20", "--no-color", *headers),
        ],
        cwd=attacked.document.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(attacked.document.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Tested: {len(ADDRESSES)}" in found.stdout, found.stdout + found.stderr
    return found.stdout if found.returncode else ""


def name(caller: tuple[str, str] | None) -> str:
    return "public" if caller is None else " of ".join(reversed(caller))


@pytest.mark.parametrize("caller", [None, ("bts", "steward"), ("dot", "analyst")], ids=name)
def test_no_drawn_request_gets_an_answer_that_is_not_documented(caller: tuple[str, str] | None, attacked: Attacked) -> None:
    assert attack(attacked, caller, examples=4) == ""


def test_the_attack_sees_an_answer_that_the_document_hides(attacked: Attacked) -> None:
    described = json.loads(attacked.document.read_text(encoding="utf-8"))
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("404", None)
    hiding = attacked.document.with_name("hiding.json")
    hiding.write_text(json.dumps(described), encoding="utf-8")
    complaint = attack(replace(attacked, document=hiding), ("bts", "steward"), examples=2)
    assert "404" in complaint
    assert " failures in " in complaint


@pytest.mark.prove
@pytest.mark.parametrize("caller", CALLERS, ids=name)
def test_no_request_of_many_gets_an_answer_that_is_not_documented(caller: tuple[str, str] | None, attacked: Attacked) -> None:
    assert attack(attacked, caller, examples=60, phases="examples,coverage,fuzzing") == ""
