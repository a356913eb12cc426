"""Bad links: one that the board itself keeps down, a host that is away, stops reading or sends control characters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware, Plane, provisioned
from tests.link.end import End
from tests.link.plain_host import PlainHost, hosting
from websockets.asyncio.server import ServerConnection

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
    assert told[0] == {"reason": "link_no_memory", "again": 1}
    assert short.read("nvs.json")["again"] == 0


async def test_a_link_that_stands_still_restarts_the_board_and_a_host_that_is_away_never_does(
    plane: Plane, short: Firmware
) -> None:
    made = await provisioned(plane, short)
    short.write("stuck", "")
    async with short.running(), asyncio.timeout(PATIENCE_S):
        assert (await restarts(plane))[0] == {"reason": "link_stuck", "again": 1}
    boots = short.boots
    short.told(made, port=9)
    async with short.running(), asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            await short.until("no link: ")
        assert short.boots == boots + 1


PING = b"\x89\x7d" + b"x" * 125


class DeafHost(PlainHost):
    """After the first hello it asks for pongs and reads none, until the board is back."""

    def __init__(self) -> None:
        super().__init__()
        self.came_back = asyncio.Event()

    async def take(self, socket: ServerConnection) -> None:
        is_back = bool(self.hello)
        await self.greet(End(socket, self.numbers))
        if is_back:
            self.came_back.set()
        socket.transport.pause_reading()
        while not self.came_back.is_set():
            socket.transport.write(PING * 200)  # until nothing fits between the two
            await asyncio.sleep(0.05)


async def test_a_host_that_stops_reading_is_left_and_dialled_anew(board: Firmware, tmp_path: Path) -> None:
    board.boot = "tests/firmware/simulated/boot_hasty.py"
    host = DeafHost()
    async with hosting(board, tmp_path, host), board.running(), asyncio.timeout(PATIENCE_S):
        await board.until("no link: the host took nothing for 2 s")
        await host.came_back.wait()


async def test_what_a_host_says_steers_no_terminal_and_forges_no_line(board: Firmware, tmp_path: Path) -> None:
    host = PlainHost()
    evil = '\x1b[2J\x9b31m\x7f\r\n{"status":"ok"}\u202eé'
    async with hosting(board, tmp_path, host), board.running(), host.ready() as end, asyncio.timeout(PATIENCE_S):
        await end.say_durable("notify", {"text": f"tea {evil}", "speak": False})
        await end.say("error", {"code": "odd\x1b]0;x\x07", "message": f"why {evil}", "fatal": False})
        assert await board.until("notify: ") == 'notify: tea ?[2J??31m?  {"status":"ok"}???é'
        assert await board.until("the host says") == ('the host says odd?]0;x?: why ?[2J??31m?  {"status":"ok"}???é')
