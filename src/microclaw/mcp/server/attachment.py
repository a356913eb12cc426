"""Finds the one host of this home, or has one started with a virtual board. It calls no tool."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from microclaw.errors import ConfigError, NoHost, StoreOwned

START_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05
GRACE_S: Final = 3.0
WORDS: Final = ("up", "--virtual", "1")
LOST_RACE: Final = StoreOwned.code  # another host owns this home: the one to attach to
RACE_S: Final = 5.0  # what that one has to answer, before this home is tried again
CONNECT_S: Final = 1.0


class HostAttachment:
    """`with HostAttachment(home, socket) as attachment: await attachment.ready(...)`.

    Inside, this process counts as a user of a host that was started this way; the host ends soon after the last one.
    """

    def __init__(
        self, home: Path, control_socket: Path, *, words: Sequence[str] = WORDS, grace_s: float = GRACE_S
    ) -> None:
        self._home = home
        self._socket = control_socket
        self._words = tuple(words)
        self._grace_s = grace_s
        self._lock: BinaryIO | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._not_before = 0.0
        self._waiting = asyncio.Lock()

    def __enter__(self) -> Self:
        """Count as a user and start what is missing, without waiting for any of it."""
        path = self._home / "mcp.lock"
        self._lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)
        self._attached()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
        if self._supervisor is not None and self._supervisor.stdout is not None:
            self._supervisor.stdout.close()
            self._supervisor.poll()
            self._supervisor.returncode = self._supervisor.returncode or 0  # it goes on by itself, for the others

    async def ready(self, alive: Callable[[], Any] | None = None) -> None:
        """Return when the host answers and its boards are there; start it (again) where it is gone.

        `alive` is called now and then while it waits. Raises NoHost or the host's own error.
        """
        async with self._waiting:
            until = time.monotonic() + START_TIMEOUT_S
            while not self._attached():
                if time.monotonic() > until:
                    raise NoHost(f"the host was not ready within {START_TIMEOUT_S:.0f} s", next_step="microclaw doctor")
                if alive is not None:
                    alive()
                await asyncio.sleep(POLL_S)

    def _attached(self) -> bool:
        """Whether a host listens that is complete: one that was started here says so itself. Starts a missing one."""
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # the last host is just being stopped
        said = self._says()
        if self._supervisor is not None and said is None:
            return False
        error = None if said is None else said.get("error")
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
        self._said = b""
        self._not_before = time.monotonic() + RACE_S
        words = [str(self._home / "mcp.lock"), str(self._grace_s), "--home", str(self._home), *self._words]
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

    def _says(self) -> dict[str, Any] | None:
        """The supervisor's line, once it is whole; its end without one is told as an error."""
        if self._supervisor is None or self._supervisor.stdout is None:
            return None
        if b"\n" not in self._said:
            ended = self._supervisor.poll() is not None
            self._said += self._supervisor.stdout.read() or b""
            if b"\n" not in self._said:
                return {"error": {"message": "its supervisor ended and said nothing"}} if ended else None
        value = json.loads(self._said)
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
