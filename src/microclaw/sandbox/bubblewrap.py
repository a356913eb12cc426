"""A job in bubblewrap: namespaces of its own, a read-only system, a folder in memory of bounded size. It waits for nothing.

The folder of the job is a tmpfs that only exists inside; this host holds it by a descriptor (/proc/PID/root), puts the
files in before the job begins, and takes files out when no process lives any more.
"""

from __future__ import annotations

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
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from microclaw.errors import NoSandbox
from microclaw.sandbox.files import put_files
from microclaw.sandbox.job import SandboxJob, SandboxLimits
from microclaw.sandbox.seccomp import job_filter

SYSTEM: Final = tuple(Path(f"/{name}") for name in ("usr", "lib", "lib32", "lib64", "bin"))
READ_BESIDES: Final = (Path("/etc/ld.so.cache"), Path("/etc/alternatives"))
CERTIFICATES: Final = (Path("/etc/ssl/certs"), Path("/etc/ssl/openssl.cnf"), Path("/etc/pki/tls/certs"))
HOME: Final = "/job"
USER: Final = 1000
START_S: Final = 10.0
_LOOK_S: Final = 0.0005
_ETC: Final = {
    "passwd": f"job:x:{USER}:{USER}::{HOME}:/bin/sh\n",
    "group": f"job:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


@dataclass(frozen=True, slots=True)
class Started:
    """A job that runs: bubblewrap, and descriptors of what it made. `first` is process 1 of the job's processes."""

    process: subprocess.Popen[bytes]
    first: int
    """A pidfd: with it all processes of the job end."""
    pid: int
    folder: int
    temporary: int
    processes: int
    """Its /proc, which lists the job's processes only."""

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
        for descriptor in (self.first, self.folder, self.temporary, self.processes):
            os.close(descriptor)


@functools.cache
def bubblewrap() -> str | None:
    """Looked for once: what this machine has does not change with somebody's PATH."""
    return shutil.which("bwrap")


def start(job: SandboxJob) -> Started:
    """Start it, with its files in its folder. Output and errors are one pipe. Blocks for some milliseconds."""
    with ExitStack() as opened:
        waiting = _start_blocked(job, opened)
        try:
            put_files(job.files, waiting.started.folder, job.limits.disk_bytes)
            set_limits(waiting.started.pid, job.limits)
            os.write(waiting.goes_on, b"\0")
        except BaseException:
            waiting.started.close()
            raise
        return waiting.started


@dataclass(frozen=True, slots=True)
class _Waiting:
    started: Started
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
    words = [*_words(job), *(word for name, text in _ETC.items() for word in _etc_file(name, held(text.encode())))]
    words += ["--dir", mark, "--remount-ro", "/", "--info-fd", str(tells), "--block-fd", str(waits)]
    filtered = job_filter(platform.machine(), network=job.proxy_socket is not None)
    words += ["--seccomp", str(held(filtered))]
    process = subprocess.Popen(
        [bubblewrap() or "bwrap", "--args", str(held("\0".join(words).encode() + b"\0")), "--", *job.command],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=fds,
    )
    try:
        return _Waiting(_reached(process, told, mark), goes_on)
    except BaseException:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        raise


def _etc_file(name: str, descriptor: int) -> tuple[str, ...]:
    return ("--ro-bind-data", str(descriptor), f"/etc/{name}")


def _reached(process: subprocess.Popen[bytes], told: int, mark: str) -> Started:
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
        for name in (HOME[1:], "tmp", "proc"):
            places.append(os.open(root / name, flags))
            opened.callback(os.close, places[-1])
        opened.pop_all()
        return Started(process, first, pid, *places)


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
    while b"}" not in data and select.select([told], [], [], 0.05)[0] or process.poll() is None and b"}" not in data:
        data += os.read(told, 1024)
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
    for path in _python_besides():
        words += ["--ro-bind", str(path), str(path)]
    if job.proxy_socket is not None:
        words += [word for path in CERTIFICATES for word in ("--ro-bind-try", str(path), str(path))]
        words += ["--bind", str(job.proxy_socket), "/run/proxy"]
    words.append("--clearenv")
    for name, value in environment_of(job).items():
        words += ["--setenv", name, value]
    return words


@functools.cache
def _python_besides() -> Sequence[Path]:
    """Where the system has no Python, the one that this host was made from."""
    if shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin"):
        return ()
    return (Path(sys.base_prefix),)


def environment_of(job: SandboxJob) -> dict[str, str]:
    """All that a job's processes find in their environment."""
    folders = ["/usr/local/bin", "/usr/bin", "/bin", *(str(path / "bin") for path in _python_besides())]
    given = {"PATH": ":".join(folders), "HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    return {**given, **job.environment}


def set_limits(pid: int, limits: SandboxLimits) -> None:
    """Of each process by itself; what all of them take together is watched."""
    seconds = int(limits.cpu_s) + 1
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        # what is private and writable; the sum of what is really used is watched, and reached first
        (resource.RLIMIT_DATA, 2 * limits.memory_bytes + (64 << 20), 2 * limits.memory_bytes + (64 << 20)),
        (resource.RLIMIT_FSIZE, limits.disk_bytes, limits.disk_bytes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_NOFILE, 256, 256),
    ):
        resource.prlimit(pid, kind, (soft, hard))
