"""`flash` on a board at the end of a pty: real esptool, real MicroPython, littlefs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devices.flash.conftest import ScriptedPerson, StartBoard
from tests.devices.flash.images import whole_image
from tests.devices.flash.pty_board import MICROPYTHON
from tests.devices.flash.rom_loader import ESP32_S3, MAC

from microclaw.devices.flash.board_files import BoardFile, put
from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.flash_context import FlashContext, FlashOptions
from microclaw.devices.flash.steps import flash_board
from microclaw.errors import ConfigError, DeviceUnreachable

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., FlashContext]


async def test_an_empty_board_gets_image_files_and_wifi_and_a_second_run_changes_nothing(
    start_board: StartBoard, workshop: Make, image: Path, person: ScriptedPerson, files: Path
) -> None:
    board = start_board()
    done = await flash_board(workshop(board), FlashOptions(image=image))
    data = image.read_bytes()
    assert bytes(board.rom.flash[0x1000 : 0x1000 + len(data)]) == data
    assert (done.chip, done.mac, done.micropython, done.copied) == ("ESP32", MAC, "1.25.0", 4)
    assert board.file("main.py") == (files / "main.py").read_bytes()
    assert board.file("fw_a/link.mpy")[:2] == b"M\x06"
    assert board.file("fw_a/whole") == b""
    assert not board.has("keys.json")
    settings = json.loads(board.file("settings.json"))
    assert settings["wifi"] == [{"ssid": "kitchen", "password": "correct horse"}]
    assert re.fullmatch(r"[a-hjkmnp-z2-9]{12}", settings["ap_key"])
    assert any(settings["ap_key"] in line for line in person.said)
    assert settings["revision"] == done.revision, "the chip's own, as esptool reads it"
    assert (done.revision or "").startswith("v")
    assert board.lost == 0
    assert [q for q in person.asked if "erased" in q] == [], "an empty board has nothing to lose"
    assert not any("correct horse" in line for line in person.said)
    written = board.rom.written
    assert (await flash_board(workshop(board), FlashOptions(image=image))).copied == 0
    assert board.rom.written == written


async def test_files_that_differ_are_copied_and_keys_and_revision_stay_until_others_are_given(
    start_board: StartBoard, workshop: Make, files: Path
) -> None:
    board = start_board(has_micropython=True)
    (files / "fw" / "startup.py").write_text("VERSION = '1.2.3'\n")
    shop = workshop(board)
    keys = {"3f1c2a9b8d7e6f50": "q83v"}
    await flash_board(shop, FlashOptions(update_keys=keys, channel="beta", revision="b2"))
    text, seal = board.file("keys.json").split(b"\n")
    assert hashlib.sha256(text).hexdigest() == seal.decode()
    assert json.loads(text) == {"keys": keys, "channel": "beta", "serial": 0}
    (files / "fw" / "start.py").write_text("def run():\n    return 'new'\n")
    (files / "fw" / "link.py").unlink()
    for wishes, copied in ((FlashOptions(), 1), (FlashOptions(forgets=True, keeps_wifi=True), 0)):
        done = await flash_board(workshop(board), wishes)
        assert (done.copied, done.revision) == (copied, "b2")
        assert json.loads(board.file("settings.json"))["revision"] == "b2"
    assert not board.has("fw_a/link.mpy")
    assert json.loads(board.file("fw_a/about.json"))["version"] == "1.2.3"
    assert board.file("keys.json") == text + b"\n" + seal
    with pytest.raises(ConfigError):
        await flash_board(workshop(board), FlashOptions(update_keys={f"{n:016x}": "q83v" for n in range(5)}))


async def test_an_image_that_was_cut_is_written_to_its_end_without_asking(
    start_board: StartBoard, workshop: Make, tmp_path: Path, person: ScriptedPerson
) -> None:
    image = tmp_path / "big.bin"
    image.write_bytes(whole_image(app_bytes=200_000))
    board = start_board()
    board.pull_after = 100_000
    with pytest.raises(DeviceUnreachable):
        await flash_board(workshop(board), FlashOptions(image=image))
    board.plug()
    done = await flash_board(workshop(board), FlashOptions(image=image))
    assert done.copied == 4
    assert not any("erased" in question for question in person.asked)
    assert board.rom.flash[0x1000 : 0x1000 + image.stat().st_size] == image.read_bytes()


async def test_a_cable_pulled_or_a_restart_between_files_is_gone_on_with(
    start_board: StartBoard, workshop: Make, person: ScriptedPerson
) -> None:
    board = start_board(has_micropython=True)
    board.pull_after_pastes = 9
    with pytest.raises(DeviceUnreachable):
        await flash_board(workshop(board), FlashOptions())
    board.plug()
    board.panic_after_pastes = board.pastes + 5
    first = await flash_board(workshop(board), FlashOptions())
    assert board.pastes > board.panic_after_pastes
    assert 0 < first.copied < 4
    assert board.file("fw_a/start.mpy")[:1] == b"M"
    again = await flash_board(workshop(board), FlashOptions())
    assert again.copied == 0
    assert first.access_point_key == again.access_point_key == json.loads(board.file("settings.json"))["ap_key"]


async def test_an_image_for_another_chip_is_refused_before_anything_is_erased(
    start_board: StartBoard, workshop: Make, image: Path
) -> None:
    board = start_board(ESP32_S3)
    with pytest.raises(ConfigError):
        await flash_board(workshop(board), FlashOptions(image=image))
    assert board.rom.written == 0


async def test_a_board_with_something_on_it_is_erased_only_after_a_yes(
    start_board: StartBoard, workshop: Make, image: Path, person: ScriptedPerson
) -> None:
    board = start_board()
    board.rom.flash[0x1000:0x1010] = b"somebody's thing"
    person.refuses = "erased"
    with pytest.raises(ConfigError):
        await flash_board(workshop(board), FlashOptions(image=image))
    assert board.rom.flash[0x1000:0x1010] == b"somebody's thing"
    person.refuses = None
    board.rom.flash[0x3F0000] = 1
    await flash_board(workshop(board), FlashOptions(image=image))
    assert board.rom.flash[0x3F0000] == 0xFF


async def test_adopting_keeps_foreign_files(start_board: StartBoard, workshop: Make, person: ScriptedPerson) -> None:
    board = start_board(has_micropython=True)
    async with BoardPort.parse(str(board.port)).repl(10) as repl:
        await put(repl, BoardFile("/main.py", b"print(1)"))
        await put(repl, BoardFile("/poem.txt", b"rose"))
    done = await flash_board(workshop(board), FlashOptions(adopt=True))
    assert done.copied == 4
    assert board.file("poem.txt") == b"rose"
    assert board.file("main_before.py") == b"print(1)"
    assert b"microclaw" in board.file("main.py")
    assert board.rom.written == 0


@pytest.mark.parametrize(
    ("ssid", "password", "copies"),
    [("kitchen", "wrong horse", True), ("Kitchn", "correct horse", False)],
)
async def test_a_wrong_wifi_is_said_before_it_is_kept_and_a_wrong_name_before_files_are_copied(
    start_board: StartBoard, workshop: Make, ssid: str, password: str, *, copies: bool
) -> None:
    board = start_board(has_micropython=True)
    with pytest.raises(ConfigError) as failed:
        await flash_board(workshop(board), FlashOptions(ssid=ssid, password=password))
    assert ssid == "kitchen" or "kitchen" in failed.value.message
    assert password not in f"{failed.value}{failed.value.next_step}"
    assert not board.has("settings.json")
    assert board.has("main.py") == copies
