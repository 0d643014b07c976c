"""Serves a home like `baybridge serve`, while a thread beside it says how much of its answers each connection holds unsent.

One line `held BYTES` for each new greatest sum, over all looks, of what the transport and the kernel's send queue of one connection hold.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import struct
import sys
import termios
import threading
import time
from pathlib import Path

from baybridge.exchange import Exchange
from baybridge.http.server import serve

TRANSPORT = asyncio.selector_events._SelectorSocketTransport


def held(transport: asyncio.Transport) -> int:
    """Bytes in this process, and in the kernel not yet acknowledged by the client's."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return transport.get_write_buffer_size() + int(queued)


def watch() -> None:
    """Look at every transport that there is, for as long as the process lives."""
    greatest = 0
    while True:
        found = [each for each in gc.get_objects() if type(each) is TRANSPORT]
        for _ in range(100):
            now = max((held(each) for each in found), default=0)
            if now > greatest:
                greatest = now
                print(f"held {greatest}", flush=True)
            time.sleep(0.002)


threading.Thread(target=watch, daemon=True).start()
with Exchange.open(Path(sys.argv[1]), flags={"port": 0}) as exchange:
    serve(exchange, ready=lambda host, port: print(f"http://{host}:{port}", flush=True))
