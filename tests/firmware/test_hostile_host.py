"""A host with the right certificate that stops reading, or sends control characters."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.link.end import End
from tests.link.plain_host import PlainHost, hosting
from websockets.asyncio.server import ServerConnection

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
    host, evil = PlainHost(), '\x1b[2J\x9b31m\x7f\r\n{"status":"ok"}\u202eé'
    async with hosting(board, tmp_path, host), board.running(), host.ready() as end, asyncio.timeout(PATIENCE_S):
        await end.say_durable("notify", {"text": f"tea {evil}", "speak": False})
        await end.say("error", {"code": "odd\x1b]0;x\x07", "message": f"why {evil}", "fatal": False})
        assert await board.until("notify: ") == 'notify: tea ?[2J??31m?  {"status":"ok"}???é'
        assert await board.until("the host says") == ('the host says odd?]0;x?: why ?[2J??31m?  {"status":"ok"}???é')
