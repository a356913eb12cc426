"""A systemd scope for each job, where systemd makes one: the kernel counts all that the job holds, buffers of pipes and
sockets too, and all its processes.

A limit that is only watched otherwise (`usage_of`) has here a bound that no moment between two looks can pass.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Final

from microclaw.sandbox.identity import job_user
from microclaw.sandbox.job import SandboxLimits

KERNEL_BYTES: Final = 32 << 20
"""The kernel's own for a job: threads' stacks, lists of maps, names of files."""
PLACES: Final = 3
"""/job, /tmp and /dev/shm are memory of disk_bytes each, and count in the scope."""
OWN_PROCESSES: Final = 2
"""bubblewrap's, outside and inside."""
PROBE_S: Final = 10.0
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OF_SYSTEMD: Final = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_LIMITS_OF_IT: Final = f"cd {_CGROUPS}$(cut -d: -f3 /proc/self/cgroup) && cat memory.max pids.max"


def scope_words(limits: SandboxLimits, threads: int) -> list[str]:
    """The words before a command that put it into a scope, as the job's user and without an environment."""
    user = job_user()
    words = ["systemd-run", *(["--user"] if user is None else []), "--scope", "--quiet", "--collect"]
    for name, value in (("MemoryMax", _memory(limits)), ("MemorySwapMax", 0), ("TasksMax", threads + OWN_PROCESSES)):
        words += ["-p", f"{name}={value}"]
    if user is not None:
        words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*words, "env", "-i"]


def scope_environment() -> dict[str, str]:
    """The part of the host's environment by which systemd-run finds this user's systemd."""
    return {name: os.environ[name] for name in _OF_SYSTEMD if name in os.environ}


@functools.cache
def has_scope() -> bool:
    """True if jobs have a scope here, with the limits that were asked for; it is tried once. Blocks."""
    if not Path("/run/systemd/system").is_dir() or not (_CGROUPS / "cgroup.controllers").exists():
        return False
    limits = SandboxLimits()
    words = [*scope_words(limits, 0), "PATH=" + os.defpath, "sh", "-c", _LIMITS_OF_IT]
    try:
        done = subprocess.run(words, env=scope_environment(), capture_output=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.decode().split() == [str(_memory(limits)), str(OWN_PROCESSES)]


def _memory(limits: SandboxLimits) -> int:
    return limits.memory_bytes + PLACES * limits.disk_bytes + KERNEL_BYTES
