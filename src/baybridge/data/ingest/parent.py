"""Owns the clean parent of the processes that read uploads: it forks one for each, and holds no data, keys or engine itself.

Run as `python -m baybridge.data.ingest.parent DESCRIPTOR`, the descriptor of a socket on which each message names a workspace, and brings
the descriptor on which the wait status of its process is said.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from baybridge.data.ingest.limits import Limits, bytes_of, over_limits
from baybridge.data.ingest.order import ORDER, OUTCOME, Answer, Failure, Order
from baybridge.data.ingest.work import work
from baybridge.errors import BaybridgeError

_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWUSER: Final = 0x10000000
_THREADS: Final = 2
_OPEN_FILES: Final = 256
_BESIDE_ENGINE: Final = 1 << 30
"""What a room may have in memory beside what the engine is told: the interpreter, buffers, the workbook's parser."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Fork for each message, until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for a supervisor
    control = socket.socket(fileno=descriptor)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _supervise(Path(message.decode()), descriptors[0])
        os.close(descriptors[0])


def _supervise(folder: Path, descriptor: int) -> None:
    """Wait for the room, say how it ended, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_with_parent()
    room = os.fork()
    if room == 0:
        os.close(descriptor)
        _die_with_parent()
        _read(folder)
    _, status = os.waitpid(room, 0)
    with suppress(BrokenPipeError):  # who asked was killed in the meantime
        os.write(descriptor, str(status).encode())
    os._exit(0)


def _read(folder: Path) -> None:
    """Do the order within its limits, write the answer, and end."""
    try:
        order = msgspec.json.decode((folder / ORDER).read_bytes(), type=Order)
        _limit(order.limits)
        answer = Answer(outcome=work(folder, order))
    except BaybridgeError as error:
        answer = Answer(failure=Failure.of(error))
    except MemoryError:
        answer = Answer(failure=Failure.of(over_limits("Reading the file takes more memory than it may.")))
    except BaseException as error:  # noqa: BLE001 -- the process ends here, and an unknown error's text may hold a value
        answer = Answer(failure=Failure.of(_unknown(error)))
    (folder / OUTCOME).write_bytes(msgspec.json.encode(answer))
    os._exit(0)


def _unknown(error: BaseException) -> BaybridgeError:
    """What may be said of an error that nobody expected: its class, and where in the program it was raised."""
    name = f"{type(error).__module__}.{type(error).__name__}"
    if name.endswith("OutOfMemoryException"):
        return over_limits("Reading the file takes more memory than it may.")
    if isinstance(error, OSError) or name.endswith("IOException"):
        return over_limits("Reading the file takes a larger file on the disk than it may, or the disk is full.")
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return BaybridgeError("internal", f"Reading the upload failed: {name}{where}.")


def _limit(limits: Limits) -> None:
    """Take on the limits of a room. The clock is the kernel's: the default of SIGALRM ends the process."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, math.ceil(limits.seconds * _THREADS)),
        (resource.RLIMIT_DATA, bytes_of(limits.memory) + _BESIDE_ENGINE),
        (resource.RLIMIT_FSIZE, limits.bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    if os.getuid() == 0:
        _LIBC.unshare(_CLONE_NEWNET)
    else:
        _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # where the kernel lets nobody do this, the engine still has no network of its own


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
