"""kill -9 in the middle of a scheduled run: what must not happen twice does not, and nothing is lost silently."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def start(folder: Path, tool: str, point: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.schedules.killable_runner", str(folder), tool, point]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("tool", "point", "acted", "state", "told"),
    [
        ("undo", "claimed", 1, "done", "acted"),
        ("undo", "started", 0, "unknown", "nobody knows whether it was done"),
        ("undo", "acted", 1, "unknown", "nobody knows whether it was done"),
        ("again", "started", 1, "done", "acted"),
        ("again", "acted", 2, "done", "acted"),
    ],
)
def test_a_run_is_not_made_twice_and_not_lost(
    tmp_path: Path, tool: str, point: str, acted: int, state: str, told: str
) -> None:
    with start(tmp_path, tool, point) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == f"{point}\n"
        host.send_signal(signal.SIGKILL)
        assert host.wait(20) == -signal.SIGKILL
    with start(tmp_path, tool, "none") as host:
        out, _ = host.communicate(timeout=30)
    assert host.returncode == 0
    said, states, schedule = json.loads(out)
    assert (states, schedule) == ([state], "over")
    assert told in said
    world = tmp_path / "world"
    assert (world.read_text().count("acted") if world.exists() else 0) == acted
