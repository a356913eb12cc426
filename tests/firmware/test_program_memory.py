"""Ordinary programs keep to their claim on a board without PSRAM: what is read in for them is the board's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware, Plane, provisioned
from tests.firmware.programs import called, install

from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.events import DeviceConnected, DeviceEvent
from microclaw.py.compile import build

BOARD = load_board("esp32-devkitc-v4")
PROGRAMS = {
    "lists": """from machine import Pin
from time import sleep_ms, ticks_ms
led, tree = Pin(4, Pin.OUT), []
for depth in range(6):
    tree = [tree, [depth, {"at": ticks_ms()}]]
while True:
    led.value(len(str(tree)) % 2)
    sleep_ms(100)
""",
    "easy": """from microclaw import pin, every
led = pin(4, "out")
@every(200)
def tick():
    led.value(not led.value())
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_first_program_is_not_ended_for_what_the_firmware_reads_in(
    name: str, plane: Plane, board: Firmware, tmp_path: Path
) -> None:
    board.words = (str(SMALL), "-X", "heapsize=160K")
    await provisioned(plane, board)
    made = await build(PROGRAMS[name], "app", board=BOARD, cache=BuildCache(tmp_path / "cache"))
    for life in range(2):
        async with board.running(), asyncio.timeout(PATIENCE_S):
            await plane.published.until(DeviceConnected)
            device = plane.links.online[0]
            if life == 0:
                await install(device, name, made.code, heap=4096)
            await asyncio.sleep(3)  # a program is looked at each second
            (row,) = (await called(device, "apps.list"))["apps"]
            crashes = [one for one in plane.published if isinstance(one, DeviceEvent) and one.name == "app.crash"]
            assert (row["state"], crashes) == ("running", []), row.get("error")
            board.kill()
