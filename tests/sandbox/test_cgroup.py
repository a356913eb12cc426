"""Cgroups of jobs: where they may be made (over a tree of files), and what they hold on a machine that has them.

Not every machine lets this host make one. A test that needs one says what holds there instead: the note of doctor.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from microclaw.sandbox.cgroup import CgroupPlace, JobCgroup, find_place, remove_left
from microclaw.sandbox.job import SandboxEnd, SandboxJob, SandboxLimits
from microclaw.sandbox.run import run_sandboxed
from microclaw.sandbox.wrapped_job import threads_of

PID = 77
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "".join(
    f"3{n} 31 0:3{n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for n, name in enumerate(["memory", "pids"])
)
CONTROLS = ("cgroup.procs", "cgroup.subtree_control", "cgroup.type")
SERVICE = "user.slice/user-1000.slice/user@1000.service/app.slice/microclaw.service"
LEAF = f"{SERVICE}/microclaw-host"
OURS = "77\n78\n79\n"
OTHERS = "other processes are in it"
DELEGATED = "systemd has not delegated it"
NOT_HERE = "the kernel has it not here"
PART = V1.replace(" / /sys", " /docker/a /sys")


def found(root: Path, mounts: str, own: str, groups: Mapping[str, str], delegated: str | None) -> CgroupPlace:
    """The place in a machine that has these `groups`: cgroups by their folder, with the numbers of their processes."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "proc/self/cgroup").write_text(own)
    for process, parent in ((PID, 5), (78, PID), (79, 78), (5, 1)):
        (root / f"proc/{process}").mkdir()
        (root / f"proc/{process}/stat").write_text(f"{process} (a) b) S {parent} 1 1")
    for name, processes in groups.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in CONTROLS:
            (folder / file).write_text(processes if file == "cgroup.procs" else "")
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    if delegated is not None:
        (root / "run/systemd/system").mkdir(parents=True)
    marked = root / "sys/fs/cgroup" / (delegated or "nothing")
    return find_place(root, user=0, pid=PID, delegated=lambda asked: asked == marked)


@pytest.mark.parametrize(
    ("mounts", "own", "groups", "delegated", "divided"),
    [
        pytest.param(V2, f"0::/{SERVICE}\n", {SERVICE: OURS}, SERVICE, SERVICE, id="delegated"),
        pytest.param(V2, f"0::/{LEAF}\n", {SERVICE: "", LEAF: OURS}, SERVICE, SERVICE, id="a host in its leaf"),
        pytest.param(V2, f"0::/{SERVICE}\n", {SERVICE: OURS}, "", DELEGATED, id="not delegated"),
        pytest.param(V2, f"0::/{SERVICE}\n", {SERVICE: "77\n5\n"}, SERVICE, OTHERS, id="with its shell"),
        pytest.param(V2, f"0::/{SERVICE}\n", {SERVICE: "77\n0\n"}, SERVICE, OTHERS, id="with one out of sight"),
        pytest.param(V2, f"0::/{SERVICE}\n", {SERVICE: "1\n77\n"}, SERVICE, OTHERS, id="with process 1"),
        pytest.param(V2, "0::/\n", {"": "77\n"}, None, "", id="a container's root"),
        pytest.param(V2, "0::/../..\n", {"": ""}, None, NOT_HERE, id="out of sight"),
        pytest.param(V2, "0::/gone (deleted)\n", {"": ""}, None, NOT_HERE, id="deleted"),
        pytest.param(V2, "", {"": ""}, None, NOT_HERE, id="none"),
        pytest.param(PART, "4:memory:/docker/a\n8:pids:/docker/b\n", {"memory": ""}, "memory", "memory", id="a part"),
    ],
)
def test_only_the_host_s_own_cgroup_is_divided(
    mounts: str, own: str, groups: Mapping[str, str], delegated: str | None, divided: str, tmp_path: Path
) -> None:
    place = found(tmp_path, mounts, own, groups, delegated)
    if place.folders:
        assert place.folders["memory"] == tmp_path / "sys/fs/cgroup" / divided
    else:
        assert place.why_not["memory"] == divided
        assert str(place).startswith(f"no cgroup limits: no memory ({divided})")


def test_the_real_root_may_keep_its_processes_and_of_v1_each_controller_is_judged_by_itself(tmp_path: Path) -> None:
    assert not found(tmp_path / "v2", V2, "0::/\n", {"": "1\n5\n77\n"}, None).folders
    (tmp_path / "v2/sys/fs/cgroup/cgroup.type").unlink()
    assert find_place(tmp_path / "v2", user=0, pid=PID).folders["memory"] == tmp_path / "v2/sys/fs/cgroup"
    own = "8:pids:/\n4:memory:/of/somebody\n0::/\n"
    place = found(tmp_path / "v1", V1, own, {"pids": "", "memory/of/somebody": ""}, None)
    assert (place.version, dict(place.folders)) == (1, {"pids": tmp_path / "v1/sys/fs/cgroup/pids"})
    assert str(place) == "cgroup v1 limits for pids; no memory (/of/somebody is not this host's own)"


def test_a_cgroup_given_to_an_ordinary_user_is_divided(tmp_path: Path) -> None:
    assert not found(tmp_path, V1, "8:pids:/given\n", {"pids/given": ""}, None).folders
    given = tmp_path / "sys/fs/cgroup/pids/given"
    owner = given.stat().st_uid or 1000
    if os.geteuid() == 0:
        os.chown(given, owner, -1)
    assert find_place(tmp_path, user=owner, pid=PID).folders == {"pids": given}
    assert not find_place(tmp_path, user=owner + 1, pid=PID).folders


def test_a_kill_for_memory_is_read(tmp_path: Path) -> None:
    for text, killed in (("oom 3\noom_kill 0\n", False), ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True)):
        (tmp_path / "events").write_text(text)
        group = JobCgroup(frozenset(), os.open(tmp_path / "events", os.O_RDONLY))
        assert group.ran_out_of_memory() is killed
        group.remove()


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    others = {f"microclaw-job-{int(time.time())}-0", "microclaw-job", "microclaw-job-a-b", "somebody"}
    for name in (*others, "microclaw-job-1700000000-0"):
        (tmp_path / name).mkdir()
    remove_left(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == others


def test_a_job_is_in_its_cgroup_and_leaves_none(tmp_path: Path) -> None:
    limits = SandboxLimits(processes=9)
    mine = f"microclaw-job-*-{os.getpid()}-*"

    async def run() -> list[tuple[str, int]]:
        begun = asyncio.Event()
        job = SandboxJob(command=["sh", "-c", "echo begun; sleep 60; true"], limits=limits)
        task = asyncio.ensure_future(run_sandboxed(job, tmp_path, lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        groups = [group for folder in {*find_place().folders.values()} for group in folder.glob(mine)]
        limits_of = [group / "pids.max" for group in groups if (group / "pids.max").exists()]
        seen = [(file.read_text(), len((file.parent / "cgroup.procs").read_text().split())) for file in limits_of]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(group.exists() for group in groups)
        return seen

    seen = asyncio.run(run())
    if "pids" not in find_place().folders:
        assert not seen
        assert "no pids (" in str(find_place())
        return
    number, processes = seen[0]
    assert int(number) == threads_of(limits) + 1
    assert processes >= 2  # bubblewrap's first, and the shell


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


def test_memory_of_the_kernel_s_own_is_bounded_by_the_cgroup(tmp_path: Path) -> None:
    """No process's size shows it. Without a cgroup for memory it is held, and doctor says that there is none."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "proxy.sock"))
        door.listen()
        limits = SandboxLimits(memory_bytes=64 << 20, disk_bytes=1 << 20, processes=16, wall_s=120)
        job = SandboxJob(
            command=["python3", "-I", "-S", "-c", SOCKETS], limits=limits, proxy_socket=tmp_path / "proxy.sock"
        )
        end: SandboxEnd = asyncio.run(run_sandboxed(job, tmp_path / "own", lambda _: None))
    if "memory" in find_place().folders:
        assert end.ending == "out_of_memory", end
    else:
        assert (end.ending, b"held" in end.output) == ("ended", True), end
        assert "no memory (" in str(find_place())
