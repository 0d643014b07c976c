"""Publishes version after version of one dataset until it is killed, and says the number of each once it is known to be published.

Arguments: the home, the dataset, and the rows of a version.
"""

from __future__ import annotations

import sys
from pathlib import Path

from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Upload


def csv(version: int, rows: int) -> bytes:
    """Every cell tells the version, so that a mixture of two would show."""
    return b"id,version,words\n" + b"".join(b"%d,%d,version %d row %d\n" % (row, version, version, row) for row in range(rows))


with Exchange.open(Path(sys.argv[1])) as exchange:
    name, rows = DatasetName.parse(sys.argv[2]), int(sys.argv[3])
    print("ready", flush=True)
    while True:
        version = exchange.catalog.describe(LOCAL_OPERATOR, name).dataset.latest + 1
        first = version == 1
        upload = Upload([csv(version, rows)], null_words=("",), key=("id",) if first else (), accept_schema=first, dry_run=False)
        published = exchange.publish.publish(LOCAL_OPERATOR, name, upload)
        print(published.version, flush=True)
