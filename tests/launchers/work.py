"""A worker on a catalog, with kinds of its own whose effects a test can count: each is a line of the table `effects`.

`once` leaves its effect; `gated` says that it has begun, and leaves its effect once the gate's file is there; `poison` kills its worker;
`touch` leaves its effect outside the catalog, as a file, which done twice is done once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from baybridge.db import Database
from baybridge.jobs import Rule
from baybridge.operate.worker import Held, Kind, Worker

catalog, name, lease, gate = sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
database = Database(f"sqlite:///{catalog}")


def once(held: Held) -> None:
    with database.write() as connection:
        effect = sa.text("INSERT INTO effects (job, attempt, worker) VALUES (:job, :attempt, :worker)")
        connection.execute(effect, {"job": held.job.number, "attempt": held.job.attempt, "worker": name})
        held.complete(connection)


def gated(held: Held) -> None:
    print(f"begun {held.job.number}", flush=True)
    while not gate.exists():
        time.sleep(0.02)
    once(held)


def poison(held: Held) -> None:
    del held
    os.kill(os.getpid(), signal.SIGKILL)


def touch(held: Held) -> None:
    (gate / held.job.payload["of"]).touch()


kinds = [Kind(Rule(each.__name__, tries=3), each, is_long=False) for each in (once, gated, poison, touch)]
worker = Worker(database, kinds, lambda: datetime.now(UTC), lambda: 0.0, name, timedelta(seconds=lease))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("working", flush=True)
with worker.running():
    signal.pause()
