"""Rows: in pages, as one table, as they arrive, and into a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

import httpx2

from baybridge.client.arriving import Download, FileReceiver, LineReceiver, require_place
from baybridge.client.call import API, Call, Plan, Receiver, Steps, ask
from baybridge.client.calls.collections import path_of, schema
from baybridge.client.questions import Asked, Question, Selection, asked_of, linked
from baybridge.client.results import Page, Table, read_lines, read_page
from baybridge.wire.collections import ItemsShape, QueriedItemsShape

T = TypeVar("T")


def items(dataset: str, **question: Unpack[Question]) -> Call[Page]:
    """One page of rows."""
    return _page(dataset, asked_of("items", question))


def pages(dataset: str, **question: Unpack[Question]) -> Steps[Page]:
    """All pages from the one asked for to the last, of one version; `limit` is the size of each."""
    return linked(_page(dataset, asked_of("pages", question)))


def rows(dataset: str, **question: Unpack[Question]) -> Steps[Page]:
    """All rows of the pages, one by one."""
    return linked(_page(dataset, asked_of("rows", question)))


def table(dataset: str, **selection: Unpack[Selection]) -> Plan[Table]:
    """All rows at once, or the first `limit` of them, with the schema of their version: what frames are made from."""
    asked = asked_of("table", selection)
    found = yield from ask(_asking(dataset, asked, lambda response: read_lines(response, dataset), f="ndjson"))
    return Table(found.items, (yield from ask(schema(dataset, found.version))), found.provenance)


def stream_rows(dataset: str, **selection: Unpack[Selection]) -> Call[Receiver[dict[str, Any]]]:
    """All rows, or the first `limit` of them, one by one while they arrive. Raise Unreachable where the stream is cut.

    The memory that it takes does not grow with the rows. Only the end without an error says that there were no more.
    """
    return _asking(dataset, asked_of("stream_rows", selection), LineReceiver, f="ndjson")


def download(dataset: str, path: Path, format: str = "csv", **selection: Unpack[Selection]) -> Call[Receiver[Download]]:  # noqa: A002 -- the word of the server and of the glossary
    """All rows into a file, as `csv` or `ndjson`. Raise Unreachable where the answer is cut, and leave the path as it was.

    The file is written under another name beside it, for its owner alone, and has its own when the last byte is on the disk.
    """
    asked = asked_of("download", selection)
    call: Call[Receiver[Download]] = _asking(dataset, asked, lambda response: FileReceiver(response, dataset, path), f=format)
    return replace(call, before=lambda: require_place(Path(path)))


def page_itself(page: Page) -> Iterable[Page]:
    """Walk over whole pages."""
    return (page,)


def page_rows(page: Page) -> Iterable[dict[str, Any]]:
    """Walk over the rows of pages."""
    return page.items


def _page(dataset: str, asked: Asked) -> Call[Page]:
    form = ItemsShape if asked.fits_an_address() else QueriedItemsShape
    return _asking(dataset, asked, lambda response: read_page(response, dataset, form))


def _asking(dataset: str, asked: Asked, read: Callable[[httpx2.Response], T], f: str | None = None) -> Call[T]:
    """The question by GET, or by POST where its filter is too long for an address."""
    path = f"{API}{path_of(dataset, asked.version)}/items"
    if asked.fits_an_address():
        query = asked.parameters() if f is None else asked.parameters() | {"f": f}
        return Call(method="GET", path=path, read=read, query=query, headers=asked.headers())
    headers = asked.headers() | {"content-type": "application/json"}
    return Call(method="POST", path=f"{path}/query", read=read, body=asked.body(f), headers=headers)
