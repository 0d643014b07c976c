"""The logs: their checkpoints, keys and entries."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2

from baybridge.audit.checkpoint import Verifier
from baybridge.audit.rotation import KeyChain
from baybridge.client.answers import not_understood, read, require_success
from baybridge.client.call import API, Call, Steps, get
from baybridge.client.questions import part
from baybridge.wire.audit import EntriesShape, KeysShape, VerifierShape


def checkpoint(organization: str) -> Call[str]:
    """The log as it stands now, as a C2SP signed note."""
    return Call(method="GET", path=f"{API}/audit/{part(organization)}/checkpoint", read=_text)


def verifier(organization: str) -> Call[str]:
    """The log's public key as a C2SP verifier key."""
    return Call(method="GET", path=f"{API}/audit/{part(organization)}/verifier", read=_verifier)


def keys(organization: str) -> Call[KeyChain]:
    """The log's public keys, from the first on, each handed over to the next by a note that both signed. Raise Corrupt otherwise."""
    return Call(method="GET", path=f"{API}/audit/{part(organization)}/keys", read=_keys)


def entries(organization: str, *, start: int = 0, limit: int = 1000) -> Call[EntriesShape]:
    """A run of a log's entries, to its organization's auditors."""
    return get(f"/audit/{part(organization)}/entries", EntriesShape, {"start": str(start), "limit": str(limit)})


def all_entries(organization: str) -> Steps[EntriesShape]:
    """Every entry, as index and bytes, that the log had at the first answer; it grows while it is read."""
    run = yield entries(organization)
    size = run.size
    while run.entries and (start := run.entries[-1].index + 1) < size:
        run = yield entries(organization, start=start)


def decoded(run: EntriesShape) -> Iterator[tuple[int, bytes]]:
    """The entries of a run, as index and bytes."""
    for each in run.entries:
        try:
            yield each.index, base64.b64decode(each.data, validate=True)
        except ValueError as wrong:
            raise not_understood("the log's entries") from wrong


def _text(response: httpx2.Response) -> str:
    require_success(response)
    return response.text


def _keys(response: httpx2.Response) -> KeyChain:
    shape = read(response, KeysShape)
    return KeyChain.follow(Verifier.parse(shape.first), shape.rotations)


def _verifier(response: httpx2.Response) -> str:
    return read(response, VerifierShape).verifier
