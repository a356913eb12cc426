"""A job in bubblewrap: namespaces of its own, a read-only system, a folder in memory of bounded size.

The folder of the job is a tmpfs that only exists inside; this host holds it by a descriptor (/proc/PID/root), puts the
files in before the job begins, and takes files out when no process lives any more.
"""

from __future__ import annotations

import asyncio
import functools
import os
import platform
import re
import resource
import secrets
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from microclaw.errors import NoSandbox
from microclaw.sandbox.files import put_files
from microclaw.sandbox.identity import acting_as_job, job_user
from microclaw.sandbox.job import SandboxJob, SandboxLimits
from microclaw.sandbox.seccomp import job_filter
from microclaw.sandbox.usage import DiskUse, Usage
from microclaw.sandbox.watch import disk_use, exact_memory, usage_of
from microclaw.sandbox.world import HOME, RELAY_SOURCE, environment_of, python_besides, with_relay

SYSTEM: Final = tuple(Path(f"/{name}") for name in ("usr", "lib", "lib32", "lib64", "bin"))
READ_BESIDES: Final = (Path("/etc/ld.so.cache"), Path("/etc/alternatives"))
CERTIFICATES: Final = (Path("/etc/ssl/certs"), Path("/etc/ssl/openssl.cnf"), Path("/etc/pki/tls/certs"))
USER: Final = 1000
THREADS: Final = 32
THREADS_OF_ONE: Final = 2
"""A process may have more threads, such as node's eleven, if others have fewer."""
RELAY: Final = "/run/relay.py"
START_S: Final = 10.0
_LOOK_S: Final = 0.0005
_ETC: Final = {
    "passwd": f"job:x:{USER}:{USER}::{HOME}:/bin/sh\n",
    "group": f"job:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A job that runs (see usage.Started): bubblewrap, and descriptors of what it made."""

    process: subprocess.Popen[bytes]
    first: int
    """A pidfd of process 1 of the job's processes: with it all of them end."""
    pid: int
    folder: int
    temporary: int
    shared: int
    processes: int
    """Its /proc, which lists the job's processes only."""
    must_not_be_full: bool = False

    def on_death(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        def dead() -> None:
            loop.remove_reader(self.first)
            then()

        loop.add_reader(self.first, dead)

    def usage(self, memory_limit: int) -> Usage:
        used = usage_of(self.processes)
        if used.memory_bytes is not None and used.memory_bytes > memory_limit:
            return replace(used, memory_bytes=exact_memory(self.processes))
        return used

    def disk(self) -> DiskUse:
        return disk_use((self.folder, self.temporary, self.shared))

    def ran_out_of_memory(self) -> bool:
        return False  # it is watched, and killed for that by this host

    def kill(self) -> None:
        """The kernel kills all of the job's processes with the first one, before that one counts as dead."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.first, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it lives, wait until it is dead, and free what it had."""
        self.kill()
        select.select([self.first], [], [])
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        for descriptor in (self.first, self.folder, self.temporary, self.shared, self.processes):
            os.close(descriptor)


@functools.cache
def bubblewrap() -> str | None:
    """Looked for once: what this machine has does not change with somebody's PATH."""
    return shutil.which("bwrap")


def start(job: SandboxJob) -> Wrapped:
    """Start it, with its files in its folder. Output and errors are one pipe. Blocks for some milliseconds."""
    user = job_user()
    if user is not None and job.proxy_socket is not None:
        os.chown(job.proxy_socket, user, -1)  # nobody else gets to it: its folder is the host's
    with ExitStack() as opened:
        waiting = _start_blocked(job, opened)
        try:
            put_files(job.files, waiting.started.folder, job.limits.disk_bytes)
            with acting_as_job():
                set_limits(waiting.started.pid, job.limits)
            os.write(waiting.goes_on, b"\0")
        except BaseException:
            waiting.started.close()
            raise
        return waiting.started


@dataclass(frozen=True, slots=True)
class _Waiting:
    started: Wrapped
    goes_on: int


def _start_blocked(job: SandboxJob, opened: ExitStack) -> _Waiting:
    def pipe() -> tuple[int, int]:
        ends = os.pipe()
        for end in ends:
            opened.callback(os.close, end)
        return ends

    def held(data: bytes) -> int:
        descriptor = os.memfd_create("job")
        opened.callback(os.close, descriptor)
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        fds.append(descriptor)
        return descriptor

    (told, tells), (waits, goes_on) = pipe(), pipe()
    fds = [tells, waits]
    mark = f"/run/{secrets.token_hex(8)}"
    words = [
        *_words(job),
        *(word for name, text in _ETC.items() for word in _file(f"/etc/{name}", held(text.encode()))),
    ]
    command = list(job.command)
    if job.proxy_socket is not None:
        words += _file(RELAY, held(RELAY_SOURCE.read_bytes()))
        # by descriptor: its folder is the host's own, where nobody else can name it
        socket = os.open(job.proxy_socket, os.O_PATH | os.O_CLOEXEC)
        opened.callback(os.close, socket)
        fds.append(socket)
        command = with_relay(job, RELAY, str(socket))
    words += ["--dir", mark, "--remount-ro", "/", "--info-fd", str(tells), "--block-fd", str(waits)]
    if (filtered := job_filter(platform.machine(), network=job.proxy_socket is not None)) is None:
        raise NoSandbox(
            f"there is no filter of system calls for {platform.machine()}", next_step="use sandbox.backend docker"
        )
    words += ["--seccomp", str(held(filtered))]
    process = subprocess.Popen(
        [bubblewrap() or "bwrap", "--args", str(held("\0".join(words).encode() + b"\0")), "--", *command],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=fds,
        **_who(),
    )
    try:
        return _Waiting(_reached(process, told, mark), goes_on)
    except BaseException:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        raise


def _file(place: str, descriptor: int) -> tuple[str, ...]:
    return ("--ro-bind-data", str(descriptor), place)


def _reached(process: subprocess.Popen[bytes], told: int, mark: str) -> Wrapped:
    """Wait until it has made its view of the files (the mark is the last thing in it), and open what is in there."""
    deadline = time.monotonic() + START_S
    pid = _process_inside(process, told)
    first = os.pidfd_open(pid)
    with ExitStack() as opened:
        opened.callback(os.close, first)
        root = Path(f"/proc/{pid}/root")
        while not (root / mark[1:]).is_dir():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoSandbox(_why(process), next_step=NEXT_STEP)
            time.sleep(_LOOK_S)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        places = []
        for name in (HOME[1:], "tmp", "dev/shm", "proc"):
            places.append(os.open(root / name, flags))
            opened.callback(os.close, places[-1])
        opened.pop_all()
        folder, temporary, shared, processes = places
        return Wrapped(process, first, pid, folder, temporary, shared, processes)


NEXT_STEP: Final = (
    "install bubblewrap (apt-get install bubblewrap) on a kernel that allows user namespaces, or Docker or Podman; "
    "then: microclaw doctor"
)


def _why(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    process.wait()
    said = process.stdout.read(1024).decode(errors="replace").strip() if process.stdout is not None else ""
    return f"bubblewrap cannot make a sandbox here: {said or 'it did not begin in time'}"


def _process_inside(process: subprocess.Popen[bytes], told: int) -> int:
    data = b""
    deadline = time.monotonic() + START_S
    while b"}" not in data and time.monotonic() < deadline:
        if select.select([told], [], [], _LOOK_S)[0]:
            data += os.read(told, 1024)
        elif process.poll() is not None:
            break
    found = re.search(rb'"child-pid": (\d+)', data)
    if found is None:
        raise NoSandbox(_why(process), next_step=NEXT_STEP)
    return int(found[1])


def system_words() -> Iterator[str]:
    """The system's programs and libraries, read-only, as they lie here."""
    for path in SYSTEM:
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for path in READ_BESIDES:
        yield from ("--ro-bind-try", str(path), str(path))


def _who() -> dict[str, Any]:
    user = job_user()
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _words(job: SandboxJob) -> list[str]:
    size = str(job.limits.disk_bytes)
    words = [
        *("--unshare-all", "--unshare-user", "--uid", str(USER), "--gid", str(USER), "--hostname", "job"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", *system_words()),
        # /proc and /dev read-only: as root's own processes, a job could write the kernel's settings there
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"),  # noqa: S108 - its own, and empty
        *("--size", size, "--tmpfs", HOME, "--chdir", HOME),
    ]
    for path in python_besides():
        words += ["--ro-bind", str(path), str(path)]
    if job.proxy_socket is not None:
        words += [word for path in CERTIFICATES for word in ("--ro-bind-try", str(path), str(path))]
    for name, value in environment_of(job, *python_besides()).items():
        words += ["--setenv", name, value]
    return words


def set_limits(pid: int, limits: SandboxLimits) -> None:
    """Of each process by itself; what all of them take together is watched."""
    seconds = int(limits.cpu_s) + 1
    threads = THREADS + THREADS_OF_ONE * limits.processes
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        # what is private and writable; the sum of what is really used is watched, and reached first
        (resource.RLIMIT_DATA, 2 * limits.memory_bytes + (64 << 20), 2 * limits.memory_bytes + (64 << 20)),
        (resource.RLIMIT_FSIZE, limits.disk_bytes, limits.disk_bytes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_NOFILE, 256, 256),
        *(((resource.RLIMIT_NPROC, threads, threads),) if _counts_per_namespace() else ()),
    ):
        resource.prlimit(pid, kind, (soft, hard))


@functools.cache
def _counts_per_namespace() -> bool:
    """Since Linux 5.14 a user's processes outside of the sandbox do not count inside."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)
