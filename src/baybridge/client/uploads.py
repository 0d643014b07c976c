"""The bytes of an upload, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from baybridge.client.call import Source

_CHUNK: Final = 1 << 20


def chunks(source: Source) -> Iterator[bytes]:
    """The bytes of a file, an open file or an iterable, in pieces of at most 1 MiB where they are read here."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from chunks(file)
    elif hasattr(source, "read"):
        while chunk := source.read(_CHUNK):
            yield chunk
    else:
        yield from source


async def chunks_aside(source: Source) -> AsyncIterator[bytes]:
    """The same, read in a thread, so that a slow disk holds up no other task."""
    pieces = chunks(source)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
