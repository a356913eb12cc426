"""A job's own cgroup: the kernel counts all that it holds, buffers of pipes and sockets too, and all its processes.

What is only watched otherwise (usage.py) has here a bound that no moment between two looks can pass. Only what is the
host's to divide is used: a cgroup that systemd delegated, or on a machine without systemd the root of what this process
sees, or one that an administrator gave to this ordinary user. The rest is somebody else's.
Sources: the kernel's cgroup-v2.rst ("Delegation", "No Internal Process Constraint"), systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Self

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.errors import NoSandbox
from microclaw.sandbox.job import SandboxLimits

CONTROLLERS: Final = ("memory", "pids")
LEAF: Final = "microclaw-host"
"""In v2 a cgroup with controllers for its children has no processes of its own: the host itself goes in here."""
KERNEL_BYTES: Final = 32 << 20
"""The kernel's own for a job: threads' stacks, lists of maps, names of files."""
PLACES: Final = 3
"""/job, /tmp and /dev/shm are memory of disk_bytes each, and count in the cgroup."""
REMOVE_S: Final = 2.0
ENTERED_S: Final = 60.0
"""An empty one that is older was left behind: a job's process is put in at once."""
MOVES: Final = 20
_NAME: Final = "microclaw-job-"
_MARKS: Final = ("user.delegate", "trusted.delegate")
_EVENTS: Final = {1: "memory.oom_control", 2: "memory.events"}
_opening: Final = threading.Lock()
_log = logging.getLogger(__name__)


class CgroupPlace(Struct, frozen=True):
    """`folders`: for each controller where jobs' cgroups are made; `why_not` says of the others what forbids it."""

    version: Literal[1, 2]
    folders: Mapping[str, Path] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """For people: what the kernel holds jobs to, and what is only watched."""
        missing = "; ".join(f"no {name} ({reason})" for name, reason in self.why_not.items())
        if not self.folders:
            return f"no cgroup limits: {missing}"
        return f"cgroup v{self.version} limits for {', '.join(self.folders)}{'; ' if missing else ''}{missing}"


class JobCgroup(Struct, frozen=True):
    """Made, with its limits, and empty. `folders` are one for each controller: the same one for all in v2."""

    folders: frozenset[Path]
    events: int | None

    @classmethod
    def make(cls, place: CgroupPlace, limits: SandboxLimits, threads: int) -> Self:
        """Raises OSError."""
        name = f"{_NAME}{int(time.time())}-{os.getpid()}-{secrets.token_hex(8)}"
        folders = {controller: folder / name for controller, folder in place.folders.items()}
        made = cls(frozenset(folders.values()), None)
        try:
            for folder in made.folders:
                folder.mkdir(mode=0o755)
            memory = limits.memory_bytes + PLACES * limits.disk_bytes + KERNEL_BYTES
            for controller, folder in folders.items():
                for file, value, is_needed in _settings(place.version, memory, threads)[controller]:
                    if is_needed or (folder / file).exists():
                        (folder / file).write_text(value)
            if "memory" in folders:
                events = os.open(folders["memory"] / _EVENTS[place.version], os.O_RDONLY | os.O_CLOEXEC)
                return replace(made, events=events)
        except BaseException:
            made.remove()
            raise
        return made

    def enter(self, pid: int) -> None:
        """Put this process in, before it has children. Raises NoSandbox."""
        try:
            for folder in self.folders:
                (folder / "cgroup.procs").write_text(str(pid))
        except OSError as problem:
            raise _no_cgroup(problem) from problem

    def ran_out_of_memory(self) -> bool:
        """True if the kernel killed one of its processes for that."""
        if self.events is None:
            return False
        lines = (line.split() for line in os.pread(self.events, 4096, 0).splitlines())
        return any(words[0] == b"oom_kill" and words[1] != b"0" for words in lines if len(words) == 2)

    def remove(self) -> None:
        """Remove it when no process lives in it. What the kernel does not let go of is removed at the next start."""
        if self.events is not None:
            os.close(self.events)
        deadline = time.monotonic() + REMOVE_S
        for folder in self.folders:
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
        raise _no_cgroup(problem) from problem


def _no_cgroup(problem: OSError) -> NoSandbox:
    return NoSandbox(f"the job cannot be put into a cgroup of its own: {problem}", next_step="microclaw doctor")


@functools.cache
def _opened() -> CgroupPlace:
    """Once for this process: move to the leaf, give controllers on, and remove what a crash left behind."""
    place = find_place()
    try:
        for folder in {*place.folders.values()}:
            if place.version == 2:
                _give_on(folder, place.folders)
            remove_left(folder)
        if place.folders:
            _try(place)
    except (OSError, NoSandbox) as problem:
        place = replace(place, folders={}, why_not=place.why_not | dict.fromkeys(place.folders, str(problem)))
    _log.info("jobs in the sandbox: %s", place)
    return place


def _give_on(base: Path, controllers: Mapping[str, Path]) -> None:
    """In v2: the controllers to the children, for which the cgroup's own processes have to leave it."""
    if _is_not_the_root(base):
        (base / LEAF).mkdir(exist_ok=True)
        for _ in range(MOVES):  # until none is left that was born meanwhile
            if not (waiting := _processes_in(base)):
                break
            for each in waiting:
                if not _is_ours(Path("/"), each, os.getpid()):
                    raise PermissionError(f"process {each} is not this host's")
                with suppress(ProcessLookupError):
                    (base / LEAF / "cgroup.procs").write_text(str(each))
    (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def remove_left(folder: Path) -> None:
    """Empty cgroups of hosts that are gone; the kernel keeps one with processes in it."""
    for left in folder.glob(f"{_NAME}*-*"):
        made_s = left.name.removeprefix(_NAME).partition("-")[0]
        if made_s.isdigit() and time.time() - int(made_s) > ENTERED_S:
            _removed(left)


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


def _settings(version: int, memory: int, threads: int) -> dict[str, list[tuple[str, str, bool]]]:
    """For each controller (file, value, whether it must be there), in the order of writing."""
    pids = [("pids.max", str(threads), True)]
    if version == 1:
        swap = ("memory.memsw.limit_in_bytes", str(memory), False)
        return {"memory": [("memory.limit_in_bytes", str(memory), True), swap], "pids": pids}
    together = ("memory.oom.group", "1", False)
    return {"memory": [("memory.max", str(memory), True), ("memory.swap.max", "0", False), together], "pids": pids}


def is_delegated(folder: Path) -> bool:
    """True if systemd marked it as left to what runs in it."""
    for name in _MARKS:
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def find_place(
    root: Path = Path("/"),
    *,
    user: int | None = None,
    pid: int | None = None,
    delegated: Callable[[Path], bool] = is_delegated,
) -> CgroupPlace:
    """For the process `pid` of this user, which is this one. `root` is where proc, sys and run are. Changes nothing."""
    user = os.geteuid() if user is None else user
    pid = os.getpid() if pid is None else pid
    has_systemd = (root / "run/systemd/system").is_dir()
    mounts, own = _mounts(root), _own_paths(root)
    unified = _folder(mounts.get(""), own.get("", ""))
    there = [] if unified is None else _text(unified / "cgroup.controllers").split()
    version: Literal[1, 2] = 2 if any(name in there for name in CONTROLLERS) else 1

    def problem(folder: Path, path: str) -> str | None:
        files = (".", "cgroup.procs", *(("cgroup.subtree_control",) if version == 2 else ()))
        if not all(os.access(folder / name, os.W_OK) for name in files):
            return "it cannot be written"
        if not delegated(folder):
            if has_systemd:
                return "systemd has not delegated it"
            if path != "/" and not 0 < user == folder.stat().st_uid:
                return f"{path} is not this host's own"
        are_ours = not _is_not_the_root(folder) or all(_is_ours(root, each, pid) for each in _processes_in(folder))
        return None if are_ours else "other processes are in it"

    folders, why_not = {}, {}
    for name in CONTROLLERS:
        if version == 2:
            folder, path = (unified if name in there else None), own[""]
        else:
            folder, path = _folder(mounts.get(name), own.get(name, "")), own.get(name, "")
        if folder is not None and folder.name == LEAF:
            folder, path = folder.parent, str(Path(path).parent)
        reason = "the kernel has it not here" if folder is None else problem(folder, path)
        if folder is not None and reason is None:
            folders[name] = folder
        else:
            why_not[name] = reason or ""
    return CgroupPlace(version, folders, why_not)


def _own_paths(root: Path) -> dict[str, str]:
    """The own cgroup for each controller of v1, and for v2 by the empty name."""
    own: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    return own


def _mounts(root: Path) -> dict[str, tuple[str, Path]]:
    """By the same names: which cgroup is mounted, and where (proc_pid_mountinfo(5))."""
    found: dict[str, tuple[str, Path]] = {}
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, options = after.split(" ", 1)[0], after.rsplit(" ", 1)[-1]
        mounted, place = before.split(" ")[3:5]
        if kind in ("cgroup", "cgroup2"):
            names = [""] if kind == "cgroup2" else options.split(",")
            found |= dict.fromkeys(names, (mounted, root / place.lstrip("/")))
    return found


def _folder(mount: tuple[str, Path] | None, path: str) -> Path | None:
    """None where the own cgroup is not below what is mounted."""
    if mount is None or not Path(path).is_relative_to(mount[0]) or ".." in Path(path).parts:
        return None
    folder = mount[1] / Path(path).relative_to(mount[0])
    return folder if folder.is_dir() else None


def _is_not_the_root(folder: Path) -> bool:
    """True in v2 but for the real root, which has no type: it may keep its processes, as all may in v1."""
    return (folder / "cgroup.type").exists()


def _processes_in(folder: Path) -> list[int]:
    """0 stands for one that this process cannot see."""
    return [int(word) for word in _text(folder / "cgroup.procs").split()]


def _is_ours(root: Path, process: int, pid: int) -> bool:
    """True if it is `pid`, descends from it, or ended meanwhile."""
    while process not in (0, 1, pid):
        fields = _text(root / f"proc/{process}/stat").rpartition(")")[2].split()
        if not fields:
            return True
        process = int(fields[1])
    return process == pid


def _text(path: Path) -> str:
    """Empty where it cannot be read, as that of a process which ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()
