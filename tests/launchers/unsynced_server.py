"""Serves a home like `baybridge serve`, but with synchronous=OFF on every connection it opens: what a durability test must catch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from baybridge.exchange import Exchange
from baybridge.http.server import serve


@event.listens_for(Pool, "checkout")
def forget_to_sync(connection: Any, *_: object) -> None:
    """Undo what the program sets when it connects; checkout comes after connect."""
    connection.execute("PRAGMA synchronous=OFF").close()


with Exchange.open(Path(sys.argv[1]), flags={"port": 0}) as exchange:
    serve(exchange, ready=lambda host, port: print(f"http://{host}:{port}", flush=True))
