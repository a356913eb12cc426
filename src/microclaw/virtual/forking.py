"""`python -m microclaw.virtual.forking`: forks virtual boards from a process that has loaded their modules.

A board starts so in a tenth of the processor's time. It is a process as `python -m microclaw.virtual` starts one: its
own session, environment, streams and exit code, and no other descriptor. This process has one thread and no board.
It reads requests from stdin, a socket, and ends with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Final

from microclaw.conversion import decode_json
from microclaw.wire.forking import DESCRIPTOR_COUNT, EXIT_CODE_BYTES, READY, ForkRequest

_LOADED: Final = ("microclaw.virtual.board_process", "microclaw.virtual.firmware.app_loader")
_CHUNK_BYTES: Final = 65_536


def main() -> None:
    """Load the board's modules, and fork boards."""
    gc.disable()
    for module in _LOADED:
        importlib.import_module(module)
    serve()


def serve() -> None:
    """Fork a process for each request until stdin ends. Each runs its module here, and ends with it."""
    # What is loaded stays: to look for garbage in it would copy its memory in each process.
    gc.freeze()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as requests:
        requests.sendall(READY)
        forked = _fork_each(requests)
    if forked is not None:
        request, descriptors = forked
        _become(request, descriptors)


def _fork_each(requests: socket.socket) -> tuple[ForkRequest, list[int]] | None:
    """Return in each forked process, with its request and its streams; None at the end of the requests."""
    ended, wakes = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    exit_pipes: dict[int, int] = {}
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ended in ready:
            os.read(ended, _CHUNK_BYTES)
            _report_ends(exit_pipes)
        if requests.fileno() not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(requests, _CHUNK_BYTES, DESCRIPTOR_COUNT)
        while data and not data.endswith(b"\n"):
            data += requests.recv(_CHUNK_BYTES)
        if not data:
            return None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return decode_json(data, ForkRequest), descriptors[:-1]
        exit_pipes[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        requests.sendall(b"%d\n" % pid)


def _report_ends(exit_pipes: dict[int, int]) -> None:
    for pid, code in _ended_processes():
        exit_pipe = exit_pipes.pop(pid)
        # The host may have closed it.
        with contextlib.suppress(BrokenPipeError):
            os.write(exit_pipe, code.to_bytes(EXIT_CODE_BYTES, "big", signed=True))
        os.close(exit_pipe)


def _ended_processes() -> Iterator[tuple[int, int]]:
    """Yield the id and the exit code of each process that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _become(request: ForkRequest, streams: list[int]) -> None:
    """Be what `python -m WORDS` would be."""
    if request.leads_session:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    # Those of this process, and of the other boards.
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request.environ)
    time.tzset()
    os.chdir(request.cwd)
    sys.stdin = os.fdopen(0, "r", 1, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", 1, encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8")
    sys.argv = list(request.words)
    runpy.run_module(request.words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
