"""Purges version 1 of bts.people and kills itself at the step of that number, or for 0 prints how many steps there are.

A step is a lock, a file or folder removed, or a commit: between any two of them a machine may lose its power.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import sqlalchemy as sa

from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR

EVENTS = frozenset({"fcntl.flock", "os.remove", "os.rmdir", "shutil.rmtree"})
fatal, steps = int(sys.argv[2]), 0


def step(event: str, arguments: object = ()) -> None:
    global steps  # noqa: PLW0603 -- one process, one count
    del arguments
    if event in EVENTS:
        steps += 1
        if steps == fatal:
            os.kill(os.getpid(), signal.SIGKILL)


name = DatasetName("bts", "people")
with Exchange.open(Path(sys.argv[1])) as exchange:
    plan = exchange.purge.plan(LOCAL_OPERATOR, name, 1)
    sys.addaudithook(step)
    for moment in ("commit", "checkin"):  # before a commit; and once a connection has done what it was taken for
        target = exchange.database._engine if moment == "commit" else exchange.database._engine.pool
        sa.event.listen(target, moment, lambda *_: step("os.remove"))
    exchange.purge.purge(LOCAL_OPERATOR, name, 1, reason="Published by mistake", plan_sha256=plan.sha256)
    print(steps, flush=True)
    os._exit(0)
