"""A check of a device that is there, of one that is away, and of what is no board, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from microclaw.boards.reader import load_board
from microclaw.devices.device import Device
from microclaw.devices.examine import CheckLine, Examination, examine
from microclaw.errors import ConfigError
from microclaw.store.devices import DeviceRow
from microclaw.transports.address import parse_host_port
from microclaw.transports.open import open_transport
from microclaw.virtual_boards.process import VirtualBoardProcess


@asynccontextmanager
async def device_at(*endpoints: str, locks: Path, board_id: str = "virtual") -> AsyncIterator[Device]:
    board = load_board(board_id)
    transports = [open_transport(endpoint, board, lock_folder=locks) for endpoint in endpoints]
    device = Device(DeviceRow("d-1", "bench", board_id), board, transports)
    yield device
    await device.close()


def line_of(found: Examination, part: str) -> CheckLine:
    return next(line for line in found.findings if line.part == part)


async def test_a_board_is_reached_by_each_transport_and_says_what_it_is(tmp_path: Path) -> None:
    async with (
        VirtualBoardProcess(name="board-1", serial=0, control=tmp_path / "control.sock") as board,
        device_at(*board.ready.transports, locks=tmp_path / "locks") as device,
    ):
        found = await examine(device)
    assert found.ok, found.findings
    assert [way.endpoint for way in found.transports] == list(device.endpoints)
    assert all(way.reached for way in found.transports)
    assert all(way.ms is not None for way in found.transports)
    assert found.programs == ()
    assert found.free_bytes
    assert found.uptime_ms is not None
    assert "ESP32-S3" in line_of(found, "chip").text
    assert device.reachable is True


async def test_a_board_of_another_chip_than_its_profile_is_told(tmp_path: Path) -> None:
    async with (
        VirtualBoardProcess(name="board-1", serial=0, control=tmp_path / "control.sock") as board,
        device_at(*board.ready.transports, locks=tmp_path / "locks", board_id="esp32-c3-devkitm-1") as device,
    ):
        found = await examine(device)
    assert not found.ok


async def test_one_transport_that_is_gone_does_not_hide_the_other(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it never listens
        gone = f"wasmachine://127.0.0.1:{taken.getsockname()[1]}"
        async with (
            VirtualBoardProcess(name="board-1", serial=0, control=tmp_path / "control.sock") as board,
            device_at(gone, f"virtual:{board.ready.control}", locks=tmp_path / "locks") as device,
        ):
            found = await examine(device)
    assert [way.reached for way in found.transports] == [False, True]
    assert found.reached
    assert not found.ok
    assert found.transports[0].problem
    assert found.transports[0].next_step
    assert device.reachable is True


async def test_what_answers_otherwise_is_no_board(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, device_at(f"wasmachine://127.0.0.1:{port}", locks=tmp_path / "locks") as device:
        found = await examine(device)
    assert not found.reached
    assert found.transports[0].problem
    assert [line.part for line in found.findings] == ["reach"]


@pytest.mark.parametrize(
    "address",
    [
        "192.168.1.20:0", "192.168.1.20:70000", "224.0.0.251:8080", "255.255.255.255:8080", "0.0.0.0:8080", "[::]:8080",
        "[ff02::1]:8080", "240.0.0.1:8080", "999.1.1.1:8080", "1.2.3:8080", "-board:8080", "a..b:8080",
        f"{'a' * 64}:8080",
    ],
)  # fmt: skip
def test_an_address_that_no_board_has_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_host_port(address)
    assert refused.value.next_step


@pytest.mark.parametrize("address", ["192.168.1.20:8080", "[fe80::1%eth0]:8080", "board_1.local:8080", "esp32:80"])
def test_an_address_that_a_board_can_have_is_taken(address: str) -> None:
    assert str(parse_host_port(address)) == address
