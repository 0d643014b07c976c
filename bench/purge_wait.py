"""How long a disclosure's entry waits while a purge erases 100,000 questions, in one home: `python -m bench.purge_wait`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, always
from baybridge.audit.side import Side
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Upload

NAME = DatasetName("bts", "people")
QUESTION = b"name = 'somebody' " * 16


def main(count: int) -> None:
    """Publish, ask, withdraw and purge, while one reader after the other is entered."""
    with tempfile.TemporaryDirectory() as scratch, Exchange.make(Path(scratch) / "home", origin="bench.example") as exchange:
        exchange.administer.add_organization(LOCAL_OPERATOR, "bts", "BTS")
        exchange.publish.declare(LOCAL_OPERATOR, NAME, Declaration())
        exchange.publish.publish(LOCAL_OPERATOR, NAME, Upload([b"id\n1\n"], ("",), (), accept_schema=True, dry_run=False))
        asked = Draft("bts", Kind.DISCLOSURE, {"dataset": str(NAME), "version": 1}, Side(QUESTION, str(NAME), 1))
        for start in range(0, count, 1000):
            with exchange.database.write() as connection:
                exchange.log.append_all(connection, "bts", [asked] * min(1000, count - start))
        exchange.withdraw.withdraw(LOCAL_OPERATOR, NAME, 1, "because")
        plan = exchange.purge.plan(LOCAL_OPERATOR, NAME, 1)

        purged, waits = threading.Event(), [0.0]

        def read() -> None:
            while not purged.is_set():
                begun = time.perf_counter()
                exchange.log.record(Draft("bts", Kind.REFUSAL, {"code": "no_agreement"}), always)
                waits.append(time.perf_counter() - begun)

        reader = threading.Thread(target=read)
        reader.start()
        begun = time.perf_counter()
        exchange.purge.purge(LOCAL_OPERATOR, NAME, 1, reason="because", plan_sha256=plan.sha256)
        took = time.perf_counter() - begun
        purged.set()
        reader.join()
        print(f"{plan.side_records:,} questions purged in {took:.2f} s; of {len(waits) - 1:,} entries meanwhile", end=" ")
        print(f"the longest waited {max(waits) * 1000:.0f} ms, the median {statistics.median(waits) * 1000:.1f} ms")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
