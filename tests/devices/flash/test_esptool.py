"""esptool's words become facts or sentences; nothing that it may print is taken for something else."""

from __future__ import annotations

import asyncio
import fcntl
import re
from pathlib import Path

import pytest
from tests.devices.flash.conftest import StartBoard
from tests.devices.flash.images import whole_image
from tests.devices.flash.rom_loader import ESP32, ESP32_S3, MAC, ChipKind, RomLoader
from tests.peers import listening

from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.images import read_image

MB = 1 << 20


@pytest.mark.parametrize(("kind", "chip", "psram"), [(ESP32, "ESP32", 0), (ESP32_S3, "ESP32-S3", 8)])
async def test_chip_flash_and_psram_are_read(start_board: StartBoard, kind: ChipKind, chip: str, psram: int) -> None:
    board = start_board(kind)
    facts = await Esptool(BoardPort.parse(str(board.port))).facts()
    assert (facts.chip, facts.mac, facts.flash_bytes, facts.psram_bytes) == (chip, MAC, 4 * MB, psram * MB)
    assert re.fullmatch(r"v\d\.\d", facts.revision or ""), facts.description
    board.rom.stub_allowed = False
    with pytest.raises(Exception, match=r"esptool failed|went away"):
        await Esptool(BoardPort.parse(str(board.port))).facts()


async def test_a_port_that_another_program_has_is_tried_again_for_a_while(
    start_board: StartBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ModemManager has each new port for some seconds."""
    monkeypatch.setattr("microclaw.devices.flash.esptool.BUSY_S", 60.0)
    board = start_board()
    tool = Esptool(BoardPort.parse(str(board.port)))
    with board.port.open("rb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        asking = asyncio.create_task(tool.facts())
        await asyncio.sleep(2.0)
    assert (await asking).chip == "ESP32"


async def test_over_tcp_with_no_reset(tmp_path: Path) -> None:
    """As an emulated chip offers it: socket://, and nothing to reset it by."""
    rom = RomLoader(ESP32)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(rom.receive(data))
            await writer.drain()

    path = tmp_path / "image.bin"
    path.write_bytes(whole_image())
    async with listening(serve) as port:
        tool = Esptool(BoardPort.parse(f"socket://127.0.0.1:{port}"))
        assert (await tool.facts()).chip == "ESP32"
        image = read_image(path)
        shown: list[float] = []
        await tool.write(image.start, image.data, shown.append, erases=False)
    assert rom.flash[0x1000 : 0x1000 + len(image.data)] == image.data
    assert shown[-1] == 100.0
