"""Takes one guard of the sandbox away at a time, in a copy, and shows that a test fails then.

Run: python scripts/sandbox_mutations.py. It takes some minutes.
A guard whose loss no test notices is printed, and the exit code is 1. `-k WORD` runs those with the word in their name.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from microclaw.sandbox.cgroup import find_place

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "microclaw"
LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Mutation:
    """`changes` are (file, what stands there, what stands there then). `tests` select those that must notice."""

    name: str
    tests: str
    changes: tuple[tuple[str, str, str], ...]


def system_call(name: str, *, rule: str | None = None) -> Mutation:
    """A call that the filter refuses because no list names it, named."""
    numbers = re.search(rf'^    "{name}": \((\d+), (\d+), \(', ATTEMPTS, re.MULTILINE)
    assert numbers is not None, name
    entry = f'AS_THEY_ARE: Final[Numbers] = {{\n    "{name}": ({numbers[1]}, {numbers[2]}),'
    return Mutation(f"call {name}", rule or name, (("system_calls.py", "AS_THEY_ARE: Final[Numbers] = {", entry),))


def without(name: str, tests: str, file: str, there: str, instead: str = "") -> Mutation:
    return Mutation(name, tests, ((file, there, instead),))


ATTEMPTS = (ROOT / "tests" / "sandbox" / "attempts.py").read_text()
CALLS = (
    "setns", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "mount",
    "chroot", "keyctl", "add_key", "request_key", "bpf", "io_uring_setup", "perf_event_open", "userfaultfd",
    "memfd_create", "shmget", "mq_open", "inotify_init1", "name_to_handle_at", "kcmp", "setpriority",
    "sched_setaffinity", "vmsplice", "fanotify_init", "move_pages", "seccomp",
)  # fmt: skip
BWRAP, JOB, SECCOMP, FILES, RUN = "bubblewrap.py", "wrapped_job.py", "seccomp.py", "job_files.py", "run.py"
CGROUP = "cgroup.py"
UNBOUNDED = (CGROUP, "memory = limits.memory_bytes + PLACES * limits.disk_bytes + KERNEL_BYTES", "memory = 1 << 40")
ALL = '("--unshare-all", "--unshare-user", '
EVERY = ("user", "pid", "net", "ipc", "uts", "cgroup")


def shared(kind: str) -> Mutation:
    """All namespaces but one; the user's cannot be left out by who is no root."""
    own = ", ".join(f'"--unshare-{name}"' for name in EVERY if name != kind)
    return without(f"namespace {kind}", f"namespace_{kind}", BWRAP, ALL, f"({own}, ")


NO_PID = '("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", '
NO_UTS = '("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-pid", "--unshare-cgroup", '
UNWATCHED = (RUN, "            self._look()", "            pass")
INHERITED = "*(n for n in range(3, 200) if Path(f'/proc/self/fd/{n}').exists() and os.get_inheritable(n))"
NO_ROOT = ("identity.py", "return JOB_USER if os.geteuid() == 0 else None", "return None")
SETXATTR = (
    ("system_calls.py", '    "setxattr": (188, 5), "lsetxattr"', '    "lsetxattr"'),
    (
        "system_calls.py",
        "AS_THEY_ARE: Final[Numbers] = {",
        'AS_THEY_ARE: Final[Numbers] = {\n    "setxattr": (188, 5),',
    ),
)
CGROUPS = (
    without("a cgroup of its own", "in_its_cgroup", CGROUP, '(folder / "cgroup.procs").write_text(str(pid))', "pass"),
    without("a cgroup that is removed", "in_its_cgroup", CGROUP, "        folder.rmdir()", "        pass"),
)
"""Noticed where this machine lets a host make some."""
MUTATIONS = (
    *(system_call(name) for name in CALLS),
    Mutation("call setxattr", "setxattr", SETXATTR),
    Mutation(
        "call unshare",
        "unshare",
        (
            (
                "system_calls.py",
                "AS_THEY_ARE: Final[Numbers] = {",
                'AS_THEY_ARE: Final[Numbers] = {\n    "unshare": (272, 97),',
            ),
        ),
    ),
    *(shared(kind) for kind in EVERY if kind not in ("user", "pid", "uts")),
    without("flags of clone", "clone_user_namespace", SECCOMP, "_CLONE_NEW, [0]", "0, [0]"),
    without("clone3", "clone3", SECCOMP, '    "clone3": _Rule(_ENOSYS),'),
    without("requests of terminals", "tioc", SECCOMP, '    "ioctl": _Rule(_ENOTTY, [_Check(1, _WHOLE, _TERMINAL)]),'),
    without(
        "limits of others", "prlimit_of_another", SECCOMP, '    "prlimit64": _Rule(_EPERM, [_Check(0, _WHOLE, [0])]),'
    ),
    without("prctl", "prctl_of_another_kind", SECCOMP, '    "prctl": _Rule(_EPERM, [_Check(0, _WHOLE, _PRCTL)]),'),
    without(
        "personality", "personality", SECCOMP, '    "personality": _Rule(_EPERM, [_Check(0, _WHOLE, [0, _WHOLE])]),'
    ),
    without(
        "device nodes", "mknod", SECCOMP, '    "mknodat": _Rule(_EPERM, [_Check(2, _FORMAT, [0, 0x1000, 0x8000])]),'
    ),
    without(
        "calls of 32 bits",
        "calls_of_32_bits",
        SECCOMP,
        "_instruction(_JUMP_EQUAL, _AUDIT[machine], 1, 0)",
        "_instruction(_JUMP_EQUAL, _AUDIT[machine], 1, 1)",
    ),
    without(
        "calls of x32",
        "calls_of_x32",
        SECCOMP,
        "_instruction(_JUMP_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)",
        "_instruction(_JUMP_AT_LEAST, _X32, 0, 0), _instruction(_JUMP_AT_LEAST, _X32, 0, 0)",
    ),
    without("raw sockets", "socket_raw", SECCOMP, ", _Check(1, 0xF, [_STREAM, _DATAGRAM])"),
    without(
        "packet and netlink sockets",
        "socket_packet or socket_netlink or socket_alg",
        SECCOMP,
        "[_Check(0, _WHOLE, [1, 2, 10]), ",
        "[",
    ),
    without(
        "no socket without the proxy",
        "socket_without_the_proxy",
        SECCOMP,
        '"socket": _OWN_NETWORK if network else _NO}',
        '"socket": _OWN_NETWORK if network else _Rule(_EPERM, [_Check(0, 0, [0])])}',
    ),
    without("the filter", "capabilities or ptrace", BWRAP, "if filtered is not None:", "if False:"),
    without(
        "the network of its own",
        "loopback_of_the_host or abstract_socket or names_by_datagram or address_outside",
        BWRAP,
        ALL,
        '("--unshare-all", "--share-net", "--unshare-user", ',
    ),
    Mutation(
        "the processes of its own",
        "signal_to_the_host or proc_of_the_host or namespace_pid",
        ((BWRAP, ALL, NO_PID), UNWATCHED),
    ),
    Mutation("namespace uts", "namespace_uts", ((BWRAP, ALL, NO_UTS), (JOB, ', "--hostname", "job"]', "]"))),
    Mutation(
        "a /tmp of its own",
        "secret_by_path or secret_above or secret_through_own_root or unix_socket",
        ((JOB, '"--size", size, "--tmpfs", "/tmp"]', '"--bind", "/tmp", "/tmp"]'), UNWATCHED),
    ),
    without(
        "no open files of the host",
        "fd_leak",
        BWRAP,
        "pass_fds=opened.passed,",
        f"pass_fds=[*opened.passed, {INHERITED}],",
    ),
    Mutation(
        "limit of threads",
        "number_of_threads",
        (
            (JOB, "*(((resource.RLIMIT_NPROC, threads, threads),) if _counts_per_namespace() else ())", "*()"),
            (CGROUP, 'pids = [("pids.max", str(threads), True)]', "pids: list[tuple[str, str, bool]] = []"),
        ),
    ),
    without("the name of its own", "host_name", JOB, ', "--hostname", "job"]', "]"),
    without(
        "the users of its own",
        "users_of_the_host",
        JOB,
        'words += ["--ro-bind-data", str(opened.hold(text.encode())), f"/etc/{name}"]',
        'words += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]',
    ),
    without(
        "the devices of its own", "devices or write_to_dev", BWRAP, '"--dev", "/dev")', '"--dev-bind", "/dev", "/dev")'
    ),
    without(
        "a system that is only read",
        "write_to_the_system or hard_link_to",
        BWRAP,
        'yield from ("--ro-bind", str(path), str(path))',
        'yield from ("--bind", str(path), str(path))',
    ),
    without("a root that is only read", "write_to_the_root", BWRAP, ', "--remount-ro", "/"]', "]"),
    without("a /dev that is only read", "write_to_dev", BWRAP, '"--remount-ro", "/dev", '),
    without("a /proc that is only read", "own_priority_for_the_killer", BWRAP, '"--remount-ro", "/proc", '),
    Mutation(
        "a /proc that root's jobs write",
        "kernel_setting or is_root_outside",
        ((BWRAP, '"--remount-ro", "/proc", ', ""), NO_ROOT),
    ),
    without("an empty environment", "environment_leak", JOB, "environment={}", "environment=os.environ"),
    without(
        "the proxy's socket is closed for the command",
        "fd_leak",
        "relay.py",
        "        os.close(int(proxy))",
        "        pass",
    ),
    without("no input", "standard_input", BWRAP, "stdin=subprocess.DEVNULL", "stdin=os.open('/dev/zero', os.O_RDONLY)"),
    without(
        "maps shared without a file",
        "shared_memory_without_a_file",
        SECCOMP,
        '    "mmap": _Rule(_EPERM, [_Check(3, 0x2F, _SHARED_WITHOUT_FILE)], denies=True),',
    ),
    without(
        "sizes of socket buffers",
        "larger_socket_buffers",
        SECCOMP,
        "_BUFFER_SIZES: Final = (7, 8, ",
        "_BUFFER_SIZES: Final = (",
    ),
    without("sizes of pipes", "larger_pipe", SECCOMP, "[_Check(1, _WHOLE, [1031])]", "[_Check(1, _WHOLE, [9999])]"),
    without(
        "no /dev/zero",
        "shared_memory_of_a_device",
        JOB,
        'str(opened.hold(b"")), UNREADABLE',
        'str(opened.hold(b"")), "/dev/none"',
    ),
    without(
        "a relay that is closed", "proxy_socket_by_the_relay", "relay.py", "    close_to_others()\n    door", "    door"
    ),
    without(
        "settings of programs", "settings_of_the_host", JOB, "if path.is_dir() and not path.is_symlink():", "if False:"
    ),
    Mutation("watch of page tables", "page_tables", (("usage.py", '(b"VmPTE:", ', "("), UNBOUNDED)),
    without("limit of open files", "descriptor_flood", JOB, "        (resource.RLIMIT_NOFILE, 256, 256),"),
    without("limit of locked memory", "lock_memory", JOB, "        (resource.RLIMIT_MEMLOCK, 0, 0),"),
    without("size of its folder", "disk_job", JOB, '"--size", size, "--tmpfs", HOME', '"--tmpfs", HOME'),
    without("size of /tmp", "disk_tmp", JOB, '"--size", size, "--tmpfs", "/tmp"', '"--tmpfs", "/tmp"'),
    without("size of /dev/shm", "disk_shm", JOB, '"--size", size, "--tmpfs", "/dev/shm"', '"--tmpfs", "/dev/shm"'),
    without("number of files", "empty_files", RUN, "disk.files > MOST_FILES or ", ""),
    Mutation(
        "watch of memory",
        "memory_of_",
        ((RUN, "used.memory_bytes > limits.memory_bytes", "False"), UNBOUNDED),
    ),
    *CGROUPS,
    without(
        "shared memory counts once",
        "counts_once",
        "usage.py",
        "memory = _exact_memory(processes)",
        "pass",
    ),
    without("watch of processes", "test_fork_bomb", RUN, "used.processes > limits.processes", "False"),
    without("watch of time", "closes_its_output", RUN, "time.monotonic() - self.began > limits.wall_s or ", ""),
    without("watch of processor time", "processor_time", RUN, " or (used is not None and used.cpu_s > limits.cpu_s)"),
    without(
        "processor time of children that ended", "children_that_ended", "usage.py", "fields[11:15]", "fields[11:13]"
    ),
    without("watch of output", "flood_of_output", RUN, 'self._stop("too_much_output")', "pass"),
    without(
        "kill of everything",
        "cancelling_kills or ignores_signals",
        JOB,
        "signal.pidfd_send_signal(self.first, signal.SIGKILL)",
        "signal.pidfd_send_signal(self.first, signal.SIGTERM)",
    ),
    without(
        "no link at the end",
        "plain_file_of_its_own",
        FILES,
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        "os.O_RDONLY | os.O_NONBLOCK",
    ),
    without(
        "no link on the way",
        "plain_file_of_its_own",
        FILES,
        "os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW",
        "os.O_RDONLY | os.O_DIRECTORY",
    ),
    without("plain files only", "plain_file_of_its_own", FILES, "if not stat.S_ISREG(what.st_mode):", "if False:"),
    without("no second names", "plain_file_of_its_own", FILES, "if what.st_nlink != 1:", "if False:"),
    without(
        "a mode of ours",
        "mode_of_ours",
        FILES,
        "out = os.open(target, _NEW, 0o600)",
        "out = os.open(target, _NEW, os.fstat(found).st_mode)",
    ),
    without("a limit of kept files", "limit_together", FILES, "if what.st_size > left:", "if False:"),
    without("names without ..", "leads_elsewhere", FILES, 'part in ("", ".", "..")', 'part in ("", ".")'),
    without("names that are relative", "leads_elsewhere", FILES, 'part in ("", ".", "..")', 'part in (".", "..")'),
)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("-k", default="", help="a word in the name")
    chosen = [mutation for mutation in MUTATIONS if asked.parse_args().k in mutation.name]
    if "pids" not in find_place().folders:
        chosen = [mutation for mutation in chosen if mutation not in CGROUPS]
    unnoticed = []
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made, "src", "microclaw")
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for mutation in chosen:
            noticed = is_noticed(mutation, copy)
            print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutation.name}", flush=True)
            if not noticed:
                unnoticed.append(mutation.name)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} guards are needed by a test")
    return 1 if unnoticed else 0


def is_noticed(mutation: Mutation, copy: Path) -> bool:
    """True if a test fails with it, and no sandbox that cannot start is why; the copy is as it was afterwards."""
    before = {}
    for file, there, instead in mutation.changes:
        path = copy / "sandbox" / file
        before.setdefault(path, path.read_text())
        text = path.read_text()
        if there not in text:
            raise SystemExit(f"{mutation.name}: {file} has no longer: {there}")
        path.write_text(text.replace(there, instead))
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-B",
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "no:cacheprovider",
                "tests/sandbox",
                "-k",
                f"{mutation.tests} or every_attempt",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{copy.parent}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        for path, text in before.items():
            path.write_text(text)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: the tests could not be run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    last = done.stdout.rstrip().rpartition("\n")[2]
    if " error" in last:
        print(f"{mutation.name}: the attempts could not be made\n{done.stdout[-2000:]}")
        return False
    return " failed" in last and any(word in done.stdout for word in mutation.tests.split(" or "))


if __name__ == "__main__":
    sys.exit(main())
