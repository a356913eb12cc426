"""A job's own cgroup: the kernel counts all that it holds, buffers of pipes and sockets too, and all its processes.

What is only watched otherwise (usage.py) has here a bound that no moment between two looks can pass.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from msgspec.structs import replace

from microclaw.errors import NoSandbox
from microclaw.sandbox.cgroup_place import LEAF, CgroupPlace, find_place, is_ours, processes_in
from microclaw.sandbox.job import SandboxLimits

KERNEL_BYTES: Final = 32 << 20
"""What the kernel itself may hold for a job: threads' stacks, lists of maps, names of files."""
PLACES: Final = 3
"""/job, /tmp and /dev/shm are memory of disk_bytes each, and count in the cgroup."""
REMOVE_S: Final = 2.0
MOVES: Final = 20
_NAME: Final = "microclaw-job-"
_EVENTS: Final = {1: "memory.oom_control", 2: "memory.events"}
_numbers: Final = itertools.count()
_opening: Final = threading.Lock()
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class JobCgroup:
    """Made, with its limits, and empty. `folders` are by controller: the same one for all in v2."""

    folders: Mapping[str, Path]
    events: int | None = None
    _is_removed: bool = field(default=False)

    @classmethod
    def make(cls, place: CgroupPlace, limits: SandboxLimits, threads: int) -> Self:
        """Raises OSError."""
        name = f"{_NAME}{_whose(os.getpid())}-{next(_numbers)}"
        made = cls({controller: folder / name for controller, folder in place.folders.items()})
        try:
            for folder in set(made.folders.values()):
                folder.mkdir(mode=0o755)
            memory = limits.memory_bytes + PLACES * limits.disk_bytes + KERNEL_BYTES
            for controller, folder in made.folders.items():
                for file, value, is_needed in _settings(place.version, memory, threads)[controller]:
                    if is_needed or (folder / file).exists():
                        _write(folder / file, value)
            if "memory" in made.folders:
                made.events = os.open(made.folders["memory"] / _EVENTS[place.version], os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            made.remove()
            raise
        return made

    def enter(self, pid: int) -> None:
        """Put this process in, before it has children. Takes some milliseconds of the kernel's. Raises OSError."""
        for folder in set(self.folders.values()):
            _write(folder / "cgroup.procs", str(pid))

    def ran_out_of_memory(self) -> bool:
        """True if the kernel killed one of its processes for that."""
        if self.events is None:
            return False
        lines = (line.split() for line in os.pread(self.events, 4096, 0).splitlines())
        return any(words[0] == b"oom_kill" and words[1] != b"0" for words in lines if len(words) == 2)

    def kill(self) -> None:
        """Every process in it, in one step, where the kernel can (v2, Linux 5.14)."""
        for folder in set(self.folders.values()):
            if not self._is_removed and (folder / "cgroup.kill").exists():
                _write(folder / "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove it when no process lives in it. What the kernel does not let go of is removed at the next start."""
        self._is_removed = True
        if self.events is not None:
            os.close(self.events)
            self.events = None
        deadline = time.monotonic() + REMOVE_S
        for folder in set(self.folders.values()):
            while not _removed(folder) and time.monotonic() < deadline:
                time.sleep(0.005)


def new_cgroup(limits: SandboxLimits, threads: int) -> JobCgroup | None:
    """None where this host has no cgroup to divide. Raises NoSandbox where it has one, and this one cannot be made."""
    with _opening:
        place = _opened()
    if not place.folders:
        return None
    try:
        return JobCgroup.make(place, limits, threads)
    except OSError as problem:
        raise no_cgroup(problem) from problem


def no_cgroup(problem: OSError) -> NoSandbox:
    return NoSandbox(f"the job cannot be put into a cgroup of its own: {problem}", next_step="microclaw doctor")


def cgroup_note() -> str:
    """One line for people on what a process with this one's cgroup can use; changes nothing."""
    return str(find_place(user=os.geteuid(), pid=os.getpid()))


@functools.cache
def _opened() -> CgroupPlace:
    """Once for this process: move to the leaf, give controllers on, and remove what a crash left behind."""
    place = find_place(user=os.geteuid(), pid=os.getpid())
    if place.folders:
        try:
            if place.version == 2:
                _give_on(place)
            for folder in set(place.folders.values()):
                remove_left(folder)
            _try(place)
        except OSError as problem:
            place = replace(place, folders={}, why_not=place.why_not | dict.fromkeys(place.folders, str(problem)))
    _log.info("jobs in the sandbox: %s", place)
    return place


def _try(place: CgroupPlace) -> None:
    """With a process of ours in it: what the kernel refuses here, it shall not refuse the first job."""
    group = JobCgroup.make(place, SandboxLimits(), 1)
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as waiting:
        try:
            group.enter(waiting.pid)
        finally:
            waiting.kill()
            waiting.wait()
            group.remove()


def remove_left(folder: Path) -> None:
    """Cgroups of hosts that are gone; one with processes in it stays."""
    space = _whose(os.getpid()).partition("-")[0]
    for left in folder.glob(f"{_NAME}*-*-*-*"):
        owner = left.name.removeprefix(_NAME).rpartition("-")[0]
        pid = owner.split("-")[1]
        if owner.startswith(f"{space}-") and pid.isdigit() and _whose(int(pid)) != owner:
            _removed(left)


def _give_on(place: CgroupPlace) -> None:
    """In v2: the controllers to the children, for which the cgroup's own processes have to leave it."""
    base = next(iter(place.folders.values()))
    if place.host_moves:
        (base / LEAF).mkdir(exist_ok=True)
        for _ in range(MOVES):  # until none is left that was born meanwhile
            if not (waiting := processes_in(base)):
                break
            for each in waiting:
                if not is_ours(Path("/"), each, os.getpid()):
                    raise PermissionError(f"process {each} is not this host's")
                with suppress(ProcessLookupError):
                    _write(base / LEAF / "cgroup.procs", str(each))
    _write(base / "cgroup.subtree_control", " ".join(f"+{name}" for name in place.folders))


def _settings(version: int, memory: int, threads: int) -> dict[str, list[tuple[str, str, bool]]]:
    """For each controller (file, value, whether it must be there), in the order of writing."""
    pids = [("pids.max", str(threads), True)]
    if version == 1:
        swap = ("memory.memsw.limit_in_bytes", str(memory), False)
        return {"memory": [("memory.limit_in_bytes", str(memory), True), swap], "pids": pids}
    together = ("memory.oom.group", "1", False)
    return {"memory": [("memory.max", str(memory), True), ("memory.swap.max", "0", False), together], "pids": pids}


def _whose(pid: int) -> str:
    """Names one process: the namespace that its number is of, the number, when it began. Empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{Path('/proc/self/ns/pid').stat().st_ino}-{pid}-{fields[19]}"
    except OSError:
        return ""


def _write(path: Path, value: str) -> None:
    """In one write, and making no file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
