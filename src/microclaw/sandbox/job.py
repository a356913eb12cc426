"""A job of the sandbox: its command, limits, environment and end. It starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

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
    """The end of a job, filled in while it runs. `kept` are the files that `keep` named and that are there; `refused`
    says of the others why (not there, no plain file, too large). `reason` is why it was ended early, with the setting.
    Peaks are None where the kernel does not tell."""

    ending: Ending = "ended"
    exit_code: int = 0
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
