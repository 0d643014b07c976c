"""Owns the process in which an upload is read: forked from a clean parent, within limits, gone when it has answered.

The server never reads a cell of an upload itself. The parent is started once, without environment, keys or open files, and has the engine
loaded and unused, so that a room costs a fork. A file can cost what the limits of its room allow, and then the room ends, not the server.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from baybridge.data.ingest.limits import over_limits
from baybridge.data.ingest.order import ORDER, OUTCOME, Answer, Order, Outcome
from baybridge.errors import BaybridgeError, Unavailable

_PARENT: Final = "baybridge.data.ingest.parent"
_SPENT: Final = frozenset({signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL, signal.SIGABRT})
"""How the kernel, or a library that gets no memory, ends a process that is beyond its limits."""


class Room:
    """Starts rooms, as many at once as are asked for."""

    def __init__(self) -> None:
        """The parent is started with the first room."""
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._parent: subprocess.Popen[bytes] | None = None

    def run(self, folder: Path, order: Order) -> Outcome:
        """Have the order done in the folder, which holds the upload.

        Raise what it raised, and Invalid (`file_over_limits`) where it took more than it may.
        """
        (folder / ORDER).write_bytes(msgspec.json.encode(order))
        status = os.waitstatus_to_exitcode(self._ended(folder))
        answer = folder / OUTCOME
        if status == 0 and answer.exists():
            return _opened(msgspec.json.decode(answer.read_bytes(), type=Answer))
        if -status in _SPENT:
            raise over_limits(f"Reading the file took more than {order.limits.seconds:g} seconds, or more memory than it may.")
        raise BaybridgeError("internal", f"The process that read the upload ended with status {status}.")

    def _ended(self, folder: Path) -> int:
        """The wait status of a room, when it has ended."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send(str(folder).encode(), theirs.fileno())
            said = b"".join(iter(functools.partial(ours.recv, 64), b""))
        if not said:
            raise Unavailable("busy", "The process that reads uploads was ended from outside.", retry_after=1)
        return int(said)

    def _send(self, message: bytes, descriptor: int) -> None:
        with self._lock:
            if self._control is not None:
                try:
                    socket.send_fds(self._control, [message], [descriptor])
                except OSError:  # the parent was killed: a new one takes its place
                    self.close()
                else:
                    return
            self._start()
            assert self._control is not None  # noqa: S101 -- _start has set it
            socket.send_fds(self._control, [message], [descriptor])

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # A session of its own: Ctrl-C at the terminal is for the server, which then ends the parent by closing its end.
            self._parent = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-I", "-X", "utf8", "-m", _PARENT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours

    def close(self) -> None:
        """End the parent. The next room starts another."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._parent is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._parent.wait(timeout=5)
            self._parent = None


@functools.cache
def shared_room() -> Room:
    """The one of this process, for all its exchanges. Its parent ends when this process does."""
    room = Room()
    atexit.register(room.close)
    return room


def _opened(answer: Answer) -> Outcome:
    if answer.failure is not None:
        raise answer.failure.error()
    if answer.outcome is None:
        raise BaybridgeError("internal", "The process that read the upload answered nothing.")
    return answer.outcome
