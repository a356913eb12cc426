"""`microclaw flash` as a person runs it: the command, a real host, and our own firmware on the flashed board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.devices.flash.conftest import StartBoard
from tests.devices.flash.pty_board import MICROPYTHON, PtyBoard
from tests.interfaces.cli.conftest import Ran, run_here, run_in

from microclaw.interfaces.cli.flash_command import TerminalPerson
from microclaw.interfaces.cli.options import GlobalOptions

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")


def _flash(home: str | Path, board: PtyBoard, *words: str) -> Ran:
    return run_in(Path(home), "flash", "-p", str(board.port), *words)


def test_from_an_empty_board_to_online_and_a_first_call(
    host: dict[str, Any], start_board: StartBoard, image: Path, password: Path
) -> None:
    board = start_board()
    words = ["--image", str(image), "--wifi", "kitchen", "--wifi-password", f"@{password}"]
    ran = _flash(host["home"], board, *words, "--name", "lamp", "--address", "127.0.0.1", "--json", "--yes")
    assert ran.code == 0, f"{ran.err}\n{board.printed.read_text() if board.printed.exists() else ''}"
    done = json.loads(ran.out)
    assert (done["schema"], done["device"], done["online"]) == ("microclaw.flash/1", "lamp", True)
    assert done["say_next"] == 'microclaw chat "blink pin 4 twice a second on lamp"'
    assert "correct horse" not in ran.out + ran.err
    assert "100 %" in ran.err
    settings = json.loads(board.file("settings.json"))
    assert settings["secret"] not in ran.out + ran.err
    assert settings["board"]["chip"] == "ESP32"
    assert "6" in settings["board"]["reserved"], "the flash's pins"
    told = run_in(Path(host["home"]), "--json", "exec", "lamp", "device.info")
    assert told.code == 0, told.err
    again = _flash(host["home"], board, "--json", "--yes")
    assert again.code == 0, again.err
    assert json.loads(again.out)["copied"] == 0
    assert json.loads(board.file("settings.json")) == settings, "a second run pairs nothing again"


def test_off_a_terminal_progress_is_a_line_at_each_new_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    person = TerminalPerson(GlobalOptions())
    for percent in (*range(0, 101, 5), 100):
        person.progress("write", percent)
    assert capsys.readouterr().err.split() == " ".join(f"write {n} %" for n in (0, 25, 50, 75, 100)).split()


def test_nobody_at_a_terminal_is_told_which_option_to_give_before_flash_or_host_are_changed(
    host: dict[str, Any], start_board: StartBoard, image: Path
) -> None:
    board = start_board()
    board.rom.flash[0x1000:0x1004] = b"mine"
    assert _flash(host["home"], board, "--image", str(image)).code == 2
    assert board.rom.flash[0x1000:0x1004] == b"mine"
    ran = _flash(
        host["home"], start_board(has_micropython=True), "--adopt", "--keep-wifi", "--board", "esp32-devkitc-v4"
    )
    assert (ran.code, "8443" in ran.err) == (2, True)
    assert not (Path(host["home"]) / "config.toml").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-p", "/dev/nowhere0"], 4),
        (["--wifi", "x", "--wifi-password", "secret99"], 2),
        (["--adopt", "--erase"], 2),
    ],
)
def test_what_cannot_work_is_refused_with_a_next_step(tmp_path: Path, words: list[str], code: int) -> None:
    ran = run_here(tmp_path / "home", "flash", *words)
    assert ran.code == code
    assert "next: " in ran.err
    assert "secret99" not in ran.err
