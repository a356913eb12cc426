"""`doctor --port` on boards in each state: one sentence with what to do, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import run_in
from tests.flash.conftest import StartBoard
from tests.flash.images import one_image
from tests.flash.pty_board import MICROPYTHON, PtyBoard

from microclaw.flash.board_files import BoardFile, put
from microclaw.flash.board_port import BoardPort
from microclaw.flash.diagnosis import PortNote, diagnose
from microclaw.flash.steps import flash_board
from microclaw.flash.workshop import Wishes, Workshop

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., Workshop]


async def _last(shop: Workshop) -> PortNote:
    notes = await diagnose(shop.port, shop.esptool, shop.files, look_s=1.0)
    assert all(note.ok for note in notes[:-1])
    assert notes[-1].ok or notes[-1].next_step
    return notes[-1]


async def test_an_empty_flash(start_board: StartBoard, workshop: Make) -> None:
    board = start_board()
    note = await _last(workshop(board))
    assert (note.ok, note.text, note.next_step) == (False, "the flash is empty", "microclaw flash")
    assert board.rom.written == 0


async def test_a_program_that_is_no_micropython(start_board: StartBoard, workshop: Make) -> None:
    board = start_board()
    board.rom.flash[0x1000:0x1200] = one_image(0, b"x" * 400)[:512]
    assert "is no MicroPython, hangs" in (await _last(workshop(board))).text


async def test_micropython_without_our_files(start_board: StartBoard, workshop: Make) -> None:
    note = await _last(workshop(start_board(has_micropython=True)))
    assert "4 of 4 files are missing" in note.text
    assert "--adopt" in str(note.next_step)


async def test_a_board_that_was_told_of_no_host(start_board: StartBoard, workshop: Make) -> None:
    board = start_board(has_micropython=True)
    await flash_board(workshop(board), Wishes(ssid="kitchen", password="correct horse"))
    assert (await _last(workshop(board))).text == "it was told of no host"


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ([], "it knows no Wi-Fi"),
        ([{"ssid": "attic-5G", "password": "correct horse"}], "does not see the Wi-Fi attic-5G"),
        ([{"ssid": "kitchen", "password": "correct cow"}], "the password of kitchen is wrong"),
        ([{"ssid": "kitchen", "password": "correct horse"}], "does not reach this host at 127.0.0.1:1"),
    ],
)
async def test_each_reason_why_a_board_stays_offline(
    start_board: StartBoard, workshop: Make, network: list[dict[str, str]], said: str
) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)
    await flash_board(shop, Wishes(keeps_wifi=True))
    settings = {"host": "127.0.0.1", "port": 1, "ca_sha256": "0" * 64, "wifi": network}
    async with BoardPort.parse(str(board.port)).repl(10) as repl:
        await put(repl, BoardFile("/settings.json", json.dumps(settings).encode()))
    note = await _last(shop)
    assert not note.ok
    assert said in note.text
    assert "correct" not in f"{note.text}{note.next_step}"
    assert json.loads(board.file("settings.json")) == settings


def test_the_command_ends_with_1_and_says_what_to_do(start_board: StartBoard, tmp_path: Path) -> None:
    board: PtyBoard = start_board()
    ran = run_in(tmp_path / "home", "doctor", "--port", str(board.port))
    assert ran.code == 1
    assert "the flash is empty" in ran.out
    assert "next: microclaw flash" in ran.out
