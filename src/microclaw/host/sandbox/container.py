"""A job in an image of Podman or Docker, for machines without bubblewrap. Both get the same arguments.

The engine limits memory and processes and gives no network; the job's folder is on this host, and its size is measured.
The image has to be there already: none is downloaded.
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
from microclaw.host.sandbox.bubblewrap import in_session
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

ENGINES: Final = ("podman", "docker")
PROBE_S: Final = 15.0
KILL_S: Final = 20.0
MEASURE_S: Final = 0.2
_PROXY: Final = "/run/microclaw-proxy"
_RELAY: Final = "/run/microclaw-relay.py"
_TMPFS: Final = ("/tmp", "/run", "/var/tmp")  # noqa: S108
"""Podman mounts these beside a read-only root, without a limit unless their size is given."""
_ENGINE_VARIABLES: Final = (
    *("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH"),
    *("DOCKER_TLS_VERIFY", "CONTAINER_HOST"),
)


@dataclass(slots=True)
class Container:
    """A running job: the engine's client, and the job's folder on this machine."""

    process: subprocess.Popen[bytes]
    folder: int
    engine: str
    name: str
    place: Path
    _killing: threading.Thread | None = None
    _measured_s: float = float("-inf")
    _measured: JobUsage = field(default_factory=JobUsage)

    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def usage(self, limits: SandboxLimits) -> JobUsage:
        """Return the use of its disk only; the engine holds the other limits.

        It is measured every MEASURE_S, because that looks at every file.
        """
        if time.monotonic() - self._measured_s > MEASURE_S:
            size_bytes, file_count = _measure_folder(self.place)
            is_full = size_bytes > limits.disk_bytes
            has_too_many_files = file_count > MOST_FILES
            self._measured = JobUsage(is_full=is_full, is_over=is_full or has_too_many_files)
            self._measured_s = time.monotonic()
        return self._measured

    def kill(self) -> None:
        """Kill the container without waiting; call it again if the job still lives.

        The engine has to do it: killing the engine's client does not kill the container.
        """
        is_killing = self._killing is not None and self._killing.is_alive()
        if self.is_dead() or is_killing:
            return
        self._killing = threading.Thread(target=run_engine, args=(self.engine, "kill", self.name), daemon=True)
        self._killing.start()

    def close(self) -> None:
        """Kill it if it lives, and remove the container and its folder. Blocks."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(KILL_S)
        run_engine(self.engine, "rm", "--force", self.name)
        # The output is not read to its end, because a process of the engine may keep it open.
        with self.process:
            self.process.kill()
        os.close(self.folder)
        # With the system's own programs: some folders may be unreadable, or too deep for shutil.
        run_engine("/bin/chmod", "-R", "u+rwx", "--", str(self.place))
        run_engine("/bin/rm", "-rf", "--", str(self.place))


@functools.cache
def container_engine(image: str) -> str:
    """Return the path of the first engine that runs and has the image. Raises NoSandbox."""
    paths = [path for path in map(shutil.which, ENGINES) if path is not None]
    for path in paths:
        if run_engine(path, "image", "inspect", image):
            return path
    if not paths:
        raise NoSandbox("neither podman nor docker is installed", next_step="install podman or docker")
    name = Path(paths[0]).name
    raise NoSandbox(f"{name} does not run, or has no image {image}", next_step=f"{name} pull {image}")


def start_container(engine: str, image: str, job: SandboxJob, folder: Path) -> Container:
    """Start a container whose job has a folder in `folder` with the job's files. Blocks. Raises NoSandbox."""
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
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            process = in_session(words, engine_environment())
        except BaseException:
            os.close(descriptor)
            raise
        return Container(process, descriptor, engine, name, place)
    except OSError as exc:
        raise NoSandbox(f"a container cannot be started: {exc}", next_step="microclaw doctor") from exc


def engine_words(engine: str, image: str, name: str, job: SandboxJob, place: Path) -> list[str]:
    """Return the command that starts a container and ends with it. Raises NoSandbox for a path that engines refuse."""
    command = job.command
    limits = job.limits
    seconds = int(limits.cpu_s) + 1
    words = ["--name", name, "--workdir", HOME, *mount(place, HOME)]
    if job.proxy_socket is not None:
        words += [*mount(job.proxy_socket, _PROXY), *mount(RELAY_SOURCE, _RELAY, read_only=True)]
        command = with_relay(job, _RELAY, _PROXY)
    words += ["--ipc", "private", "--hostname", "job", "--pids-limit", str(limits.processes), "--cpus", "1"]
    words += ["--oom-score-adj", "1000"]
    words += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    words += ["--shm-size", str(limits.disk_bytes)]
    for mount_point in _TMPFS:
        words += ["--tmpfs", f"{mount_point}:rw,nosuid,nodev,size={limits.disk_bytes}"]
    for kind, value in (("cpu", seconds), ("fsize", limits.disk_bytes), ("nofile", 256), ("core", 0)):
        words += ["--ulimit", f"{kind}={value}:{value}"]
    return run_words(engine, image, command, environment=environment_of(job), options=words, user=job_user())


def run_words(
    engine: str,
    image: str,
    command: Sequence[str],
    *,
    environment: dict[str, str],
    options: list[str],
    user: int | None,
) -> list[str]:
    """Return the command of a container: no network, a read-only image, no rights, and root only if this host is root.

    `user` None: the user of this host. `options`: further arguments for the engine.
    """
    ids = f"{os.getuid()}:{os.getgid()}"
    if user is not None:
        ids = f"{user}:{user}"
    words = [engine, "run", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--user", ids, *options]
    if user is None and Path(engine).name == "podman":
        words += ["--userns=keep-id"]
    for variable, value in environment.items():
        words += ["--env", f"{variable}={value}"]
    return [*words, "--entrypoint", command[0], image, *command[1:]]


def mount(source: Path, target: str, *, read_only: bool = False) -> tuple[str, str]:
    """Return the arguments for a mount. Raises NoSandbox for a path that engines cannot mount."""
    if any(char in str(source) for char in ',"\n'):
        text = f"a container cannot mount {source}: its name has a comma or a quotation mark"
        raise NoSandbox(text, next_step="choose another folder for the home (--home)")
    options = f"type=bind,source={source},target={target}"
    if read_only:
        options += ",readonly"
    return "--mount", options


def engine_environment() -> dict[str, str]:
    """Return the part of the host's environment that an engine's client needs."""
    return {name: os.environ[name] for name in _ENGINE_VARIABLES if name in os.environ}


def run_engine(*command: str) -> bool:
    """Run an engine's command, or a command that cleans up after it. Return False if it fails or takes over PROBE_S."""
    try:
        finished = subprocess.run(
            command,
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0


def _measure_folder(folder: Path) -> tuple[int, int]:
    """Return the bytes on the disk and the number of names in a folder, counted until there are too many.

    A file that vanishes meanwhile counts nothing. One that cannot be read (its folder is closed, or its path is longer
    than 4,096 bytes) counts as too many names.
    """
    size_bytes = 0
    # The folder itself is not counted.
    file_count = -1
    pending = [folder]
    while pending and file_count <= MOST_FILES:
        path = pending.pop()
        try:
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                pending += path.iterdir()
            size_bytes += status.st_blocks * 512
            file_count += 1
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            file_count += MOST_FILES + 1
    return size_bytes, file_count
