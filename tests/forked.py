"""Processes of microclaw, forked from one that has loaded its modules: they start in a fraction of the CPU time.

Such a process has its own id, session, environment, streams and exit code, as one that `python -m` starts. That start
itself is what tests/packaging, tests/test_demo.py and tests/interfaces/cli/test_main.py are for.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import select
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from microclaw.agent.offline.model import load_dialogue
from microclaw.devices.virtual_boards.fork_server import ForkServer
from microclaw.interfaces.cli import child
from microclaw.virtual.forking import serve
from microclaw.wire.forking import EXIT_CODE_BYTES, exit_code

LOADED: Final = ("microclaw.interfaces.cli", "microclaw.app", "microclaw.interfaces.api", "microclaw.virtual")
_PATH: Final = os.environ.get("PYTHONPATH")
_server: Final = ForkServer("tests.forked")


class Forked(subprocess.Popen[str]):
    """`python -m MODULE WORDS`: `args` is (MODULE, *WORDS). Without `env` it has this process's environment."""

    _status: int
    _close_pipe_fds: Any  # of the base class

    def _execute_child(self, *given: Any) -> None:
        if (given[6] or os.environ).get("PYTHONPATH") != _PATH:  # it shall load something else
            self._status = -1
            super()._execute_child([sys.executable, "-m", *given[0]], *given[1:])  # type: ignore[misc]
            return
        words = given[0]
        cwd = given[5]
        env = given[6]
        pipes = given[10:16]
        is_leader = given[-2]
        stdin, _, _, stdout, _, stderr = pipes
        self._status, told = os.pipe()
        fds = [given_fd if given_fd != -1 else own for own, given_fd in enumerate((stdin, stdout, stderr))]
        environ = os.environ if env is None else env
        self.pid = _server.fork(words, environ, [*fds, told], cwd=str(cwd or Path.cwd()), leads_session=is_leader)
        self._child_created = True
        os.close(told)
        self._close_pipe_fds(*pipes)

    def _internal_poll(self, *given: Any, **more: Any) -> int | None:
        if self._status < 0:
            return super()._internal_poll(*given, **more)  # type: ignore[misc,no-any-return]
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._status < 0:
            return super()._wait(timeout)  # type: ignore[misc,no-any-return]
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout and max(timeout, 0))[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._ended()
        return self.returncode

    def _ended(self) -> None:
        self.returncode = exit_code(os.read(self._status, EXIT_CODE_BYTES))
        os.close(self._status)


class Child(child.Child):
    """As the command line's, forked."""

    def start(self, words: Sequence[str], stderr: IO[bytes], environ: dict[str, str] | None) -> Any:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
        return Forked(words, env=environ, start_new_session=True, **pipes)


def _load() -> None:
    for name in LOADED:
        for module in pkgutil.walk_packages(import_module(name).__path__, f"{name}."):
            if not module.name.endswith(".__main__") and ".guest" not in module.name and ".modules" not in module.name:
                import_module(module.name)
    load_dialogue()
    gc.collect()


if __name__ == "__main__":
    _load()
    serve()
