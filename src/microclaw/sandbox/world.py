"""The common surroundings of every job: its folder, its environment, the way to the proxy."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microclaw.sandbox.identity import job_user
from microclaw.sandbox.job import SandboxJob

HOME: Final = "/job"
RELAY_PORT: Final = 8118
RELAY_SOURCE: Final = Path(__file__).with_name("relay.py")
_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")


def environment_of(job: SandboxJob, *more_programs: Path) -> dict[str, str]:
    """All that a job's processes find in their environment."""
    folders = ":".join([*_PATH, *(str(path / "bin") for path in more_programs)])
    given = {"PATH": folders, "HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    if job.proxy_socket is not None:
        proxy = f"http://127.0.0.1:{RELAY_PORT}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        given |= {**dict.fromkeys(names, proxy), "NODE_USE_ENV_PROXY": "1"}
        given |= dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1")
    return {**given, **job.environment}


def with_relay(job: SandboxJob, relay: str, socket: str) -> list[str]:
    """The command behind the relay, which starts first and becomes it."""
    return ["python3", "-I", "-S", relay, str(RELAY_PORT), socket, *job.command]


@functools.cache
def python_besides() -> Sequence[Path]:
    """The Python that this host was made from, where the system has none, if jobs may read it."""
    if shutil.which("python3", path=":".join(_PATH)):
        return ()
    found = Path(sys.base_prefix).resolve()
    is_open = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (found, *found.parents))
    return (found,) if is_open or job_user() is None else ()
