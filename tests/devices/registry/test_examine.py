"""A check of a device that is there, of one that is away, and of what is no board, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.examine import examine
from microclaw.devices.transports.open import open_transport
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.hardware.boards.reader import load_board
from microclaw.host.store.devices import DeviceRow


@asynccontextmanager
async def device_at(*endpoints: str, locks: Path, board_id: str = "virtual") -> AsyncIterator[Device]:
    board = load_board(board_id)
    transports = [open_transport(endpoint, board, lock_folder=locks) for endpoint in endpoints]
    device = Device(DeviceRow("d-1", "bench", board_id), board, transports)
    yield device
    await device.close()


async def test_each_transport_is_tried_and_one_that_is_gone_does_not_hide_the_other(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it never listens
        gone = f"wasmachine://127.0.0.1:{taken.getsockname()[1]}"
        async with VirtualBoardProcess(name="board-1", serial=0, control=tmp_path / "control.sock") as board:
            async with device_at(*board.ready.transports, locks=tmp_path / "locks") as device:
                found = await examine(device)
                assert (found.ok, found.programs, device.reachable) == (True, (), True), found.findings
                assert all(way.reached and way.ms is not None for way in found.transports)
                assert found.free_bytes
                assert found.uptime_ms is not None
            async with device_at(*board.ready.transports, locks=tmp_path, board_id="esp32-c3-devkitm-1") as device:
                assert not (await examine(device)).ok, "another chip"
            async with device_at(gone, f"virtual:{board.ready.control}", locks=tmp_path / "locks") as device:
                found = await examine(device)
                assert [way.reached for way in found.transports] == [False, True]
                assert (found.reached, found.ok, device.reachable) == (True, False, True)
                assert found.transports[0].next_step
