"""Reads three rows under an agreement many times at once, as a process of its own, when it is told to; prints each outcome.

Arguments: the home, the reader's token, and the purpose. One line on its input says go.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from baybridge.disclose import Ask, Request, Stop
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange
from baybridge.names import DatasetName

THREADS, TIMES = 4, 24


def main(root: str, token: str, purpose: str) -> None:
    with Exchange.open(Path(root)) as exchange:
        principal = replace(exchange.administer.authenticate(token), purpose=purpose)
        ask = Ask(DatasetName.parse("bts.flights"))
        request = Request(
            ask=ask,
            version=None,
            sort=(),
            limit=3,
            after=None,
            cursor_extract=None,
            known=frozenset(),
            representation="rows",
            channel="test",
            encode=lambda page: b"%d rows" % len(page.page.rows),
        )

        def outcome(_: int) -> str:
            try:
                return (exchange.disclose.read(request, principal, Stop()).body or b"").decode()
            except BaybridgeError as refused:
                return refused.code

        print("ready", flush=True)
        sys.stdin.readline()
        with ThreadPoolExecutor(THREADS) as threads:
            print("\n".join(threads.map(outcome, range(TIMES))), flush=True)


main(*sys.argv[1:])
