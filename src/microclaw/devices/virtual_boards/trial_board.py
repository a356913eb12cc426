"""Throw-away virtual boards for trials. Starts and ends processes; judges no program."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from msgspec import Struct

from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.devices.transports.wasmachine import WasmachineTransport
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.hardware.boards.profile import BoardProfile


class TrialBoard(Struct, frozen=True):
    """A running virtual board by its two transports."""

    control: VirtualBoardTransport
    wasmachine: WasmachineTransport

    async def install(self, call: AppInstall, timeout_s: float) -> None:
        """Through the real protocol of the program's kind. Raises CallRejected and its kinds, DeviceError."""
        if call.kind == "py":
            await self.control.call(call, timeout_s)
        else:
            await self.wasmachine.call(call, timeout_s)


@asynccontextmanager
async def trial_board(
    board: BoardProfile, zone: tzinfo | None = None, clock: Literal["real", "virtual"] = "virtual"
) -> AsyncIterator[TrialBoard]:
    """A board of this profile inside of the block; at its end the process is killed and its files are removed.

    Programs are told the local time of `zone`, the machine's if None. Raises ConfigError, DeviceUnreachable.
    """
    with tempfile.TemporaryDirectory(prefix="microclaw-try-") as name:
        folder = Path(name)
        process = VirtualBoardProcess(
            name="trial",
            board=board.board_id,
            serial="none",
            control=folder / "control.sock",
            flash=folder / "flash",
            clock=clock,
            firmware=board.firmware.described,
        )
        async with process:
            wasmachine = WasmachineTransport(process.ready.transports[0], board, lock_folder=folder, zone=zone)
            try:
                yield TrialBoard(process.control, wasmachine)
            finally:
                await wasmachine.close()
                await process.kill()
