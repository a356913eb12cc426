"""kill -9 of the firmware at random moments under events: what the outbox took comes to the host once, in order.

MICROCLAW_KILLS says how often (`make kills`), MICROCLAW_KILL_SEED at which moments.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict

from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, provisioned

from microclaw.events import Published

KILLS = int(os.environ.get("MICROCLAW_KILLS", "4"))
SEED = int(os.environ.get("MICROCLAW_KILL_SEED", "4"))


def promised(board: Firmware) -> dict[int, int]:
    """The last number that each life's outbox took and said so."""
    path = board.folder / "promised"
    if path.exists():
        rows = [line.split() for line in path.read_text().splitlines()]
    else:
        rows = []
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 2}


async def test_a_board_killed_at_any_moment_loses_nothing_and_repeats_nothing(plane: Plane, board: Firmware) -> None:
    rng = random.Random(SEED)
    board.boot = "tests/firmware/simulated/boot_events.py"
    await provisioned(plane, board)
    for kill in range(KILLS):
        before = promised(board)
        board.process = None
        async with board.running(), asyncio.timeout(PATIENCE_S):
            # Every other life lasts until it is at work, as its file says.
            while board.process is None or (kill % 2 and promised(board) == before):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(rng.uniform(0.0, 1.5))
            board.kill()
    board.boot = "tests/firmware/simulated/boot.py"
    kept = promised(board)
    arrived = defaultdict[int, list[int]](list)
    async with board.running(), asyncio.timeout(PATIENCE_S):
        while any(arrived[life][-1:] < [last] for life, last in kept.items()):
            event = await plane.published.until(Published)
            arrived[int(event.topic)].append(int(event.text))
    assert len(kept) >= KILLS // 2
    for life, numbers in arrived.items():
        assert numbers == list(range(1, len(numbers) + 1)), "each once, in order"
        assert kept.get(life, 0) <= len(numbers) <= kept.get(life, 0) + 1, "nothing that was taken is lost"
