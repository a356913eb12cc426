"""A job in bubblewrap: what it sees, its folder, and how it is held to its limits.

The folder of the job is a tmpfs that only exists inside; this host holds it by a descriptor (/proc/PID/root), and takes
files out when no process lives any more. What all of its processes use is watched; where systemd makes a scope for it,
the kernel has a bound besides that no moment between two looks can pass, and counts buffers of pipes and sockets, too.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.errors import NoSandbox
from microclaw.readiness import is_readable
from microclaw.sandbox.bubblewrap import (
    LOOK_S,
    START_S,
    Descriptors,
    common_words,
    waiting,
    why_it_ended,
)
from microclaw.sandbox.job import (
    HOME,
    MOST_FILES,
    RELAY_SOURCE,
    SandboxJob,
    SandboxLimits,
    Usage,
    environment_of,
    job_user,
    with_relay,
)
from microclaw.sandbox.seccomp import job_filter

CERTIFICATES: Final = (Path("/etc/ssl/certs"), Path("/etc/ssl/openssl.cnf"), Path("/etc/pki/tls/certs"))
USER: Final = 1000
RELAY: Final = "/run/relay.py"
UNREADABLE: Final = "/dev/zero"
"""A shared map of it is memory that no process's size shows."""
SETTINGS: Final = (Path("/usr/local/etc"), Path("/usr/etc"))
"""Of this machine, among the system's programs: empty in a job."""
SCOPE_S: Final = 10.0
_OF_SYSTEMD: Final = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_LIMITS_OF_IT: Final = "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat memory.max pids.max"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_RESIDENT: Final = b"VmRSS:"
_NOT_RESIDENT: Final = (b"VmPTE:", b"VmSwap:", b"HugetlbPages:")
"""Of /proc/PID/status: what a process holds and its resident size leaves out. Page tables can be of any size."""
_EXITING: Final = 0x4
"""PF_EXITING of a thread's flags (linux/sched.h): it is ending, and uses no memory any more once none is shown."""
_READINGS: Final = 4
_LEAST: Final = ("nice", "-n", "19", "choom", "-n", "1000", "--")
"""Others' work goes first, and the kernel takes a job's processes first when memory is short."""
_ETC: Final = {
    "passwd": f"job:x:{USER}:{USER}::{HOME}:/bin/sh\n",
    "group": f"job:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


class Wrapped(Struct):
    """A job that runs: bubblewrap, and descriptors of what it made."""

    process: subprocess.Popen[bytes]
    first: int
    """A pidfd of process 1 of the job's processes: with it all of them end."""
    folder: int
    temporary: int
    shared: int
    processes: int
    """Its /proc, which lists the job's processes only."""
    exact_bytes: int = 0
    exact_state: tuple[list[str], int, int] = ([], 0, 0)
    """Processes, their page faults and resident bytes, when `exact_bytes` was summed."""

    def is_dead(self) -> bool:
        """True if no process of it lives."""
        return is_readable(self.first, 0)

    def usage(self, limits: SandboxLimits) -> Usage:
        """Return what all processes that its /proc lists use. One that ends meanwhile is not counted. Blocks.

        A page that processes share counts for each of them until their limit is passed, and then once. Each place is a
        file system of its own. Empty files take no room there, but the kernel's memory.
        """
        pids = [name for name in os.listdir(self.processes) if name.isdigit()]  # noqa: PTH208 - a descriptor
        ticks = 0
        faults = 0
        for pid in pids:
            fields = _read(f"{pid}/stat", self.processes).rpartition(b")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, and those of children that ended
            faults += sum(int(field) for field in fields[7:11])  # minor and major ones, and those of such children
        memory = self._memory(pids, limits, exact=False)
        if memory > limits.memory_bytes:
            memory = self._shared_memory(limits, (pids, faults, memory))
        found = [os.fstatvfs(place) for place in (self.folder, self.temporary, self.shared)]
        is_full = any(place.f_bfree == 0 for place in found)
        is_over = sum(place.f_files - place.f_ffree for place in found) > MOST_FILES
        return Usage(is_full, is_over, len(pids) - 1, memory, ticks / _TICKS)  # process 1 is bubblewrap's own

    def _shared_memory(self, limits: SandboxLimits, state: tuple[list[str], int, int]) -> int:
        """Return the sum in which a shared page counts once.

        It is asked for only if something was touched since: the kernel walks every page of every process for it.
        """
        if state != self.exact_state:
            self.exact_bytes = self._memory(state[0], limits, exact=True)
            self.exact_state = state
        return self.exact_bytes

    def _memory(self, pids: list[str], limits: SandboxLimits, *, exact: bool) -> int:
        return sum(_memory_of(pid, self.processes, data_bytes(limits), exact=exact) for pid in pids)

    def kill(self) -> None:
        """The kernel kills all of the job's processes with the first one, before that one counts as dead."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.first, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it lives, wait until it is dead, and free what it had. Blocks."""
        self.kill()
        is_readable(self.first, None)
        self.process.communicate()
        for descriptor in (self.first, self.folder, self.temporary, self.shared, self.processes):
            os.close(descriptor)


def start(job: SandboxJob) -> Wrapped:
    """Start it, with its files in its folder. Output and errors are one pipe. Blocks for some milliseconds."""
    user = job_user()
    machine = platform.machine()
    filtered = job_filter(machine, network=job.proxy_socket is not None)
    if filtered is None:
        step = "microclaw config set sandbox.backend container"
        raise NoSandbox(f"there is no filter of system calls for {machine}", next_step=step)
    mark = f"/run/{secrets.token_hex(8)}"
    scoped = has_scope()
    before, environment = scope_words(job.limits) if scoped else ([], {})
    before += _LEAST
    with Descriptors() as opened:
        words, command = _words(job, opened)
        words += ["--dir", mark]
        if scoped or user is None:
            more = {}
        else:
            more = {"user": user, "group": user, "extra_groups": []}
        held = waiting(words, command, filtered, opened, before=before, environment=environment, cwd="/", **more)
        with held as (process, pid):
            return _reached(process, pid, mark)


def _reached(process: subprocess.Popen[bytes], pid: int, mark: str) -> Wrapped:
    """Wait until it has made its view of the files (the mark is the last thing in it), and open what is in there."""
    deadline = time.monotonic() + START_S
    root = Path(f"/proc/{pid}/root")
    with Descriptors() as found:
        try:
            found.add(os.pidfd_open(pid))
            while not (root / mark[1:]).is_dir():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise why_it_ended(process)
                time.sleep(LOOK_S)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            for name in (HOME[1:], "tmp", "dev/shm", "proc"):
                found.add(os.open(root / name, flags))
        except OSError as problem:
            raise why_it_ended(process) from problem
        found.pop_all()
        first, folder, temporary, shared, processes = found.numbers
        return Wrapped(
            process,
            first=first,
            folder=folder,
            temporary=temporary,
            shared=shared,
            processes=processes,
        )


def _words(job: SandboxJob, opened: Descriptors) -> tuple[list[str], list[str]]:
    """bubblewrap's words but its last ones, and the command."""
    size = str(job.limits.disk_bytes)
    command = list(job.command)
    words = [*common_words(), "--uid", str(USER), "--gid", str(USER), "--hostname", "job"]
    words += ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108 - its own, and empty
    words += ["--size", size, "--tmpfs", HOME, "--chdir", HOME]
    for name, content in job.files.items():
        words += ["--perms", "0644", "--file", str(opened.hold(content)), f"{HOME}/{name}"]
    words += ["--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]  # pseudo terminals are the whole machine's
    words += ["--perms", "0000", "--ro-bind-data", str(opened.hold(b"")), UNREADABLE]
    for path in SETTINGS:
        if path.is_dir() and not path.is_symlink():
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
    for name, text in _ETC.items():
        words += ["--ro-bind-data", str(opened.hold(text.encode())), f"/etc/{name}"]
    if job.proxy_socket is not None:
        words += [word for path in CERTIFICATES for word in ("--ro-bind-try", str(path), str(path))]
        words += ["--ro-bind-data", str(opened.hold(RELAY_SOURCE.read_bytes())), RELAY]
        # by descriptor: its folder is the host's own, where nobody else can name it
        command = with_relay(job, RELAY, str(opened.add(os.open(job.proxy_socket, os.O_PATH | os.O_CLOEXEC))))
    for name, value in environment_of(job).items():
        words += ["--setenv", name, value]
    return words, [*limit_words(job.limits), *command]


def threads_of(limits: SandboxLimits) -> int:
    """A process may have more than two, such as node's eleven, if others have fewer."""
    return 32 + 2 * limits.processes


def data_bytes(limits: SandboxLimits) -> int:
    """Return the most memory that the kernel gives one process."""
    return 2 * limits.memory_bytes + (64 << 20)


def limit_words(limits: SandboxLimits) -> list[str]:
    """The words before a command, of util-linux: of each process by itself; what all of them take together is watched.

    Of memory what is private and writable: the sum of what is really used is reached first.
    """
    seconds = int(limits.cpu_s) + 1
    most = [
        f"--cpu={seconds}:{seconds + 1}",
        f"--data={data_bytes(limits)}",
        f"--fsize={limits.disk_bytes}",
        "--core=0",
    ]
    if _counts_per_namespace():
        most.append(f"--nproc={threads_of(limits)}")
    return ["prlimit", *most, "--memlock=0", "--msgqueue=0", "--nofile=256", "--"]


@functools.cache
def _counts_per_namespace() -> bool:
    """Since Linux 5.14 a user's processes outside of the sandbox do not count inside."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)


def scope_limits(limits: SandboxLimits) -> tuple[int, int]:
    """Of memory, with /job, /tmp, /dev/shm and the kernel's own for a job (threads' stacks, lists of maps, names of
    files); of processes, with bubblewrap's, outside and inside."""
    return limits.memory_bytes + 3 * limits.disk_bytes + (32 << 20), threads_of(limits) + 2


def scope_words(limits: SandboxLimits) -> tuple[list[str], dict[str, str]]:
    """The words before a command that put it into a scope, as the job's user and without an environment; and the part
    of the host's environment by which systemd-run finds this user's systemd."""
    user, (memory, tasks) = job_user(), scope_limits(limits)
    words = ["systemd-run", *(["--user"] if user is None else []), "--scope", "--quiet", "--collect"]
    words += ["-p", f"MemoryMax={memory}", "-p", "MemorySwapMax=0", "-p", f"TasksMax={tasks}"]
    if user is not None:
        words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*words, "env", "-i"], {name: os.environ[name] for name in _OF_SYSTEMD if name in os.environ}


@functools.cache
def has_scope() -> bool:
    """True if jobs have a scope here, with the limits that were asked for; it is tried once. Blocks."""
    limits = SandboxLimits()
    words, environment = scope_words(limits)
    words += ["PATH=" + os.defpath, "sh", "-c", _LIMITS_OF_IT]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, timeout=SCOPE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.decode().split() == [str(most) for most in scope_limits(limits)]


def _memory_of(pid: str, processes: int, most_bytes: int, *, exact: bool) -> int:
    """Return what a process holds, and `most_bytes` if each of its threads ended while it was looked at.

    A first thread that has ended shows no size, while the others go on with all the memory.
    """
    for _ in range(_READINGS):
        exiting_count = 0
        threads = _threads(pid, processes)
        for thread in threads:
            size_bytes = _memory_shown(thread, processes, exact=exact)
            if size_bytes is not None:
                return size_bytes
            fields = _read(f"{thread}/stat", processes).rpartition(b")")[2].split()
            exiting_count += len(fields) > 6 and int(fields[6]) & _EXITING != 0
        if exiting_count == len(threads):
            return 0
    return most_bytes


def _memory_shown(thread: str, processes: int, *, exact: bool) -> int | None:
    """Return the memory of a thread's process as the thread shows it, or None if it shows none.

    `exact` is slower: the kernel walks every page. Of a program that nobody may read all pages count in full.
    """
    resident = _RESIDENT
    text = _read(f"{thread}/status", processes)
    if exact:
        with suppress(PermissionError):  # then both stay as they are
            text += _read(f"{thread}/smaps_rollup", processes)
            resident = b"Pss:"
    if resident not in text:
        return None
    lines = (line for line in text.splitlines() if line.startswith((resident, *_NOT_RESIDENT)))
    return sum(int(line.split()[1]) << 10 for line in lines)


def _threads(pid: str, processes: int) -> list[str]:
    """Return the folders of a process' threads; none if it has ended."""
    try:
        folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=processes)
    except (FileNotFoundError, ProcessLookupError):
        return []
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a descriptor
    except (FileNotFoundError, ProcessLookupError):
        return []
    finally:
        os.close(folder)
    return [f"{pid}/task/{name}" for name in names]


def _read(name: str, folder: int) -> bytes:
    with (
        suppress(FileNotFoundError, ProcessLookupError),
        open(name, "rb", buffering=0, opener=partial(os.open, dir_fd=folder)) as file,
    ):
        return file.read(4096)
    return b""
