"""The firmware's own files against the real host: pairing, calls, events, restart."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.firmware.conftest import (
    PATIENCE_S,
    Arrived,
    Firmware,
    Plane,
    micropython,
    provisioned,
    running_plane,
)
from tests.firmware.programs import image, install

from microclaw.events import DeviceConnected, DeviceEvent, DeviceLog, Published
from microclaw.link_server.limits import LinkLimits


async def test_a_board_is_paired_by_its_secret_and_answers_calls(plane: Plane, board: Firmware) -> None:
    await provisioned(plane, board)
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        device = plane.links.online[0]
        info = await device.call("device.info", {}, idempotent=True, timeout_s=10)
        assert info.ok
        print(info.value)
        for level in (1, 0):
            assert (await device.call("gpio.set", {"pin": 2, "level": level}, idempotent=True, timeout_s=10)).ok
            got = await device.call("gpio.get", {"pin": 2}, idempotent=True, timeout_s=10)
            assert got.value == {"pin": 2, "level": level}
    assert board.read("credential.json")["token"].startswith("mc1_")


async def test_what_a_program_publishes_while_the_host_is_away_is_kept_for_it(
    plane: Plane, board: Firmware, tmp_path: Path
) -> None:
    """64 messages are kept, the reboot's among them; of the rest the program is told."""
    await provisioned(plane, board)
    source = (
        "async def main(E):\n    mqtt = E.module('microclaw').mqtt\n    kept = 0\n    for n in range(80):\n"
        "        await E.y()\n        kept += mqtt.publish('house/n', n)\n        await E.sleep_ms(60)\n"
        "    E.print('kept', kept)\n    await E.sleep(100)\n"
    )
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        await install(plane.links.online[0], "teller", image(tmp_path, "teller", source))
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


async def test_a_message_that_can_never_be_sent_gives_way_to_the_next(plane: Plane, board: Firmware) -> None:
    """It is in the file of an earlier firmware: at each connection it would come again."""
    await provisioned(plane, board)
    micropython(
        """
import outbox
from messages import encode
box = outbox.Outbox(WORDS[0])
for n, name in enumerate(("long", "next")):
    box._write([1, n + 1, encode("event", {"name": name, "data": {"text": "x" * 20000 if n == 0 else ""}}), None])
""",
        str(board.folder / "outbox"),
    )
    async with board.running(), asyncio.timeout(PATIENCE_S):
        names = [(await plane.published.until(DeviceEvent)).name for _ in range(2)]
        assert names == ["too_large", "next"]
        while (line := await plane.published.until(DeviceLog)).source != "link":
            pass
    assert line.text.startswith("a message of 20")
    assert line.text.endswith("does not fit into the memory: it is dropped")


async def test_a_restart_is_answered_first_and_comes_back_by_itself(plane: Plane, board: Firmware) -> None:
    await provisioned(plane, board)
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
        before = board.boots
        assert (await plane.links.online[0].call("device.restart", {}, idempotent=False, timeout_s=10)).ok
        await plane.published.until(DeviceConnected)
        assert board.boots == before + 1
        assert (await plane.links.online[0].call("device.info", {}, idempotent=True, timeout_s=10)).ok


async def test_a_host_that_is_back_finds_the_board_and_what_happened_meanwhile(
    board: Firmware, limits: LinkLimits, tmp_path: Path
) -> None:
    board.boot = "tests/firmware/simulated/boot_events.py"
    async with AsyncExitStack() as stack:
        async with running_plane(tmp_path, limits) as plane:
            made = await provisioned(plane, board)
            await stack.enter_async_context(board.running())
            await plane.published.until(DeviceConnected)
        await board.until("no link")
        await board.until("no link")
        arrived = Arrived(tmp_path / "microclaw.db")
        arrived.read()
        there, promised = len(arrived.numbers[1]), len((board.folder / "promised").read_text().splitlines())
        assert promised > there
        async with running_plane(tmp_path, limits, made.port) as plane:
            await plane.published.until(DeviceConnected)
            await arrived.until(1, promised)
    assert arrived.numbers[1] == list(range(1, len(arrived.numbers[1]) + 1))


@pytest.mark.parametrize(
    ("last", "host", "name"),
    [
        ("127.0.0.9", "127.0.0.1", None),  # it has another address now; its name still says which
        ("127.0.0.9", "moved.invalid", "127.0.0.1"),  # its other name says which
        (None, "localhost", None),
    ],
)
async def test_a_host_that_moved_is_found(
    plane: Plane, board: Firmware, last: str | None, host: str, name: str | None
) -> None:
    made = await provisioned(plane, board)
    board.told(replace(made, host=host), **({"host_name": name} if name else {}))
    if last:
        board.write("address.json", json.dumps({"ip": last}))
    async with board.running(), asyncio.timeout(PATIENCE_S):
        await plane.published.until(DeviceConnected)
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
