"""A control socket before that of a virtual board, on which the board is restarted between two requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.wire.board_control import MAX_REPLY_BYTES, Power


class BoardRelay:
    """It passes on every line; before the next request `reset_before`, it restarts the board.

    If it `hangs_up`, it closes that connection instead of passing the request on.
    """

    def __init__(self, control: VirtualBoardTransport) -> None:
        self._control = control
        self.reset_before: str | None = None
        self.hangs_up = False
        self.all_gone = asyncio.Event()
        self._clients = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        board_reader, board_writer = await asyncio.open_unix_connection(self._control.path, limit=MAX_REPLY_BYTES)
        try:
            async for line in reader:
                if json.loads(line)["op"] == self.reset_before:
                    self.reset_before = None
                    await self._control.request(Power("reset"))
                    if self.hangs_up:
                        return
                board_writer.write(line)
                writer.write(await board_reader.readline())
        finally:
            board_writer.close()
            writer.close()
            self._clients -= 1
            if not self._clients:
                self.all_gone.set()


@asynccontextmanager
async def board_relay(control: VirtualBoardTransport, path: Path) -> AsyncIterator[BoardRelay]:
    """Serve a relay at this path."""
    relay = BoardRelay(control)
    server = await asyncio.start_unix_server(relay.serve, path)
    async with server:
        yield relay
