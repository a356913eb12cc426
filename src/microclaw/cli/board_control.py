"""A virtual board's control socket for programs that block. Starts no board."""

from __future__ import annotations

from pathlib import Path
from typing import Self, TypeVar

from microclaw.devices.calls import EdgeLog
from microclaw.operations.blocking import blocking
from microclaw.transports.virtual_board import VirtualBoardTransport
from microclaw.wire.board_control import Request

R = TypeVar("R")


class BoardControl:
    """`with BoardControl(path) as board: board.ask(control.Info())`; raises what the transport does."""

    def __init__(self, path: Path) -> None:
        self._board = VirtualBoardTransport(path)

    def __enter__(self) -> Self:
        return self

    @blocking
    async def __exit__(self, *_: object) -> None:
        await self._board.close()

    @blocking
    async def ask(self, request: Request[R]) -> R:
        return await self._board.request(request)

    @blocking
    async def edges(self, cursor: int) -> EdgeLog:
        """Every edge since `cursor`, all pages in one."""
        return await self._board.edges(cursor)
