"""Runs inside of the sandbox: tries to get out, or to more than it has. Prints for each attempt how it ended, as JSON.

An attempt returns what it got at, or raises OSError. Calls with senseless arguments tell whether the kernel's own code
was reached: without a filter it answers with another error than the filter's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress

FACTS = json.load(open("facts.json"))
X86 = os.uname().machine == "x86_64"
LIBC = ctypes.CDLL(None, use_errno=True)
ATTEMPTS: dict[str, Callable[[], object]] = {}
BAD = -1  # no pointer, no descriptor
REFUSED = "refused"


def anything(found: object) -> object:
    """Return what was got at; where that is nothing, it was refused."""
    if found:
        return found
    raise OSError(errno.EPERM, "none")


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    ATTEMPTS[function.__name__] = function
    return function


def call(number: int, *words: int) -> int:
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(word) for word in words])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def reaches_kernel(number: int, *words: int, filtered: int = errno.EPERM) -> str:
    """Raises what the filter answers; anything else came from the kernel's code behind it."""
    try:
        return f"done: {call(number, *words)}"
    except OSError as problem:
        if problem.errno == filtered:
            raise
        return f"the kernel's own answer: {problem.strerror}"


CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "unshare_user": (272, 97, (0x10000000,)),
    "unshare_mounts": (272, 97, (0x00020000 | 0x10000000,)),
    "setns": (308, 268, (BAD, 0)),
    "ptrace": (101, 117, (0x4200, 0x3FFFFF, 0, 0)),
    "process_vm_readv": (310, 270, (os.getpid(), 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (os.getpid(), 0, 0, 0, 0, 0)),
    "pidfd_open": (434, 434, (os.getpid(), 0)),
    "pidfd_getfd": (438, 438, (BAD, 0, 0)),
    "mount": (165, 40, (BAD, BAD, BAD, 0, 0)),
    "pivot_root": (155, 41, (BAD, BAD)),
    "chroot": (161, 51, (BAD,)),
    "keyctl": (250, 219, (0, -3, 0)),
    "add_key": (248, 217, (BAD, BAD, BAD, 0, 0)),
    "request_key": (249, 218, (BAD, BAD, BAD, 0)),
    "bpf": (321, 280, (0, BAD, 64)),
    "io_uring_setup": (425, 425, (1, BAD)),
    "perf_event_open": (298, 241, (BAD, 0, 0, BAD, 0)),
    "userfaultfd": (323, 282, (0x7FFF0001,)),
    "memfd_create": (319, 279, (BAD, 0)),
    "shmget": (29, 194, (0, 4096, 0o1666)),
    "mq_open": (240, 180, (BAD, 0, 0, 0)),
    "inotify_init1": (294, 26, (0,)),
    "name_to_handle_at": (303, 264, (BAD, BAD, BAD, BAD, 0)),
    "kcmp": (312, 272, (os.getpid(), os.getpid(), 2, 0, 0)),
    "setpriority": (141, 140, (0, 0, 5)),
    "sched_setaffinity": (203, 122, (0, 8, BAD)),
    "vmsplice": (278, 75, (BAD, BAD, 1, 0)),
    "syslog": (103, 116, (10, 0, 0)),
    "fanotify_init": (300, 262, (0x200, 0x7FFFFFFF)),
    "move_pages": (279, 239, (0, 0, 0, 0, 0, 0)),
    "landlock_or_newer": (444, 444, (0, 0, 1)),
    "seccomp": (317, 277, (2, 0, BAD)),
    "mknod_of_a_device": (259, 33, (-100, BAD, stat.S_IFBLK | 0o666, 0x801)),
    "prlimit_of_another": (302, 261, (1, 0, BAD, BAD)),
    "personality": (135, 92, (0x0040000,)),
    "prctl_of_another_kind": (157, 167, (53, 99, 0, 0, 0)),
}
for name, (here, there, words) in CALLS.items():
    number = here if X86 else there
    ATTEMPTS[name] = lambda number=number, words=words: reaches_kernel(number, *words)  # type: ignore[misc]


def of_a_terminal(request: int) -> object:
    """Not ENOTTY: a terminal would have answered."""
    terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    try:
        return reaches_kernel(16 if X86 else 29, terminal, request, BAD, filtered=errno.ENOTTY)
    finally:
        os.close(terminal)


def not_read_only(path: str) -> object:
    """Anything but EROFS was decided by rights alone, which the host's own user would have."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as problem:
        if problem.errno == errno.EROFS:
            raise
        return f"not read-only: {problem.strerror}"
    return "written"


def connected(family: int, address: object, kind: int = socket.SOCK_STREAM) -> object:
    with socket.socket(family, kind) as link:
        link.settimeout(5)
        link.connect(address)  # type: ignore[arg-type]
        return "connected"


def family(number: int, kind: int) -> object:
    refused = errno.EAFNOSUPPORT if FACTS["network"] else errno.EPERM
    try:
        socket.socket(number, kind).close()
    except OSError as problem:
        if problem.errno == refused:
            raise
        return f"the kernel's own answer: {problem.strerror}"
    return "made"


SOCKET = 41 if X86 else 198
PLACES = ("/root", "/home", "/var", "/opt", "/mnt", "/srv", "/sys", "/run/dbus")
DEVICES = {
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm",
    "fd", "stdin", "stdout", "stderr", "core", "console",
}  # fmt: skip
ATTEMPTS |= {
    "setxattr": lambda: reaches_kernel(188 if X86 else 5, BAD, BAD, BAD, 0, 0, filtered=errno.ENOTSUP),
    "clone3_hides_its_flags": lambda: reaches_kernel(435, 0, 0, filtered=errno.ENOSYS),
    "tiocsti": lambda: of_a_terminal(0x5412),
    "tioclinux": lambda: of_a_terminal(0x541C),
    "calls_of_32_bits": lambda: lives_on(call_of_32_bits),
    "calls_of_x32": lambda: lives_on(lambda: call(0x40000000 | 39)),
    "host_name": lambda: anything(os.uname().nodename == FACTS["host_name"]),
    # the owner of a host's file is shown as `nobody` unless it is whoever this job is outside
    "is_root_outside": lambda: anything(FACTS["is_root"] and os.stat("/usr/bin/env").st_uid == os.getuid()),
    "proc_of_the_host": lambda: open(f"/proc/{FACTS['pid']}/comm").read(),
    "environment_of_the_host": lambda: open(f"/proc/{FACTS['pid']}/environ").read(),
    "environment_leak": lambda: anything(set(os.environ) - set(FACTS["environment"])),
    "environment_of_process_1": lambda: anything(FACTS["variable"].encode() in open("/proc/1/environ", "rb").read()),
    "standard_input_waits": lambda: anything(os.readlink("/proc/self/fd/0") != "/dev/null" or os.read(0, 1)),
    "pseudo_terminal": lambda: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
    "controlling_terminal": lambda: os.open("/dev/tty", os.O_RDWR),
    "secret_by_path": lambda: open(FACTS["secret"]).read(),
    "secret_through_process_1": lambda: open(f"/proc/1/root{FACTS['secret']}").read(),
    "secret_above_working_folder": lambda: open(f"{'../' * 20}{FACTS['secret']}").read(),
    "passwords": lambda: open("/etc/shadow").read(),
    "users_of_the_host": lambda: anything("root" in open("/etc/passwd").read()),
    "home_folders": lambda: anything([path for path in PLACES if os.path.exists(path)]),
    "devices": lambda: anything(set(os.listdir("/dev")) - DEVICES),
    "write_to_the_system": lambda: not_read_only("/usr/bin/made-by-a-job"),
    "write_to_the_root": lambda: not_read_only("/made-by-a-job"),
    "write_to_dev": lambda: not_read_only("/dev/made-by-a-job"),
    # opened and not written: it would be the setting of this machine
    "kernel_setting": lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "own_priority_for_the_killer": lambda: os.open("/proc/self/oom_score_adj", os.O_WRONLY),
    "unix_socket_of_the_host": lambda: connected(socket.AF_UNIX, FACTS["unix"]),
    "abstract_socket_of_the_host": lambda: connected(socket.AF_UNIX, "\0" + FACTS["abstract"]),
    "loopback_of_the_host": lambda: connected(socket.AF_INET, ("127.0.0.1", FACTS["tcp"])),
    "loopback_of_the_host_by_ipv6": lambda: connected(socket.AF_INET6, ("::1", FACTS["tcp6"])),
    "loopback_of_the_host_by_mapped_ipv6": lambda: connected(socket.AF_INET6, ("::ffff:127.0.0.1", FACTS["tcp"])),
    "address_outside": lambda: connected(socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM),
    "address_outside_by_ipv6": lambda: connected(socket.AF_INET6, ("2001:db8::1", 53), socket.SOCK_DGRAM),
    "other_interfaces": lambda: anything(FACTS["network"] and [name for _, name in socket.if_nameindex()] != ["lo"]),
    # any socket at all; a job with the proxy has them
    "socket_without_the_proxy": lambda: anything(not FACTS["network"] and reaches_kernel(SOCKET, 2, 1, 0)),
    "lock_memory": lambda: reaches_kernel(
        149 if X86 else 228, ctypes.addressof(ctypes.create_string_buffer(8192)), 8192
    ),
    "core_dump": lambda: anything(resource.getrlimit(resource.RLIMIT_CORE) != (0, 0)),
}
FAMILIES = {"raw": (2, 3), "raw_ipv6": (10, 3), "packet": (17, 2), "netlink": (16, 2), "alg": (38, 5), "vsock": (40, 1)}
for name, (number, type_) in FAMILIES.items():
    ATTEMPTS[f"socket_{name}"] = lambda number=number, type_=type_: family(number, type_)  # type: ignore[misc]
for kind, outside in FACTS["namespaces"].items():
    ATTEMPTS[f"namespace_{kind}"] = lambda kind=kind, outside=outside: anything(  # type: ignore[misc]
        os.readlink(f"/proc/self/ns/{kind}") == outside
    )


def lives_on(made: Callable[[], object]) -> object:
    """A child that makes this call is killed for it."""
    if not X86:
        raise OSError(errno.ENOSYS, "only there on x86")
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            made()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return anything(not os.WIFSIGNALED(status))


def call_of_32_bits() -> object:
    """int 0x80 with the number of getpid of i386, which is writev's here."""
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    prot = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    code = mmap.mmap(-1, 4096, flags=private, prot=prot)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


@attempt
def clone_user_namespace() -> object:
    child = call(56 if X86 else 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a namespace"


@attempt
def capabilities() -> object:
    lines = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status"))
    has = {key: lines[key] for key in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb") if int(lines[key], 16)}
    return anything(has or lines["NoNewPrivs"] != "1" or lines["Seccomp"] != "2")


@attempt
def signal_to_the_host() -> object:
    try:
        os.kill(FACTS["pid"], 0)
    except PermissionError:
        return "it is there"
    return "signalled"


@attempt
def fd_leak() -> object:
    known = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            known[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return anything({number: what for number, what in known.items() if number > 2 and f"/{os.getpid()}/fd" not in what})


@attempt
def secret_through_own_root() -> object:
    os.symlink(f"/proc/self/root{FACTS['secret']}", "link")
    return open("link").read()


@attempt
def hard_link_to_the_system() -> object:
    os.link("/usr/bin/env", "env")
    return "a second name"


@attempt
def files_of_another_job() -> object:
    places = ["/job", "/tmp", "/dev/shm"]
    for place in places + [f"/proc/{name}/root/job" for name in os.listdir("/proc") if name.isdigit()]:
        with suppress(PermissionError):
            if FACTS["other"] in os.listdir(place):
                return place
    return anything(None)


@attempt
def names_by_datagram() -> object:
    """A name server on the host's loopback would answer this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(5)
        link.connect(("127.0.0.1", FACTS["udp"]))
        link.send(b"a question")
        return link.recv(100)


@attempt
def shared_memory_without_a_file() -> object:
    for flags in (mmap.MAP_SHARED, 3):  # 3: MAP_SHARED_VALIDATE
        with suppress(PermissionError):
            return reaches_kernel(9 if X86 else 222, 0, 4096, mmap.PROT_READ, flags | mmap.MAP_ANONYMOUS, BAD, 0)
    return anything(None)


@attempt
def shared_memory_of_a_device() -> object:
    for name in ("/dev/zero", "/dev/full"):
        with suppress(OSError):
            mmap.mmap(os.open(name, os.O_RDWR), 4096)
            return name
    return anything(None)


@attempt
def larger_socket_buffers() -> object:
    one, other = socket.socketpair()
    with one, other:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with suppress(PermissionError):
                one.setsockopt(socket.SOL_SOCKET, option, 1 << 30)
                return one.getsockopt(socket.SOL_SOCKET, option)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # the rest is as ever
    return anything(None)


@attempt
def larger_pipe() -> object:
    ends = os.pipe()
    try:
        return fcntl.fcntl(ends[1], 1031, 1 << 20)
    finally:
        for end in ends:
            os.close(end)


@attempt
def proxy_socket_by_another() -> object:
    """With the name in /proc of what leads to a file of the host its mode could be changed."""
    seen = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError):
            for number in os.listdir(f"/proc/{name}/fd"):
                place = f"/proc/{name}/fd/{number}"
                if "proxy.sock" in os.readlink(place):
                    os.chmod(place, 0o777)
                    seen.append(place)
    return anything(seen)


@attempt
def settings_of_the_host() -> object:
    for place in ("/usr/local/etc", "/usr/etc"):
        with suppress(FileNotFoundError):
            if os.listdir(place):
                return place
            return not_read_only(f"{place}/made-by-a-job")
    return anything(None)


@attempt
def larger_limits() -> object:
    found = []
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            found.append(kind)
    return anything(found)


@attempt
def descriptor_flood() -> object:
    """The last one: it leaves none for others."""
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]


def main() -> None:
    fcntl.fcntl(1, fcntl.F_GETFD)
    ends = {}
    for name, tried in ATTEMPTS.items():
        try:
            ends[name] = f"GOT: {tried()!r}"
        except OSError as problem:
            ends[name] = f"{REFUSED}: {problem}"
        except Exception as problem:  # an attempt of ours that is wrong must not look like one that was refused
            ends[name] = f"WRONG: {problem!r}"
    json.dump(ends, sys.stdout)


main()
