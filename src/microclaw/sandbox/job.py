"""A job of the sandbox: its command, limits and environment, how it ended, and its files. It starts nothing.

What it left behind is taken out by a descriptor of its folder, part by part, and no link is followed: it may be a link
to a file of this host, a device, a pipe that never ends, or a name with `..`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from microclaw.errors import TaskRefused
from microclaw.text import without_marks

Ending: TypeAlias = Literal[
    "ended",  # by itself: `exit_code` says how
    "timed_out",
    "out_of_memory",
    "too_much_output",
    "disk_full",
    "killed",  # by a signal that is none of the above: `exit_code` is its number, negative
]
HOME: Final = "/job"
RELAY_PORT: Final = 8118
RELAY_SOURCE: Final = Path(__file__).with_name("relay.py")
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"  # what a job sees of this machine
MOST_FILES: Final = 20_000
MAX_NAME_BYTES: Final = 200
MAX_PARTS: Final = 4
MAX_PART_CHARS: Final = 100
_PART: Final = re.compile(r"[^\W.][\w .()+@=,-]*")
PAGE: Final = 4096  # the most that a file takes on a disk beyond its size
_BLOCK: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINK_ON_ITS_WAY: Final = (errno.ENOTDIR, errno.ELOOP)  # what O_NOFOLLOW and O_DIRECTORY say of one


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """Of one job and all of its processes together. Times in seconds, sizes in bytes."""

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 512 << 20
    output_bytes: int = 1 << 20
    disk_bytes: int = 64 << 20
    processes: int = 64


class SandboxJob(Struct, frozen=True, kw_only=True):
    """One command and what it sees.

    `files` are put into its folder before it starts, `keep` are the names taken out of it afterwards: both relative,
    without `..`, and no links. `proxy_socket` is where relay.py sends a socket for the egress
    proxy; without it there is no network.
    """

    command: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    keep: Sequence[str] = ()
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    proxy_socket: Path | None = None


class SandboxEnd(Struct, kw_only=True):
    """The end of a job, filled in while it runs. `output` is the tail of what it printed, errors too. `kept` are the
    files that `keep` named and that are there; `refused` says of the others why (no plain file, too large). `reason` is
    why it was ended early, with the setting. Peaks are None where the kernel does not tell."""

    ending: Ending = "ended"
    exit_code: int = 0
    output: bytes = b""
    output_bytes: int = 0
    kept: Mapping[str, Path] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None


class Usage(Struct, frozen=True):
    """Of all processes of a job together; zeros where only an engine knows. `is_full`: its disk has no room left, and
    `is_over`: it has to be ended for what it took of it."""

    is_full: bool = False
    is_over: bool = False
    processes: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0


def job_user() -> int | None:
    """The user of a job outside of its sandbox; None is the host's own.

    A job of a host of root's is a user that owns nothing: the kernel counts no processes of root's against a limit, and
    lets root's own write its settings in /proc, whatever rights they gave up.
    """
    return 60666 if os.geteuid() == 0 else None  # a number that neither Debian nor systemd gives away


def environment_of(job: SandboxJob) -> dict[str, str]:
    """All that a job's processes find in their environment."""
    given = {"PATH": SYSTEM_PATH, "HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    if job.proxy_socket is not None:
        proxy = f"http://127.0.0.1:{RELAY_PORT}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        given |= {**dict.fromkeys(names, proxy), "NODE_USE_ENV_PROXY": "1"}
        given |= dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1")
    return given


def with_relay(job: SandboxJob, relay: str, socket: str) -> list[str]:
    """The command behind relay.py, which starts first and becomes it."""
    return ["python3", "-I", "-S", relay, str(RELAY_PORT), socket, *job.command]


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of a plain relative name, as `plot.png` or `out/plot.png`. Raises TaskRefused for any other."""
    parts = tuple(name.split("/"))
    size = len(name.encode(errors="replace"))
    is_long = size > MAX_NAME_BYTES or len(parts) > MAX_PARTS or max(map(len, parts)) > MAX_PART_CHARS
    if is_long or not all(_PART.fullmatch(without_marks(part)) for part in parts):
        raise TaskRefused(
            f"{name[:80]!r} is no name of a task's file",
            next_step="letters, digits, spaces and ._-()+@=, with / between, none beginning with a dot; "
            f"at most {MAX_NAME_BYTES} bytes in {MAX_PARTS} parts, a part {MAX_PART_CHARS} characters",
        )
    return parts


def check_job(job: SandboxJob) -> None:
    """Raises TaskRefused for a wrong name, or for files that its disk does not hold."""
    for name in (*job.files, *job.keep):
        checked_parts(name)
    if sum(len(content) + PAGE for content in job.files.values()) > job.limits.disk_bytes:
        raise TaskRefused("code and files are larger than its disk", next_step="give it less, or raise tasks.disk_mb")


def take_files(
    names: Sequence[str], folder: int, place: Path, limit: int
) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """Copy what is there of `names` into `place`, which is made; also why the others are refused.

    To be called when no process of the job lives. Together they are at most `limit` bytes.
    """
    kept: dict[str, Path] = {}
    refused: dict[str, str] = {}
    left = limit
    for name in names:
        parts = checked_parts(name)
        target = place.joinpath(*parts)
        try:
            left -= _take(folder, parts, target, left)
            kept[name] = target
        except FileNotFoundError:
            continue
        except OSError as problem:
            is_link = problem.errno in _LINK_ON_ITS_WAY
            refused[name] = "a link or no folder on its way" if is_link else problem.strerror or str(problem)
    return kept, refused


def _take(folder: int, parts: tuple[str, ...], target: Path, left: int) -> int:
    """Its size. Raises OSError, which says why it is not taken."""
    with ExitStack() as opened:
        for part, flags in (*((part, _FOLDER) for part in parts[:-1]), (parts[-1], _FILE)):
            folder = os.open(part, flags, dir_fd=folder)
            opened.callback(os.close, folder)
        what = os.fstat(folder)
        if not stat.S_ISREG(what.st_mode):
            raise OSError("it is no plain file")
        if what.st_nlink != 1:
            raise OSError("it has a second name (a hard link)")
        if what.st_size > left:
            raise OSError(f"it is too large ({what.st_size} bytes)")
        target.parent.mkdir(parents=True, exist_ok=True)
        out = os.open(target, _NEW, 0o600)  # a mode of ours: the job's may be setuid
        try:
            with os.fdopen(out, "wb") as copy:
                for at in range(0, what.st_size, _BLOCK):  # no more: a job that an engine left running may still write
                    copy.write(os.read(folder, min(_BLOCK, what.st_size - at)))
                return copy.tell()
        except OSError:
            target.unlink(missing_ok=True)
            raise
