"""The firmware's own files against the real host: pairing, calls, events, restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, linked, micropython, provisioned
from tests.firmware.programs import image, install

from microclaw.events import DeviceLog, Published


async def test_what_a_program_publishes_while_the_host_is_away_is_kept_for_it(
    plane: Plane, board: Firmware, tmp_path: Path
) -> None:
    """64 messages are kept, the reboot's among them; of the rest the program is told."""
    await provisioned(plane, board)
    source = (
        "async def main(E):\n    mqtt = E.module('microclaw').mqtt\n    kept = 0\n    for n in range(80):\n"
        "        await E.y()\n        kept += mqtt.publish('house/n', n)\n        await E.sleep_ms(100)\n"
        "    E.print('kept', kept)\n    await E.sleep(100)\n"
    )
    async with linked(plane, board) as device:
        await install(device, "teller", image(tmp_path, "teller", source))
        first = await plane.published.until(Published)
        assert (first.device, first.app, first.topic, first.text) == ("lamp", "teller", "house/n", "0")
        while (line := await plane.published.until(DeviceLog)).source != "teller":
            pass
        assert line.text == "kept 80"
        assert [(await plane.published.until(Published)).text for _ in range(79)][-1] == "79"
    settings = board.read("settings.json")
    board.write("settings.json", json.dumps({**settings, "port": 9}))
    (board.folder / "address.json").unlink(missing_ok=True)
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await board.until("event is refused: 64 wait")
    board.write("settings.json", json.dumps(settings))
    async with board.running(), asyncio.timeout(PATIENCE_S):
        assert [(await plane.published.until(Published)).text for _ in range(40)] == [
            str(n) for n in range(40)
        ]  # acks may be due


async def test_a_host_that_moved_is_found_by_its_other_name(plane: Plane, board: Firmware) -> None:
    made = await provisioned(plane, board)
    board.told(replace(made, host="moved.invalid"), host_name="127.0.0.1")
    board.write("address.json", json.dumps({"ip": "127.0.0.9"}))
    async with linked(plane, board):
        pass
    assert board.read("address.json") == {"ip": "127.0.0.1"}


def test_reading_a_pin_that_the_host_set_does_not_make_it_an_input() -> None:
    """On a chip that would let go of it: a look at a lamp would switch it off."""
    said = micropython("""
import machine
modes = []
class Watched(machine.Pin):
    def __init__(self, number, mode=None, *more):
        modes.append((number, mode))
        super().__init__(number)
machine.Pin, Watched.OUT, Watched.IN = Watched, 1, 0
from board import Board
board = Board({})
board.gpio_set(2, 1)
print(board.gpio_get(2), board.gpio_get(4), modes)
""")
    assert said == "1 0 [(2, 1), (2, None), (4, 0)]\n"
