"""Cgroups of jobs: where they may be made (over a tree of files), and what they hold on a machine that has them.

Not every machine lets this host make one. A test that needs one says what holds there instead: the note of doctor.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from microclaw.sandbox.cgroup import JobCgroup, cgroup_note, remove_left
from microclaw.sandbox.cgroup_place import CgroupPlace, find_place
from microclaw.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits
from microclaw.sandbox.run import run_sandboxed
from microclaw.sandbox.wrapped_job import threads_of

PID = 77
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "".join(
    f"3{n} 31 0:3{n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for n, name in enumerate(["memory", "pids"])
)
CONTROLS = ("cgroup.procs", "cgroup.subtree_control")
SERVICE = "user.slice/user-1000.slice/user@1000.service/app.slice/microclaw.service"


def tree(root: Path, mounts: str, own: str, groups: Mapping[str, str]) -> Path:
    """`groups` are folders of cgroups below sys/fs/cgroup with the numbers of their processes."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "proc/self/cgroup").write_text(own)
    for process, parent in ((PID, 5), (78, PID), (79, 78), (5, 1)):
        (root / f"proc/{process}").mkdir()
        (root / f"proc/{process}/stat").write_text(f"{process} (a) b) S {parent} 1 1")
    for name, processes in groups.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True)
        for file in (*CONTROLS, "cgroup.type"):
            (folder / file).write_text(processes if file == "cgroup.procs" else "")
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    return root


def found(root: Path, *, marked: str | None = None, user: int | None = None) -> CgroupPlace:
    """As this user; `marked` is the cgroup that systemd delegated."""
    folder = None if marked is None else root / "sys/fs/cgroup" / marked
    user = os.geteuid() if user is None else user
    return find_place(root, user=user, pid=PID, delegated=lambda asked: asked == folder)


def with_systemd(root: Path) -> Path:
    (root / "run/systemd/system").mkdir(parents=True)
    return root


def test_a_delegated_service_is_divided(tmp_path: Path) -> None:
    root = with_systemd(tree(tmp_path, V2, f"0::/{SERVICE}\n", {SERVICE: "77\n78\n79\n"}))
    place = found(root, marked=SERVICE)
    assert place.version == 2
    assert dict(place.folders) == dict.fromkeys(["memory", "pids"], root / "sys/fs/cgroup" / SERVICE)
    assert place.host_moves
    assert str(place) == "cgroup v2 limits for memory, pids"


def test_a_host_in_its_leaf_divides_the_cgroup_above(tmp_path: Path) -> None:
    leaf = f"{SERVICE}/microclaw-host"
    root = with_systemd(tree(tmp_path, V2, f"0::/{leaf}\n", {SERVICE: "", leaf: "77\n78\n"}))
    assert found(root, marked=SERVICE).folders["memory"] == root / "sys/fs/cgroup" / SERVICE


def test_what_systemd_has_not_delegated_is_left_alone(tmp_path: Path) -> None:
    root = with_systemd(tree(tmp_path, V2, f"0::/{SERVICE}\n", {SERVICE: "77\n"}))
    place = found(root)
    assert not place.folders
    assert str(place).startswith("no cgroup limits: no memory (systemd has not delegated it)")


@pytest.mark.parametrize("processes", ["77\n5\n", "77\n0\n", "1\n77\n"], ids=["the shell", "out of sight", "process 1"])
def test_processes_of_others_are_never_moved(processes: str, tmp_path: Path) -> None:
    root = with_systemd(tree(tmp_path, V2, f"0::/{SERVICE}\n", {SERVICE: processes}))
    assert "other processes are in it" in str(found(root, marked=SERVICE))


def test_the_root_of_a_machine_without_systemd_is_divided(tmp_path: Path) -> None:
    """The real root has no type, and may keep its processes."""
    root = tree(tmp_path, V2, "0::/\n", {"": "1\n5\n77\n"})
    assert not found(root).folders
    (root / "sys/fs/cgroup/cgroup.type").unlink()
    place = found(root)
    assert place.folders["memory"] == root / "sys/fs/cgroup"
    assert not place.host_moves


def test_of_v1_each_controller_is_judged_by_itself(tmp_path: Path) -> None:
    own = "8:pids:/\n4:memory:/of/somebody\n0::/\n"
    root = tree(tmp_path, V1, own, {"pids": "", "memory/of/somebody": ""})
    place = found(root, user=0)
    assert (place.version, dict(place.folders)) == (1, {"pids": root / "sys/fs/cgroup/pids"})
    assert str(place) == "cgroup v1 limits for pids; no memory (/of/somebody is not this host's own)"


def test_a_cgroup_given_to_an_ordinary_user_is_divided(tmp_path: Path) -> None:
    root = tree(tmp_path, V1, "8:pids:/given\n4:memory:/given\n", {"pids/given": "", "memory/given": ""})
    owner = (root / "sys/fs/cgroup/pids/given").stat().st_uid or 1000
    for name in ("pids", "memory"):
        if os.geteuid() == 0:
            os.chown(root / "sys/fs/cgroup" / name / "given", owner, -1)
    assert set(found(root, user=owner).folders) == {"memory", "pids"}
    assert not found(root, user=owner + 1).folders


def test_a_mount_that_shows_a_part_leads_to_the_own_cgroup(tmp_path: Path) -> None:
    part = V1.replace(" / /sys", " /docker/a /sys")
    own = "8:pids:/docker/a\n4:memory:/docker/b\n"
    place = found(with_systemd(tree(tmp_path, part, own, {"pids": "", "memory": ""})), marked="pids")
    assert dict(place.folders) == {"pids": tmp_path / "sys/fs/cgroup/pids"}
    assert place.why_not == {"memory": "the kernel has it not here"}


@pytest.mark.parametrize("own", ["0::/../..\n", "0::/gone (deleted)\n", ""])
def test_an_own_cgroup_that_cannot_be_seen_is_none(own: str, tmp_path: Path) -> None:
    assert not found(tree(tmp_path, V2, own, {"": ""})).folders


def test_a_kill_for_memory_is_read(tmp_path: Path) -> None:
    for text, killed in (("oom 3\noom_kill 0\n", False), ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True)):
        (tmp_path / "events").write_text(text)
        group = JobCgroup({}, os.open(tmp_path / "events", os.O_RDONLY))
        assert group.ran_out_of_memory() is killed
        group.remove()


def test_cgroups_of_a_host_that_crashed_are_removed(tmp_path: Path) -> None:
    """Plain folders here; and not those of a host that lives, of other machines' numbers, or of others."""
    code = "from microclaw.sandbox.cgroup import _whose; import os; print(_whose(os.getpid()), flush=True); input()"
    host = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host:
        name = host.stdout.readline().strip()
        space, pid, began = name.split("-")
        others = {f"microclaw-job-1{space}-{pid}-{began}-0", "microclaw-job", "microclaw-job-a-b-c-d", "somebody"}
        mine = f"microclaw-job-{name}-3"
        for each in (*others, mine):
            (tmp_path / each).mkdir()
        remove_left(tmp_path)
        assert (tmp_path / mine).exists()
        host.kill()
    remove_left(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == others


def here() -> CgroupPlace:
    return find_place(user=os.geteuid(), pid=os.getpid())


def test_a_job_is_in_its_cgroup_and_leaves_none(tmp_path: Path) -> None:
    limits = SandboxLimits(processes=9)
    mine = f"microclaw-job-*-{os.getpid()}-*"

    async def run() -> list[tuple[str, int]]:
        begun = asyncio.Event()
        job = SandboxJob(command=["sh", "-c", "echo begun; sleep 60; true"], limits=limits)
        task = asyncio.ensure_future(run_sandboxed(job, tmp_path, lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        groups = [group for folder in {*here().folders.values()} for group in folder.glob(mine)]
        limits_of = [group / "pids.max" for group in groups if (group / "pids.max").exists()]
        seen = [(file.read_text(), len((file.parent / "cgroup.procs").read_text().split())) for file in limits_of]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(group.exists() for group in groups)
        return seen

    seen = asyncio.run(run())
    if "pids" not in here().folders:
        assert not seen
        assert "no pids (" in cgroup_note()
        return
    number, processes = seen[0]
    assert int(number) == threads_of(limits) + 1
    assert processes >= 2  # bubblewrap's first, and the shell


MAPS = """
import ctypes, mmap, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
base = libc.mmap(None, ctypes.c_size_t(60000 << 12), 0, flags, -1, ctypes.c_long(0))
for page in range(0, 60000, 2):
    if libc.mprotect(ctypes.c_void_p(base + (page << 12)), ctypes.c_size_t(4096), 1): raise OSError(ctypes.get_errno())
for _ in range(12):
    if os.fork() == 0: time.sleep(60)
print("held")
"""
SOCKETS = """
import os, socket
def fill():
    pairs = [socket.socketpair() for _ in range(110)]
    for end in (end for pair in pairs for end in pair):
        end.setblocking(False)
        try:
            while True: end.send(bytes(32768))
        except BlockingIOError: pass
    return pairs
told, tells = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        pairs = fill()
        os.write(tells, b"x")
        import time; time.sleep(60)
held = b""
while len(held) < 4: held += os.read(told, 4)
print("held")
"""


@pytest.mark.parametrize("code", [MAPS, SOCKETS], ids=["lists of maps", "buffers of sockets"])
def test_memory_of_the_kernel_s_own_is_bounded_by_the_cgroup(code: str, tmp_path: Path) -> None:
    """No process's size shows it. Without a cgroup for memory it is held, and doctor says that there is none."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "proxy.sock"))
        door.listen()
        limits = SandboxLimits(memory_bytes=64 << 20, disk_bytes=1 << 20, processes=16, wall_s=120)
        job = SandboxJob(
            command=["python3", "-I", "-S", "-c", code], limits=limits, proxy_socket=tmp_path / "proxy.sock"
        )
        end: SandboxEnd = asyncio.run(run_sandboxed(job, tmp_path / "own", lambda _: None))
    if "memory" in here().folders:
        assert end.ending == "out_of_memory", end
    else:
        assert (end.ending, b"held" in end.output) == ("ended", True), end
        assert "no memory (" in cgroup_note()
