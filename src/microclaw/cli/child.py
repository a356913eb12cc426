"""A process that this command line starts: its ready line, its end, what it said when it failed. No protocol."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from microclaw.errors import ConfigError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


class Child:
    """`with Child("host", ["microclaw.cli", "up"]) as host: host.wait_ready()`; leaving stops it.

    `words` are the arguments of `python -m`. It gets a session of its own: Ctrl-C in the terminal is for the parent.
    """

    def __init__(self, name: str, words: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        self._began = time.monotonic()
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=None if environ is None else dict(environ),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(self) -> tuple[dict[str, Any], float]:
        """The ready line and the seconds since the start; ConfigError carries what the process said instead."""
        line = self._first_line()
        took_s = time.monotonic() - self._began
        try:
            facts = json.loads(line)
        except ValueError:
            facts = None
        if not isinstance(facts, dict) or facts.get("ready") is not True:
            self.stop()
            raise ConfigError(f"the {self.name} did not start: {self._said('error: ')}", next_step=self._said("next: "))
        return facts, took_s

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not listen; returns when it is gone."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _first_line(self) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = self._began + START_TIMEOUT_S
        line = b""
        while not line.endswith(b"\n"):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                break
            piece = os.read(descriptor, 65536)
            if not piece:
                break
            line += piece
        return line

    def _said(self, prefix: str) -> str:
        """The last line with this prefix on the process's stderr, else where to read all of it."""
        lines = self._log.read_text(errors="replace").splitlines()
        named = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        if named:
            return named[-1]
        return lines[-1] if lines else f"it ended with code {self._process.returncode} and said nothing"
