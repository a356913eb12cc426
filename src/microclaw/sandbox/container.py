"""A job in an image of Podman or Docker: for machines without bubblewrap. Both get the same words.

The engine holds it to memory and processes, without a network; its folder is one of this host, and is measured.
The image must be there already: none is fetched.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from microclaw.errors import NoSandbox
from microclaw.sandbox.bubblewrap import in_session
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

ENGINES: Final = ("podman", "docker")
PROBE_S: Final = 15.0
KILL_S: Final = 20.0
MEASURE_S: Final = 0.2
_PROXY: Final = "/run/microclaw-proxy"
_RELAY: Final = "/run/microclaw-relay.py"
_TMPFS: Final = ("/tmp", "/run", "/var/tmp")  # noqa: S108
"""Podman makes these beside a read-only root, of any size, if nobody says how large."""
_OF_ENGINE: Final = (
    *("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH"),
    *("DOCKER_TLS_VERIFY", "CONTAINER_HOST"),
)


@dataclass(slots=True)
class Container:
    """A job that runs: the engine's client, and the folder of this machine that is the job's."""

    process: subprocess.Popen[bytes]
    folder: int
    engine: str
    name: str
    place: Path
    _killing: threading.Thread | None = None
    _measured_s: float = float("-inf")
    _measured: Usage = field(default_factory=Usage)

    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def usage(self, limits: SandboxLimits) -> Usage:
        """Of its disk alone, and from time to time: it means to look at every file. The rest the engine holds."""
        if time.monotonic() - self._measured_s > MEASURE_S:
            size, files = _size_of(self.place)
            is_full = size > limits.disk_bytes
            self._measured_s, self._measured = time.monotonic(), Usage(is_full, is_full or files > MOST_FILES)
        return self._measured

    def kill(self) -> None:
        """Does not wait, and tries again where it did not help. Killing the engine's client would not kill it."""
        if not (self.is_dead() or (self._killing is not None and self._killing.is_alive())):
            self._killing = threading.Thread(target=engine_does, args=(self.engine, "kill", self.name), daemon=True)
            self._killing.start()

    def close(self) -> None:
        """Kill it if it lives, and remove what it had. Blocks."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_S)
        engine_does(self.engine, "rm", "--force", self.name)
        with self.process:  # its output is not read to its end: a process of the engine's may hold it
            self.process.kill()
        os.close(self.folder)
        # By the system's own programs: some of it may be shut, or lie too deep for shutil.
        engine_does("/bin/chmod", "-R", "u+rwx", "--", str(self.place))
        engine_does("/bin/rm", "-rf", "--", str(self.place))


@functools.cache
def container_engine(image: str) -> str:
    """The path of the first engine that runs and has the image. Raises NoSandbox."""
    found = [path for name in ENGINES if (path := shutil.which(name)) is not None]
    for path in found:
        if engine_does(path, "image", "inspect", image):
            return path
    if not found:
        raise NoSandbox("neither podman nor docker is installed", next_step="install podman or docker")
    name = Path(found[0]).name
    raise NoSandbox(f"{name} does not run, or has no image {image}", next_step=f"{name} pull {image}")


def start_container(engine: str, image: str, job: SandboxJob, folder: Path) -> Container:
    """Start it with a folder inside of `folder`, with the job's files in it. Blocks. Raises NoSandbox."""
    place = folder / "job"
    name = f"microclaw-job-{secrets.token_hex(8)}"
    words = engine_words(engine, image, name, job, place)
    try:
        place.mkdir(parents=True, mode=0o700)
        for file, content in job.files.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(content)
        user = job_user()
        if user is not None:
            for path in (place, *place.rglob("*")):
                os.chown(path, user, user)
        held = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return Container(in_session(words, engine_environment()), held, engine, name, place)
        except BaseException:
            os.close(held)
            raise
    except OSError as exc:
        raise NoSandbox(f"a container cannot be started: {exc}", next_step="microclaw doctor") from exc


def engine_words(engine: str, image: str, name: str, job: SandboxJob, place: Path) -> list[str]:
    """The command that starts the container and stays until it ends. NoSandbox for a path that no engine takes."""
    command = job.command
    most = job.limits
    seconds = int(job.limits.cpu_s) + 1
    words = ["--name", name, "--workdir", HOME, *mount(place, HOME)]
    if job.proxy_socket is not None:
        words += [*mount(job.proxy_socket, _PROXY), *mount(RELAY_SOURCE, _RELAY, read_only=True)]
        command = with_relay(job, _RELAY, _PROXY)
    words += ["--ipc", "private", "--hostname", "job", "--pids-limit", str(most.processes), "--cpus", "1"]
    words += ["--oom-score-adj", "1000"]
    words += ["--memory", str(most.memory_bytes), "--memory-swap", str(most.memory_bytes)]
    words += ["--shm-size", str(most.disk_bytes)]
    words += [word for place in _TMPFS for word in ("--tmpfs", f"{place}:rw,nosuid,nodev,size={most.disk_bytes}")]
    for kind, value in (("cpu", seconds), ("fsize", most.disk_bytes), ("nofile", 256), ("core", 0)):
        words += ["--ulimit", f"{kind}={value}:{value}"]
    return run_words(engine, image, command, environment_of(job), words, job_user())


def run_words(
    engine: str, image: str, command: Sequence[str], environment: dict[str, str], options: list[str], user: int | None
) -> list[str]:
    """The words of every container here: no network, a read-only image, no rights, and never root's user unless this
    host is. `user` None is the host's own; `options` are the engine's further words."""
    if user is None:
        ids = f"{os.getuid()}:{os.getgid()}"
    else:
        ids = f"{user}:{user}"
    words = [engine, "run", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--user", ids, *options]
    if user is None and Path(engine).name == "podman":
        words += ["--userns=keep-id"]
    words += [word for variable, value in environment.items() for word in ("--env", f"{variable}={value}")]
    return [*words, "--entrypoint", command[0], image, *command[1:]]


def mount(source: Path, target: str, *, read_only: bool = False) -> tuple[str, str]:
    """The words for it. Raises NoSandbox for a path that no engine takes."""
    if any(char in str(source) for char in ',"\n'):
        text = f"a container cannot be given {source}: its name has a comma or a quotation mark"
        raise NoSandbox(text, next_step="choose another folder for the home (--home)")
    return "--mount", f"type=bind,source={source},target={target}{',readonly' if read_only else ''}"


def engine_environment() -> dict[str, str]:
    """The part of the host's environment that an engine's client needs."""
    return {key: os.environ[key] for key in _OF_ENGINE if key in os.environ}


def engine_does(*command: str) -> bool:
    """Run an engine, or what removes its leavings: False where it fails, or does not answer in time."""
    with suppress(OSError, subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        environment = engine_environment()
        done = subprocess.run(command, env=environment, stdin=quiet, capture_output=True, timeout=PROBE_S, check=False)
        return done.returncode == 0
    return False


def _size_of(place: Path) -> tuple[int, int]:
    """Bytes on the disk and the number of names in it, counted until there are too many. What vanishes meanwhile has no
    size, and what cannot be looked at (it shuts others out, or lies below 4,096 bytes of folders) is too many names."""
    size = 0
    files = -1
    left = [place]
    while left and files <= MOST_FILES:
        path = left.pop()
        try:
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                left += path.iterdir()
            size = size + found.st_blocks * 512
            files = files + 1
        except OSError as problem:
            files += 0 if isinstance(problem, FileNotFoundError | NotADirectoryError) else MOST_FILES + 1
    return size, files
