"""A compiler in an image of Docker or Podman: how it is started there, shut off as the others are. Starts nothing.

Its process sees the image, read-only, the folder of the build, and what the command names by absolute path; it has no
network, no rights, and limits. The engine's client runs beside, with what it needs of the environment.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.sandbox.container import engine_environment, mount

IN_IMAGE: Final = "microclaw-in-image"
"""The second word of such a command: engine, this, image, the compiler in it, its options."""
MEMORY: Final = "2g"
PROCESSES: Final = 64
CPU_S: Final = 20
_FILE_BYTES: Final = 16 << 20


class ContainerCommand(Struct, frozen=True):
    """`words` start the container and wait for it; `kill` ends it, which killing the engine's client does not."""

    words: tuple[str, ...]
    kill: tuple[str, ...]
    environment: Mapping[str, str]


def is_container(command: Sequence[str]) -> bool:
    return len(command) > 3 and command[1] == IN_IMAGE


def container_command(command: Sequence[str], directory: Path) -> ContainerCommand:
    """The command that runs one of that form in its image. Raises NoSandbox for a path that no engine takes."""
    engine, _, image, binary, *arguments = command
    name = f"microclaw-{secrets.token_hex(8)}"
    podman = ("--userns=keep-id",) if Path(engine).name == "podman" else ()
    named = (mount(path, str(path), read_only=True) for path in _named(arguments, directory))
    mounts = [mount(directory, str(directory)), *named]
    words = (
        *(engine, "run", "--rm", "--name", name, "--pull", "never"),
        *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--pids-limit", str(PROCESSES), "--memory", MEMORY, "--ulimit", f"cpu={CPU_S}:{CPU_S}"),
        *("--ulimit", f"fsize={_FILE_BYTES}:{_FILE_BYTES}", "--ulimit", "core=0:0"),
        *("--user", f"{os.getuid()}:{os.getgid()}", *podman),
        *(word for mount in mounts for word in ("--mount", mount)),
        *("--workdir", str(directory), "--env", "LC_ALL=C"),
        *("--env", f"HOME={directory}", "--env", f"TMPDIR={directory}"),
        *("--entrypoint", binary, image, *arguments),
    )
    return ContainerCommand(words, (engine, "kill", name), engine_environment())


def _named(arguments: Sequence[str], directory: Path) -> Iterator[Path]:
    """The files and folders that the options name by absolute path, those inside of another one left out."""
    paths = {Path(word) for word in arguments if word.startswith("/")}
    found = sorted(path for path in paths if path.exists() and not path.is_relative_to(directory))
    kept: list[Path] = []
    for path in found:
        if not any(path.is_relative_to(one) for one in kept):
            kept.append(path)
    yield from kept
