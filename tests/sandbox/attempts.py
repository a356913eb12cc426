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


@attempt
def clone_user_namespace() -> object:
    child = call(56 if X86 else 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a namespace"


@attempt
def setxattr() -> object:
    return reaches_kernel(188 if X86 else 5, BAD, BAD, BAD, 0, 0, filtered=errno.ENOTSUP)


@attempt
def clone3_hides_its_flags() -> object:
    return reaches_kernel(435, 0, 0, filtered=errno.ENOSYS)


@attempt
def tiocsti() -> object:
    """Not ENOTTY: a terminal would have answered."""
    return of_a_terminal(0x5412)


@attempt
def tioclinux() -> object:
    return of_a_terminal(0x541C)


def of_a_terminal(request: int) -> object:
    terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    try:
        return reaches_kernel(16 if X86 else 29, terminal, request, BAD, filtered=errno.ENOTTY)
    finally:
        os.close(terminal)


@attempt
def calls_of_32_bits() -> object:
    """int 0x80 with the number of getpid of i386, which is writev's here."""
    if not X86:
        raise OSError(errno.ENOSYS, "only there on x86")
    child = os.fork()
    if child == 0:
        code = mmap.mmap(
            -1,
            4096,
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
        )
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        run()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise OSError(errno.EPERM, signal.Signals(os.WTERMSIG(status)).name)
    return "a call was made"


@attempt
def calls_of_x32() -> object:
    if not X86:
        raise OSError(errno.ENOSYS, "only there on x86")
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            call(0x40000000 | 39)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise OSError(errno.EPERM, signal.Signals(os.WTERMSIG(status)).name)
    return "it was not killed"


def namespace(kind: str) -> object:
    if os.readlink(f"/proc/self/ns/{kind}") == FACTS["namespaces"][kind]:
        return "the host's own"
    raise OSError(errno.EPERM, "another one")


for kind in FACTS["namespaces"]:
    ATTEMPTS[f"namespace_{kind}"] = lambda kind=kind: namespace(kind)  # type: ignore[misc]


@attempt
def capabilities() -> object:
    lines = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status"))
    has = {key: lines[key] for key in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb") if int(lines[key], 16)}
    if has or lines["NoNewPrivs"] != "1" or lines["Seccomp"] != "2":
        return f"rights: {has}"
    raise OSError(errno.EPERM, "none")


@attempt
def host_name() -> object:
    if os.uname().nodename == FACTS["host_name"]:
        return os.uname().nodename
    raise OSError(errno.EPERM, "another one")


@attempt
def is_root_outside() -> object:
    """The owner of a host's file is shown as `nobody` unless it is whoever this job is outside."""
    if FACTS["is_root"] and os.stat("/usr/bin/env").st_uid == os.getuid():
        return "root's files are this job's own"
    raise OSError(errno.EPERM, "somebody else")


@attempt
def signal_to_the_host() -> object:
    try:
        os.kill(FACTS["pid"], 0)
    except ProcessLookupError:
        raise
    except PermissionError:
        return "it is there"
    return "signalled"


@attempt
def proc_of_the_host() -> object:
    return open(f"/proc/{FACTS['pid']}/comm").read()


@attempt
def environment_of_the_host() -> object:
    return open(f"/proc/{FACTS['pid']}/environ").read()


@attempt
def environment_leak() -> object:
    extra = set(os.environ) - set(FACTS["environment"])
    if extra:
        return sorted(extra)
    raise OSError(errno.EPERM, "none")


@attempt
def environment_of_process_1() -> object:
    try:
        found = open("/proc/1/environ", "rb").read()
    except OSError:
        raise OSError(errno.EPERM, "unreadable") from None
    if FACTS["variable"].encode() in found:
        return "the host's environment"
    raise OSError(errno.EPERM, "none of the host's")


@attempt
def fd_leak() -> object:
    known = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            known[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    extra = {number: what for number, what in known.items() if number > 2 and f"/proc/{os.getpid()}/fd" not in what}
    if extra:
        return extra
    raise OSError(errno.EPERM, "none")


@attempt
def standard_input_waits() -> object:
    if os.readlink("/proc/self/fd/0") != "/dev/null" or os.read(0, 1):
        return "there is an input"
    raise OSError(errno.EPERM, "an empty one")


@attempt
def controlling_terminal() -> object:
    return os.open("/dev/tty", os.O_RDWR)


@attempt
def secret_by_path() -> object:
    return open(FACTS["secret"]).read()


@attempt
def secret_through_process_1() -> object:
    return open(f"/proc/1/root{FACTS['secret']}").read()


@attempt
def secret_through_own_root() -> object:
    os.symlink(f"/proc/self/root{FACTS['secret']}", "link")
    return open("link").read()


@attempt
def secret_above_working_folder() -> object:
    return open(f"{'../' * 20}{FACTS['secret']}").read()


@attempt
def hard_link_to_the_system() -> object:
    os.link("/usr/bin/env", "env")
    return "a second name"


@attempt
def passwords() -> object:
    return open("/etc/shadow").read()


@attempt
def users_of_the_host() -> object:
    if "root" in open("/etc/passwd").read():
        return "the host's users"
    raise OSError(errno.EPERM, "its own user only")


@attempt
def home_folders() -> object:
    found = [
        path for path in ("/root", "/home", "/var", "/opt", "/mnt", "/srv", "/sys", "/run/dbus") if os.path.exists(path)
    ]
    if found:
        return found
    raise OSError(errno.ENOENT, "none")


@attempt
def devices() -> object:
    known = [
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "pts",
        "shm",
        "fd",
        "stdin",
        "stdout",
        "stderr",
        "core",
        "console",
    ]
    extra = set(os.listdir("/dev")) - set(known)
    if extra:
        return sorted(extra)
    raise OSError(errno.ENOENT, "none")


def not_read_only(path: str) -> object:
    """Anything but EROFS was decided by rights alone, which the host's own user would have."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as problem:
        if problem.errno == errno.EROFS:
            raise
        return f"not read-only: {problem.strerror}"
    return "written"


@attempt
def write_to_the_system() -> object:
    return not_read_only("/usr/bin/made-by-a-job")


@attempt
def write_to_the_root() -> object:
    return not_read_only("/made-by-a-job")


@attempt
def write_to_dev() -> object:
    return not_read_only("/dev/made-by-a-job")


@attempt
def kernel_setting() -> object:
    """Opened and not written: it would be the setting of this machine."""
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    return "open"


@attempt
def own_priority_for_the_killer() -> object:
    os.close(os.open("/proc/self/oom_score_adj", os.O_WRONLY))
    return "open"


@attempt
def files_of_another_job() -> object:
    places = ["/job", "/tmp", "/dev/shm"]
    places += [f"/proc/{name}/root/job" for name in os.listdir("/proc") if name.isdigit()]
    for place in places:
        with suppress(PermissionError):
            if FACTS["other"] in os.listdir(place):
                return place
    raise OSError(errno.ENOENT, "not found")


def connected(family: int, address: object) -> object:
    with socket.socket(family) as link:
        link.settimeout(5)
        link.connect(address)  # type: ignore[arg-type]
        return "connected"


@attempt
def unix_socket_of_the_host() -> object:
    return connected(socket.AF_UNIX, FACTS["unix"])


@attempt
def abstract_socket_of_the_host() -> object:
    return connected(socket.AF_UNIX, "\0" + FACTS["abstract"])


@attempt
def loopback_of_the_host() -> object:
    return connected(socket.AF_INET, ("127.0.0.1", FACTS["tcp"]))


@attempt
def loopback_of_the_host_by_ipv6() -> object:
    return connected(socket.AF_INET6, ("::1", FACTS["tcp6"]))


@attempt
def loopback_of_the_host_by_mapped_ipv6() -> object:
    return connected(socket.AF_INET6, ("::ffff:127.0.0.1", FACTS["tcp"]))


@attempt
def names_by_datagram() -> object:
    """A name server on the host's loopback would answer this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(5)
        link.connect(("127.0.0.1", FACTS["udp"]))
        link.send(b"a question")
        return link.recv(100)


@attempt
def address_outside() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(("192.0.2.1", 53))
        return "there is a way"


@attempt
def address_outside_by_ipv6() -> object:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
        link.connect(("2001:db8::1", 53))
        return "there is a way"


@attempt
def other_interfaces() -> object:
    names = [name for _, name in socket.if_nameindex()] if FACTS["network"] else ["lo"]
    if names != ["lo"]:
        return names
    raise OSError(errno.EPERM, "its own loopback only")


def family(number: int, kind: int) -> object:
    refused = (errno.EAFNOSUPPORT if FACTS["network"] else errno.EPERM,)
    try:
        socket.socket(number, kind).close()
    except OSError as problem:
        if problem.errno in refused:
            raise
        return f"the kernel's own answer: {problem.strerror}"
    return "made"


FAMILIES = {"raw": (2, 3), "raw_ipv6": (10, 3), "packet": (17, 2), "netlink": (16, 2), "alg": (38, 5), "vsock": (40, 1)}
for name, (number, type_) in FAMILIES.items():
    ATTEMPTS[f"socket_{name}"] = lambda number=number, type_=type_: family(number, type_)  # type: ignore[misc]


@attempt
def socket_without_the_proxy() -> object:
    """Any socket at all; a job with the proxy has them."""
    if FACTS["network"]:
        raise OSError(errno.EPERM, "not tried")
    return reaches_kernel(41 if X86 else 198, 2, 1, 0)


@attempt
def lock_memory() -> object:
    return reaches_kernel(149 if X86 else 228, ctypes.addressof(ctypes.create_string_buffer(8192)), 8192)


@attempt
def shared_memory_without_a_file() -> object:
    for flags in (mmap.MAP_SHARED, 3):  # 3: MAP_SHARED_VALIDATE
        try:
            call(9 if X86 else 222, 0, 4096, mmap.PROT_READ, flags | mmap.MAP_ANONYMOUS, BAD, 0)
        except OSError as problem:
            if problem.errno == errno.EPERM:
                continue
            return f"the kernel's own answer: {problem.strerror}"
        return "a map"
    raise OSError(errno.EPERM, "none")


@attempt
def shared_memory_of_a_device() -> object:
    for name in ("/dev/zero", "/dev/full"):
        with suppress(OSError):
            descriptor = os.open(name, os.O_RDWR)
            mmap.mmap(descriptor, 4096)
            return name
    raise OSError(errno.EPERM, "none")


@attempt
def larger_socket_buffers() -> object:
    one, other = socket.socketpair()
    with one, other:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with suppress(PermissionError):
                one.setsockopt(socket.SOL_SOCKET, option, 1 << 30)
                return one.getsockopt(socket.SOL_SOCKET, option)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # the rest is as ever
    raise OSError(errno.EPERM, "none")


@attempt
def larger_pipe() -> object:
    ends = os.pipe()
    try:
        return fcntl.fcntl(ends[1], 1031, 1 << 20)
    finally:
        for end in ends:
            os.close(end)


@attempt
def proxy_socket_by_the_relay() -> object:
    """The relay holds what leads to a file of the host: with its name in /proc its mode could be changed."""
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
    if seen:
        return seen
    raise OSError(errno.EPERM, "none")


@attempt
def settings_of_the_host() -> object:
    for place in ("/usr/local/etc", "/usr/etc"):
        with suppress(FileNotFoundError):
            if os.listdir(place):
                return place
            return not_read_only(f"{place}/made-by-a-job")
    raise OSError(errno.ENOENT, "none")


@attempt
def descriptor_flood() -> object:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]
    return len(held)


@attempt
def larger_limits() -> object:
    import resource

    found = []
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            found.append(kind)
    if found:
        return found
    raise OSError(errno.EPERM, "none")


@attempt
def core_dump() -> object:
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        return "allowed"
    raise OSError(errno.EPERM, "none")


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
