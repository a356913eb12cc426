"""Finds where this host may make cgroups for its jobs: read from /proc and /sys, and judged. It changes nothing.

Only what is the host's to divide counts: a cgroup that systemd delegated, or on a machine without systemd the root of
what this process sees, or one that an administrator gave to this ordinary user. The rest is somebody else's.
Sources: the kernel's cgroup-v2.rst ("Delegation", "No Internal Process Constraint"), systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct, field

CONTROLLERS: Final = ("memory", "pids")
LEAF: Final = "microclaw-host"
"""In v2 a cgroup with controllers for its children has no processes of its own: the host itself goes in here."""
_MARKS: Final = ("user.delegate", "trusted.delegate")


class CgroupPlace(Struct, frozen=True):
    """`folders`: for each controller where jobs' cgroups are made; `why_not` says of the others what forbids it."""

    version: Literal[1, 2]
    folders: Mapping[str, Path] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    host_moves: bool = False
    """The host and its children have to move to LEAF first."""

    def __str__(self) -> str:
        """For people: what the kernel holds jobs to, and what is only watched."""
        missing = "; ".join(f"no {name} ({reason})" for name, reason in self.why_not.items())
        if not self.folders:
            return f"no cgroup limits: {missing}"
        return f"cgroup v{self.version} limits for {', '.join(self.folders)}{'; ' if missing else ''}{missing}"


def is_delegated(folder: Path) -> bool:
    """True if systemd marked it as left to what runs in it."""
    for name in _MARKS:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            continue
    return False


def find_place(
    root: Path = Path("/"), *, user: int, pid: int, delegated: Callable[[Path], bool] = is_delegated
) -> CgroupPlace:
    """For the process `pid` of this user. `root` is where proc, sys and run are."""
    has_systemd = (root / "run/systemd/system").is_dir()
    mounts, own = _mounts(root), _own_paths(root)

    def problem(folder: Path, path: str, files: tuple[str, ...]) -> str | None:
        if not all(os.access(folder / name, os.W_OK) for name in (".", "cgroup.procs", *files)):
            return "it cannot be written"
        if delegated(folder):
            return None
        if has_systemd:
            return "systemd has not delegated it"
        return None if path == "/" or 0 < user == folder.stat().st_uid else f"{path} is not this host's own"

    if (unified := _folder(mounts.get("", ()), own.get("", ""))) is not None:
        path, folder = own[""], unified
        if folder.name == LEAF:
            path, folder = str(Path(path).parent), folder.parent
        there = [name for name in CONTROLLERS if name in _text(folder / "cgroup.controllers").split()]
        if there:
            found = problem(folder, path, ("cgroup.subtree_control",))
            moves = (folder / "cgroup.type").exists()  # all but the real root, which may keep its processes
            if found is None and moves and not all(is_ours(root, each, pid) for each in processes_in(folder)):
                found = "other processes are in it"
            missing = {name: "the kernel has it not here" for name in CONTROLLERS if name not in there}
            if found is not None:
                return CgroupPlace(2, {}, dict.fromkeys(there, found) | missing)
            return CgroupPlace(2, dict.fromkeys(there, folder), missing, host_moves=moves)
    folders, why_not = {}, {}
    for name in CONTROLLERS:
        one = _folder(mounts.get(name, ()), own.get(name, ""))
        reason = "the kernel has it not here" if one is None else problem(one, own[name], ())
        if one is None or reason is not None:
            why_not[name] = reason or ""
        else:
            folders[name] = one
    return CgroupPlace(1, folders, why_not)


def processes_in(folder: Path) -> list[int]:
    """0 stands for one that this process cannot see."""
    return [int(word) for word in _text(folder / "cgroup.procs").split()]


def is_ours(root: Path, process: int, pid: int) -> bool:
    """True if it is `pid`, descends from it, or ended meanwhile."""
    while process not in (0, 1, pid):
        fields = _text(root / f"proc/{process}/stat").rpartition(")")[2].split()
        if not fields:
            return True
        process = int(fields[1])
    return process == pid


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


def _folder(mount: tuple[str, Path] | tuple[()], path: str) -> Path | None:
    """None where the own cgroup is not below what is mounted."""
    if not mount or not Path(path).is_relative_to(mount[0]) or ".." in Path(path).parts:
        return None
    folder = mount[1] / Path(path).relative_to(mount[0])
    return folder if folder.is_dir() else None


def _text(path: Path) -> str:
    """Empty where it cannot be read, as that of a process which ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
