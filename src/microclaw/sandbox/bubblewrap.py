"""Starts a program in bubblewrap: the words that everything in it has, and the wait before the program begins.

For jobs (wrapped_job.py), compilers (builds/confinement.py) and speech engines (voice/engines). It knows none of them.
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
START_S: Final = 10.0
LOOK_S: Final = 0.0005
NEXT_STEP: Final = (
    "install bubblewrap (apt-get install bubblewrap) on a kernel that allows user namespaces, or Docker or Podman; "
    "then: microclaw doctor"
)


@functools.cache
def bubblewrap() -> str | None:
    """Looked for once: what this machine has does not change with somebody's PATH."""
    return shutil.which("bwrap")


class Descriptors(ExitStack):
    """Open ones, by `numbers`. Those for bubblewrap are closed once it has its own: the end of a pipe is seen then."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def add(self, descriptor: int) -> int:
        self.callback(os.close, descriptor)
        self.numbers.append(descriptor)
        return descriptor

    def hold(self, data: bytes) -> int:
        """A file without a name, to be read from its start."""
        descriptor = self.add(os.memfd_create("sandbox"))
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor


def common_words() -> Iterator[str]:
    """No other namespaces, no rights, the system's programs read-only, /proc and /dev of its own."""
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
    """The words of bubblewrap up to the moment before the command begins; it has to inherit `opened.numbers`.

    The socket tells the number of the process inside (`read_number`), which waits for a byte in it.
    """
    control, theirs = socket.socketpair()
    told = opened.add(theirs.detach())
    # /proc, too: the kernel lets processes of root write its settings there, whatever rights they gave up
    words = [*words, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--info-fd", str(told), "--block-fd", str(opened.add(os.dup(told)))]
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
    """Start it by what stands `before`; the command begins at the end of the block. `more` is for Popen.

    Yields bubblewrap, and the number of the process inside: all that runs in there descends from it. Raises NoSandbox.
    """
    words, control = waiting_command(words, command, filtered, opened)
    with control:  # its end lets the process go on, too
        process = in_session([*before, *words], environment, pass_fds=opened.numbers, **more)
        opened.close()
        pid = read_number(control)
        if pid is None:
            raise why_it_ended(process)
        try:
            yield process, pid
            control.send(b"\0")
        except BaseException:
            process.kill()
            process.wait()
            raise


def in_session(words: Sequence[str], environment: Mapping[str, str], **more: Any) -> subprocess.Popen[bytes]:
    """A process in a session of its own, without an input; its errors go where its output goes. `more` is Popen's."""
    more |= {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, **more)


def read_number(control: socket.socket) -> int | None:
    """The number of the process inside; blocks. None where bubblewrap ends without a sandbox, or takes too long.

    All of its words are read: it ends when it cannot tell the rest. What was passed on has to be closed here.
    """
    control.settimeout(START_S)
    words = b""
    with suppress(OSError):
        while b"}" not in words and (more := control.recv(1024)):
            words += more
    found = re.search(rb'"child-pid": (\d+)', words)
    if found is None:
        return None
    return int(found[1])


def why_it_ended(process: subprocess.Popen[bytes]) -> NoSandbox:
    """The error for a bubblewrap that could not make its sandbox; ends it, if it lives."""
    process.kill()
    said, _ = process.communicate()
    why = said[:1024].decode(errors="replace").strip() or "it did not begin in time"
    return NoSandbox(f"bubblewrap cannot make a sandbox here: {why}", next_step=NEXT_STEP)
