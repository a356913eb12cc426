"""Starts a process of a speech engine in the sandbox: no network, the system and its own files to read, limits.

In bubblewrap, else by Landlock; with neither it runs as before, and `microclaw doctor` says so. Engines read text of
strangers and audio of whoever speaks.
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

from microclaw.builds.confinement import confinement, holds_others_files
from microclaw.errors import VoiceError
from microclaw.readiness import is_readable
from microclaw.sandbox.bubblewrap import (
    READ_BESIDES,
    SYSTEM,
    Descriptors,
    common_words,
    read_number,
    waiting_command,
)
from microclaw.sandbox.landlock import landlock_words
from microclaw.sandbox.seccomp import program_filter

MEMORY_BYTES: Final = 1 << 30
FILE_BYTES: Final = 16 << 20
OPEN_FILES: Final = 256
PROCESSOR_S: Final = 120
"""Of one that speaks one sentence: 20 s, on several cores."""
LEFT_OPEN_S: Final = 1.0
_log = logging.getLogger(__name__)
_PROCESSORS: Final = Path("/sys/devices/system/cpu")
"""How many there are and what they can do: read by libraries of neural networks."""
_STORES: Final = (Path("/nix/store"), Path("/gnu/store"), Path("/home/linuxbrew/.linuxbrew"))
"""Programs there have their libraries in other folders of the same store."""
_BESIDES: Final = ("lib", "lib64", "pyvenv.cfg")


class EngineNeeds(Struct, frozen=True):
    """The files that an engine's process may read beside the system and its own program, and its limits.

    It writes nowhere; in bubblewrap it has a /tmp of its own in memory.
    """

    readable: Sequence[Path] = ()
    memory_bytes: int = MEMORY_BYTES
    file_bytes: int | None = None
    """Without a sandbox only what is given: audio libraries of an engine may take much shared memory there."""
    processor_s: int | None = None


@dataclass(slots=True)
class StartedEngine:
    """Its process, or bubblewrap around it; `inside` is then a pidfd of the process with which all inside ends."""

    process: asyncio.subprocess.Process
    inside: int | None = None

    def kill(self) -> None:
        """With what it started."""
        if self.inside is not None:  # bubblewrap's own end reaches it only after it has begun
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.inside, signal.SIGKILL)
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it and wait until nothing inside lives. Its pipes are read to their end, which closes them."""
        self.kill()
        with contextlib.suppress(TimeoutError):  # somebody who left its group holds a pipe open
            async with asyncio.timeout(LEFT_OPEN_S):
                await self.process.communicate()
        await self.process.wait()
        inside = self.inside
        self.inside = None
        if inside is not None:
            try:
                if not await asyncio.to_thread(is_readable, inside, LEFT_OPEN_S):
                    _log.warning("a process of a speech engine lives on after its kill")
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
    """Start it in a session of its own, with pipes for input and output. A start that is cancelled leaves no process.

    Raises OSError or ValueError where the command cannot be started, VoiceError where its sandbox cannot.
    """
    starting = asyncio.ensure_future(_started(command, needs, dict(environment), pass_fds, stderr))
    try:
        return await asyncio.shield(starting)  # a start that is cut off half-way would leave its pipes open
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError, VoiceError):
            await (await starting).end()
        raise


async def _started(
    command: Sequence[str], needs: EngineNeeds, environment: dict[str, str], pass_fds: Sequence[int], stderr: int
) -> StartedEngine:
    how = await asyncio.to_thread(confinement)
    words: Sequence[str] = [_program(command[0], environment), *command[1:]]
    readable = list(dict.fromkeys([*installation(Path(words[0])), *needs.readable, _PROCESSORS, *_STORES]))
    filtered = program_filter(platform.machine())
    control: socket.socket | None = None
    with Descriptors() as opened:
        if how == "bubblewrap":
            environment |= {"HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108 - its own, and empty
            words, control = waiting_command(_view(readable, needs), words, filtered, opened)
        elif how == "landlock":
            words = landlock_words(words, [*SYSTEM, *READ_BESIDES, *readable], None, filtered)
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
            pid = process.pid
            if control is not None:
                inside = await asyncio.to_thread(read_number, control)
                if inside is None:
                    raise VoiceError("bubblewrap cannot make a sandbox here", next_step="microclaw doctor")
                pid = inside
                engine.inside = os.pidfd_open(inside)
            _limit(pid, needs, is_shut_off=how != "none")
            if control is not None:
                control.send(b"\0")
        except BaseException:
            await engine.end()
            raise
        finally:
            if control is not None:
                control.close()
    return engine


def _program(name: str, environment: Mapping[str, str]) -> str:
    found = shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return os.path.abspath(found)  # noqa: PTH100 - pathlib's follows no `..`


def installation(program: Path) -> Iterator[Path]:
    """Yield the folders of a program and its libraries, outside of the system's folders; of each link to it, too."""
    for place in _links(program):
        folder = place.parent
        if any(place.is_relative_to(one) for one in (*SYSTEM, *_STORES)):
            continue
        if folder.name == "bin":
            yield folder
            yield from (there for name in _BESIDES if (there := folder.parent / name).exists())
        else:
            yield place if holds_others_files(folder) else folder


def _links(program: Path) -> Iterator[Path]:
    """The path and, of links, each that it leads to."""
    for _ in range(40):  # as many as the kernel follows
        yield program
        if not program.is_symlink():
            break
        program = program.parent / program.readlink()
    yield program.resolve()


def _view(readable: Sequence[Path], needs: EngineNeeds) -> list[str]:
    """The words for bubblewrap of what the engine sees."""
    words = [*common_words(), "--size", str(needs.file_bytes or FILE_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - its own, and empty
    for path in readable:
        words += ["--ro-bind-try", str(path), str(path)]
    return [*words, "--chdir", "/"]


def _limit(pid: int, needs: EngineNeeds, *, is_shut_off: bool) -> None:
    """Set from outside: before the engine begins in bubblewrap, at once after the start elsewhere."""
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
