"""Starts a process of a speech engine in the sandbox: no network, the system and its own files to read, limits.

It uses bubblewrap, else Landlock. With neither the process runs without a sandbox, and `microclaw doctor` reports it.
Engines read text of strangers and the audio of any person who speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import platform
import resource
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.errors import VoiceError
from microclaw.host.sandbox.bubblewrap import (
    READ_BESIDES,
    SYSTEM,
    Descriptors,
    common_words,
    read_pid,
    waiting_command,
)
from microclaw.host.sandbox.landlock import landlock_words
from microclaw.host.sandbox.seccomp import program_filter
from microclaw.programs.builds.confinement import detect_confinement, holds_others_files
from microclaw.readiness import is_readable

MEMORY_BYTES: Final = 1 << 30
FILE_BYTES: Final = 16 << 20
OPEN_FILES: Final = 256
PROCESSOR_S: Final = 120
"""The limit for a program that speaks one sentence: 20 s, on several cores."""
LEFT_OPEN_S: Final = 1.0
_log = logging.getLogger(__name__)
_PROCESSORS: Final = Path("/sys/devices/system/cpu")
"""The number of processors and their features, which libraries of neural networks read."""
_STORES: Final = (Path("/nix/store"), Path("/gnu/store"), Path("/home/linuxbrew/.linuxbrew"))
"""Stores in which programs have their libraries in other folders of the same store."""
_BESIDES: Final = ("lib", "lib64", "pyvenv.cfg")


class EngineNeeds(Struct, frozen=True):
    """The files that an engine's process may read beside the system and its own program, and its limits.

    It cannot write any file; in bubblewrap it has its own /tmp in memory.
    """

    readable: Sequence[Path] = ()
    memory_bytes: int = MEMORY_BYTES
    file_bytes: int | None = None
    """None without a sandbox means no limit: an engine's audio libraries may take much shared memory there."""
    processor_s: int | None = None


@dataclass(slots=True)
class StartedEngine:
    """A process, or bubblewrap around it; then `inside` is a pidfd of the process whose end ends all others inside."""

    process: asyncio.subprocess.Process
    inside: int | None = None

    def kill(self) -> None:
        """Kill the process and all processes that it started."""
        # The end of bubblewrap itself reaches the processes inside only after they have begun.
        if self.inside is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.inside, signal.SIGKILL)
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it and wait until no process inside lives. Its pipes are read to their end, which closes them."""
        self.kill()
        # A process that has left the group may hold a pipe open.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEFT_OPEN_S):
                await self.process.communicate()
        await self.process.wait()
        inside = self.inside
        self.inside = None
        if inside is not None:
            try:
                if not await asyncio.to_thread(is_readable, inside, LEFT_OPEN_S):
                    _log.warning("a process of a speech engine still runs after its kill")
            finally:
                os.close(inside)


async def start_engine(
    command: Sequence[str],
    needs: EngineNeeds,
    environment: Mapping[str, str],
    *,
    pass_fds: Sequence[int] = (),
    stderr: int = asyncio.subprocess.DEVNULL,
) -> StartedEngine:
    """Start a command in its own session, with pipes for input and output. A cancelled start leaves no process.

    Raises OSError or ValueError if the command cannot be started, VoiceError if its sandbox cannot.
    """
    starting = asyncio.ensure_future(_start(command, needs, dict(environment), pass_fds, stderr))
    try:
        # A start that is interrupted half-way would leave its pipes open.
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError, VoiceError):
            await (await starting).end()
        raise


async def _start(
    command: Sequence[str], needs: EngineNeeds, environment: dict[str, str], pass_fds: Sequence[int], stderr: int
) -> StartedEngine:
    method = await asyncio.to_thread(detect_confinement)
    words: Sequence[str] = [_find_program(command[0], environment), *command[1:]]
    readable = list(dict.fromkeys([*installation(Path(words[0])), *needs.readable, _PROCESSORS, *_STORES]))
    syscall_filter = program_filter(platform.machine())
    control: socket.socket | None = None
    with Descriptors() as opened:
        if method == "bubblewrap":
            # The /tmp inside of bubblewrap is its own, and empty.
            environment |= {"HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108
            words, control = waiting_command(_mount_words(readable, needs), words, syscall_filter, opened)
        elif method == "landlock":
            words = landlock_words(words, [*SYSTEM, *READ_BESIDES, *readable], None, syscall_filter)
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environment,
            pass_fds=[*opened.numbers, *pass_fds],
            start_new_session=True,
        )
        engine = StartedEngine(process)
        try:
            opened.close()
            await _begin(engine, control, needs, is_shut_off=method != "none")
        except BaseException:
            await engine.end()
            raise
        finally:
            if control is not None:
                control.close()
    return engine


async def _begin(
    engine: StartedEngine, control: socket.socket | None, needs: EngineNeeds, *, is_shut_off: bool
) -> None:
    """Set the limits of a started process, and let it begin if bubblewrap waits at `control`. Raises VoiceError."""
    if control is None:
        _limit(engine.process.pid, needs, is_shut_off=is_shut_off)
        return
    pid = await asyncio.to_thread(read_pid, control)
    if pid is None:
        raise VoiceError("bubblewrap cannot make a sandbox here", next_step="microclaw doctor")
    engine.inside = os.pidfd_open(pid)
    _limit(pid, needs, is_shut_off=is_shut_off)
    control.send(b"\0")


def _find_program(name: str, environment: Mapping[str, str]) -> str:
    """Return the absolute path of a program. Raises FileNotFoundError."""
    path = shutil.which(name, path=environment.get("PATH"))
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    # The function of pathlib leaves `..` in the path.
    return os.path.abspath(path)  # noqa: PTH100


def installation(program: Path) -> Iterator[Path]:
    """Yield the folders of a program and its libraries, except the system's folders; also of each link to it."""
    for place in _links(program):
        folder = place.parent
        if any(place.is_relative_to(known_folder) for known_folder in (*SYSTEM, *_STORES)):
            continue
        if folder.name == "bin":
            yield folder
            for name in _BESIDES:
                library = folder.parent / name
                if library.exists():
                    yield library
        elif holds_others_files(folder):
            yield place
        else:
            yield folder


def _links(program: Path) -> Iterator[Path]:
    """Yield the path and, if it is a link, each path that it leads to."""
    # The kernel follows up to 40 links.
    for _ in range(40):
        yield program
        if not program.is_symlink():
            break
        program = program.parent / program.readlink()
    yield program.resolve()


def _mount_words(readable: Sequence[Path], needs: EngineNeeds) -> list[str]:
    """Return bubblewrap's arguments for the files that the engine sees."""
    # This /tmp is its own, and empty.
    words = [*common_words(), "--size", str(needs.file_bytes or FILE_BYTES), "--tmpfs", "/tmp"]  # noqa: S108
    for path in readable:
        words += ["--ro-bind-try", str(path), str(path)]
    return [*words, "--chdir", "/"]


def _limit(pid: int, needs: EngineNeeds, *, is_shut_off: bool) -> None:
    """Set the limits from outside: in bubblewrap before the engine begins, else directly after its start."""
    if not hasattr(resource, "prlimit"):
        return
    limits: list[tuple[int, int | None]] = [(resource.RLIMIT_FSIZE, needs.file_bytes)]
    if is_shut_off:
        limits = [
            (resource.RLIMIT_FSIZE, needs.file_bytes or FILE_BYTES),
            (resource.RLIMIT_DATA, needs.memory_bytes),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, needs.processor_s),
        ]
    with contextlib.suppress(ProcessLookupError):
        for kind, limit in limits:
            if limit is not None:
                resource.prlimit(pid, kind, (limit, limit))
