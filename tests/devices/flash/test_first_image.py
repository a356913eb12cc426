"""The image for a first installation: mounted by MicroPython's own littlefs, in places that partition tables name."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devices.flash.conftest import ScriptedPerson, StartBoard
from tests.devices.flash.images import partition_table, whole_image
from tests.devices.flash.pty_board import FILES_BYTES, MICROPYTHON, MODULES, ON_BOARD

from microclaw.devices.flash.board_files import BoardFile, our_files
from microclaw.devices.flash.first_image import FirstPiece, files_place, first_files, first_pieces, make_file_system
from microclaw.devices.flash.flash_context import FlashContext, FlashOptions
from microclaw.devices.flash.images import FlashImage, read_image
from microclaw.devices.flash.steps import flash_board
from microclaw.errors import ConfigError
from microclaw.hardware.firmware_folder import firmware_folder

MB = 1 << 20
HOST = {"host": "hub.local", "port": 8443, "ca_sha256": "ab" * 32}
LIST = """\
import hashlib,json,os,sys
from binascii import hexlify
def walk(d):
    for name,kind,*_ in os.ilistdir(d or '/'):
        path=d+'/'+name
        if kind&0x4000:walk(path)
        else:
            with open(path,'rb') as f:found[path]=hexlify(hashlib.sha256(f.read()).digest()).decode()
found={}
walk('')
v=os.statvfs('/')
print(json.dumps([found,v[0],v[2]]))
"""


def image_of(folder: Path, data: bytes) -> FlashImage:
    path = folder / "ESP32_GENERIC-20991231-v1.26.1.bin"
    path.write_bytes(data)
    return read_image(path)


def flash_with(pieces: tuple[FirstPiece, ...], flash_bytes: int) -> bytes:
    """The contents of an erased chip after they were written."""
    flash = bytearray(b"\xff" * flash_bytes)
    for piece in pieces:
        flash[piece.offset : piece.offset + len(piece.data)] = piece.data
    return bytes(flash)


def on_the_board(folder: Path, system: bytes) -> tuple[dict[str, str], int, int]:
    """Path to SHA-256 of each file, as MicroPython's VfsLfs2 reads it; size and number of the blocks."""
    path = folder / "files.lfs"
    path.write_bytes(system)
    code = LIST.encode()
    done = subprocess.run(
        [MICROPYTHON, ON_BOARD / "board_process.py", path, MODULES, "raw"],
        input=len(code).to_bytes(4, "little") + code,
        capture_output=True,
        timeout=60,
        check=True,
    )
    answer, _, failure = done.stdout.partition(b"\x04")
    assert failure == b"\x04", failure
    found, block_bytes, blocks = json.loads(answer)
    return found, block_bytes, blocks


def test_every_file_of_ours_is_there_byte_for_byte_and_holds_no_secret(tmp_path: Path) -> None:
    compiled = asyncio.run(our_files(firmware_folder(), with_psram=False))
    ours = first_files(compiled, "esp32-devkitc-v4", HOST, {"ab12": "bW9kdWx1cw=="})
    image = image_of(tmp_path, whole_image())
    flash = flash_with(first_pieces(image, 4 * MB, ours), 4 * MB)
    assert flash[0x1000 : 0x1000 + len(image.data)] == image.data
    found, block_bytes, blocks = on_the_board(tmp_path, flash[0x200000:])
    found.pop("/boot.py")  # of the simulated board, as it found none
    assert found == {file.path: file.sha256 for file in ours}
    assert {"/main.py", "/fw_a/whole", "/fw_a/start.mpy", "/settings.json", "/keys.json"} <= set(found)
    assert "/credential.json" not in found
    assert (block_bytes, blocks) == (4096, (4 * MB - 0x200000) // 4096)
    (told,) = [json.loads(file.data) for file in ours if file.path == "/settings.json"]
    assert {key: told[key] for key in told if key != "board"} == HOST
    assert told["board"]["name"] == "esp32-devkitc-v4"


def test_files_go_where_the_image_names_a_place_and_elsewhere_none_is_written(tmp_path: Path) -> None:
    for vfs_end, end in ((0x300000, 0x300000), (None, 8 * MB)):  # None: from the last partition to the flash's end
        place = files_place(image_of(tmp_path, whole_image(vfs_end=vfs_end)), 8 * MB)
        assert (place.offset, place.end) == (0x200000, end)
    data = whole_image()
    table = partition_table((0, 0, 0x10000, 0x1F0000, "factory"), (1, 0x81, 0x200000, MB, "ffat"))
    for unknown in (whole_image(version="v1.25.0"), data[:0x7000] + table.ljust(0x1000, b"\xff") + data[0x8000:]):
        with pytest.raises(ConfigError):
            files_place(image_of(tmp_path, unknown), 4 * MB)
    image = image_of(tmp_path, whole_image(vfs_end=0x210000))
    with pytest.raises(ConfigError):
        first_pieces(image, 4 * MB, [BoardFile("/fw_a/long.mpy", bytes(100_000))])


async def test_flash_on_the_cable_finishes_what_a_browser_wrote_without_erasing(
    start_board: StartBoard, workshop: Callable[..., FlashContext], person: ScriptedPerson, files: Path, image: Path
) -> None:
    compiled = await our_files(files, with_psram=True)
    board = start_board(has_micropython=True)
    board.files.write_bytes(make_file_system(first_files(compiled, "esp32-devkitc-v4", HOST, {}), FILES_BYTES))
    done = await flash_board(workshop(board), FlashOptions(image=image, ssid="kitchen", password="correct horse"))
    assert (done.image, done.copied, board.rom.written) == (None, 0, 0)
    assert person.asked == []
    told = json.loads(board.file("settings.json"))
    assert told["wifi"] == [{"ssid": "kitchen", "password": "correct horse"}]
    assert (told["ap_key"], told["host"]) == (done.access_point_key, HOST["host"])
