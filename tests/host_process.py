"""`microclaw up` as a process that a test kills and starts again. Holds no test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.forked import Child
from tests.stories.conftest import environ_of

from microclaw.host.operations.client import Client

PATIENCE_S = 180.0


class HostProcess:
    """`start` again after `kill` or `stop` with what is on the disk; `facts` is what it printed then."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.with_name(f"{home.name}.stderr")
        self.client = Client(home / "control.sock", timeout_s=PATIENCE_S)
        self.facts: dict[str, Any] = {}
        self._child: Child | None = None

    def start(self, *words: str, **environ: str) -> None:
        """Ready when it returns; ConfigError where it could not start."""
        command = ["microclaw", "--json", "up", "--die-with-parent", *words]
        self._child = Child(self.home.name, command, log=self.log, environ={**environ_of(self.home), **environ})
        self.facts = self._child.wait_ready(PATIENCE_S)[0]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Until the end of the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.running:
            os.kill(self._child.pid, number)

    def wait(self, timeout_s: float) -> int:
        """The code that it ends with."""
        assert self._child is not None
        code = int(self._child._process.wait(timeout_s))
        self.stop()
        return code

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """In order, by SIGTERM; returns when it is gone."""
        if self._child is not None:
            self._child.stop()
