"""`flash --firmware wasmachine|xiaozhi`: real esptool writes each part where a simulated chip would look for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import run_in
from tests.flash.conftest import ScriptedPerson, StartBoard
from tests.flash.images import one_image, partition_table, program, whole_image
from tests.flash.pty_board import PtyBoard
from tests.flash.rom_loader import ESP32_S3

from microclaw.errors import ConfigError
from microclaw.flash.nvs import nvs_partition
from microclaw.flash.partitions import LAYOUTS, encode_table, parse_table
from microclaw.flash.steps import flash_board
from microclaw.flash.workshop import Wishes, Workshop

Make = Callable[..., Workshop]
PASSWORD = "correct horse"
WIFI = {"wifi": {"ssid": "kitchen", "password": PASSWORD}}


def bootloader(chip_id: int, flash_mb: int) -> bytes:
    data = bytearray(one_image(chip_id, b"bootloader" * 100, digest=False))
    data[3] = (flash_mb.bit_length() - 1) << 4
    return bytes(data)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


Put = Callable[[str, bytes], Path]


async def test_a_program_alone_gets_table_nvs_and_its_parts(
    start_board: StartBoard, workshop: Make, put: Put, person: ScriptedPerson
) -> None:
    board = start_board(ESP32_S3, flash_bytes=8 << 20)
    board.rom.flash[0xD000:0xD004] = b"\x01\0\0\0"  # it would start ota_1
    image, assets = put("xiaozhi.bin", program(9, "xiaozhi")), put("assets.bin", b"fonts" * 1000)
    parts = {"bootloader": put("bootloader.bin", bootloader(9, 8)), "assets": assets}
    wishes = Wishes(image, "xiaozhi", ssid="kitchen", password=PASSWORD, parts=parts, ota_url="http://192.168.1.5/ota/")
    done = await flash_board(workshop(board), wishes)
    flash, layout = board.rom.flash, LAYOUTS["xiaozhi"][8]
    assert parse_table(bytes(flash[0x8000:0x8C00])) == list(layout.partitions)
    values = {"wifi": {**WIFI["wifi"], "ota_url": "http://192.168.1.5/ota/"}}
    assert bytes(flash[0x9000:0xD000]) == nvs_partition(values, 0x4000)
    assert bytes(flash[0xD000:0x10000]) == b"\xff" * 0x3000, "no choice of a former program is left"
    for address, path in ((0, parts["bootloader"]), (0x20000, image), (0x600000, assets)):
        data = path.read_bytes()
        assert bytes(flash[address : address + len(data)]) == data
    assert (done.image, done.device, done.online) == ("xiaozhi.bin", None, False)
    assert any("erased" in question for question in person.asked)
    assert not any(PASSWORD in line for line in person.said)


async def test_a_bootloader_that_is_there_stays(
    start_board: StartBoard, workshop: Make, put: Put, person: ScriptedPerson
) -> None:
    board = start_board()
    there = bootloader(0, 4)
    board.rom.flash[0x1000 : 0x1000 + len(there)] = there
    image, storage = put("wasmachine.bin", program(0, "wasmachine", "v1")), put("storage.bin", b"littlefs" * 512)
    await flash_board(workshop(board), Wishes(image, "wasmachine", parts={"storage": storage}))
    flash = board.rom.flash
    assert bytes(flash[0x1000 : 0x1000 + len(there)]) == there
    assert bytes(flash[0x8000:0x9000]) == encode_table(LAYOUTS["wasmachine"][4].partitions)
    assert bytes(flash[0x9000:0xD000]) == b"\xff" * 0x4000, "an empty NVS"
    assert bytes(flash[0x10000 : 0x10000 + 64]) == image.read_bytes()[:64]
    assert bytes(flash[0x310000:0x310008]) == b"littlefs"
    assert any("bootloader that is on the board stays" in line for line in person.said)


@pytest.mark.parametrize(
    ("there", "image", "parts", "said"),
    [
        (b"", program(0, "wasmachine"), {"storage": b"x"}, "no whole bootloader"),
        (bootloader(0, 2), program(0, "wasmachine"), {"storage": b"x"}, "is for a flash of 2 MB"),
        (bootloader(9, 4), program(0, "wasmachine"), {"storage": b"x"}, "is not one for the ESP32"),
        (bootloader(0, 4), program(0, "wasmachine"), {}, "without its partition storage"),
        (bootloader(0, 4), program(0, "wasmachine"), {"storage": b"x" * 0xF0001}, "has room for 983040"),
        (bootloader(0, 4), program(0, "wasmachine"), {"storage": b"x", "assets": b"x"}, "has no part 'assets'"),
        (bootloader(0, 4), program(9, "wasmachine"), {"storage": b"x"}, "is not for the ESP32"),
        (bootloader(0, 4), program(0, "hello"), {"storage": b"x"}, "calls itself hello"),
        (bootloader(0, 4), one_image(0, b"code" * 400), {"storage": b"x"}, "calls itself nothing"),
        (bootloader(0, 4), program(0, "wasmachine")[:-40], {"storage": b"x"}, "it was not copied whole|damaged"),
        (bootloader(0, 4), b"no image", {"storage": b"x"}, "does not begin as one"),
    ],
)
async def test_what_cannot_start_is_refused_before_anything_is_written(
    start_board: StartBoard, workshop: Make, put: Put, there: bytes, image: bytes, parts: dict[str, bytes], said: str
) -> None:
    board = start_board()
    board.rom.flash[0x1000 : 0x1000 + len(there)] = there
    wishes = Wishes(put("app.bin", image), "wasmachine", parts={name: put(name, data) for name, data in parts.items()})
    with pytest.raises(ConfigError, match=said) as failed:
        await flash_board(workshop(board), wishes)
    assert failed.value.next_step
    assert board.rom.written == 0


async def test_a_xiaozhi_of_version_1_has_other_partitions(start_board: StartBoard, workshop: Make, put: Put) -> None:
    board = start_board()
    wishes = Wishes(put("old.bin", program(0, "xiaozhi", "1.9.0")), "xiaozhi", parts={"assets": put("a", b"x")})
    with pytest.raises(ConfigError, match=r"xiaozhi 1\.9\.0, whose partitions are other ones"):
        await flash_board(workshop(board), wishes)
    assert board.rom.written == 0


async def test_a_whole_image_is_written_with_the_wifi_in_its_nvs(
    start_board: StartBoard, workshop: Make, put: Put
) -> None:
    board = start_board()
    data = whole_image()  # from 0x1000 on; its NVS is 0x9000 to 0xF000
    await flash_board(workshop(board), Wishes(put("whole.bin", data), "xiaozhi", ssid="kitchen", password=PASSWORD))
    flash = bytes(board.rom.flash[0x1000 : 0x1000 + len(data)])
    assert flash[:0x8000] == data[:0x8000]
    assert flash[0x8000:0xE000] == nvs_partition(WIFI, 0x6000)
    assert flash[0xE000:] == data[0xE000:]


async def test_a_whole_image_with_settings_of_its_own_keeps_them(
    start_board: StartBoard, workshop: Make, put: Put
) -> None:
    board, data = start_board(), bytearray(whole_image())
    data[0x8000:0x8004] = b"mine"
    path = put("whole.bin", bytes(data))
    with pytest.raises(ConfigError, match="brings settings of its own"):
        await flash_board(workshop(board), Wishes(path, "xiaozhi", ssid="kitchen", password=PASSWORD))
    assert board.rom.written == 0
    await flash_board(workshop(board), Wishes(path, "xiaozhi"))
    assert bytes(board.rom.flash[0x9000:0x9004]) == b"mine"


async def test_a_whole_image_without_nvs_takes_no_wifi(start_board: StartBoard, workshop: Make, put: Put) -> None:
    table = partition_table((0, 0, 0x10000, 0x1F0000, "factory"))
    data = whole_image()
    data = data[:0x7000] + table.ljust(0xC00, b"\xff") + data[0x7C00:]
    with pytest.raises(ConfigError, match="no partition for NVS"):
        await flash_board(
            workshop(start_board()), Wishes(put("whole.bin", data), "xiaozhi", ssid="kitchen", password=PASSWORD)
        )


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"firmware": "wasmachine", "ssid": "kitchen"}, "reads no Wi-Fi"),
        ({"firmware": "wasmachine", "ota_url": "http://x"}, "reads no Wi-Fi and no server"),
        ({"firmware": "xiaozhi", "ssid": "kitchen", "password": "short"}, "8 to 63"),
        ({"firmware": "xiaozhi", "ssid": "k" * 33, "password": PASSWORD}, "1 to 32 bytes"),
        ({"firmware": "xiaozhi", "ota_url": "ftp://x"}, "no http or https"),
        ({"firmware": "xiaozhi", "ota_url": "http://" + "x" * 300}, "at most 255"),
    ],
)
async def test_what_the_firmware_would_not_read_is_refused(
    start_board: StartBoard, workshop: Make, put: Put, wishes: dict[str, str], said: str
) -> None:
    board = start_board()
    with pytest.raises(ConfigError, match=said) as failed:
        await flash_board(workshop(board), Wishes(put("whole.bin", whole_image()), **wishes))  # type: ignore[arg-type]
    assert failed.value.next_step
    assert board.rom.written == 0


def test_the_command_writes_and_says_what_comes_next(start_board: StartBoard, put: Put, tmp_path: Path) -> None:
    board: PtyBoard = start_board()
    image, secret = put("wasmachine.bin", program(0, "wasmachine")), put("secret", PASSWORD.encode())
    words = ["flash", "-p", str(board.port), "--image", str(image), "--firmware", "wasmachine"]
    words += [
        "--part",
        f"storage={put('storage.bin', b'files')}",
        "--part",
        f"bootloader={put('boot.bin', bootloader(0, 4))}",
    ]
    ran = run_in(tmp_path / "home", *words, "--yes")
    assert ran.code == 0, ran.err
    assert "microclaw device add NAME" in ran.out
    assert bytes(board.rom.flash[0x310000:0x310005]) == b"files"
    wifi = ["--wifi", "kitchen", "--wifi-password", f"@{secret}"]
    ran = run_in(tmp_path / "home", *words, *wifi, "--yes")
    assert (ran.code, "reads no Wi-Fi" in ran.err) == (1, True)
    ran = run_in(tmp_path / "home", "flash", "--part", "storage=x")
    assert (ran.code, "--firmware wasmachine or xiaozhi" in ran.err) == (2, True)
    ran = run_in(tmp_path / "home", *words, "--part", "storage")
    assert (ran.code, "NAME=FILE" in ran.err) == (2, True)
