"""`doctor --report`: what a tester pastes. It has the board's facts, and nothing that opens or names anything."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import run_in
from tests.flash.conftest import StartBoard
from tests.flash.pty_board import MICROPYTHON, PtyBoard
from tests.flash.rom_loader import ESP32_S3

from microclaw.cli.board_report import Report, error_kind
from microclaw.flash.board_files import BoardFile, put
from microclaw.flash.board_port import BoardPort
from microclaw.flash.report import report_by_cable
from microclaw.flash.steps import flash_board
from microclaw.flash.workshop import Wishes, Workshop

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., Workshop]
PROGRAM = b"M\x06" + b"blink" * 20
CRASHES_HERE = """\
import time

time.sleep(15)  # after the trial
raise ValueError("the password is correct horse")
"""
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


async def _put_program(port: BoardPort, name: str, *, gen: int, data: bytes) -> str:
    """As firmware/fw/storage.py keeps one; its digest."""
    sha256 = hashlib.sha256(data).hexdigest()
    record = {"name": name, "gen": gen, "r": gen % 2, "now": "a", "before": "", "undo": False}
    text = json.dumps({**record, "a": [len(data), sha256, 8192, True], "b": None}).encode()
    async with port.repl(10) as repl:
        await repl.run(f"import os\nfor p in ('/apps','/apps/{name}'):\n try:os.mkdir(p)\n except OSError:pass")
        await put(repl, BoardFile(f"/apps/{name}/a.mpy", data))
        seal = hashlib.sha256(text).hexdigest().encode()
        await put(repl, BoardFile(f"/apps/{name}/r{gen % 2}", text + b"\n" + seal))
    return sha256


def _outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {check["part"]: check["outcome"] for check in report["checks"]}


async def test_the_cable_shows_chip_memory_files_and_programs(start_board: StartBoard, workshop: Make) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)
    await flash_board(shop, Wishes(ssid="kitchen", password="correct horse"))
    await _put_program(shop.port, "blink", gen=1, data=b"older" * 9)
    sha256 = await _put_program(shop.port, "blink", gen=2, data=PROGRAM)
    async with shop.port.repl(10) as repl:
        await repl.run("import os\nos.mkdir('/apps/torn')")
        await put(repl, BoardFile("/apps/torn/r0", b'{"name": "torn", "gen": 1}\n' + b"0" * 64))
        await put(repl, BoardFile("/settings.json", json.dumps({"board": {"name": "esp32-devkitc-v4"}}).encode()))
    found = await report_by_cable(shop.port, shop.esptool, shop.files, pin=4, look_s=1.0)
    assert found.board["mac"] == "24:6f:28:xx:xx:xx"
    assert found.board["image"].startswith("MicroPython 1.25.0, ")
    assert found.board["files"].startswith("4 of 4 are this version's; 3 there, digest ")
    assert (found.memory["idf_free"], found.memory["idf_largest"]) == (46_000, 32_000)
    assert found.memory["gc_free"] > 0
    assert {one["name"]: one["sha256"] for one in found.programs} == {"blink": sha256, "?": "?"}
    outcomes = {check.part: check.outcome for check in found.checks}
    assert outcomes["pin 4"] == "ok, set to 1 and 0, read as 1 and 0"
    assert outcomes["call"].startswith("ok, 5 times, ")
    assert outcomes["host"] == "problem: it was told of no host"


@pytest.mark.parametrize(("pin", "said"), [(6, "the board's profile forbids"), (34, "the board's profile forbids")])
async def test_a_pin_that_the_profile_forbids_is_not_driven(
    start_board: StartBoard, workshop: Make, pin: int, said: str
) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)
    async with shop.port.repl(10) as repl:
        await put(repl, BoardFile("/settings.json", json.dumps({"board": {"name": "esp32-devkitc-v4"}}).encode()))
    found = await report_by_cable(shop.port, shop.esptool, shop.files, pin=pin, look_s=1.0)
    assert said in next(check.outcome for check in found.checks if check.part == f"pin {pin}")


async def test_a_board_without_micropython_is_told_by_its_chip(start_board: StartBoard, workshop: Make) -> None:
    board = start_board(ESP32_S3, flash_bytes=8 << 20)
    found = await report_by_cable(*_places(workshop(board)), pin=None, look_s=1.0)
    assert found.board["flash"] == "8 MB"
    assert found.board["psram"] == "8 MB in the package"
    assert found.board["mac"] == "24:6f:28:xx:xx:xx"
    assert found.checks[-1].outcome == "problem: the flash is empty"
    assert board.rom.written == 0


def _places(shop: Workshop) -> tuple[BoardPort, Any, Path]:
    return shop.port, shop.esptool, shop.files


@pytest.mark.parametrize(
    ("wifi", "said"),
    [
        ({"ssid": "attic-5G", "password": "correct horse"}, "does not see its Wi-Fi"),
        ({"ssid": "kitchen", "password": "correct cow"}, "does not get into its Wi-Fi"),
        ({"ssid": "kitchen", "password": "correct horse"}, "does not reach the host"),
    ],
)
async def test_no_network_host_or_secret_is_in_it_whatever_is_wrong(
    start_board: StartBoard, workshop: Make, tmp_path: Path, wifi: dict[str, str], said: str
) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)
    await flash_board(shop, Wishes(keeps_wifi=True))
    settings = {"host": "127.0.0.1", "port": 1, "ca_sha256": "c" * 64, "secret": "s3cret-s3cret-s3cret", "wifi": [wifi]}
    async with shop.port.repl(10) as repl:
        await put(repl, BoardFile("/settings.json", json.dumps({**settings, "name": "annas-lamp"}).encode()))
        await put(repl, BoardFile("/credential.json", b'{"token": "mc1_0123456789abcdef"}'))
    found = await report_by_cable(*_places(shop), pin=None, look_s=1.0)
    assert said in found.checks[-1].outcome
    shown = Report(board=found.board, memory=found.memory, programs=found.programs, checks=found.checks)
    texts = ["\n".join(shown.lines()), json.dumps(shown.to_json())]
    words = ("doctor", "--report", "-p", str(board.port))
    for more in ((), ("--json",)):
        ran = await asyncio.to_thread(run_in, tmp_path / "home", *words, *more)
        assert (ran.code, "image" in ran.out) == (0, True), ran.err
        texts += [ran.out, ran.err]
    names = ("annas-lamp", "attic-5G", "kitchen", "café", "correct", "s3cret", "mc1_", "cccc")
    _holds_nothing_private(texts, board, *names)


def _holds_nothing_private(texts: list[str], board: PtyBoard, *values: str) -> None:
    for text in texts:
        here = (str(Path.home()), socket.gethostname(), str(board.port), "localhost", "8443")
        for value in (*values, *here, *([getpass.getuser()] if len(getpass.getuser()) > 4 else [])):
            assert value not in text, value
        assert not ADDRESS.search(text), ADDRESS.search(text)


def test_a_board_that_is_online_is_timed_from_its_restart_and_asked_over_its_link(
    host: dict[str, Any], start_board: StartBoard, password: Path, tmp_path: Path
) -> None:
    board, home = start_board(has_micropython=True), Path(host["home"])
    words = ("--adopt", "--wifi", "kitchen", "--wifi-password", f"@{password}", "--name", "annas-lamp", "--yes")
    ran = run_in(home, "flash", "-p", str(board.port), *words, "--address", "127.0.0.1")
    assert ran.code == 0, ran.err
    source = tmp_path / "ticker.py"
    source.write_text(CRASHES_HERE)
    put_on = run_in(home, "run", str(source), "-d", "annas-lamp", "--force", "--yes")
    assert "correct horse" in _error_of_program(home), put_on.err
    ran = run_in(home, "doctor", "--report", "--json", "-d", "annas-lamp", "--try-pin", "4", "--yes")
    assert ran.code == 0, ran.err
    live = json.loads(ran.out)
    outcomes = _outcomes(live)
    assert outcomes["pin 4"] == "ok, set to 1 and 0, read as 1 and 0"
    assert outcomes["call"].startswith("ok, 5 times, ")
    assert live["memory"]["of"] == "of the running board"
    assert live["memory"]["gc_free"] > 0
    assert (live["link"]["state"], live["link"]["reconnects"]) == ("connected", 0)
    assert live["board"]["profile"] == "esp32-devkitc-v4"
    assert [one["name"] for one in live["programs"]] == ["ticker"]
    assert live["errors"] == ["ticker: ValueError, line 4"]
    secrets = json.loads(board.file("settings.json"))
    _holds_nothing_private(
        [ran.out, ran.err], board, "annas-lamp", "kitchen", "correct", secrets["secret"], secrets["ca_sha256"]
    )

    ran = run_in(home, "doctor", "--report", "--json", "-p", str(board.port))
    assert ran.code == 0, ran.err
    cable = json.loads(ran.out)
    assert re.fullmatch(r"ok, \d+\.\d s from its restart", _outcomes(cable)["time to link"]), cable["checks"]
    assert cable["link"]["reconnects"] == 1
    assert {"idf_free", "gc_free"} <= cable["memory"].keys()
    _holds_nothing_private(
        [ran.out, ran.err], board, "annas-lamp", "kitchen", "correct", secrets["secret"], secrets["ca_sha256"]
    )


def _error_of_program(home: Path) -> str:
    """What the host hears of the one program, once it has failed."""
    apps: list[dict[str, Any]] = []
    for _ in range(60):  # each look is a process of its own, half a second
        apps = json.loads(run_in(home, "--json", "app", "list", "-d", "annas-lamp").out)["apps"]
        if apps and apps[0]["error"]:
            return str(apps[0]["error"])
    raise AssertionError(f"it does not fail: {apps}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ValueError: the password is correct horse", "ValueError"),
        ('File "main.py", line 12, in main\nOSError: [Errno 28] /home/anna', "OSError (errno 28), line 12"),
        ("it took too much memory: 9000 bytes are free", "took too much memory"),
        ("CorrectHorse: battery", "an error in other words"),
    ],
)
def test_an_error_is_shown_by_its_kind_alone(text: str, shown: str) -> None:
    assert error_kind(text) == shown


def test_what_acts_on_a_board_needs_a_board_and_a_yes(host: dict[str, Any], tmp_path: Path) -> None:
    ran = run_in(tmp_path / "home", "doctor", "--report", "--try-pin", "4", "--yes")
    assert (ran.code, "which board?" in ran.err) == (2, True)
    ran = run_in(tmp_path / "home", "doctor", "--report", "-p", "/dev/nowhere0", "--try-pin", "4")
    assert (ran.code, "give --yes" in ran.err) == (2, True)
    ran = run_in(tmp_path / "home", "doctor", "--restart")
    assert (ran.code, "--report" in ran.err) == (2, True)
