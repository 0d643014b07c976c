"""The logs: their checkpoints, keys, entries, hashes and proofs. A proof that does not hold is never handed on."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2

from baybridge.audit.checkpoint import Verifier, decode_base64
from baybridge.audit.merkle import verify_consistency, verify_inclusion
from baybridge.audit.rotation import KeyChain
from baybridge.audit.tiles import TILE_WIDTH, Tile, decode_bundle, decode_tile
from baybridge.client.answers import not_understood, read, require_success
from baybridge.client.call import API, Call, Steps, get, get_text, reader, send
from baybridge.client.questions import part
from baybridge.client.results import Sourced
from baybridge.errors import Advice, Invalid
from baybridge.wire.audit import (
    CheckpointCopyRequest,
    CheckpointCopyShape,
    ConsistencyShape,
    EntriesShape,
    ErasureShape,
    InclusionShape,
    KeysShape,
    VerifierShape,
)


def checkpoint(organization: str) -> Call[str]:
    """The log as it stands now, as a C2SP signed note."""
    return get_text(f"/audit/{part(organization)}/checkpoint")


def verifier(organization: str) -> Call[str]:
    """The log's public key as a C2SP verifier key."""
    return Call(method="GET", path=f"{API}/audit/{part(organization)}/verifier", read=_verifier)


def keys(organization: str) -> Call[KeyChain]:
    """The log's public keys, from the first on, each handed over to the next by a note that both signed. Raise Corrupt otherwise."""
    return Call(method="GET", path=f"{API}/audit/{part(organization)}/keys", read=_keys)


def witnessed(organization: str) -> Call[CheckpointCopyShape]:
    """The checkpoints that this server keeps for an organization's own server."""
    return get(f"/witness/{part(organization)}", CheckpointCopyShape)


def witness(organization: str, brought: CheckpointCopyRequest) -> Call[CheckpointCopyShape]:
    """Have newer checkpoints kept. Raise Conflict where a log does not go on from what is kept."""
    return send("PUT", f"/witness/{part(organization)}", brought, CheckpointCopyShape)


def entries(organization: str, *, start: int = 0, limit: int = 1000) -> Call[EntriesShape]:
    """A run of a log's entries, to its organization's auditors."""
    return get(f"/audit/{part(organization)}/entries", EntriesShape, {"start": str(start), "limit": str(limit)})


def all_entries(organization: str) -> Steps[EntriesShape]:
    """Every entry, as index and bytes, that the log had at the first answer; it grows while it is read."""
    run = yield entries(organization)
    size = run.size
    while run.entries and (start := run.entries[-1].index + 1) < size:
        run = yield entries(organization, start=start)


def tile(organization: str, level: int, number: int, width: int = TILE_WIDTH) -> Call[tuple[bytes, ...]]:
    """The hashes of one tile of a log's tree (C2SP tlog-tiles); a partial one has a smaller width."""
    wanted = Tile(level, number, width)
    path = f"{API}/audit/{part(organization)}/tile/{level:d}/{wanted.path()}"
    return Call(method="GET", path=path, read=lambda response: _whole(decode_tile(_bytes(response)), wanted))


def bundle(organization: str, number: int, width: int = TILE_WIDTH) -> Call[tuple[bytes, ...]]:
    """The entries under one tile of level 0, to the organization's auditors."""
    wanted = Tile(0, number, width)
    path = f"{API}/audit/{part(organization)}/tile/entries/{wanted.path()}"
    return Call(method="GET", path=path, read=lambda response: _whole(decode_bundle(_bytes(response)), wanted))


def inclusion_proof(organization: str, index: int, size: int | None = None) -> Call[InclusionShape]:
    """The proof that an entry is in the log of a size, by default of the newest checkpoint's. Raise Corrupt where it does not hold.

    It holds for the root that it names: compare that with a checkpoint.
    """
    return Call(
        method="GET",
        path=f"{API}/audit/{part(organization)}/proof/inclusion",
        read=_inclusion,
        query=_numbers({"index": index, "size": size}),
    )


def consistency_proof(organization: str, old_size: int, new_size: int | None = None) -> Call[ConsistencyShape]:
    """The proof that the log of one size begins that of another, by default the newest. Raise Corrupt where it does not hold."""
    return Call(
        method="GET",
        path=f"{API}/audit/{part(organization)}/proof/consistency",
        read=_consistency,
        query=_numbers({"from": old_size, "to": new_size}),
    )


def receipt(organization: str, index: int) -> Call[str]:
    """An entry of the caller's own with its proof, as a C2SP tlog-proof: `verify_receipt` checks it with the network off."""
    return get_text(f"/audit/{part(organization)}/receipts/{index:d}")


def my_receipt(result: Sourced) -> Call[str]:
    """The receipt for a page, a table or a download: that its disclosure is on the record. Raise Invalid for public data."""
    organization, _, index = (result.provenance.entry or "").partition("/")
    if index.isascii() and index.isdigit():
        return receipt(organization, int(index))
    raise Invalid(
        "invalid_request",
        "There is no receipt for this result.",
        advice=Advice(
            rule="Reads of public data are entered as counts, and not one by one.",
            who_can_change="nobody",
            next_step="Ask for receipts of what was read under an agreement.",
        ),
    )


def erase_side_records(organization: str, *, start: int = 0, stop: int | None = None, before: str | None = None) -> Call[ErasureShape]:
    """Erase, as an admin and for good, the questions beside a log's entries: up to the index `stop`, or to the instant `before`."""
    asked = _numbers({"start": start, "stop": stop})
    return Call(
        method="DELETE",
        path=f"{API}/audit/{part(organization)}/side-records",
        read=reader(ErasureShape),
        query=asked if before is None else asked | {"before": before},
    )


def decoded(run: EntriesShape) -> Iterator[tuple[int, bytes]]:
    """The entries of a run, as index and bytes."""
    for each in run.entries:
        try:
            yield each.index, base64.b64decode(each.data, validate=True)
        except ValueError as wrong:
            raise not_understood("the log's entries") from wrong


def _bytes(response: httpx2.Response) -> bytes:
    require_success(response)
    return response.content


def _whole(found: tuple[bytes, ...], wanted: Tile) -> tuple[bytes, ...]:
    if len(found) != wanted.width:
        raise not_understood(f"the tile {wanted.path()}")
    return found


def _inclusion(response: httpx2.Response) -> InclusionShape:
    shape = read(response, InclusionShape)
    hashes = [_hash(each) for each in shape.hashes]
    verify_inclusion(hashes, leaf=_hash(shape.leaf), index=shape.index, size=shape.size, root=_hash(shape.root))
    return shape


def _consistency(response: httpx2.Response) -> ConsistencyShape:
    shape = read(response, ConsistencyShape)
    verify_consistency(
        [_hash(each) for each in shape.hashes],
        old_size=shape.old_size,
        old_root=_hash(shape.old_root),
        new_size=shape.new_size,
        new_root=_hash(shape.new_root),
    )
    return shape


def _hash(text: str) -> bytes:
    return decode_base64(text, "a hash")


def _numbers(asked: dict[str, int | None]) -> dict[str, str]:
    return {name: f"{number:d}" for name, number in asked.items() if number is not None}


def _keys(response: httpx2.Response) -> KeyChain:
    shape = read(response, KeysShape)
    return KeyChain.follow(Verifier.parse(shape.first), shape.rotations)


def _verifier(response: httpx2.Response) -> str:
    return read(response, VerifierShape).verifier
