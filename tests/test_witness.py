"""A partner's server as the place of outside checkpoints: it takes what goes on from what it has, and a home that was set back stops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import PROVIDER, Server, World, make_world, serving
from test_outside import record, rewrite

from baybridge.errors import BaybridgeError, Conflict, NotFound, Refused
from baybridge.exchange import Exchange
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.wire.audit import CheckpointCopyRequest

pytestmark = pytest.mark.slow


@dataclass
class Partners:
    """A home whose checkpoints a partner's served exchange keeps, for its organization bts there."""

    home: Path
    older: Path
    partner: World
    server: Server

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BAYBRIDGE_CHECKPOINT_COPY": f"{self.server.url}/api/v1/witness/bts",
            "BAYBRIDGE_CHECKPOINT_COPY_TOKEN": self.partner.secrets["bts", "auditor"],
        }

    def open(self, root: Path) -> Exchange:
        return Exchange.open(root, environment=self.environment)


@pytest.fixture
def partners(tmp_path: Path) -> Iterator[Partners]:
    home, partner = make_world(tmp_path / "home"), make_world(tmp_path / "partner", "bts")
    record(home.exchange, 3)
    home.exchange.close()
    with serving(partner.root) as server:
        found = Partners(home.root, tmp_path / "older", partner, server)
        with found.open(home.root) as exchange:
            exchange.sign()
        shutil.copytree(home.root, found.older)
        with found.open(home.root) as exchange:
            record(exchange, 5)
            exchange.sign()
        yield found
    partner.exchange.close()


def size_kept(partners: Partners) -> str:
    return partners.server.client().get("/api/v1/witness/bts").json()["checkpoints"][PROVIDER].split("\n")[1]


def test_a_home_that_was_set_back_stops_at_its_partners_word_until_it_has_said_so(partners: Partners) -> None:
    assert size_kept(partners) == "21"
    with partners.open(partners.home) as exchange:
        exchange.outside.require_consistent()
    with partners.open(partners.older) as exchange:
        with pytest.raises(BaybridgeError) as back:
            exchange.outside.require_consistent()
        assert back.value.code == "log_set_back"
        exchange.outside.restore(LOCAL_OPERATOR, who="Ada Nowak", reason="a disk failed")
        exchange.outside.require_consistent()
        assert size_kept(partners) == "17"
        record(exchange, 2)
        exchange.sign()
    assert size_kept(partners) == "19"


def test_a_log_that_is_gone_is_let_go_only_where_another_log_says_so(partners: Partners) -> None:
    with partners.open(partners.home) as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "faa", "FAA")
        exchange.sign()
    with partners.open(partners.older) as exchange:
        exchange.outside.restore(LOCAL_OPERATOR, who="x", reason="y")
        exchange.outside.require_consistent()


def test_a_key_that_handed_over_is_followed(partners: Partners) -> None:
    with partners.open(partners.home) as exchange:
        exchange.rotate.rotate(LOCAL_OPERATOR)
    with partners.open(partners.home) as exchange:
        record(exchange, 1)
        exchange.sign()
        exchange.outside.require_consistent()


def test_without_the_token_of_an_auditor_nothing_is_kept(partners: Partners) -> None:
    for token in ("bb_" + "A" * 43, partners.partner.secrets["bts", "steward"]):
        environment = {**partners.environment, "BAYBRIDGE_CHECKPOINT_COPY_TOKEN": token}
        with Exchange.open(partners.home, environment=environment) as exchange:
            record(exchange, 1)
            with pytest.raises(BaybridgeError) as wrong:
                exchange.sign()
            assert wrong.value.code == "copy_unreachable"
    assert size_kept(partners) == "21"


def brought(exchange: Exchange, partners: Partners) -> CheckpointCopyRequest:
    """What the server of that home would bring, made of what is kept."""
    exchange.watch.sign_new()
    kept = partners.partner.exchange.witness.kept("bts")
    return exchange.outside.growing({each: exchange.watch.latest(each) for each in exchange.watch.logs()}, kept)


def test_a_partners_server_takes_only_what_goes_on_from_what_it_has(partners: Partners, tmp_path: Path) -> None:
    witness, auditor = partners.partner.exchange.witness, partners.partner.person("bts", "auditor")
    kept = witness.kept("bts")
    with partners.open(partners.home) as exchange:
        record(exchange, 4)
        good = brought(exchange, partners)
    shutil.copytree(partners.home, tmp_path / "forked")
    rewrite(tmp_path / "forked")
    with Exchange.open(tmp_path / "forked") as exchange:
        forked = brought(exchange, partners)
    with Exchange.open(partners.older) as exchange:
        exchange.watch.sign_new()
        smaller = {each: exchange.watch.latest(each) for each in exchange.watch.logs()}
    with Exchange.make(tmp_path / "other", origin="exchange.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, PROVIDER, "BTS")
        record(exchange, 40)
        foreign = {PROVIDER: exchange.watch.checkpoint(PROVIDER)}
    wrong: dict[str, dict[str, Any]] = {
        "a smaller log": {"checkpoints": smaller, "consistency": {}},
        "a fork": {"checkpoints": forked.checkpoints, "consistency": forked.consistency},
        "no proof": {"consistency": {}},
        "a hash that is none": {"consistency": {**good.consistency, PROVIDER: ["AA=="]}},
        "another server's log": {"checkpoints": {**good.checkpoints, **foreign}},
        "a log is missing": {"checkpoints": {PROVIDER: good.checkpoints[PROVIDER]}},
        "another key": {"key": "A" * 43 + "="},
        "no note": {"checkpoints": {**good.checkpoints, PROVIDER: "none"}},
        "a restore that is none": {"restores": {PROVIDER: "c2sp.org/tlog-proof@v1\nindex 0\n\n" + good.checkpoints[PROVIDER]}},
    }
    for what, changes in wrong.items():
        with pytest.raises(Conflict) as refused:
            witness.keep(auditor, "bts", msgspec.structs.replace(good, **changes))
        assert refused.value.code == "conflict", what
        assert witness.kept("bts") == kept, what
    assert witness.keep(auditor, "bts", good).checkpoints == good.checkpoints


def test_who_brings_them_is_an_auditor_of_that_organization(partners: Partners) -> None:
    witness, kept = partners.partner.exchange.witness, partners.partner.exchange.witness.kept("bts")
    same = CheckpointCopyRequest(key=kept.key, checkpoints=kept.checkpoints)
    for who in (LOCAL_OPERATOR, partners.partner.person("bts", "steward")):
        with pytest.raises(Refused):
            witness.keep(who, "bts", same)
    with pytest.raises(NotFound):
        witness.kept("nobody")
