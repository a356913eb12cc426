"""Starts a program in bubblewrap: the arguments that all programs need, and the wait before the program begins.

For jobs (wrapped_job.py), compilers (programs/builds/confinement.py) and speech engines (interfaces/voice/engines).
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from microclaw.errors import NoSandbox

SYSTEM: Final = tuple(Path(f"/{name}") for name in ("usr", "lib", "lib32", "lib64", "bin"))
READ_BESIDES: Final = (Path("/etc/ld.so.cache"), Path("/etc/alternatives"))
START_S: Final = 60.0
"""On a busy machine the start of a sandbox, which has a low priority, takes seconds."""
LOOK_S: Final = 0.0005
NEXT_STEP: Final = (
    "install bubblewrap (apt-get install bubblewrap) on a kernel that allows user namespaces, or Docker or Podman; "
    "then: microclaw doctor"
)


@functools.cache
def bubblewrap() -> str | None:
    """Return the path of bubblewrap, or None if it is not installed. It is searched for only once."""
    return shutil.which("bwrap")


class Descriptors(ExitStack):
    """Open file descriptors, listed in `numbers`.

    They are closed here once bubblewrap has inherited them, so that the end of a pipe is noticed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def add(self, descriptor: int) -> int:
        self.callback(os.close, descriptor)
        self.numbers.append(descriptor)
        return descriptor

    def hold(self, data: bytes) -> int:
        """Return a descriptor of a file without a name, to be read from its start."""
        descriptor = self.add(os.memfd_create("sandbox"))
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor


def common_words() -> Iterator[str]:
    """Yield the arguments for own namespaces, no rights, read-only system programs, and own /proc and /dev."""
    yield from ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
    for path in SYSTEM:
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for path in READ_BESIDES:
        yield from ("--ro-bind-try", str(path), str(path))
    yield from ("--proc", "/proc", "--dev", "/dev")


def waiting_command(
    words: Sequence[str], command: Sequence[str], filtered: bytes | None, opened: Descriptors
) -> tuple[list[str], socket.socket]:
    """Return bubblewrap's command line, and the socket by which the command is started; it inherits `opened.numbers`.

    bubblewrap sends the id of the process inside to the socket (`read_pid`), and starts the command once it receives
    a byte from it.
    """
    control, inherited = socket.socketpair()
    info = opened.add(inherited.detach())
    # /proc, too: the kernel lets processes of root write its settings there, even if they gave up their rights.
    words = [*words, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--info-fd", str(info), "--block-fd", str(opened.add(os.dup(info)))]
    if filtered is not None:
        words += ["--seccomp", str(opened.hold(filtered))]
    arguments = opened.hold("\0".join(words).encode() + b"\0")
    return [bubblewrap() or "bwrap", "--args", str(arguments), "--", *command], control


@contextmanager
def waiting(
    words: Sequence[str],
    command: Sequence[str],
    filtered: bytes | None,
    opened: Descriptors,
    *,
    before: Sequence[str] = (),
    environment: Mapping[str, str],
    **more: Any,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start bubblewrap; the command begins at the end of the block. `before` is put before it, `more` is for Popen.

    Yields bubblewrap, and the id of the process inside, the parent of all processes in there. Raises NoSandbox.
    """
    words, control = waiting_command(words, command, filtered, opened)
    # The command also begins if this end is closed.
    with control:
        process = in_session([*before, *words], environment, pass_fds=opened.numbers, **more)
        opened.close()
        pid = read_pid(control)
        if pid is None:
            raise sandbox_error(process)
        try:
            yield process, pid
            # It may have failed by now: its output and its exit code say why.
            with suppress(BrokenPipeError):
                control.send(b"\0")
        except BaseException:
            process.kill()
            process.wait()
            raise


def in_session(words: Sequence[str], environment: Mapping[str, str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a process in its own session, without input and with errors in its output. `more` is for Popen."""
    more |= {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, **more)


def read_pid(control: socket.socket) -> int | None:
    """Return the id of the process inside, or None if bubblewrap ends without a sandbox or takes too long. Blocks.

    The whole JSON text is read, because bubblewrap ends if it cannot write the rest. The inherited descriptors have to
    be closed here before.
    """
    control.settimeout(START_S)
    info = b""
    with suppress(OSError):
        while b"}" not in info and (data := control.recv(1024)):
            info += data
    match = re.search(rb'"child-pid": (\d+)', info)
    if match is None:
        return None
    return int(match[1])


def sandbox_error(process: subprocess.Popen[bytes]) -> NoSandbox:
    """Return the error for a bubblewrap that could not make its sandbox, and kill it if it lives."""
    process.kill()
    output, _ = process.communicate()
    reason = output[:1024].decode(errors="replace").strip() or "it did not begin in time"
    return NoSandbox(f"bubblewrap cannot make a sandbox here: {reason}", next_step=NEXT_STEP)
