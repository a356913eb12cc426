"""kill -9 in the middle of a scheduled run: what must not happen twice does not, and nothing is lost silently."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "killable_runner.py"


def start(folder: Path, tool: str, point: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(folder), tool, point]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("tool", "point", "acted", "state", "told"),
    [
        ("once", "claimed", 1, "done", "acted"),
        ("once", "started", 0, "unknown", "nobody knows whether it was done"),
        ("once", "acted", 1, "unknown", "nobody knows whether it was done"),
        ("again", "started", 1, "done", "acted"),
        ("again", "acted", 2, "done", "acted"),
    ],
)
def test_a_run_is_not_made_twice_and_not_lost(
    tmp_path: Path, tool: str, point: str, acted: int, state: str, told: str
) -> None:
    with start(tmp_path, tool, point) as host:
        assert host.stdout is not None
        assert json.loads(host.stdout.readline()) == {"at": point}
        host.send_signal(signal.SIGKILL)
        assert host.wait(20) == -signal.SIGKILL
    with start(tmp_path, tool, "none") as host:
        out, _ = host.communicate(timeout=30)
    assert host.returncode == 0
    seen = json.loads(out)
    assert seen["states"] == [state]
    assert seen["schedule"] == "over"
    assert len(seen["told"]) == 1
    assert told in seen["told"][0]
    world = tmp_path / "world"
    assert (world.read_text().count("acted") if world.exists() else 0) == acted
