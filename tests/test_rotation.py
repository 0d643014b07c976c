"""How a log's key hands over: what both keys signed is followed from any earlier key, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROVIDER, World, serving
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit.checkpoint import Checkpoint, Verifier, sign, sign_text
from baybridge.audit.rotation import KeyChain, Rotation, sign_rotation
from baybridge.client import Client, receipts
from baybridge.errors import BaybridgeError, Corrupt
from baybridge.exchange import Exchange
from baybridge.operate.home import make_next_key, use_next_key
from baybridge.principals.principal import LOCAL_OPERATOR

ORIGIN = "exchange.example/audit/bts"
FIRST, SECOND, THIRD, FOREIGN = (Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in range(1, 5))
ONE, TWO = sign_rotation(ORIGIN, 10, FIRST, SECOND), sign_rotation(ORIGIN, 20, SECOND, THIRD)
START = Verifier.of(FIRST, ORIGIN)


def note(size: int, key: Ed25519PrivateKey) -> str:
    return sign(Checkpoint(ORIGIN, size, bytes(32)), key, ORIGIN)


def test_the_chain_leads_from_the_first_key_to_the_present_one() -> None:
    chain = KeyChain.follow(START, [ONE, TWO])
    assert chain.current == Verifier.of(THIRD, ORIGIN)
    assert [each.size for each in chain.rotations] == [10, 20]
    for known in (FIRST, SECOND, THIRD):
        chain.require(Verifier.of(known, ORIGIN))
    with pytest.raises(Corrupt):
        chain.require(Verifier.of(FOREIGN, ORIGIN))


@pytest.mark.parametrize("size", [0, 5, 10, 11, 15, 20, 21, 30])
def test_each_key_signs_the_sizes_of_its_own_time(size: int) -> None:
    chain = KeyChain.follow(START, [ONE, TWO])
    right = FIRST if size <= 10 else SECOND if size <= 20 else THIRD
    assert chain.open(note(size, right)).size == size
    for wrong in {FIRST, SECOND, THIRD, FOREIGN} - {right}:
        with pytest.raises(Corrupt):
            chain.open(note(size, wrong))


@pytest.mark.parametrize(
    "notes",
    [
        [TWO],
        [TWO, ONE],
        [ONE, ONE],
        [sign_rotation(ORIGIN, 10, FOREIGN, SECOND)],
        [ONE, sign_rotation(ORIGIN, 9, SECOND, THIRD)],
        [sign_text(Rotation(10, START, Verifier.of(SECOND, ORIGIN)).text(), ORIGIN, FIRST)],
        [sign_text(Rotation(10, START, Verifier.of(SECOND, ORIGIN)).text(), ORIGIN, SECOND)],
        [sign_text(Rotation(10, START, Verifier.of(SECOND, ORIGIN)).text(), ORIGIN, FOREIGN, SECOND)],
        [sign_rotation("other.example/audit/bts", 10, FIRST, SECOND)],
        [sign_rotation(ORIGIN, 10, FIRST, FIRST)],
        [ONE.replace("after 10", "after 11")],
        [ONE.replace("after 10", "after 010")],
        [note(10, FIRST)],
        [""],
    ],
)
def test_a_rotation_that_both_keys_did_not_sign_in_their_turn_is_not_followed(notes: list[str]) -> None:
    with pytest.raises(Corrupt):
        KeyChain.follow(START, notes)


def test_no_flipped_bit_of_a_rotation_passes() -> None:
    data = ONE.encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((Corrupt, UnicodeDecodeError)):
            Rotation.parse(changed.decode())


def rotate(world: World) -> str:
    """Rotate as the operator does, with the home closed, and give the new verifier."""
    world.exchange.close()
    done = subprocess.run(
        [sys.executable, "-m", "baybridge.cli.main", "audit", "rotate-key", "--home", str(world.root)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    world.exchange = Exchange.open(world.root)
    return str(world.exchange.watch.verifier(PROVIDER))


@pytest.mark.slow
def test_old_checkpoints_and_receipts_verify_after_a_rotation_and_kept_keys_lead_on(world: World) -> None:
    first = str(world.exchange.watch.verifier(PROVIDER))
    old = world.exchange.watch.checkpoint(PROVIDER)
    receipt = world.exchange.prove.receipt(world.person(PROVIDER, "auditor"), PROVIDER, 1)
    second, third = rotate(world), rotate(world)
    assert len({first, second, third}) == 3
    new = world.exchange.watch.checkpoint(PROVIDER)
    for key in (first, second, third):
        assert world.exchange.watch.verify(PROVIDER, (old, new), Verifier.parse(key)).findings == ()
    foreign = Verifier.of(FOREIGN, ORIGIN)
    assert world.exchange.watch.verify(PROVIDER, (), foreign).findings
    rotations = world.exchange.watch.keys(PROVIDER).notes
    assert receipts.verify(receipt, first).index == 1
    later = world.exchange.prove.receipt(world.person(PROVIDER, "auditor"), PROVIDER, 1)
    assert receipts.verify(later, first, rotations).index == 1
    with pytest.raises(Corrupt):
        receipts.verify(later, first)
    with serving(world.root) as server, Client(server.url, world.secrets[PROVIDER, "auditor"]) as auditor:
        assert auditor.verifier(PROVIDER) == third
        assert auditor.verify_log(PROVIDER, [old, new], first).findings == ()
        with pytest.raises(Corrupt):
            auditor.verify_log(PROVIDER, [], str(foreign))
        with pytest.raises(BaybridgeError) as refused:
            world.exchange.rotate.rotate(LOCAL_OPERATOR)
        assert refused.value.code == "conflict", "the home is served"


@pytest.mark.slow
def test_a_rotation_that_was_cut_short_is_finished_or_dropped(world: World, tmp_path: Path) -> None:
    before = world.exchange.watch.verifier(PROVIDER)
    make_next_key(world.exchange.home)  # killed before the announcement was committed
    with Exchange.open(world.root) as exchange:
        assert exchange.watch.verifier(PROVIDER) == before
        assert not exchange.home.next_key.exists()
    old_key = (world.root / "keys" / "log.pem").read_bytes()
    after = rotate(world)
    copy = tmp_path / "copy"
    world.exchange.close()
    shutil.copytree(world.root, copy)
    shutil.copy(copy / "keys" / "log.pem", copy / "keys" / "log.next.pem")  # killed before the new key took its place
    (copy / "keys" / "log.pem").write_bytes(old_key)
    with Exchange.open(copy) as exchange:
        assert str(exchange.watch.verifier(PROVIDER)) == after
        assert exchange.watch.verify(PROVIDER, (exchange.watch.checkpoint(PROVIDER),)).findings == ()


@pytest.mark.slow
def test_a_key_that_was_replaced_without_a_note_signs_nothing(world: World) -> None:
    world.exchange.watch.checkpoint(PROVIDER)
    kept = world.exchange.watch.verifier(PROVIDER)
    make_next_key(world.exchange.home)
    use_next_key(world.exchange.home)
    with Exchange.open(world.root) as exchange:
        with pytest.raises(Corrupt):
            exchange.watch.checkpoint(PROVIDER)
        assert exchange.watch.verify(PROVIDER, ()).findings
        assert exchange.watch.verify(PROVIDER, (), kept).findings
