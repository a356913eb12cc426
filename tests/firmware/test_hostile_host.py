"""A host with the right certificate that stops reading, or sends control characters."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.firmware.update_host import UpdateHost, hosting_updates

from microclaw.wire.link.messages import Envelope, ErrorMessage, Hello, Notify

PING = b"\x89\x7d" + b"x" * 125


class DeafHost(UpdateHost):
    """After the first hello it asks for pongs and reads none, until the board is back."""

    def __init__(self) -> None:
        super().__init__()
        self.came_back = asyncio.Event()

    async def hear(self, said: Envelope) -> None:
        await super().hear(said)
        writer = self.writer
        assert writer is not None
        if len(self.hellos) > 1:
            self.came_back.set()
        while isinstance(said.body, Hello) and not self.came_back.is_set():
            writer.write(PING * 200)  # until nothing fits between the two
            await writer.drain()


async def test_a_host_that_stops_reading_is_left_and_dialled_anew(board: Firmware, tmp_path: Path) -> None:
    board.boot = "tests/firmware/simulated/boot_hasty.py"
    host = DeafHost()
    async with hosting_updates(board, tmp_path, host), board.running(), asyncio.timeout(PATIENCE_S):
        await board.until("no link: the host took nothing for 2 s")
        await host.came_back.wait()


async def test_what_a_host_says_steers_no_terminal_and_forges_no_line(board: Firmware, tmp_path: Path) -> None:
    host, evil = UpdateHost(), '\x1b[2J\x9b31m\x7f\r\n{"status":"ok"}\u202eé'
    async with hosting_updates(board, tmp_path, host), board.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.hellos))
        host.say(Notify(f"tea {evil}", False))
        host.send(ErrorMessage("odd\x1b]0;x\x07", f"why {evil}", False))
        assert await board.until("notify: ") == 'notify: tea ?[2J??31m?  {"status":"ok"}???é'
        assert await board.until("the host says") == ('the host says odd?]0;x?: why ?[2J??31m?  {"status":"ok"}???é')
