"""Child processes of the command line: their ready line, end and error; the control socket of a virtual board."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import IO, Any, Self, TypeVar

from microclaw.devices.registry.calls import EdgeLog
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.errors import ConfigError
from microclaw.host.operations.blocking import blocking
from microclaw.readiness import is_readable
from microclaw.wire.board_control import Request

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
END_TIMEOUT_S = 2.0
MAX_LINE_BYTES = 64 << 10


class Child:
    """A child process: `with Child("host", ["microclaw", "up"]) as host: host.wait_ready()`; leaving stops it.

    `words` are the arguments of `python -m`. It has a session of its own, so that Ctrl-C reaches only the parent.
    """

    def __init__(self, name: str, words: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        self._began = time.monotonic()
        with log.open("ab") as stderr:
            self._process = self.start(words, stderr, None if environ is None else dict(environ))
        self._ready: tuple[dict[str, Any], float] | None = None

    def start(self, words: Sequence[str], stderr: IO[bytes], environ: dict[str, str] | None) -> Popen[bytes]:
        command = [sys.executable, "-m", *words]
        return Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=stderr, env=environ, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> tuple[dict[str, Any], float]:
        """Return the ready line and the seconds since the start. Raises ConfigError with the process's error."""
        if self._ready is None:
            self._ready = self._read_ready(timeout_s)
        return self._ready

    def _read_ready(self, timeout_s: float) -> tuple[dict[str, Any], float]:
        assert self._process.stdout is not None
        if not is_readable(self._process.stdout, timeout_s):
            self.stop()
            raise ConfigError(f"the {self.name} was not ready within {timeout_s:.0f} s", next_step="try it again")
        line = self._process.stdout.readline(MAX_LINE_BYTES)
        took_s = time.monotonic() - self._began
        try:
            facts = json.loads(line)
        except ValueError:
            facts = None
        if not isinstance(facts, dict) or facts.get("ready") is not True:
            raise self._refusal()
        return facts, took_s

    def ask_to_end(self) -> None:
        """Send SIGTERM without waiting: with many children, send it to all of them before the first `stop`."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL, which acts as a power cut. Return when the process has ended."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """Send SIGTERM, then SIGKILL if the process does not end. Return when it has ended."""
        if self.running:
            self.ask_to_end()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _refusal(self) -> ConfigError:
        """Return the error that the process wrote to stderr before it ended."""
        with suppress(TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        message = self._last_line("error: ")
        if not message:
            message = f"it ended with code {self._process.poll()} without a message"
        next_step = self._last_line("next: ")
        self.stop()
        return ConfigError(f"the {self.name} did not start: {message}", next_step=next_step)

    def _last_line(self, prefix: str) -> str | None:
        """Return the last line with this prefix on the process's stderr, without the prefix."""
        lines = self._log.read_text(errors="replace").splitlines()
        for line in reversed(lines):
            if line.startswith(prefix):
                return line.removeprefix(prefix)
        return None


R = TypeVar("R")


class BoardControl:
    """The control socket of a virtual board: `with BoardControl(path) as board: board.ask(control.Info())`.

    It raises the errors of the transport.
    """

    def __init__(self, path: Path) -> None:
        self._board = VirtualBoardTransport(path)

    def __enter__(self) -> Self:
        return self

    @blocking
    async def __exit__(self, *_: object) -> None:
        await self._board.close()

    @blocking
    async def ask(self, request: Request[R]) -> R:
        return await self._board.request(request)

    @blocking
    async def edges(self, cursor: int) -> EdgeLog:
        """Return every edge since `cursor`, all pages in one."""
        return await self._board.edges(cursor)
