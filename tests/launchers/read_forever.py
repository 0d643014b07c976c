"""Reads datasets of bts through the door, at random, until it is told to stop; prints each read that went wrong, then how many did not.

Arguments: the home, the owner's token, how many datasets there are, and a seed. The dataset `set_7` has one row, and it says 7.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from baybridge.disclose import Ask, Request, Stop
from baybridge.errors import Unavailable
from baybridge.exchange import Exchange
from baybridge.names import DatasetName


def main(root: str, token: str, datasets: int, seed: int) -> None:
    going, chance, right = [True], random.Random(seed), 0
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with Exchange.open(Path(root), environment=os.environ) as exchange:
        principal = exchange.administer.authenticate(token)
        print("reading", flush=True)
        while going:
            number = chance.randrange(datasets)
            request = Request(
                ask=Ask(DatasetName("bts", f"set_{number}")),
                version=None,
                sort=(),
                limit=3,
                after=None,
                cursor_extract=None,
                known=frozenset(),
                representation="rows",
                channel="test",
                encode=lambda page: str(list(page.page.rows)).encode(),
            )
            try:
                body = exchange.disclose.read(request, principal, Stop()).body
            except Unavailable as busy:
                print(f"set_{number} was answered with {busy.code}", flush=True)
                continue
            if body == f"[({number},)]".encode():
                right += 1
            else:
                print(f"set_{number} had other rows", flush=True)
            exchange.disclose.let_go()
            exchange.upkeep.tidy()
            time.sleep(0.1)
        print(f"{right} right", flush=True)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
