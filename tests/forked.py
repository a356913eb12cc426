"""Processes of microclaw, forked from one that has loaded its modules: they start in a fraction of the CPU time.

Such a process has its own id, session, environment, streams and exit code, as one that `python -m` starts. That start
itself is what tests/packaging, tests/test_demo.py and tests/interfaces/cli/test_main.py are for.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from microclaw.agent.offline.model import load_dialogue
from microclaw.interfaces.cli import child

LOADED: Final = ("microclaw.interfaces.cli", "microclaw.app", "microclaw.interfaces.api", "microclaw.virtual")
_STATUS: Final = struct.Struct("i")
_PATH: Final = os.environ.get("PYTHONPATH")
_lock = threading.Lock()
_loaders: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []  # of this process: one, from the first fork on


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
        request = {"words": words, "cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env)}
        stdin, _, _, stdout, _, stderr = pipes
        self._status, told = os.pipe()
        fds = [given_fd if given_fd != -1 else own for own, given_fd in enumerate((stdin, stdout, stderr))]
        with _lock:
            loader = _loader()
            socket.send_fds(loader, [json.dumps({**request, "leads": is_leader}).encode()], [*fds, told])
            self.pid = int(loader.recv(32))
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
        said = os.read(self._status, _STATUS.size)
        if said:
            self.returncode = os.waitstatus_to_exitcode(_STATUS.unpack(said)[0])
        else:
            self.returncode = -signal.SIGKILL
        os.close(self._status)


class Child(child.Child):
    """As the command line's, forked."""

    def start(self, words: Sequence[str], stderr: IO[bytes], environ: dict[str, str] | None) -> Any:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
        return Forked(words, env=environ, start_new_session=True, **pipes)


def _loader() -> socket.socket:
    if not _loaders:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
            _loaders.append((ours, subprocess.Popen(command, pass_fds=[theirs.fileno()])))
            atexit.register(_end)
    return _loaders[0][0]


def _end() -> None:
    for asked, loader in _loaders:
        asked.close()
        loader.wait()


def _serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """In the loader: fork for each request. Returns in each child, with its request and streams; None at the end."""
    ended, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([listener.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            for pid, status in _gone():
                os.write(running[pid], _STATUS.pack(status))
                os.close(running.pop(pid))
        if listener.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(listener, 1 << 20, 4)
            if not data:
                return None
            pid = os.fork()
            if pid:
                running[pid] = fds.pop()
                for fd in fds:
                    os.close(fd)
                listener.send(str(pid).encode())
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (ended, woken, *running.values(), fds.pop()):
                os.close(fd)
            listener.close()
            return json.loads(data), fds


def _gone() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    try:
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    except ChildProcessError:
        pass
    return found


def _become(request: dict[str, Any], fds: list[int]) -> None:
    """In the child: be what `python -m MODULE` would be."""
    if request["leads"]:
        os.setsid()
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode, 1, encoding="utf-8") for fd, mode in enumerate("rww"))
    module, *words = request["words"]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _load() -> None:
    for name in LOADED:
        for module in pkgutil.walk_packages(import_module(name).__path__, f"{name}."):
            if not module.name.endswith(".__main__") and ".guest" not in module.name and ".modules" not in module.name:
                import_module(module.name)
    load_dialogue()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    listening = socket.socket(fileno=int(sys.argv[1]))
    _load()
    mine = _serve(listening)
    if mine is not None:
        _become(*mine)
