"""The process that forks virtual boards (virtual/forking.py), as its host sees it. It knows no board."""

from __future__ import annotations

import atexit
import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import json

from microclaw.errors import DeviceUnreachable
from microclaw.wire.forking import READY, ForkRequest

_MODULE: Final = "microclaw.virtual.forking"
_ENDED: Final = "the process that starts virtual boards ended"
_NEXT: Final = "try again"
_LONGEST_S: Final = 30.0
"""So long an answer may take on a busy machine."""
_SECRET_ENDINGS: Final = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


def board_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a board, without secrets: it runs programs that nobody has checked."""
    return {name: value for name, value in environ.items() if not name.upper().endswith(_SECRET_ENDINGS)}


class ForkServer:
    """Forks processes from one that has loaded their modules.

    That one is started at the first fork, and again if it has ended. It ends with this process, even by kill -9.
    """

    def __init__(self, module: str = _MODULE) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        atexit.register(self.close)

    def start(self) -> None:
        """Start the process unless it runs, and wait until it has loaded its modules. Raises DeviceUnreachable."""
        with self._lock:
            self._connect()

    def fork(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        descriptors: Sequence[int],
        *,
        cwd: str | None = None,
        leads_session: bool = True,
    ) -> int:
        """Start what `python -m WORDS` would, and return its process id. Raises DeviceUnreachable.

        It blocks for milliseconds after `start`. The descriptors are stdin, stdout, stderr, and the one that the exit
        status is written to.
        """
        request = ForkRequest(tuple(words), cwd or str(Path.cwd()), dict(environ), leads_session)
        with self._lock:
            requests = self._connect()
            try:
                socket.send_fds(requests, [json.encode(request) + b"\n"], descriptors)
                return int(requests.recv(32))
            except (OSError, ValueError) as exc:
                self._kill()
                raise DeviceUnreachable(_ENDED, next_step=_NEXT) from exc

    def close(self) -> None:
        """End it; boards that still run get SIGTERM."""
        if self._process is not None and self._requests is not None:
            self._requests.close()
            self._process.wait()
            self._process = None

    def _kill(self) -> None:
        """End it at once: what it says late would be taken for the answer to another request."""
        if self._process is not None:
            self._process.kill()
            self.close()

    def _connect(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None or self._requests is None:
            self._requests, theirs = socket.socketpair()
            self._requests.settimeout(_LONGEST_S)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self._module],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=board_environ(os.environ),
                    # Ctrl-C in the terminal is for the host, which stops its boards itself.
                    start_new_session=True,
                )
            self._wait_until_ready(self._requests)
        return self._requests

    def _wait_until_ready(self, requests: socket.socket) -> None:
        try:
            is_ready = requests.recv(len(READY)) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            self._kill()
            raise DeviceUnreachable(_ENDED, next_step=_NEXT)


@functools.cache
def fork_server() -> ForkServer:
    """Return the one of this process."""
    return ForkServer()
