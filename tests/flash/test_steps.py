"""`flash` on a board at the end of a pty: real esptool, real MicroPython, littlefs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.flash.conftest import ScriptedPerson, StartBoard
from tests.flash.images import whole_image
from tests.flash.pty_board import MICROPYTHON
from tests.flash.rom_loader import ESP32_S3, MAC

from microclaw.errors import ConfigError, DeviceUnreachable, MicroclawError
from microclaw.flash.board_files import BoardFile, put
from microclaw.flash.board_port import BoardPort
from microclaw.flash.steps import flash_board
from microclaw.flash.workshop import Wishes, Workshop

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., Workshop]


async def test_an_empty_board_gets_image_files_and_wifi(
    start_board: StartBoard, workshop: Make, image: Path, person: ScriptedPerson, files: Path
) -> None:
    board = start_board()
    done = await flash_board(workshop(board), Wishes(image=image))
    data = image.read_bytes()
    assert bytes(board.rom.flash[0x1000 : 0x1000 + len(data)]) == data
    assert (done.chip, done.mac, done.micropython, done.copied) == ("ESP32", MAC, "1.25.0", 4)
    assert board.file("main.py") == (files / "main.py").read_bytes()
    assert board.file("fw_a/link.mpy")[:2] == b"M\x06"
    settings = json.loads(board.file("settings.json"))
    assert settings["wifi"] == [{"ssid": "kitchen", "password": "correct horse"}]
    assert re.fullmatch(r"[a-hjkmnp-z2-9]{12}", settings["ap_key"])
    assert any(settings["ap_key"] in line for line in person.said)
    assert board.lost == 0
    assert [q for q in person.asked if "erased" in q] == [], "an empty board has nothing to lose"
    assert person.asked[-1] == "Password of kitchen", "Wi-Fi is asked last"
    assert person.shown[0][0].startswith("writing")
    assert not any("correct horse" in line for line in person.said)


async def test_a_second_run_changes_nothing(start_board: StartBoard, workshop: Make, image: Path) -> None:
    board = start_board()
    await flash_board(workshop(board), Wishes(image=image))
    written = board.rom.written
    done = await flash_board(workshop(board), Wishes(image=image))
    assert done.copied == 0
    assert board.rom.written == written


async def test_only_files_that_differ_are_copied_and_old_ones_go(
    start_board: StartBoard, workshop: Make, files: Path, image: Path
) -> None:
    board = start_board(has_micropython=True)
    await flash_board(workshop(board), Wishes())
    (files / "fw" / "start.py").write_text("def run():\n    return 'new'\n")
    (files / "fw" / "link.py").unlink()
    done = await flash_board(workshop(board), Wishes())
    assert done.copied == 1
    assert not board.has("fw_a/link.mpy")


async def test_a_board_gets_the_keys_of_its_updates_and_keeps_them(
    start_board: StartBoard, workshop: Make, files: Path, person: ScriptedPerson
) -> None:
    (files / "fw" / "startup.py").write_text("VERSION = '1.2.3'\n")
    board = start_board(has_micropython=True)
    await flash_board(workshop(board), Wishes())
    assert any("no updates" in line for line in person.said)
    assert json.loads(board.file("fw_a/about.json"))["version"] == "1.2.3"
    assert board.file("fw_a/whole") == b""
    assert not board.has("keys.json")
    await flash_board(workshop(board), Wishes(update_keys={"3f1c2a9b8d7e6f50": "q83v"}, channel="beta"))
    text, seal = board.file("keys.json").split(b"\n")
    assert hashlib.sha256(text).hexdigest() == seal.decode()
    assert json.loads(text) == {"keys": {"3f1c2a9b8d7e6f50": "q83v"}, "channel": "beta", "serial": 0}
    await flash_board(workshop(board), Wishes())
    assert board.file("keys.json") == text + b"\n" + seal
    with pytest.raises(ConfigError, match="5"):
        await flash_board(workshop(board), Wishes(update_keys={f"{n:016x}": "q83v" for n in range(5)}))


async def test_a_board_is_told_its_revision_and_keeps_it(start_board: StartBoard, workshop: Make, image: Path) -> None:
    """The chip's own, as esptool reads it with the image, until a person says which one it is."""
    board = start_board()
    done = await flash_board(workshop(board), Wishes(image=image))
    assert json.loads(board.file("settings.json"))["revision"] == done.revision
    assert (done.revision or "").startswith("v")
    for wishes in (Wishes(revision="b2"), Wishes(), Wishes(forgets=True, keeps_wifi=True)):
        assert (await flash_board(workshop(board), wishes)).revision == "b2"
        assert json.loads(board.file("settings.json"))["revision"] == "b2"


async def test_a_cable_pulled_while_the_image_is_written_goes_on_without_asking(
    start_board: StartBoard, workshop: Make, tmp_path: Path, person: ScriptedPerson
) -> None:
    image = tmp_path / "big.bin"
    image.write_bytes(whole_image(app_bytes=400_000))
    board = start_board()
    board.pull_after = 200_000
    with pytest.raises(DeviceUnreachable, match="went away") as failed:
        await flash_board(workshop(board), Wishes(image=image))
    assert "goes on" in str(failed.value.next_step)
    board.plug()
    done = await flash_board(workshop(board), Wishes(image=image))
    assert done.copied == 4
    assert not any("erased" in question for question in person.asked)
    assert hashlib.sha256(board.rom.flash[0x1000 : 0x1000 + image.stat().st_size]).digest() == (
        hashlib.sha256(image.read_bytes()).digest()
    )


async def test_a_board_that_resets_while_it_is_flashed(start_board: StartBoard, workshop: Make, tmp_path: Path) -> None:
    image = tmp_path / "big.bin"
    image.write_bytes(whole_image(app_bytes=400_000))
    board = start_board()
    board.reset_after = 200_000
    with pytest.raises(MicroclawError, match="went away or reset") as failed:
        await flash_board(workshop(board), Wishes(image=image))
    assert "it goes on" in str(failed.value.next_step)


async def test_a_cable_pulled_between_files_goes_on_with_the_missing_ones(
    start_board: StartBoard, workshop: Make, person: ScriptedPerson
) -> None:
    board = start_board(has_micropython=True)
    board.pull_after_pastes = 11
    with pytest.raises(DeviceUnreachable, match="went away"):
        await flash_board(workshop(board), Wishes())
    board.plug()
    done = await flash_board(workshop(board), Wishes())
    assert 0 < done.copied < 4
    assert board.file("fw_a/start.mpy")[:1] == b"M"


async def test_an_image_for_another_chip_is_refused_before_anything_is_erased(
    start_board: StartBoard, workshop: Make, image: Path
) -> None:
    board = start_board(ESP32_S3)
    board.rom.flash[0x100] = 7
    with pytest.raises(ConfigError, match="is for the ESP32, and this board has an ESP32-S3"):
        await flash_board(workshop(board), Wishes(image=image))
    assert board.rom.written == 0


async def test_a_flash_too_small_is_said(start_board: StartBoard, workshop: Make, image: Path) -> None:
    board = start_board(flash_bytes=2 << 20)
    with pytest.raises(ConfigError, match="needs 4 MB of flash, and this board has 2 MB"):
        await flash_board(workshop(board), Wishes(image=image))


async def test_a_board_with_something_on_it_is_erased_only_after_a_yes(
    start_board: StartBoard, workshop: Make, image: Path, person: ScriptedPerson
) -> None:
    board = start_board()
    board.rom.flash[0x1000:0x1010] = b"somebody's thing"
    person.refuses = "erased"
    with pytest.raises(ConfigError, match="nothing was changed"):
        await flash_board(workshop(board), Wishes(image=image))
    assert board.rom.flash[0x1000:0x1010] == b"somebody's thing"
    person.refuses = None
    board.rom.flash[0x3F0000] = 1
    await flash_board(workshop(board), Wishes(image=image))
    assert board.rom.flash[0x3F0000] == 0xFF


async def test_adopting_keeps_foreign_files(start_board: StartBoard, workshop: Make, person: ScriptedPerson) -> None:
    board = start_board(has_micropython=True)
    async with BoardPort.parse(str(board.port)).repl(10) as repl:
        await put(repl, BoardFile("/main.py", b"print(1)"))
        await put(repl, BoardFile("/poem.txt", b"rose"))
    done = await flash_board(workshop(board), Wishes(adopt=True))
    assert done.copied == 4
    assert board.file("poem.txt") == b"rose"
    assert board.file("main_before.py") == b"print(1)"
    assert b"microclaw" in board.file("main.py")
    assert board.rom.written == 0


async def test_adopting_a_board_without_micropython_is_refused(start_board: StartBoard, workshop: Make) -> None:
    with pytest.raises(ConfigError, match="nothing to adopt"):
        await flash_board(workshop(start_board()), Wishes(adopt=True))


async def test_offline_one_sentence_names_the_file_and_its_place(start_board: StartBoard, workshop: Make) -> None:
    with pytest.raises(ConfigError, match=r"ESP32_GENERIC_S3-SPIRAM_OCT-20250911-v1\.26\.1\.bin") as failed:
        await flash_board(workshop(start_board(ESP32_S3)), Wishes())
    assert "cache/images" in str(failed.value.next_step)


async def test_an_image_in_the_cache_folder_is_taken(
    start_board: StartBoard, workshop: Make, image: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "images"
    folder.mkdir(parents=True)
    image.rename(folder / image.name)
    done = await flash_board(workshop(start_board()), Wishes())
    assert done.image == image.name


@pytest.mark.parametrize(
    ("ssid", "password", "said"),
    [
        ("kitchen", "wrong horse", "the password of kitchen is wrong"),
        ("kitchen", "short", "8 to 63 characters"),
        ("kitchen-5G", "correct horse", "does not see the Wi-Fi kitchen-5G"),
        ("Kitchn", "correct horse", "do you mean kitchen"),
        ("attic", "correct horse", "never 5 GHz"),
    ],
)
async def test_a_wrong_wifi_is_said_before_it_is_kept(
    start_board: StartBoard, workshop: Make, ssid: str, password: str, said: str
) -> None:
    board = start_board(has_micropython=True)
    with pytest.raises(ConfigError) as failed:
        await flash_board(workshop(board), Wishes(ssid=ssid, password=password))
    assert said in f"{failed.value.message}; {failed.value.next_step}"
    assert password not in f"{failed.value}{failed.value.next_step}" or password == "short"
    assert not board.has("settings.json")


async def test_a_wrong_name_is_said_before_files_are_copied(start_board: StartBoard, workshop: Make) -> None:
    board = start_board(has_micropython=True)
    with pytest.raises(ConfigError, match="does not see"):
        await flash_board(workshop(board), Wishes(ssid="attic", password="correct horse"))
    assert not board.has("main.py")


async def test_a_key_of_the_access_point_stays(start_board: StartBoard, workshop: Make) -> None:
    board = start_board(has_micropython=True)
    keys = [(await flash_board(workshop(board), Wishes())).access_point_key for _ in range(2)]
    assert keys[0] == keys[1] == json.loads(board.file("settings.json"))["ap_key"]


async def test_a_board_that_restarts_between_files_is_gone_on_with(
    start_board: StartBoard, workshop: Make, person: ScriptedPerson
) -> None:
    board = start_board(has_micropython=True)
    board.panic_after_pastes = 12
    done = await flash_board(workshop(board), Wishes())
    assert any("restarted by itself" in line for line in person.said)
    assert board.file("settings.json")
    assert done.online is False
