"""A job of the sandbox: its command, limits, environment and end. It starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

Ending: TypeAlias = Literal[
    # By itself, with `exit_code`.
    "ended",
    "timed_out",
    "out_of_memory",
    "too_much_output",
    "disk_full",
    # By another signal; `exit_code` is its negative number.
    "killed",
]
HOME: Final = "/job"
RELAY_PORT: Final = 8118
RELAY_SOURCE: Final = Path(__file__).with_name("relay.py")
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
MOST_FILES: Final = 20_000


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """The limits of one job, for all of its processes together."""

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 512 << 20
    output_bytes: int = 1 << 20
    disk_bytes: int = 64 << 20
    processes: int = 64


class SandboxJob(Struct, frozen=True, kw_only=True):
    """One command and its files.

    `files` are put into its folder before it starts, `keep` are the names of files to take out of it afterwards; names
    are relative and without `..`, and links are not followed. `proxy_socket` is the socket to which relay.py sends the
    one for the egress proxy; without it the job has no network.
    """

    command: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    keep: Sequence[str] = ()
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    proxy_socket: Path | None = None


class SandboxEnd(Struct, kw_only=True):
    """The end of a job, filled in while it runs.

    `kept` are the files of `keep` that were taken; `refused` says why the others were not (missing, not a plain file,
    too large). `reason` says why the job was ended early, with the setting. Peaks are None if the kernel reports none.
    """

    ending: Ending = "ended"
    exit_code: int = 0
    output_bytes: int = 0
    kept: Mapping[str, Path] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None


class JobUsage(Struct, frozen=True):
    """The use of all processes of a job together; 0 for what only a container engine knows.

    `is_full`: its disk has no room left. `is_over`: the job has to be ended, because it uses too much of its disk.
    """

    is_full: bool = False
    is_over: bool = False
    processes: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0


def job_user() -> int | None:
    """Return the id of a job's user outside of its sandbox, or None for the user of this host.

    If this host runs as root, the job is a user that owns nothing: the kernel does not count root's processes against a
    limit, and lets them write its settings in /proc even if they gave up their rights.
    """
    # Neither Debian nor systemd assigns this number.
    return 60666 if os.geteuid() == 0 else None


def environment_of(job: SandboxJob) -> dict[str, str]:
    """Return the whole environment of a job's processes."""
    environment = {"PATH": SYSTEM_PATH, "HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    if job.proxy_socket is not None:
        proxy = f"http://127.0.0.1:{RELAY_PORT}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        environment |= {**dict.fromkeys(names, proxy), "NODE_USE_ENV_PROXY": "1"}
        environment |= dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1")
    return environment


def with_relay(job: SandboxJob, relay: str, socket: str) -> list[str]:
    """Return the job's command behind relay.py, which runs first and then becomes the command."""
    return ["python3", "-I", "-S", relay, str(RELAY_PORT), socket, *job.command]
