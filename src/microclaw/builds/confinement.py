"""Starts a compiler shut off from the machine: it reads the compiler, our headers and its own folder, and no more.

A program comes from anywhere, and `#include "/home/me/.ssh/id_rsa"` would read it into an error message. bubblewrap
gives the process namespaces of its own, without a network; where it is missing, Landlock (since Linux 5.13) gives it
the same view of the files. Both add a filter of system calls (seccomp.py). `confinement` says what this machine has.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from microclaw.builds.container import ContainerCommand, container_command, is_container
from microclaw.sandbox.seccomp import compiler_filter

Confinement: TypeAlias = Literal["bubblewrap", "landlock", "none"]
Limit: TypeAlias = Callable[[int], None]
"""Sets the limits of a process that has not begun yet."""
SYSTEM: Final = tuple(Path(f"/{name}") for name in ("usr", "lib", "lib32", "lib64", "bin"))
READ_BESIDES: Final = (Path("/etc/ld.so.cache"), Path("/etc/alternatives"))
DEVICES: Final = (Path("/dev/null"), Path("/dev/zero"), Path("/dev/urandom"), Path("/dev/random"))
NEXT_STEP: Final = "apt-get install bubblewrap"
PROBE_S: Final = 10.0
START_S: Final = 5.0


_SHARED: Final = tuple(Path(path) for path in ("/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 - never read whole


@dataclass(frozen=True, slots=True)
class ConfinedProcess:
    """A compiler and the process group that its children cannot leave; `leader` keeps that group's number taken."""

    process: subprocess.Popen[bytes]
    leader: subprocess.Popen[bytes]
    container: ContainerCommand | None = None

    def kill(self) -> None:
        """Kill the compiler and every child; `end` must not have been called, or the number might be another's."""
        if self.container is not None and self.process.poll() is None:
            with suppress(OSError, subprocess.TimeoutExpired):  # what is left of it ends by its limit of time
                environment, quiet = self.container.environment, subprocess.DEVNULL
                subprocess.run(
                    self.container.kill, env=environment, stdout=quiet, stderr=quiet, timeout=PROBE_S, check=False
                )
        with suppress(ProcessLookupError):
            os.killpg(self.leader.pid, signal.SIGKILL)

    def end(self) -> None:
        """Wait for a compiler that was killed or closed its output, after killing what it left behind."""
        self.kill()
        self.process.wait()
        self.leader.wait()


@functools.cache
def confinement() -> Confinement:
    """How compilers are shut off here; found by trying it once."""
    if _bubblewrap_works():
        return "bubblewrap"
    return "landlock" if _landlock_version() > 0 else "none"


def start_confined(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], limit: Limit
) -> ConfinedProcess:
    """Start it in a process group of its own, with `directory` to write in; output and errors are one pipe.

    `limit` is called with the number of the process that the limits are for, before the compiler runs where
    bubblewrap starts it, else at once after its start. One in an image has the engine's limits.
    """
    if is_container(command):
        there = container_command(command, directory)
        client = _popen(there.words, directory, there.environment)
        return ConfinedProcess(client, client, there)
    how = confinement()
    if how == "bubblewrap":
        process = _start_in_bubblewrap(command, directory, environment, limit)
        return ConfinedProcess(process, process)
    if how == "landlock":
        rules = _landlock_rules(command, directory)
        leader = _group_leader()
        try:
            with ThreadPoolExecutor(1, "start a compiler") as once:  # its thread keeps the rules, and ends
                process = once.submit(_start_in_landlock, rules, command, directory, environment, leader.pid).result()
        except BaseException:
            leader.wait()
            raise
    else:
        process = leader = _popen(command, directory, environment)
    limit(process.pid)
    return ConfinedProcess(process, leader)


def readable(command: Sequence[str], directory: Path) -> Iterator[Path]:
    """What the command names by absolute path outside of the system's folders and `directory`.

    Of the compiler its folder, too, where its own headers lie, but not one that holds a person's or others' files.
    """
    for number, word in enumerate(command):
        path = Path(word)
        if not path.is_absolute() or not path.exists():
            continue
        files = (path, path.resolve()) if number == 0 else (path,)
        for file in files:
            place = file.parent if number == 0 and not _holds_others_files(file.parent) else file
            if not any(place.is_relative_to(one) for one in (*SYSTEM, directory)):
                yield place


def _holds_others_files(folder: Path) -> bool:
    """Whether it is a folder for everybody, the home folder, or above one of them."""
    home, temporary = Path("~").expanduser(), Path(tempfile.gettempdir())
    shared = (home, home.resolve(), temporary, temporary.resolve(), *_SHARED)
    return any(place.is_relative_to(folder) for place in shared)


def _popen(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    group: int | None = None,
) -> subprocess.Popen[bytes]:
    """In a session of its own, or in the process group `group` of the host's session."""
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=group is None,
        process_group=group,
        pass_fds=pass_fds,
    )


# bubblewrap


def _start_in_bubblewrap(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], limit: Limit
) -> subprocess.Popen[bytes]:
    with ExitStack() as opened:

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            for end in ends:
                opened.callback(os.close, end)
            return ends

        (told, tells), (waits, goes_on) = pipe(), pipe()
        words = [*_bubblewrap_words(command, directory), "--info-fd", str(tells), "--block-fd", str(waits)]
        fds = [tells, waits]
        if (filtered := compiler_filter(platform.machine())) is not None:
            held = os.memfd_create("seccomp")
            opened.callback(os.close, held)
            os.write(held, filtered)
            os.lseek(held, 0, os.SEEK_SET)
            words += ["--seccomp", str(held)]
            fds.append(held)
        process = _popen([*words, "--", *command], directory, environment, fds)
        limit(_process_inside(told, process))
        os.write(goes_on, b"\0")
        return process


def _process_inside(told: int, process: subprocess.Popen[bytes]) -> int:
    """The number of the process that waits inside; bubblewrap's own where that could not be made."""
    data = b""
    while b"}" not in data and select.select([told], [], [], START_S)[0]:
        data += os.read(told, 1024)
        if process.poll() is not None:
            break
    found = re.search(rb'"child-pid": (\d+)', data)
    return process.pid if found is None else int(found[1])


def _bubblewrap_words(command: Sequence[str], directory: Path) -> list[str]:
    words = [_bubblewrap() or "bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    for path in SYSTEM:
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for path in READ_BESIDES:
        words += ["--ro-bind-try", str(path), str(path)]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - its own, and empty
    for path in dict.fromkeys(readable(command, directory)):
        words += ["--ro-bind", str(path), str(path)]
    return [*words, "--bind", str(directory), str(directory), "--chdir", str(directory)]


@functools.cache
def _bubblewrap() -> str | None:
    """Looked for once: what this machine has does not change with somebody's PATH."""
    return shutil.which("bwrap")


def _bubblewrap_works() -> bool:
    """A kernel may forbid namespaces to who is not root, and a container to everybody."""
    if _bubblewrap() is None or not hasattr(os, "memfd_create"):
        return False
    here = Path("/usr/bin")
    try:
        process = _start_in_bubblewrap(["/usr/bin/true"], here, {}, lambda _pid: None)
        with process:
            return process.wait(PROBE_S) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# Landlock: linux/landlock.h; the calls have the same numbers on every architecture

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_FILES: Final = (1 << 13) - 1
_SINCE: Final = ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # refer, truncate, ioctl of devices
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_NETWORK: Final = 0b11  # TCP: bind, connect
_SCOPES: Final = 0b11  # abstract sockets and signals
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


def _landlock_version() -> int:
    """0 where the kernel has none, or it is switched off."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, 0, _VERSION_FLAG)))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _landlock_rules(command: Sequence[str], directory: Path) -> list[tuple[Path, int]]:
    files = _ALL_FILES
    for version, bit in _SINCE:
        files |= bit if _landlock_version() >= version else 0
    read = [*SYSTEM, *READ_BESIDES, *readable(command, directory)]  # not /proc: others' environments are in it
    rules = [(path, _READ) for path in read] + [(path, _READ_FILE | _WRITE_FILE) for path in DEVICES]
    return [(directory, files), *((path, allowed) for path, allowed in rules if path.exists())]


def _start_in_landlock(
    rules: Sequence[tuple[Path, int]],
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    group: int,
) -> subprocess.Popen[bytes]:
    """The rules are this thread's for ever, and of what it starts."""
    handled = rules[0][1]
    version = _landlock_version()
    fields = struct.pack("=Q", handled)
    fields += struct.pack("=Q", _NETWORK) if version >= 4 else b""
    fields += struct.pack("=Q", _SCOPES) if version >= 6 else b""
    ruleset = _called(_libc().syscall(_CREATE, fields, len(fields), 0))
    try:
        for path, allowed in rules:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                of_a_file = allowed if path.is_dir() else allowed & (_EXECUTE | _READ_FILE | _WRITE_FILE)
                rule = struct.pack("=Qi", of_a_file, place)
                _called(_libc().syscall(_ADD, ruleset, _PATH_BENEATH, rule, 0))
            finally:
                os.close(place)
        _called(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _called(_libc().syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    _filter_calls(group)
    return _popen(command, directory, environment, group=group)


def _group_leader() -> subprocess.Popen[bytes]:
    """A process group made before the filter forbids to make one: of a process that ends, and is not waited for yet.

    A compiler in a group of its own making could let its children make theirs, and they would live on.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", ":"],
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_calls(group: int) -> None:
    filtered = compiler_filter(platform.machine(), group)
    if filtered is not None:
        program = _Program(len(filtered) // 8, filtered)
        _called(_libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
