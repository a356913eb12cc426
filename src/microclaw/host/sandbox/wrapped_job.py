"""A job in bubblewrap: its files, its folder and its limits.

The folder of the job is a tmpfs that exists only inside; this host has a descriptor of it (/proc/PID/root), and takes
files out when all processes are dead. The use of all processes together is watched. If systemd makes a scope for the
job, the kernel enforces a bound as well, also between two checks, and counts buffers of pipes and sockets.
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
from typing import Any, Final

from msgspec import Struct

from microclaw.errors import NoSandbox
from microclaw.host.sandbox.bubblewrap import (
    LOOK_S,
    START_S,
    Descriptors,
    common_words,
    sandbox_error,
    waiting,
)
from microclaw.host.sandbox.job import (
    HOME,
    MOST_FILES,
    RELAY_SOURCE,
    JobUsage,
    SandboxJob,
    SandboxLimits,
    environment_of,
    job_user,
    with_relay,
)
from microclaw.host.sandbox.seccomp import job_filter
from microclaw.readiness import is_readable

CERTIFICATES: Final = (Path("/etc/ssl/certs"), Path("/etc/ssl/openssl.cnf"), Path("/etc/pki/tls/certs"))
USER: Final = 1000
RELAY: Final = "/run/relay.py"
UNREADABLE: Final = "/dev/zero"
"""A device that a job may not read: a shared map of it is memory that the size of no process shows."""
SETTINGS: Final = (Path("/usr/local/etc"), Path("/usr/etc"))
"""Folders with settings of this machine among the system's programs; they are empty in a job."""
SCOPE_S: Final = 10.0
_SYSTEMD_VARIABLES: Final = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_SHOW_SCOPE_LIMITS: Final = "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat memory.max pids.max"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_RESIDENT: Final = b"VmRSS:"
_NOT_RESIDENT: Final = (b"VmPTE:", b"VmSwap:", b"HugetlbPages:")
"""Lines of /proc/PID/status with memory that the resident size leaves out. Page tables can have any size."""
_EXITING: Final = 0x4
"""PF_EXITING of a thread's flags (linux/sched.h): the thread is ending; if it shows no memory, it uses none."""
_READINGS: Final = 4
_LOW_PRIORITY: Final = ("nice", "-n", "19", "choom", "-n", "1000", "--")
"""Lets other work go first, and makes the kernel kill a job's processes first if memory is short."""
_ETC: Final = {
    "passwd": f"job:x:{USER}:{USER}::{HOME}:/bin/sh\n",
    "group": f"job:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


class Wrapped(Struct):
    """A running job: bubblewrap, and descriptors of the job's parts."""

    process: subprocess.Popen[bytes]
    # A pidfd of process 1 of the job: all of its processes end with that one.
    first: int
    folder: int
    temporary: int
    shared: int
    # The job's /proc, which lists only its processes.
    processes: int
    exact_bytes: int = 0
    # Processes, their page faults and resident bytes, when `exact_bytes` was summed.
    exact_state: tuple[list[str], int, int] = ([], 0, 0)

    def is_dead(self) -> bool:
        """Return True if all of its processes are dead."""
        return is_readable(self.first, 0)

    def usage(self, limits: SandboxLimits) -> JobUsage:
        """Return the use of all processes that its /proc lists. A process that ends meanwhile is not counted. Blocks.

        A page that processes share counts for each of them; only if their sum is over the limit, it counts once. The
        folders are file systems of their own: empty files take no room there, but memory of the kernel.
        """
        pids = [name for name in os.listdir(self.processes) if name.isdigit()]  # noqa: PTH208 - a descriptor
        ticks = 0
        faults = 0
        for pid in pids:
            fields = _read(f"{pid}/stat", self.processes).rpartition(b")")[2].split()
            # utime and stime, also of children that ended.
            ticks += sum(int(field) for field in fields[11:15])
            # Minor and major faults, also of children that ended.
            faults += sum(int(field) for field in fields[7:11])
        memory = self._memory(pids, limits, exact=False)
        if memory > limits.memory_bytes:
            memory = self._shared_memory(limits, (pids, faults, memory))
        disks = [os.fstatvfs(folder) for folder in (self.folder, self.temporary, self.shared)]
        file_count = sum(disk.f_files - disk.f_ffree for disk in disks)
        return JobUsage(
            is_full=any(disk.f_bfree == 0 for disk in disks),
            is_over=file_count > MOST_FILES,
            # Process 1 is bubblewrap's own.
            processes=len(pids) - 1,
            memory_bytes=memory,
            cpu_s=ticks / _TICKS,
        )

    def _shared_memory(self, limits: SandboxLimits, state: tuple[list[str], int, int]) -> int:
        """Return the memory of all processes, with each shared page counted once.

        It is summed again only if the state changed, because the kernel walks every page of every process for it.
        """
        if state != self.exact_state:
            self.exact_bytes = self._memory(state[0], limits, exact=True)
            self.exact_state = state
        return self.exact_bytes

    def _memory(self, pids: list[str], limits: SandboxLimits, *, exact: bool) -> int:
        return sum(_memory_of(pid, self.processes, data_bytes(limits), exact=exact) for pid in pids)

    def kill(self) -> None:
        """Kill process 1, with which the kernel kills all others before that one counts as dead."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.first, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it lives, wait until it is dead, and free its resources. Blocks."""
        self.kill()
        is_readable(self.first, None)
        self.process.communicate()
        for descriptor in (self.first, self.folder, self.temporary, self.shared, self.processes):
            os.close(descriptor)


def start(job: SandboxJob) -> Wrapped:
    """Start a job with its files in its folder; its output and errors are one pipe. Blocks for some milliseconds.

    Raises NoSandbox.
    """
    user = job_user()
    machine = platform.machine()
    filtered = job_filter(machine, network=job.proxy_socket is not None)
    if filtered is None:
        step = "microclaw config set sandbox.backend container"
        raise NoSandbox(f"there is no filter of system calls for {machine}", next_step=step)
    mark = f"/run/{secrets.token_hex(8)}"
    before: list[str] = []
    environment: dict[str, str] = {}
    # Without a scope Popen changes to the job's user; with one, the words of the scope do.
    identity: dict[str, Any] = {}
    if has_scope():
        before, environment = scope_words(job.limits)
    elif user is not None:
        identity = {"user": user, "group": user, "extra_groups": []}
    before += _LOW_PRIORITY
    with Descriptors() as opened:
        words, command = _words(job, opened)
        words += ["--dir", mark]
        starting = waiting(
            words, command, filtered, opened, before=before, environment=environment, cwd="/", **identity
        )
        with starting as (process, pid):
            return _open_job(process, pid, mark)


def _open_job(process: subprocess.Popen[bytes], pid: int, mark: str) -> Wrapped:
    """Wait until the job's folders are mounted, of which `mark` is the last, and open them. Raises NoSandbox."""
    deadline = time.monotonic() + START_S
    root = Path(f"/proc/{pid}/root")
    with Descriptors() as opened:
        try:
            opened.add(os.pidfd_open(pid))
            while not (root / mark[1:]).is_dir():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise sandbox_error(process)
                time.sleep(LOOK_S)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            for name in (HOME[1:], "tmp", "dev/shm", "proc"):
                opened.add(os.open(root / name, flags))
        except OSError as problem:
            raise sandbox_error(process) from problem
        # From here on the job closes them.
        opened.pop_all()
        first, folder, temporary, shared, processes = opened.numbers
        return Wrapped(
            process,
            first=first,
            folder=folder,
            temporary=temporary,
            shared=shared,
            processes=processes,
        )


def _words(job: SandboxJob, opened: Descriptors) -> tuple[list[str], list[str]]:
    """Return bubblewrap's arguments except its last ones, and the command."""
    size = str(job.limits.disk_bytes)
    command = list(job.command)
    words = [*common_words(), "--uid", str(USER), "--gid", str(USER), "--hostname", "job"]
    words += ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108 - its own, and empty
    words += ["--size", size, "--tmpfs", HOME, "--chdir", HOME]
    for name, content in job.files.items():
        words += ["--perms", "0644", "--file", str(opened.hold(content)), f"{HOME}/{name}"]
    # Pseudo terminals belong to the whole machine.
    words += ["--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]
    words += ["--perms", "0000", "--ro-bind-data", str(opened.hold(b"")), UNREADABLE]
    for path in SETTINGS:
        if path.is_dir() and not path.is_symlink():
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
    for name, text in _ETC.items():
        words += ["--ro-bind-data", str(opened.hold(text.encode())), f"/etc/{name}"]
    if job.proxy_socket is not None:
        for path in CERTIFICATES:
            words += ["--ro-bind-try", str(path), str(path)]
        words += ["--ro-bind-data", str(opened.hold(RELAY_SOURCE.read_bytes())), RELAY]
        # By descriptor, because the job cannot see the folder of the socket.
        proxy_socket = opened.add(os.open(job.proxy_socket, os.O_PATH | os.O_CLOEXEC))
        command = with_relay(job, RELAY, str(proxy_socket))
    for name, value in environment_of(job).items():
        words += ["--setenv", name, value]
    return words, [*limit_words(job.limits), *command]


def threads_of(limits: SandboxLimits) -> int:
    """Return how many threads a job may have: two a process, and 32 for programs with many, such as node's eleven."""
    return 32 + 2 * limits.processes


def data_bytes(limits: SandboxLimits) -> int:
    """Return the most private memory that the kernel gives one process."""
    return 2 * limits.memory_bytes + (64 << 20)


def limit_words(limits: SandboxLimits) -> list[str]:
    """Return the command of util-linux that limits each process by itself; their sum is watched.

    The limit of memory counts private writable memory; the watched sum of the memory in use is reached first.
    """
    seconds = int(limits.cpu_s) + 1
    options = [
        f"--cpu={seconds}:{seconds + 1}",
        f"--data={data_bytes(limits)}",
        f"--fsize={limits.disk_bytes}",
        "--core=0",
    ]
    if _counts_per_namespace():
        options.append(f"--nproc={threads_of(limits)}")
    return ["prlimit", *options, "--memlock=0", "--msgqueue=0", "--nofile=256", "--"]


@functools.cache
def _counts_per_namespace() -> bool:
    """Return True from Linux 5.14 on, where a user's processes outside of the sandbox do not count inside."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return match is not None and (int(match[1]), int(match[2])) >= (5, 14)


def scope_limits(limits: SandboxLimits) -> tuple[int, int]:
    """Return a scope's limits of memory in bytes and of threads.

    The memory includes /job, /tmp, /dev/shm and the kernel's own for a job (stacks of threads, lists of maps, names of
    files); the threads include bubblewrap's two processes, outside and inside.
    """
    return limits.memory_bytes + 3 * limits.disk_bytes + (32 << 20), threads_of(limits) + 2


def scope_words(limits: SandboxLimits) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs another in a scope, as the job's user and without an environment.

    The second value is the part of the host's environment by which systemd-run finds this user's systemd.
    """
    user = job_user()
    memory_bytes, thread_count = scope_limits(limits)
    words = ["systemd-run"]
    if user is None:
        words.append("--user")
    words += ["--scope", "--quiet", "--collect"]
    words += ["-p", f"MemoryMax={memory_bytes}", "-p", "MemorySwapMax=0", "-p", f"TasksMax={thread_count}"]
    if user is not None:
        words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    environment = {name: os.environ[name] for name in _SYSTEMD_VARIABLES if name in os.environ}
    return [*words, "env", "-i"], environment


@functools.cache
def has_scope() -> bool:
    """Return True if systemd makes scopes with the requested limits here. It is tried once, which blocks."""
    limits = SandboxLimits()
    words, environment = scope_words(limits)
    words += ["PATH=" + os.defpath, "sh", "-c", _SHOW_SCOPE_LIMITS]
    try:
        finished = subprocess.run(words, env=environment, capture_output=True, timeout=SCOPE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.stdout.decode().split() == [str(limit) for limit in scope_limits(limits)]


def _memory_of(pid: str, processes: int, most_bytes: int, *, exact: bool) -> int:
    """Return the memory of a process, or `most_bytes` if its threads kept ending while they were read.

    A first thread that has ended shows no size, while the other threads still use all the memory.
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

    With `exact` a shared page counts in part, which is slower: the kernel walks every page. The pages of a program
    that may not be read always count in full.
    """
    resident = _RESIDENT
    text = _read(f"{thread}/status", processes)
    if exact:
        # Without the permission both stay as they are.
        with suppress(PermissionError):
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
