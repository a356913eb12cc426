"""kill -9 of a host with a running task: its processes are gone, and the next host says that it was interrupted."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microclaw.cli.child import Child
from microclaw.client import Client

WAIT_S = 60


@contextmanager
def host(home: Path) -> Iterator[tuple[Client, Child]]:
    words = ["microclaw.cli", "--json", "--home", str(home), "up", "--port", "0", "--virtual", "0", "--die-with-parent"]
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    with Child("host", words, log=home.with_suffix(".stderr"), environ=environ) as child:
        facts, _ = child.wait_ready()
        yield Client(Path(facts["control"])), child


def running(mark: str) -> list[int]:
    """Processes of this machine with the mark in their command."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words:
                found.append(int(path.name))
    return found


def until(mark: str, *, lives: bool) -> None:
    deadline = time.monotonic() + WAIT_S
    while bool(found := running(mark)) != lives:
        assert time.monotonic() < deadline, f"processes of the task: {found}"
        time.sleep(0.05)  # the kernel tells nobody of processes that are not children


def test_a_killed_host_leaves_no_process_and_its_task_interrupted(tmp_path: Path) -> None:
    home, mark = tmp_path / "home", f"1{secrets.randbelow(10**8):08}"
    code = f"echo begun\n(sleep {mark} & sleep {mark}; sleep {mark})\nsleep {mark}"
    with host(home) as (client, child):
        made = client.post("/v1/tasks", {"code": code, "language": "shell"})
        path = f"/v1/tasks/{made['task']}"
        while "begun" not in (found := client.get(path, {"wait_s": 20}))["output"]:
            assert found["ended_ms"] is None
        until(mark, lives=True)
        os.kill(child.pid, signal.SIGKILL)
    until(mark, lives=False)
    with host(home) as (client, _):
        found = client.get(path)
        assert (found["state"], found["ending"]) == ("failed", "interrupted")
        assert list((home / "tasks").iterdir()) == []
