"""Starts a compiler shut off from the machine: it can read only the compiler, our headers and its own folder.

A program comes from anywhere, and `#include "/home/me/.ssh/id_rsa"` would read it into an error message. bubblewrap
gives the process namespaces of its own, without a network; if it is missing, Landlock (since Linux 5.13) gives it the
same view of the files. Both add a filter of system calls; all of them are in sandbox/.
`detect_confinement` returns the way of this machine.
"""

from __future__ import annotations

import functools
import os
import platform
import resource
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import NoSandbox
from microclaw.findings import Finding, problem, warning
from microclaw.host.sandbox.bubblewrap import (
    READ_BESIDES,
    SYSTEM,
    Descriptors,
    bubblewrap,
    common_words,
    in_session,
    waiting,
)
from microclaw.host.sandbox.container import engine_environment, mount, run_engine, run_words
from microclaw.host.sandbox.landlock import landlock_version, landlock_words
from microclaw.host.sandbox.seccomp import program_filter

Confinement: TypeAlias = Literal["bubblewrap", "landlock", "none"]
CPU_LIMIT_S: Final = 20
# LLVM maps far more than it uses.
ADDRESS_LIMIT_BYTES: Final = 4 << 30
# Private, writable memory; ordinary programs need up to 60 MB, also in C++.
MEMORY_LIMIT_BYTES: Final = 512 << 20
FILE_LIMIT_BYTES: Final = 16 << 20
IN_IMAGE: Final = "microclaw-in-image"
"""The second word of a compiler in an image: engine, this, image, the compiler in it, its options."""
CONTAINER_MEMORY: Final = "2g"
CONTAINER_PROCESSES: Final = 64
_NEXT_STEP: Final = "apt-get install bubblewrap"
BUBBLEWRAP_S: Final = 60.0
_SHARED: Final = tuple(Path(path) for path in ("/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 - never read whole


class ConfinedProcess(Struct, frozen=True):
    """A compiler, which leads a process group that its children cannot leave."""

    process: subprocess.Popen[bytes]
    kill_container: Sequence[str] = ()
    """The command that kills its container; killing the engine's client does not."""

    def kill(self) -> None:
        """Kill the compiler and every child. Must not be called after `end`: the process id may be another's then."""
        if self.kill_container and self.process.poll() is None:
            # If this fails, the container ends by its own time limit.
            run_engine(*self.kill_container)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the compiler's remaining children, and wait for a compiler that was killed or closed its output."""
        self.kill()
        self.process.wait()


@functools.cache
def detect_confinement() -> Confinement:
    """Return the confinement of compilers on this machine, found by trying it once."""
    if _bubblewrap_works():
        return "bubblewrap"
    if landlock_version() > 0:
        return "landlock"
    return "none"


def confinement_findings() -> Iterator[Finding]:
    """Report how compilers and speech engines are shut off from this machine."""
    method = detect_confinement()
    if method == "none":
        text = "nothing shuts compilers and speech engines off from this machine: neither bubblewrap nor Landlock"
        yield problem("sandbox", text, _NEXT_STEP)
    elif method == "landlock":
        text = "compilers and speech engines run in Landlock, which hides less of this machine than bubblewrap would"
        yield warning("sandbox", text, _NEXT_STEP)
    else:
        yield Finding("sandbox", ok=True, text="compilers and speech engines run in bubblewrap")


def start_confined(command: Sequence[str], directory: Path) -> ConfinedProcess:
    """Start a command in a process group of its own, which may write to `directory`; output and errors are one pipe.

    bubblewrap sets its limits before the compiler runs; otherwise they are set directly after its start. A compiler in
    an image has the engine's limits. It gets nothing of the host's environment; its caches stay in the directory.
    """
    if len(command) > 3 and command[1] == IN_IMAGE:
        words, kill = container_command(command, directory)
        return ConfinedProcess(in_session(words, engine_environment(), cwd=directory), kill)
    folder_variables = ("HOME", "TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    constants = {"PATH": "", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0", "BINARYEN_CORES": "1"}
    environment = {**dict.fromkeys(folder_variables, str(directory)), **constants}
    method = detect_confinement()
    if method == "bubblewrap":
        return ConfinedProcess(_start_in_bubblewrap(command, directory, environment))
    if method == "landlock":
        paths = [*SYSTEM, *READ_BESIDES, *readable_paths(command, directory)]
        command = landlock_words(command, paths, directory, program_filter(platform.machine()))
    process = in_session(command, environment, cwd=directory)
    _limit(process.pid)
    return ConfinedProcess(process)


def container_command(command: Sequence[str], directory: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the words that run a command in its image, and the words that kill the container.

    It sees the image, read-only, the directory, and the files that the command names by absolute path. Raises NoSandbox
    for a path that no engine takes.
    """
    engine, _, image, *inside = command
    name = f"microclaw-{secrets.token_hex(8)}"
    environment = {"LC_ALL": "C", "HOME": str(directory), "TMPDIR": str(directory)}
    options = ["--rm", "--name", name, "--workdir", str(directory), "--pids-limit", str(CONTAINER_PROCESSES)]
    options += ["--memory", CONTAINER_MEMORY, *mount(directory, str(directory))]
    for kind, limit in (("cpu", CPU_LIMIT_S), ("fsize", FILE_LIMIT_BYTES), ("core", 0)):
        options += ["--ulimit", f"{kind}={limit}:{limit}"]
    for path in _outermost_paths(inside[1:], directory):
        options += mount(path, str(path), read_only=True)
    return run_words(engine, image, inside, environment=environment, options=options, user=None), (engine, "kill", name)


def _outermost_paths(words: Sequence[str], directory: Path) -> list[Path]:
    """Return the sorted absolute paths that exist outside of `directory`, without paths below another one of them."""
    candidates = {Path(word) for word in words if word.startswith("/")}
    paths = sorted(path for path in candidates if path.exists() and not path.is_relative_to(directory))
    return [path for path in paths if set(paths).isdisjoint(path.parents)]


def readable_paths(command: Sequence[str], directory: Path) -> Iterator[Path]:
    """Yield the absolute paths in the command outside of the system's folders and `directory`.

    For the compiler that is its folder, which has its own headers, unless the folder has files of other people.
    """
    for index, word in enumerate(command):
        path = Path(word)
        if not word.startswith("/") or not path.exists():
            continue
        is_compiler = index == 0
        files = (path, path.resolve()) if is_compiler else (path,)
        for file in files:
            target = file
            if is_compiler and not holds_others_files(file.parent):
                target = file.parent
            if not any(target.is_relative_to(folder) for folder in (*SYSTEM, directory)):
                yield target


def holds_others_files(folder: Path) -> bool:
    """Return True for a folder that all users share, for the home folder, and for a folder above one of them."""
    home = Path("~").expanduser()
    temporary = Path(tempfile.gettempdir())
    shared = (home, home.resolve(), temporary, temporary.resolve(), *_SHARED)
    return any(path.is_relative_to(folder) for path in shared)


def _limit(pid: int) -> None:
    """Set a process's limits from outside: a function between fork and exec would cost Popen its fast path."""
    if not hasattr(resource, "prlimit"):
        return
    limits = (
        (resource.RLIMIT_CPU, CPU_LIMIT_S),
        (resource.RLIMIT_AS, ADDRESS_LIMIT_BYTES),
        # Since Linux 4.7 this limits private mappings, too: mmap(2), setrlimit(2).
        (resource.RLIMIT_DATA, MEMORY_LIMIT_BYTES),
        (resource.RLIMIT_FSIZE, FILE_LIMIT_BYTES),
        (resource.RLIMIT_CORE, 0),
    )
    with suppress(ProcessLookupError):
        for kind, limit in limits:
            resource.prlimit(pid, kind, (limit, limit))


def _start_in_bubblewrap(
    command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # This /tmp is the namespace's own, and empty.
    words = [*common_words(), "--tmpfs", "/tmp"]  # noqa: S108
    for path in dict.fromkeys(readable_paths(command, directory)):
        words += ["--ro-bind", str(path), str(path)]
    words += ["--bind", str(directory), str(directory), "--chdir", str(directory)]
    with Descriptors() as descriptors:
        system_calls = program_filter(platform.machine())
        with waiting(words, command, system_calls, descriptors, environment=environment, cwd=directory) as (
            process,
            pid,
        ):
            _limit(pid)
        return process


def _bubblewrap_works() -> bool:
    """Return True if bubblewrap runs here: a kernel may forbid namespaces to users, and a container to all."""
    if bubblewrap() is None or not hasattr(os, "memfd_create"):
        return False
    folder = Path("/usr/bin")
    try:
        process = _start_in_bubblewrap(["/usr/bin/true"], folder, {})
        with process:
            return process.wait(BUBBLEWRAP_S) == 0
    except (OSError, NoSandbox, subprocess.TimeoutExpired):
        return False
