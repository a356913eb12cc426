"""Finds the host of this home, or starts one with a virtual board for all MCP clients. It calls no tool."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from microclaw.errors import ConfigError, NoHost, StoreOwned

START_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05
GRACE_S: Final = 3.0
WORDS: Final = ("up", "--virtual", "1")
LOST_RACE: Final = StoreOwned.code  # another host owns this home: the one to attach to
RACE_S: Final = 5.0  # what that one has to answer, before this home is tried again
CONNECT_S: Final = 1.0


class SharedHost:
    """`with SharedHost(home, socket) as shared_host: await shared_host.ready()`.

    Inside, this process counts as a user of a host that was started this way; the host ends soon after the last one.
    """

    def __init__(self, home: Path, control_socket: Path) -> None:
        self._home = home
        self._socket = control_socket
        self._lock: BinaryIO | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._not_before = 0.0
        self._waiting = asyncio.Lock()

    def __enter__(self) -> Self:
        """Count as a user and start a missing host, without waiting."""
        path = self._home / "mcp.lock"
        self._lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)
        self._attached()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
        if self._supervisor is not None and self._supervisor.stdout is not None:
            self._supervisor.stdout.close()
            self._supervisor.poll()
            self._supervisor.returncode = self._supervisor.returncode or 0  # it goes on by itself, for the others

    async def ready(self) -> None:
        """Return when the host answers and its boards are there; start it (again) where it is gone.

        Raises NoHost or the host's own error.
        """
        async with self._waiting:
            until = time.monotonic() + START_TIMEOUT_S
            while not self._attached():
                if time.monotonic() > until:
                    raise NoHost(f"the host was not ready within {START_TIMEOUT_S:.0f} s", next_step="microclaw doctor")
                await asyncio.sleep(POLL_S)

    def _attached(self) -> bool:
        """Whether a complete host listens; one that was started here reports it. Starts a missing host."""
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # the last host is just being stopped
        line = self._ready_line()
        if self._supervisor is not None and line is None:
            return False
        error = None if line is None else line.get("error")
        if error is not None and error.get("code") != LOST_RACE:
            self._supervisor = None
            text = str(error.get("message", "it gave no reason"))
            raise ConfigError(f"the host did not start: {text}", next_step=error.get("next") or "microclaw doctor")
        if _connects(self._socket):
            return True
        ended = self._supervisor is None or self._supervisor.poll() is not None
        if ended and time.monotonic() >= self._not_before:
            self._start()
        return False

    def _start(self) -> None:
        if self._supervisor is not None and self._supervisor.stdout is not None:
            self._supervisor.stdout.close()
        self._received = b""
        self._not_before = time.monotonic() + RACE_S
        words = [str(self._home / "mcp.lock"), str(GRACE_S), "--home", str(self._home), *WORDS]
        with (self._home / "mcp-host.log").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "microclaw.mcp.server.host_supervisor", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._supervisor.stdout is not None
        os.set_blocking(self._supervisor.stdout.fileno(), False)

    def _ready_line(self) -> dict[str, Any] | None:
        """The supervisor's line once it is complete, an error if it ended without one, else None."""
        if self._supervisor is None or self._supervisor.stdout is None:
            return None
        if b"\n" not in self._received:
            ended = self._supervisor.poll() is not None
            self._received += self._supervisor.stdout.read() or b""
            if b"\n" not in self._received:
                return {"error": {"message": "its supervisor ended without a message"}} if ended else None
        value = json.loads(self._received)
        assert isinstance(value, dict)
        return value


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
