"""Starts a compiler shut off from the machine: it reads the compiler, our headers and its own folder, and no more.

A program comes from anywhere, and `#include "/home/me/.ssh/id_rsa"` would read it into an error message. bubblewrap
gives the process namespaces of its own, without a network; where it is missing, Landlock (since Linux 5.13) gives it
the same view of the files. Both add a filter of system calls; all of them are in sandbox/. `confinement` says what
this machine has.
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
from microclaw.sandbox.bubblewrap import (
    READ_BESIDES,
    SYSTEM,
    Descriptors,
    bubblewrap,
    common_words,
    in_session,
    waiting,
)
from microclaw.sandbox.container import engine_does, engine_environment, mount, run_words
from microclaw.sandbox.landlock import landlock_version, landlock_words
from microclaw.sandbox.seccomp import program_filter

Confinement: TypeAlias = Literal["bubblewrap", "landlock", "none"]
CPU_LIMIT_S: Final = 20
ADDRESS_LIMIT_BYTES: Final = 4 << 30  # LLVM maps far more than it uses
MEMORY_LIMIT_BYTES: Final = 512 << 20  # private and writable; ordinary programs need up to 60 MB, also in C++
FILE_LIMIT_BYTES: Final = 16 << 20
IN_IMAGE: Final = "microclaw-in-image"
"""The second word of a compiler in an image: engine, this, image, the compiler in it, its options."""
CONTAINER_MEMORY: Final = "2g"
CONTAINER_PROCESSES: Final = 64
_NEXT_STEP: Final = "apt-get install bubblewrap"
BUBBLEWRAP_S: Final = 10.0
_SHARED: Final = tuple(Path(path) for path in ("/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 - never read whole


class ConfinedProcess(Struct, frozen=True):
    """A compiler, which leads a process group that its children cannot leave."""

    process: subprocess.Popen[bytes]
    kill_container: Sequence[str] = ()
    """The command that does; killing the engine's client does not."""

    def kill(self) -> None:
        """Kill the compiler and every child; `end` must not have been called, or the number might be another's."""
        if self.kill_container and self.process.poll() is None:
            engine_does(*self.kill_container)  # what is left of it ends by its limit of time
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Wait for a compiler that was killed or closed its output, after killing what it left behind."""
        self.kill()
        self.process.wait()


@functools.cache
def confinement() -> Confinement:
    """The confinement of compilers here; found by trying it once."""
    if _bubblewrap_works():
        return "bubblewrap"
    return "landlock" if landlock_version() > 0 else "none"


def confinement_findings() -> Iterator[Finding]:
    """Report how compilers and speech engines are shut off from this machine."""
    how = confinement()
    if how == "none":
        text = "nothing shuts compilers and speech engines off from this machine: neither bubblewrap nor Landlock"
        yield problem("sandbox", text, _NEXT_STEP)
    elif how == "landlock":
        text = "compilers and speech engines run in Landlock, which hides less of this machine than bubblewrap would"
        yield warning("sandbox", text, _NEXT_STEP)
    else:
        yield Finding("sandbox", True, "compilers and speech engines run in bubblewrap")


def start_confined(command: Sequence[str], directory: Path) -> ConfinedProcess:
    """Start it in a process group of its own, with `directory` to write in; output and errors are one pipe.

    Its limits are set before the compiler runs where bubblewrap starts it, else at once after its start. One in an
    image has the engine's limits. It has nothing of the host's environment; its caches stay in the directory.
    """
    if len(command) > 3 and command[1] == IN_IMAGE:
        words, kill = container_command(command, directory)
        return ConfinedProcess(in_session(words, engine_environment(), cwd=directory), kill)
    places = ("HOME", "TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    fixed = {"PATH": "", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0", "BINARYEN_CORES": "1"}
    environment = {**dict.fromkeys(places, str(directory)), **fixed}
    how = confinement()
    if how == "bubblewrap":
        return ConfinedProcess(_start_in_bubblewrap(command, directory, environment))
    if how == "landlock":
        reads = [*SYSTEM, *READ_BESIDES, *readable(command, directory)]
        command = landlock_words(command, reads, directory, program_filter(platform.machine()))
    process = in_session(command, environment, cwd=directory)
    _limit(process.pid)
    return ConfinedProcess(process)


def container_command(command: Sequence[str], directory: Path) -> tuple[list[str], tuple[str, ...]]:
    """The words that run it in its image, and those that end it. Raises NoSandbox for a path that no engine takes.

    It sees the image, read-only, the directory, and what the command names by absolute path.
    """
    engine, _, image, *inside = command
    name = f"microclaw-{secrets.token_hex(8)}"
    paths = {Path(word) for word in inside[1:] if word.startswith("/")}
    found = sorted(path for path in paths if path.exists() and not path.is_relative_to(directory))
    outermost = (path for path in found if not any(one in path.parents for one in found))
    environment = {"LC_ALL": "C", "HOME": str(directory), "TMPDIR": str(directory)}
    options = ["--rm", "--name", name, "--workdir", str(directory), "--pids-limit", str(CONTAINER_PROCESSES)]
    options += ["--memory", CONTAINER_MEMORY, *mount(directory, str(directory))]
    for kind, most in (("cpu", CPU_LIMIT_S), ("fsize", FILE_LIMIT_BYTES), ("core", 0)):
        options += ["--ulimit", f"{kind}={most}:{most}"]
    for path in outermost:
        options += mount(path, str(path), read_only=True)
    return run_words(engine, image, inside, environment=environment, options=options, user=None), (engine, "kill", name)


def readable(command: Sequence[str], directory: Path) -> Iterator[Path]:
    """Yield the absolute paths in the command outside of the system's folders and `directory`.

    Of the compiler its folder, too, where its own headers lie, but not one that holds a person's or others' files.
    """
    for number, word in enumerate(command):
        if not word.startswith("/") or not (path := Path(word)).exists():
            continue
        files = (path, path.resolve()) if number == 0 else (path,)
        for file in files:
            place = file.parent if number == 0 and not holds_others_files(file.parent) else file
            if not any(place.is_relative_to(one) for one in (*SYSTEM, directory)):
                yield place


def holds_others_files(folder: Path) -> bool:
    """True if it is a folder for everybody, the home folder, or above one of them."""
    home = Path("~").expanduser()
    temporary = Path(tempfile.gettempdir())
    shared = (home, home.resolve(), temporary, temporary.resolve(), *_SHARED)
    return any(place.is_relative_to(folder) for place in shared)


def _limit(pid: int) -> None:
    """Set from outside, because a function run between fork and exec would cost Popen its fast path."""
    if not hasattr(resource, "prlimit"):
        return
    with suppress(ProcessLookupError):
        for kind, limit in (
            (resource.RLIMIT_CPU, CPU_LIMIT_S),
            (resource.RLIMIT_AS, ADDRESS_LIMIT_BYTES),
            (resource.RLIMIT_DATA, MEMORY_LIMIT_BYTES),  # since Linux 4.7 also of what is mapped: mmap(2), setrlimit(2)
            (resource.RLIMIT_FSIZE, FILE_LIMIT_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.prlimit(pid, kind, (limit, limit))


def _start_in_bubblewrap(
    command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    words = [*common_words(), "--tmpfs", "/tmp"]  # noqa: S108 - its own, and empty
    for path in dict.fromkeys(readable(command, directory)):
        words += ["--ro-bind", str(path), str(path)]
    words += ["--bind", str(directory), str(directory), "--chdir", str(directory)]
    with Descriptors() as opened:
        filtered = program_filter(platform.machine())
        with waiting(words, command, filtered, opened, environment=environment, cwd=directory) as (process, pid):
            _limit(pid)
        return process


def _bubblewrap_works() -> bool:
    """A kernel may forbid namespaces to who is not root, and a container to everybody."""
    if bubblewrap() is None or not hasattr(os, "memfd_create"):
        return False
    here = Path("/usr/bin")
    try:
        process = _start_in_bubblewrap(["/usr/bin/true"], here, {})
        with process:
            return process.wait(BUBBLEWRAP_S) == 0
    except (OSError, NoSandbox, subprocess.TimeoutExpired):
        return False
