"""The laws of the audit log's tree, held against RFC 9162's own recursive definitions, written here a second time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    Span,
    consistency_proof,
    consistency_spans,
    inclusion_proof,
    inclusion_spans,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from baybridge.errors import Corrupt, Invalid

LARGEST = 300
DATA = tuple(f"entry {number}".encode() for number in range(LARGEST))
LEAVES = tuple(leaf_hash(entry) for entry in DATA)
FORKED = (*LEAVES[:3], leaf_hash(b"another entry"), *LEAVES[4:])

# The leaves and tree heads of the Certificate Transparency reference implementation, which are RFC 6962's.
CT_ENTRIES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


# RFC 9162, 2.1.1, 2.1.3.1 and 2.1.4.1, word for word, over the entries themselves.


def k_of(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@cache
def mth(start: int, stop: int) -> bytes:
    n = stop - start
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + DATA[start]).digest()
    middle = start + k_of(n)
    return sha256(b"\x01" + mth(start, middle) + mth(middle, stop)).digest()


def path(m: int, start: int, stop: int) -> tuple[bytes, ...]:
    n = stop - start
    if n == 1:
        return ()
    k = k_of(n)
    if m < k:
        return (*path(m, start, start + k), mth(start + k, stop))
    return (*path(m - k, start + k, stop), mth(start, start + k))


def subproof(m: int, start: int, stop: int, whole: bool) -> tuple[bytes, ...]:  # noqa: FBT001 - the RFC's own b
    n = stop - start
    if m == n:
        return () if whole else (mth(start, stop),)
    k = k_of(n)
    if m <= k:
        return (*subproof(m, start, start + k, whole), mth(start + k, stop))
    return (*subproof(m - k, start + k, stop, False), mth(start, start + k))  # noqa: FBT003 - the RFC's own b


def roots(spans: tuple[Span, ...]) -> tuple[bytes, ...]:
    return tuple(mth(span.start, span.stop) for span in spans)


def includes(proof: tuple[bytes, ...], leaf: bytes, index: int, size: int, root: bytes) -> bool:
    return holds(lambda: verify_inclusion(proof, leaf=leaf, index=index, size=size, root=root))


def grows(proof: tuple[bytes, ...], old_size: int, old_root: bytes, new_size: int, new_root: bytes) -> bool:
    return holds(lambda: verify_consistency(proof, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root))


def holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except Corrupt:
        return False
    return True


def flipped(node: bytes) -> bytes:
    return node[:-1] + bytes([node[-1] ^ 1])


def mutants(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """The proof with each node changed, each left out, each doubled, each pair of neighbours swapped, and one more at either end."""
    changed = [(*proof[:at], flipped(proof[at]), *proof[at + 1 :]) for at in range(len(proof))]
    shorter = [(*proof[:at], *proof[at + 1 :]) for at in range(len(proof))]
    doubled = [(*proof[:at], proof[at], *proof[at:]) for at in range(len(proof))]
    swapped = [(*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]) for at in range(len(proof) - 1)]
    return [*changed, *shorter, *doubled, *swapped, (*proof, LEAVES[0]), (LEAVES[0], *proof)]


# Roots


@pytest.mark.parametrize("size", range(len(CT_ROOTS)))
def test_the_reference_trees_have_their_published_roots(size: int) -> None:
    assert root_of(leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES[:size]).hex() == CT_ROOTS[size]


def test_the_empty_tree_has_the_hash_of_nothing_as_root() -> None:
    assert EMPTY_ROOT == sha256(b"").digest() == Frontier().root() == root_of(())


def test_a_frontier_has_the_root_of_its_tree_at_every_size_and_survives_storage() -> None:
    frontier = Frontier()
    for size in range(LARGEST + 1):
        assert (frontier.size, frontier.root()) == (size, mth(0, size))
        assert root_of(LEAVES[:size]) == mth(0, size)
        assert Frontier.from_bytes(size, frontier.to_bytes()) == frontier
        if size < LARGEST:
            frontier = frontier.append(LEAVES[size])


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_appending_many_is_appending_each(first: int, second: int) -> None:
    old, new = sorted((first, second))
    assert Frontier().extend(LEAVES[:old]).extend(iter(LEAVES[old:new])) == Frontier().extend(LEAVES[:new])


def test_appending_leaves_the_frontier_it_started_from_as_it_was() -> None:
    before = Frontier().extend(LEAVES[:7])
    before.append(LEAVES[7])
    assert (before.size, before.root()) == (7, mth(0, 7))


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 31), (1, 33), (2, 64), (3, 32), (-1, 32)])
def test_a_stored_frontier_of_another_length_than_its_size_is_refused(size: int, length: int) -> None:
    with pytest.raises(Corrupt):
        Frontier.from_bytes(size, bytes(length))


@pytest.mark.parametrize("leaf", [b"", bytes(31), bytes(33), DATA[0]])
def test_only_a_hash_can_be_appended(leaf: bytes) -> None:
    with pytest.raises(Corrupt):
        Frontier().append(leaf)


def test_a_leaf_cannot_pose_as_a_node() -> None:
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != root_of(LEAVES[:2])


# Inclusion


@pytest.mark.parametrize("sizes", [range(1, 66), range(66, 100), range(100, 131)], ids=str)
def test_every_entry_can_be_proved_and_no_other_in_its_place(sizes: range) -> None:
    for size in sizes:
        root = mth(0, size)
        for index in range(size):
            proof = inclusion_proof(LEAVES, index, size)
            assert proof == path(index, 0, size) == roots(inclusion_spans(index, size))
            assert includes(proof, LEAVES[index], index, size, root)
            assert not includes(proof, leaf_hash(b"another entry"), index, size, root)
            assert not includes(proof, LEAVES[index], (index + 1) % size, size, root) or size == 1
            assert not includes(proof, LEAVES[index], index, size, flipped(root))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 31, 33, 64, 65])
def test_a_changed_inclusion_proof_is_refused(size: int) -> None:
    for index in range(size):
        for mutant in mutants(inclusion_proof(LEAVES, index, size)):
            assert not includes(mutant, LEAVES[index], index, size, mth(0, size))


@given(st.integers(1, LARGEST), st.data())
def test_an_inclusion_proof_proves_one_index_only(size: int, data: st.DataObject) -> None:
    index, claimed = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-2, size + 2))
    proof = inclusion_proof(LEAVES, index, size)
    assert includes(proof, LEAVES[index], claimed, size, mth(0, size)) == (claimed == index)


def test_an_inclusion_proof_is_as_long_as_the_tree_is_high_though_its_hashes_meet() -> None:
    leaf, other = LEAVES[:2]
    root = sha256(b"\x01" + other + leaf).digest()
    assert includes((other,), leaf, 1, 2, root)
    assert not includes((other,), leaf, 0, 1, root)
    assert not includes((), leaf, 0, 2, leaf)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (4, 3), (0, 0), (0, -1), (0, LARGEST + 1)])
def test_there_is_no_proof_of_an_entry_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(Invalid):
        inclusion_proof(LEAVES, index, size)
    assert not includes((), LEAVES[0], index, size, LEAVES[0])


# Consistency


@pytest.mark.parametrize("sizes", [range(150), range(150, 215), range(215, 262), range(262, LARGEST + 1)], ids=str)
def test_every_tree_is_proved_to_begin_every_longer_one_and_never_the_other_way(sizes: range) -> None:
    for new in sizes:
        for old in range(new + 1):
            proof = roots(consistency_spans(old, new))
            assert proof == (subproof(old, 0, new, True) if old else ())  # noqa: FBT003 - the RFC's own b
            assert grows(proof, old, mth(0, old), new, mth(0, new))
            assert not grows(proof, new, mth(0, new), old, mth(0, old)) or old == new
            assert not grows(proof, old, flipped(mth(0, old)), new, mth(0, new))
            assert not grows(proof, old, mth(0, old), new, flipped(mth(0, new))) or old == 0


def test_a_consistency_proof_holds_the_roots_of_its_subtrees() -> None:
    for new in (*range(41), 127, 128, 129, LARGEST):
        for old in range(new + 1):
            assert consistency_proof(LEAVES, old, new) == roots(consistency_spans(old, new))


@pytest.mark.parametrize("new", [1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 31, 33, 64, 65])
def test_a_changed_consistency_proof_is_refused(new: int) -> None:
    for old in range(new + 1):
        for mutant in mutants(consistency_proof(LEAVES, old, new)):
            assert not grows(mutant, old, mth(0, old), new, mth(0, new))


def test_a_rewritten_past_cannot_be_proved() -> None:
    for new in range(5, 70):
        for old in range(4, new + 1):
            old_root, forked_root = mth(0, old), root_of(FORKED[:new])
            assert not grows(consistency_proof(FORKED, old, new), old, old_root, new, forked_root)
            assert not grows(consistency_proof(LEAVES, old, new), old, old_root, new, forked_root)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0), (0, -1), (3, LARGEST + 1)])
def test_there_is_no_consistency_proof_outside_the_log(old: int, new: int) -> None:
    with pytest.raises(Invalid):
        consistency_proof(LEAVES, old, new)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0), (0, -1), (-1, 1), (-1, -1)])
def test_sizes_that_cannot_be_are_not_consistent(old: int, new: int) -> None:
    assert not grows((), old, EMPTY_ROOT, new, EMPTY_ROOT)
    assert not grows((LEAVES[0],), old, LEAVES[0], new, LEAVES[0])


def test_a_consistency_proof_is_as_long_as_the_tree_is_high_though_its_hashes_meet() -> None:
    left, third, fourth = mth(0, 2), LEAVES[2], LEAVES[3]
    old_root, new_root = mth(0, 3), mth(0, 4)
    assert grows((third, fourth, left), 3, old_root, 4, new_root)
    over = LEAVES[9]
    higher_old, higher_new = (sha256(b"\x01" + over + root).digest() for root in (old_root, new_root))
    assert not grows((third, fourth, left, over), 3, higher_old, 4, higher_new)
    assert not grows((third,), 3, third, 4, third)
    assert not grows((), 3, old_root, 4, old_root)
    assert not grows((), 2, left, 4, left)


def test_the_empty_tree_begins_every_tree_only_by_its_own_root() -> None:
    assert grows((), 0, EMPTY_ROOT, 5, mth(0, 5))
    assert not grows((), 0, LEAVES[0], 5, mth(0, 5))
    assert not grows((LEAVES[0],), 0, EMPTY_ROOT, 5, mth(0, 5))
    assert grows((), 0, EMPTY_ROOT, 0, EMPTY_ROOT)
    assert not grows((), 0, LEAVES[0], 0, LEAVES[0])
    assert not grows((), 0, EMPTY_ROOT, 0, LEAVES[0])


@pytest.mark.parametrize("cut", [0, 31, 33, 64])
def test_a_node_of_another_length_is_refused(cut: int) -> None:
    odd = (LEAVES[1] * 2)[:cut]
    assert not includes((odd,), LEAVES[0], 0, 2, sha256(b"\x01" + LEAVES[0] + odd).digest())
    assert not includes((LEAVES[1],), odd, 0, 2, sha256(b"\x01" + odd + LEAVES[1]).digest())
    assert not includes((), odd, 0, 1, odd)
    assert not grows((odd,), 1, LEAVES[0], 2, sha256(b"\x01" + LEAVES[0] + odd).digest())
    assert not grows((), 1, odd, 1, odd)
