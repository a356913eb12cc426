"""A link that the board itself keeps down ends in a restart, which says why; a host that is away never does."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, provisioned

from microclaw.events import DeviceEvent
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event
from microclaw.wire.link.values import ValueMap

ENOUGH = {"free": 60_000, "largest": 40_000}


EVENTS = "SELECT payload FROM link_events ORDER BY number"


@pytest.fixture
def short(board: Firmware) -> Firmware:
    board.boot = "tests/firmware/simulated/boot_short.py"
    board.write("idf.json", json.dumps(ENOUGH))
    return board


async def restarts(plane: Plane) -> list[ValueMap]:
    """The board's reports of its own restarts, once it told of one."""
    found: list[ValueMap] = []
    while not found:
        while (await plane.published.until(DeviceEvent)).name != "reboot":
            pass
        rows = await plane.database.read(lambda store: store.execute(EVENTS).fetchall())
        told = [body.data for (payload,) in rows if isinstance(body := decode(payload).body, Event)]
        found = [data for data in told if str(data.get("reason")).startswith("link_")]
    return found


async def test_no_memory_for_the_link_puts_it_off_and_then_restarts_the_board(plane: Plane, short: Firmware) -> None:
    await provisioned(plane, short)
    short.write("idf.json", json.dumps({"free": 60_000, "largest": 16_000}))
    async with short.running(), asyncio.timeout(PATIENCE_S):
        await short.until("bytes are free for TLS")
        while short.boots < 2:
            await short.until("bytes are free for TLS")
        assert not plane.links.online
        short.write("idf.json", json.dumps(ENOUGH))
        told = await restarts(plane)
    assert told == [{"reason": "link_no_memory", "again": n + 1} for n in range(len(told))]
    assert short.read("nvs.json")["again"] == 0


async def test_a_link_that_stands_still_restarts_the_board_and_a_host_that_is_away_never_does(
    plane: Plane, short: Firmware
) -> None:
    made = await provisioned(plane, short)
    short.write("stuck", "")
    async with short.running(), asyncio.timeout(PATIENCE_S):
        assert await restarts(plane) == [{"reason": "link_stuck", "again": 1}]
    boots = short.boots
    short.told(made, port=9)
    async with short.running(), asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            await short.until("no link: ")
        assert short.boots == boots + 1
