"""The SDK: every address of a Baybridge server as a method with typed shapes. It knows `wire` and the proofs, never the server."""

from baybridge.client.arriving import Download
from baybridge.client.awaiting import AsyncClient
from baybridge.client.exceptions import RowsRejected, WarningsFound
from baybridge.client.logs import LogVerdict
from baybridge.client.questions import Question, Selection
from baybridge.client.receipts import Receipt
from baybridge.client.receipts import verify as verify_receipt
from baybridge.client.results import Page, Provenance, Table
from baybridge.client.uploads import chunks
from baybridge.client.waiting import Client

__all__ = [
    "AsyncClient",
    "Client",
    "Download",
    "LogVerdict",
    "Page",
    "Provenance",
    "Question",
    "Receipt",
    "RowsRejected",
    "Selection",
    "Table",
    "WarningsFound",
    "chunks",
    "verify_receipt",
]
