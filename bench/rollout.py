"""Rollouts: CPU a device and step with 5,000 simulated devices on the real store, beside the same with 500."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from bench.report import Metric, median
from microclaw.devices.ota.offers import End, Offers
from microclaw.devices.ota.rollout import Rollout, RolloutPlan, read_stages
from microclaw.devices.ota.rollouts import Rollouts
from microclaw.host.store.database import Database
from microclaw.host.store.rollouts import RolloutDevice, RolloutTable

DEVICES = 5_000
FEW = 500
RUNS = 3
STEPS_A_DEVICE = 2  # its offer and its end, each kept before anything follows
GOAL_MS = 2.0


def measure() -> list[Metric]:
    few, many = ([_cost_ms(count) for _ in range(RUNS)] for count in (FEW, DEVICES))
    return [
        Metric(f"CPU a device and step, {DEVICES:,} devices", median(many), "ms", GOAL_MS),
        Metric(f"CPU a device and step, {FEW:,} devices", median(few), "ms"),
        Metric(f"{DEVICES:,} / {FEW:,} devices", median(many) / median(few), "x"),
    ]


def _cost_ms(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        return asyncio.run(_roll_out(Path(folder) / "store.db", count))


class _Boards:
    """All of them are there, and are healthy once the update is offered."""

    def is_known(self, _device_id: str) -> bool:
        return True

    is_online = is_known

    async def start_update(self, _rollout: Rollout, _device: RolloutDevice) -> End | None:
        return "healthy", ""


async def _no_crashes(_offered: Mapping[str, int]) -> int:
    return 0


async def _roll_out(store: Path, count: int) -> float:
    """From the first offer to the last end."""
    now_ms = 0
    async with Database.open(store) as database:
        table = RolloutTable(database)
        rollouts = Rollouts(table, cast(Offers, _Boards()), now_ms=lambda: now_ms, crashes=_no_crashes)
        plan = RolloutPlan(read_stages("1,10%,50%,100%", count), soak_s=0, under_way=500)
        boards = [(f"d{number}", "1.0.0") for number in range(count)]
        one = await rollouts.add("1.1.0", "stable", plan, boards, "owner")
        began_s = time.process_time()
        while one.is_open:
            now_ms += 1_000
            await rollouts.step()
        took_s = time.process_time() - began_s
    if one.count("healthy") != count:
        raise RuntimeError("devices were lost")
    return took_s * 1000 / count / STEPS_A_DEVICE
