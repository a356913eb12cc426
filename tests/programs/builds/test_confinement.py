"""A compiler shut off from the machine, in each way that this machine has."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from microclaw.host.sandbox.landlock import landlock_version
from microclaw.programs.builds import confinement
from microclaw.programs.builds.confinement import readable_paths
from microclaw.programs.builds.process import Processes, ProcessResult
from microclaw.programs.wasm.toolchain import find_toolchain

WAYS = [
    way
    for way, works in (
        ("bubblewrap", confinement._bubblewrap_works()),
        ("landlock", landlock_version() > 0),
    )
    if works
]
assert WAYS


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    confinement.detect_confinement.cache_clear()
    monkeypatch.setattr(confinement, "_bubblewrap_works", lambda: request.param == "bubblewrap")
    assert confinement.detect_confinement() == request.param
    yield request.param
    confinement.detect_confinement.cache_clear()


def python(code: str, directory: Path, *more: str) -> ProcessResult:
    """The interpreter and its libraries are named, so that they can be read."""
    return Processes().run([sys.executable, "-c", code, sys.base_prefix, sys.prefix, *more], directory)


def test_a_file_of_the_machine_is_not_read(way: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h"
    work = tmp_path / "work"
    secret.write_text("int the_secret;\n")
    work.mkdir()
    for named in (secret, "/etc/passwd", f"/proc/{os.getpid()}/environ"):
        (work / "program.c").write_text(f'#include "{named}"\nint main(void) {{ return x; }}\n')
        done = Processes().run(find_toolchain().compile_command("program.c", "O1", ()), work)
        assert done.returncode == 1
        assert "the_secret" not in done.output
        assert "root:" not in done.output


def test_its_own_folder_is_written_and_no_other(way: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    other = tmp_path / "other"
    work.mkdir()
    other.mkdir()
    done = python("open('made', 'w').write('x')", work)
    assert done.returncode == 0, done.output
    assert (work / "made").read_text() == "x"
    done = python(f"open({str(other / 'made')!r}, 'w')", work, str(other))  # named: it may be read
    assert done.returncode == 1
    assert "Error" in done.output
    assert not (other / "made").exists()


def test_there_is_no_network(way: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = python(f"import socket; socket.create_connection(('127.0.0.1', {port}))", tmp_path)
    assert done.returncode == 1
    assert "PermissionError" in done.output
    done = python("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", tmp_path)
    assert "PermissionError" in done.output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (  # no namespace is made inside
            "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.unshare(0x10000000), ctypes.get_errno())",
            ["-1", "1"],
        ),
        (  # limits hold from the first instruction
            "from resource import *; print(getrlimit(RLIMIT_CPU)[0], getrlimit(RLIMIT_CORE))",
            ["20", "(0,", "0)"],
        ),
    ],
)
def test_inside_it_is_so(way: str, code: str, said: list[str], tmp_path: Path) -> None:
    assert python(code, tmp_path).output.split() == said


CALLS = {
    "chmod": "os.chmod(PATH, 0o777)",
    "fchmod": "os.fchmod(os.open('own', os.O_CREAT | os.O_RDWR), 0o777)",
    "chown": "os.chown(PATH, 65534, 65534)",
    "setxattr": "os.setxattr(PATH, 'user.x', b'1')",
    "utime": "os.utime(PATH, (1, 1))",
    "prlimit": "resource.prlimit(HOST, resource.RLIMIT_CPU, (1, 1))",
    "setpriority": "os.setpriority(os.PRIO_PROCESS, HOST, 5)",
    "affinity": "os.sched_setaffinity(HOST, {0})",
    "scheduler": "os.sched_setscheduler(HOST, os.SCHED_BATCH, os.sched_param(0))",
    "pidfd_open": "os.pidfd_open(HOST)",
    "kill": "os.kill(HOST, 0)",
    "shmget": "call(29 if X86 else 194, 0x77123, 4096, 0o1666)",
    "fanotify_init": "call(300 if X86 else 262, 0, 0)",
    "fspick": "call(433, -100, b'/', 0)",
    "process_madvise": "call(440, -1, 0, 0, 0, 0)",
    "kcmp": "call(312 if X86 else 272, HOST, os.getpid(), 2, 0, 0)",
}


def test_nothing_of_other_files_and_processes_is_changed(way: str, tmp_path: Path) -> None:
    """Its own limits may be set; each other call is refused by the filter, also where Landlock has no rule for it."""
    work = tmp_path / "work"
    victim = tmp_path / "victim"
    work.mkdir()
    victim.write_text("x")
    victim.chmod(0o600)
    before = victim.stat()
    limit = resource.getrlimit(resource.RLIMIT_CPU)
    code = f"""
import ctypes, os, resource
PATH, HOST, X86 = {str(victim)!r}, {os.getpid()}, os.uname().machine == "x86_64"
lib = ctypes.CDLL(None, use_errno=True)
def call(*words):
    if lib.syscall(*words) < 0:
        raise OSError(ctypes.get_errno(), "refused")
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
for name, tried in {CALLS!r}.items():
    try:
        eval(tried)
        print(name, "done")
    except OSError as exc:
        print(name, exc.errno)
"""
    done = python(code, work, str(victim))
    others = {"setxattr": errno.ENOTSUP, "kill": errno.ESRCH if way == "bubblewrap" else errno.EPERM}
    answers = {name: others.get(name, errno.EPERM) for name in CALLS}
    assert done.output.split("\n")[:-1] == [f"{name} {answer}" for name, answer in answers.items()]
    after = victim.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    assert resource.getrlimit(resource.RLIMIT_CPU) == limit


@pytest.mark.parametrize("leaves", ["os.setsid", "lambda: os.setpgid(0, 0)", "lambda: None"])
def test_no_child_lives_on(way: str, leaves: str, tmp_path: Path) -> None:
    code = f"""
import os, time
ends, begun = os.pipe()
if os.fork() == 0:
    try:
        ({leaves})()
    except PermissionError:
        pass
    if os.fork():
        os._exit(0)
    lives = os.open("lives", os.O_WRONLY)
    os.write(begun, b"x")
    os.close(1)
    os.close(2)
    time.sleep(60)
os.read(ends, 1)
"""
    os.mkfifo(tmp_path / "lives")
    reader = os.open(tmp_path / "lives", os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = python(code, tmp_path)
        assert done.returncode == 0, done.output
        assert not done.timed_out
        poll = select.poll()  # its end of the FIFO closes when it dies
        poll.register(reader, select.POLLHUP)
        assert poll.poll(10_000)
    finally:
        os.close(reader)


def test_of_a_compiler_at_home_only_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    own = tmp_path / "opt" / "clang"
    own.mkdir(parents=True)
    for compiler in (tmp_path / "clang", own / "clang", tmp_path.parent / "clang"):
        compiler.touch()
    assert set(readable_paths([str(tmp_path / "clang")], work)) == {tmp_path / "clang"}
    assert set(readable_paths([str(tmp_path.parent / "clang")], work)) == {tmp_path.parent / "clang"}
    assert set(readable_paths([str(own / "clang")], work)) == {own}
    linked = own / "linked"
    linked.symlink_to(tmp_path / "clang")
    assert set(readable_paths([str(linked)], work)) == {own, tmp_path / "clang"}
