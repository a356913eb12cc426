"""A link that the board itself keeps down ends in a restart, which says why; a host that is away never does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, provisioned

from microclaw.events import DeviceConnected, DeviceEvent
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event
from microclaw.wire.link.values import ValueMap

ENOUGH = {"free": 60_000, "largest": 40_000}


@pytest.fixture
def short(board: Firmware) -> Firmware:
    board.boot = "tests/firmware/simulated/boot_short.py"
    board.write("idf.json", json.dumps(ENOUGH))
    return board


async def reboots(plane: Plane, boots: int) -> ValueMap:
    """What the board told of its last start, once it told of so many."""
    for _ in range(boots):
        while (await plane.published.until(DeviceEvent)).name != "reboot":
            pass
    with closing(sqlite3.connect(plane.database.path)) as store:
        rows = store.execute("SELECT payload FROM link_events ORDER BY number").fetchall()
    told = [body.data for (payload,) in rows if isinstance(body := decode(payload).body, Event)]
    return [data for data in told if "reason" in data][-1]


@pytest.mark.parametrize("heap", [{"free": 9_000, "largest": 8_000}, {"free": 60_000, "largest": 16_000}])
async def test_no_memory_for_the_link_puts_it_off_and_then_restarts_the_board(
    plane: Plane, short: Firmware, heap: dict[str, int]
) -> None:
    await provisioned(plane, short)
    short.write("idf.json", json.dumps(heap))
    async with short.running(), asyncio.timeout(PATIENCE_S):
        await short.until("bytes are free for TLS")
        while short.boots < 2:
            await short.until("bytes are free for TLS")
        assert not plane.links.online
        short.write("idf.json", json.dumps(ENOUGH))
        told = await reboots(plane, short.boots)
    assert told == {"reason": "link_no_memory", "again": short.boots - 1}
    assert short.read("nvs.json")["again"] == 0


async def test_a_link_that_stands_still_restarts_the_board(plane: Plane, short: Firmware) -> None:
    await provisioned(plane, short)
    short.write("stuck", "")
    async with short.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        assert await reboots(plane, 2) == {"reason": "link_stuck", "again": 1}
        assert short.boots == 2


async def test_a_host_that_is_away_never_restarts_the_board(plane: Plane, short: Firmware) -> None:
    made = await provisioned(plane, short)
    short.told(made, port=9)
    async with short.running(), asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            await short.until("no link: ")
        assert short.boots == 1
