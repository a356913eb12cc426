"""kill -9 in the middle of a turn: the message is answered once, what was done is not done again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "killable_host.py"
UNKNOWN = "outcome_unknown"


def start(folder: Path, effect: str, point: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(folder), effect, point]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def kill_at(folder: Path, effect: str, point: str) -> None:
    with start(folder, effect, point) as host:
        assert host.stdout is not None
        assert json.loads(host.stdout.readline()) == {"at": point}
        host.send_signal(signal.SIGKILL)
        assert host.wait(20) == -signal.SIGKILL


def look_back(folder: Path, effect: str) -> dict[str, Any]:
    with start(folder, effect, "none") as host:
        out, _ = host.communicate(timeout=30)
    assert host.returncode == 0
    seen: dict[str, Any] = json.loads(out)
    return seen


@pytest.mark.parametrize(
    ("effect", "point", "acted", "error", "asked"),
    [
        ("once", "model 1", 1, None, 2),
        ("once", "tool begun", 0, UNKNOWN, 0),
        ("once", "tool acted", 1, UNKNOWN, 0),
        ("once", "model 2", 1, None, 1),
        ("once", "keeping the answer", 1, None, 1),
        ("once", "answer kept", 1, None, 0),
        ("idempotent", "tool begun", 1, None, 1),
        ("idempotent", "tool acted", 2, None, 1),
        ("read", "tool acted", 2, None, 2),
        ("by rule", "tool acted", 2, None, 2),
        ("by rule", "model 2", 2, None, 2),
        ("by rule", "answer kept", 1, None, 0),
    ],
)
def test_a_message_is_answered_once_wherever_the_host_is_killed(
    tmp_path: Path, effect: str, point: str, acted: int, error: str | None, asked: int
) -> None:
    kill_at(tmp_path, effect, point)
    seen = look_back(tmp_path, effect)
    world = tmp_path / "world"
    assert (world.read_text().count("acted") if world.exists() else 0) == acted
    assert seen["error"] == error
    if error != UNKNOWN:
        outcome = "read" if effect == "read" else "done"
        record = f"\n\nWhat the host did:\n- {outcome}: act (counted: the world says so)"
        assert seen["text"] == "it is done" + record
        assert seen["evidence"] == ["the world says so"]
    assert seen["asked"] == asked, "what the model has said is not asked again"
    assert (seen["key"], seen["duplicate"], seen["left"], seen["told"]) == ("k1", True, 0, [])
    assert seen["follow_up"].startswith("heard again after 2"), "the conversation has the message and its answer once"


def test_a_message_that_ends_the_host_each_time_is_given_up(tmp_path: Path) -> None:
    kill_at(tmp_path, "once", "model 1")
    for _ in range(2):
        kill_again(tmp_path)
    seen = look_back(tmp_path, "once")
    assert seen["error"] == "interrupted"
    assert not (tmp_path / "world").exists()


def kill_again(folder: Path) -> None:
    """Start it with the message left over and kill it in its model's request."""
    with start(folder, "once", "resumed model 1") as host:
        assert host.stdout is not None
        assert json.loads(host.stdout.readline()) == {"at": "model 1"}
        host.send_signal(signal.SIGKILL)
        assert host.wait(20) == -signal.SIGKILL
