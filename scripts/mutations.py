"""Takes one guard of the sandbox or of egress away at a time, in a copy, and shows that a test fails then.

Run: python scripts/mutations.py. It takes some minutes.
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

ROOT = Path(__file__).parents[1]
LIMIT_S = 180


@dataclass(frozen=True, slots=True)
class Mutation:
    """`changes` are (file, what stands there, what stands there then). `tests` are words of those of tests/host/sandbox that
    must notice, or a file of tests/host/egress."""

    name: str
    tests: str
    changes: tuple[tuple[str, str, str], ...]

    @property
    def selected(self) -> tuple[str, ...]:
        """The arguments of pytest."""
        if self.tests.endswith(".py"):
            return (f"tests/host/egress/{self.tests}",)
        return ("tests/host/sandbox", "-k", f"{self.tests} or every_attempt")

    def is_noticed(self, copy: Path) -> bool:
        """True if a test fails with it, and no sandbox that cannot start is why; the copy is as it was afterwards."""
        before: dict[Path, str] = {}
        for file, there, instead in self.changes:
            path = copy / "microclaw" / file
            before.setdefault(path, path.read_text())
            text = path.read_text()
            if there not in text:
                raise SystemExit(f"{self.name}: {file} has no longer: {there}")
            path.write_text(text.replace(there, instead))
        words = [sys.executable, "-B", "-m", "pytest", "-vv", "-p", "no:cacheprovider", *self.selected]
        environ = {**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}
        try:
            done = subprocess.run(
                words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return True  # what it guarded against went on
        finally:
            for path, text in before.items():
                path.write_text(text)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{self.name}: the tests could not be run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        last = done.stdout.rstrip().rpartition("\n")[2]
        if " error" in last:
            print(f"{self.name}: the attempts could not be made\n{done.stdout[-2000:]}")
            return False
        return " failed" in last and any(word in done.stdout for word in self.tests.split(" or "))


def system_call(name: str) -> Mutation:
    """A call that the filter refuses because no list names it, named."""
    numbers = re.search(rf'^    "{name}": \((\d+), (\d+), \(', ATTEMPTS, re.MULTILINE)
    assert numbers is not None, name
    return without(f"call {name}", name, SECCOMP, "# files", f"{name} {numbers[1]} {numbers[2]}")


def without(name: str, tests: str, file: str, there: str, instead: str = "") -> Mutation:
    return Mutation(name, tests, ((file, there, instead),))


ATTEMPTS = (ROOT / "tests" / "host" / "sandbox" / "attempts.py").read_text()
CALLS = (
    "setns", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "mount",
    "chroot", "keyctl", "add_key", "request_key", "bpf", "io_uring_setup", "perf_event_open", "userfaultfd",
    "memfd_create", "shmget", "mq_open", "inotify_init1", "name_to_handle_at", "kcmp", "setpriority",
    "sched_setaffinity", "vmsplice", "fanotify_init", "move_pages", "seccomp",
)  # fmt: skip
BWRAP = "host/sandbox/bubblewrap.py"
JOB = "host/sandbox/wrapped_job.py"
SECCOMP = "host/sandbox/seccomp.py"
FILES = "host/sandbox/job_files.py"
RUN = "host/sandbox/run.py"
PTS = (JOB, 'words += ["--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]', "pass")
UNSCOPED = (JOB, "    if has_scope():", "    if False:")
ALL = '("--unshare-all", "--unshare-user", '
EVERY = ("user", "pid", "net", "ipc", "uts", "cgroup")


def shared(kind: str) -> Mutation:
    """All namespaces but one; the user's cannot be left out by who is no root."""
    own = ", ".join(f'"--unshare-{name}"' for name in EVERY if name != kind)
    return without(f"namespace {kind}", f"namespace_{kind}", BWRAP, ALL, f"({own}, ")


NO_PID = '("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", '
NO_UTS = '("--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-pid", "--unshare-cgroup", '
UNWATCHED = (RUN, "            self._check_limits(usage)", "            pass")
INHERITED = "*(n for n in range(3, 200) if Path(f'/proc/self/fd/{n}').exists() and os.get_inheritable(n))"
NO_ROOT = ("host/sandbox/job.py", "return 60666 if os.geteuid() == 0 else None", "return None")
SANDBOX = (
    *(system_call(name) for name in CALLS),
    without("call setxattr", "setxattr", SECCOMP, 'if name.endswith("xattr")', 'if name.endswith("getxattr")'),
    without("call unshare", "unshare", SECCOMP, "# files", "unshare 272 97"),
    *(shared(kind) for kind in EVERY if kind not in ("user", "pid", "uts")),
    without("flags of clone", "clone_user_namespace", SECCOMP, "_CLONE_NEW, [0]", "0, [0]"),
    without("clone3", "clone3", SECCOMP, '    "clone3": [_Check(_ENOSYS)],'),
    without("pseudo terminals", "pseudo_terminal", *PTS),
    Mutation(
        "requests of terminals",
        "tioc",
        (PTS, (SECCOMP, '    "ioctl": [_Check(_ENOTTY, 1, _WHOLE, _TERMINAL)],', "")),
    ),
    without("limits of others", "prlimit_of_another", SECCOMP, '    "prlimit64": [_Check(_EPERM, 0, _WHOLE, [0])],'),
    without("prctl", "prctl_of_another_kind", SECCOMP, '    "prctl": [_Check(_EPERM, 0, _WHOLE, _PRCTL)],'),
    without("personality", "personality", SECCOMP, '    "personality": [_Check(_EPERM, 0, _WHOLE, [0, _WHOLE])],'),
    without("device nodes", "mknod", SECCOMP, '    "mknodat": [_Check(_EPERM, 2, _FORMAT, _NODE)],'),
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
    without("raw sockets", "socket_raw", SECCOMP, "    _Check(_EAFNOSUPPORT, 1, 0xF, [_STREAM, _DATAGRAM]),"),
    without(
        "packet and netlink sockets",
        "socket_packet or socket_netlink or socket_alg",
        SECCOMP,
        "    _Check(_EAFNOSUPPORT, 0, _WHOLE, [1, 2, 10]),",
        "",
    ),
    without(
        "no socket without the proxy",
        "socket_without_the_proxy",
        SECCOMP,
        '**_UNCOUNTED, "socket": _NO}',
        "**_UNCOUNTED}",
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
        "pass_fds=opened.numbers,",
        f"pass_fds=[*opened.numbers, {INHERITED}],",
    ),
    Mutation(
        "limit of threads",
        "number_of_threads",
        (
            (JOB, 'options.append(f"--nproc={threads_of(limits)}")', "pass"),
            UNSCOPED,
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
    without(
        "an empty environment",
        "environment_leak",
        JOB,
        "environment: dict[str, str] = {}",
        "environment = dict(os.environ)",
    ),
    without(
        "the proxy's socket is closed for the command",
        "fd_leak",
        "host/sandbox/relay.py",
        "        os.close(int(proxy))",
        "        pass",
    ),
    without("no input", "standard_input", BWRAP, "stdin=subprocess.DEVNULL", "stdin=os.open('/dev/zero', os.O_RDONLY)"),
    without(
        "maps shared without a file",
        "shared_memory_without_a_file",
        SECCOMP,
        '    "mmap": [_Check(_EPERM, 3, 0x2F, _SHARED_WITHOUT_FILE, denies=True)],',
    ),
    without(
        "sizes of socket buffers",
        "larger_socket_buffers",
        SECCOMP,
        "_BUFFER_SIZES: Final = (7, 8, ",
        "_BUFFER_SIZES: Final = (",
    ),
    without("sizes of pipes", "larger_pipe", SECCOMP, "1, _WHOLE, [1031]", "1, _WHOLE, [9999]"),
    without(
        "no /dev/zero",
        "shared_memory_of_a_device",
        JOB,
        'str(opened.hold(b"")), UNREADABLE',
        'str(opened.hold(b"")), "/dev/none"',
    ),
    without(
        "settings of programs", "settings_of_the_host", JOB, "if path.is_dir() and not path.is_symlink():", "if False:"
    ),
    Mutation("watch of page tables", "page_tables", ((JOB, '(b"VmPTE:", ', "("), UNSCOPED)),
    without("limit of open files", "descriptor_flood", JOB, '"--nofile=256", '),
    without("limit of locked memory", "lock_memory", JOB, '"--memlock=0", '),
    without("size of its folder", "disk_job", JOB, '"--size", size, "--tmpfs", HOME', '"--tmpfs", HOME'),
    without("size of /tmp", "disk_tmp", JOB, '"--size", size, "--tmpfs", "/tmp"', '"--tmpfs", "/tmp"'),
    without("size of /dev/shm", "disk_shm", JOB, '"--size", size, "--tmpfs", "/dev/shm"', '"--tmpfs", "/dev/shm"'),
    without("number of files", "empty_files", JOB, " > MOST_FILES", " < 0"),
    Mutation(
        "watch of memory",
        "memory_of_",
        ((RUN, "used.memory_bytes > limits.memory_bytes", "False"), UNSCOPED),
    ),
    without(
        "shared memory counts once",
        "counts_once",
        JOB,
        "exact=True",
        "exact=False",
    ),
    without("watch of processes", "test_fork_bomb", RUN, "used.processes > limits.processes", "False"),
    without("watch of time", "closes_its_output", RUN, "time.monotonic() - self.began > limits.wall_s or ", ""),
    without("watch of processor time", "processor_time", RUN, " or used.cpu_s > limits.cpu_s"),
    without(
        "processor time of children that ended",
        "children_that_ended",
        JOB,
        "fields[11:15]",
        "fields[11:13]",
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
    without("plain files only", "plain_file_of_its_own", FILES, "if not stat.S_ISREG(status.st_mode):", "if False:"),
    without("no second names", "plain_file_of_its_own", FILES, "if status.st_nlink != 1:", "if False:"),
    without(
        "a mode of ours",
        "mode_of_ours",
        FILES,
        "os.O_EXCL, 0o600)",
        "os.O_EXCL, os.fstat(folder).st_mode)",
    ),
    without("a limit of kept files", "limit_together", FILES, "if status.st_size > max_bytes:", "if False:"),
    without("names without ..", "leads_elsewhere", FILES, r"[^\W.][\w .", r"[^/][\w ."),
    without("names that are relative", "leads_elsewhere", FILES, r"[^\W.][\w .", r"[^\W.]?[\w ."),
)

EGRESS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("host/egress/request_head.py", "test_bypasses.py", (
        ("headers twice", "if _TWICE.search(head):", "if False:"),
        ("length and encoding", r"(?:content-length|transfer-encoding)):", r"(?:content-length)):"),
        ("lines of a head", "if not _HEAD.fullmatch(head):", "if False:"),
        ("the first line", r"[!-~]+ [!-~]+ HTTP/1\.[01]\r\n", r"[^\r]+\r\n"),
        ("lines that are folded", r"0-9A-Z-]+:", r"0-9A-Z \n-]+:"),
        ("a length that is none", r"[0-9]{1,18}[\t ]*", r"[0-9, +]{1,18}[\t ]*"),
        ("the Host header", "if (host, port) == (place.host, place.port):", "if True:"),
        ("headers of one connection", "if name.lower() not in dropped", "if name.lower() != b'host'"),
        ("framing that Connection hides", " - FRAMING", ""),
        ("long addresses", "if len(event.target) > MAX_TARGET_CHARS:", "if False:"),
        ("many headers", "if head.count(b\"\\r\\n\") > MAX_HEADERS + 2:", "if False:"),
        ("large heads", "MAX_HEAD_BYTES: Final = 16 << 10", "MAX_HEAD_BYTES: Final = 1 << 20"),
    )),
    ("host/egress/destinations.py", "test_destinations.py", (
        ("public addresses", "if is_own or not self.is_public(address):", "if is_own:"),
        ("own networks", "is_own = is_in(address, own)", "is_own = False"),
        ("mapped addresses", "address.ipv4_mapped or ", ""),
        ("NAT64", "if address in _NAT64:", "if False:"),
        ("6to4", " or address.sixtofour", ""),
        ("numbers as names", 'or _NUMBER.fullmatch(bare.rpartition(".")[2].lower())', ""),
        ("metadata addresses", "if not is_in(address, _METADATA)]", "if True]"),
    )),
    ("host/egress/destinations.py", "test_allowlist.py", (
        ("addresses as hosts", "if _literal(host) is not None:", "if False:"),
    )),
    ("host/egress/allowlist.py", "test_proxy.py", (
        ("the wildcard's dot", "host.endswith(self.host[1:])", "host.endswith(self.host[2:])"),
        ("tasks of an entry", "return is_named and self.counts_for(task)", "return is_named"),
        ("the file's change", "_last_read(path, version)", "_last_read(path, None)"),
    )),
    ("host/egress/proxy.py", "test_proxy.py", (
        ("the verdict", "reasons.append(reason)", "return entry, secured"),
        ("ports", "if request.port not in entry.ports:", "if False:"),
        ("methods", "if not tunnel and entry.methods is not None", "if False and entry.methods is not None"),
        ("CONNECT with methods or a secret", "if tunnel and (entry.methods", "if False and (entry.methods"),
        ("https without tls", "if not tunnel and not entry.tls and", "if False and"),
        ("requests a minute", "limit.requests_per_minute, ", "None, "),
        ("bytes of a task", "limit.bytes_per_task, ", "None, "),
        ("bytes of a day", "limit.bytes_per_day, ", "None, "),
    )),
    ("host/egress/proxy.py", "test_proxy.py", (
        ("connections at once", "if self.open_count >= allowlist.limits.connections:", "if False:"),
        ("a head that never ends", "asyncio.timeout(self.proxy.times.head_s):", "asyncio.timeout(None):"),
        ("the log's line", "self.proxy.record(AuditEvent(kind, text", "id(AuditEvent(kind, text"),
        ("no path in the log", "[:16]} {request.host}", "[:16]} {request.host}{request.path}"),
    )),
    ("host/egress/proxy.py", "test_secrets.py", (
        ("a secret that is missing", "await proxy.secrets.value(entry.secret)", "await proxy.secrets.value(entry.secret) or 'none'"),
    )),
    ("host/egress/outgoing.py", "test_secrets.py", (
        ("the server's certificate", "ssl=tls,", "ssl=tls and ssl._create_unverified_context(),"),
    )),
    ("host/egress/exchange.py", "test_proxy.py", (
        (
            "stalls in reading",
            "async with asyncio.timeout(self.stall_s):\n            return",
            "async with asyncio.timeout(None):\n            return",
        ),
        (
            "stalls in writing",
            "async with asyncio.timeout(self.stall_s):\n            await self.writer.drain",
            "async with asyncio.timeout(None):\n            await self.writer.drain",
        ),
    )),
    ("host/egress/exchange.py", "test_secrets.py", (
        ("the task's own header", "_RANGES | {name.lower().encode()}", "_RANGES"),
        ("ranges", 'frozenset({b"range", b"if-range", b"accept-encoding"})', "frozenset({b'x'})"),
        ("echo in a body", "masked.feed(bytes(piece.data))", "bytes(piece.data)"),
        ("echo in a header", "(name, mask.masked_bytes(value))", "(name, value)"),
        ("compressed answers", "and not encodings <= _PLAIN", "and False"),
    )),
    ("host/egress/http_door.py", "test_outgoing.py", (
        ("one place of the settings", "if place != self.first:", "if False:"),
        ("downloads without TLS", 'if url.scheme != "https":', "if False:"),
        ("downloads to the inside", "return self.purpose\n", "return Purpose.CONFIGURED\n"),
        ("the judged address", "open_socket(addresses, port)", "open_socket([host], port)"),
        ("the pool's way out", "pool._network_backend = _Backend", "_Backend"),
        ("targets behind a proxy", "addresses = await self._known_addresses(rule, place)", "pass"),
    )),
    ("host/egress/http_door.py", "test_fetching.py", (
        ("rebinding behind a proxy", "if proxy is not None and rule is Purpose.WEB:\n", "if False:\n"),
    )),
    ("host/egress/masking.py", "test_secrets.py", (
        ("echo over two chunks", "end = len(masked) - self._mask.begun(masked)", "end = len(masked)"),
    )),
    ("host/egress/masking.py", "test_masked_logs.py", (
        ("people's tokens", "mc_[A-Za-z0-9_-]{43}", "mx_[A-Za-z0-9_-]{43}"),
        ("base64", "for offset in range(3):", "for offset in range(0):"),
    )),
    ("interfaces/cli/host_process.py", "test_masked_logs.py", (
        ("the mask of the log", "self._mask.masked(super().format(record))", "super().format(record)"),
    )),
    ("host/audit/log.py", "test_masked_logs.py", (
        ("the mask of the security log", "text=self._mask(event.text)", "text=event.text"),
    )),
    ("devices/flash/images.py", "test_one_door.py", (
        ("the only door", "http_client(Purpose.DOWNLOAD, address, ", "__import__('httpx2').AsyncClient("),
    )),
)  # fmt: skip
"""For each file of src/microclaw and test of tests/host/egress: a guard's name, its code, and the code without it."""

MUTATIONS = (
    *SANDBOX,
    *(
        Mutation(name, tests, ((file, there, instead),))
        for file, tests, rows in EGRESS
        for name, there, instead in rows
    ),
)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("-k", default="", help="a word in the name")
    chosen = [mutation for mutation in MUTATIONS if asked.parse_args().k in mutation.name]
    unnoticed = []
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made, "src")
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        for mutation in chosen:
            noticed = mutation.is_noticed(copy)
            print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutation.name}", flush=True)
            if not noticed:
                unnoticed.append(mutation.name)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} guards are needed by a test")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
