"""Ordinary programs keep to their claim on a board without PSRAM: what is read in for them is the board's."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware, Plane, provisioned
from tests.firmware.programs import called

from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.events import DeviceConnected, DeviceEvent
from microclaw.link_server.device_link import DeviceLink
from microclaw.py.compile import build
from microclaw.wire.link.values import ValueMap

BOARD = load_board("esp32-devkitc-v4")
PROGRAMS = {
    "blink": """from machine import Pin
import time
led = Pin(4, Pin.OUT)
while True:
    led.value(not led.value())
    time.sleep_ms(250)
""",
    "lists": """from machine import Pin
from time import sleep_ms, ticks_ms
led, tree = Pin(4, Pin.OUT), []
for depth in range(6):
    tree = [tree, [depth, {"at": ticks_ms()}]]
while True:
    led.value(len(str(tree)) % 2)
    sleep_ms(100)
""",
    "timer": """from machine import Pin, Timer
import time
led = Pin(4, Pin.OUT)
Timer(0).init(period=200, mode=Timer.PERIODIC, callback=lambda t: led.value(not led.value()))
while True:
    time.sleep(1)
""",
    "tasks": """import asyncio
from machine import Pin
async def blink(number, ms):
    pin = Pin(number, Pin.OUT)
    while True:
        pin.value(not pin.value())
        await asyncio.sleep_ms(ms)
async def main():
    await asyncio.gather(blink(4, 200), blink(5, 300), blink(18, 500))
asyncio.run(main())
""",
    "easy": """from microclaw import pin, every
led = pin(4, "out")
@every(200)
def tick():
    led.value(not led.value())
""",
}


async def install(device: DeviceLink, name: str, data: bytes) -> None:
    about: ValueMap = {"name": name, "kind": "py", "size": len(data), "sha256": hashlib.sha256(data).digest()}
    steps: dict[str, ValueMap] = {
        "apps.begin": {**about, "heap": 4096, "autostart": True},
        "apps.write": {"offset": 0, "data": data},
        "apps.commit": {},
    }
    for method, params in steps.items():
        result = await device.call(method, params, idempotent=method != "apps.commit", timeout_s=20)
        assert result.ok, result


def crashes(plane: Plane) -> list[str]:
    return [str(one) for one in plane.published if isinstance(one, DeviceEvent) and one.name == "app.crash"]


@pytest.mark.parametrize("name", sorted(PROGRAMS))
async def test_a_first_program_is_not_ended_for_what_the_firmware_reads_in(
    name: str, plane: Plane, board: Firmware, tmp_path: Path
) -> None:
    board.words = (str(SMALL), "-X", "heapsize=160K")
    await provisioned(plane, board)
    made = await build(PROGRAMS[name], "app", board=BOARD, cache=BuildCache(tmp_path / "cache"))
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        await install(plane.links.online[0], name, made.code)
        await asyncio.sleep(3)
        (row,) = (await called(plane.links.online[0], "apps.list"))["apps"]
        assert (row["state"], crashes(plane)) == ("running", []), row.get("error")
        board.kill()
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        await asyncio.sleep(3)
        (row,) = (await called(plane.links.online[0], "apps.list"))["apps"]
        assert (row["state"], crashes(plane)) == ("running", []), row.get("error")
