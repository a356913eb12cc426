"""`doctor --report`: what a tester pastes. It has the board's facts, and nothing that opens or names anything."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.devices.flash.conftest import StartBoard
from tests.devices.flash.pty_board import MICROPYTHON, PATIENCE_S, PtyBoard
from tests.interfaces.cli.conftest import run_here

from microclaw.devices.flash.board_files import BoardFile, put
from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.flash_context import FlashContext, FlashOptions
from microclaw.devices.flash.report import report_by_cable
from microclaw.devices.flash.steps import flash_board

pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh was not run")
Make = Callable[..., FlashContext]
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


async def test_the_cable_shows_chip_memory_and_each_thing_that_a_board_lacks_and_nothing_is_written(
    start_board: StartBoard, workshop: Make
) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)

    async def wrong() -> str:
        notes = (await report_by_cable(*_places(shop), look_s=PATIENCE_S)).notes
        assert [note.ok for note in notes] == [True] * (len(notes) - 1) + [False]
        assert notes[-1].next_step
        return notes[-1].part

    assert await wrong() == "files"
    await flash_board(shop, FlashOptions(keeps_wifi=True))
    assert await wrong() == "host"
    settings = {"host": "127.0.0.1", "port": 1, "ca_sha256": "0" * 64}
    async with shop.port.repl(10) as repl:
        await put(repl, BoardFile("/settings.json", json.dumps(settings).encode()))
    assert await wrong() == "wifi"
    found = await report_by_cable(*_places(shop), look_s=PATIENCE_S)
    assert (found.board["mac"], found.board["image"][:19]) == ("24:6f:28:xx:xx:xx", "MicroPython 1.25.0,")
    assert found.board["idf_free"] == "46000"
    assert json.loads(board.file("settings.json")) == settings


def _places(shop: FlashContext) -> tuple[BoardPort, Any, Path]:
    return shop.port, shop.esptool, shop.files


async def test_no_network_host_or_secret_is_in_it_whatever_is_wrong(
    start_board: StartBoard, workshop: Make, tmp_path: Path
) -> None:
    board = start_board(has_micropython=True)
    shop = workshop(board)
    await flash_board(shop, FlashOptions(keeps_wifi=True))
    settings = {"host": "127.0.0.1", "port": 1, "ca_sha256": "c" * 64, "secret": "s3cret-s3cret-s3cret"}
    texts: list[str] = []
    for ssid, password, said in (
        ("attic-5G", "correct horse", "does not see its Wi-Fi"),
        ("kitchen", "correct cow", "does not get into its Wi-Fi"),
        ("kitchen", "correct horse", "does not reach the host"),
    ):
        told = {**settings, "name": "annas-lamp", "wifi": [{"ssid": ssid, "password": password}]}
        async with shop.port.repl(10) as repl:
            await put(repl, BoardFile("/settings.json", json.dumps(told).encode()))
            await put(repl, BoardFile("/credential.json", b'{"token": "mc1_0123456789abcdef"}'))
        found = await report_by_cable(*_places(shop), look_s=PATIENCE_S)
        assert said in found.notes[-1].cause
        texts += [json.dumps([found.board, found.notes[-1].cause])]
    for more in ((), ("--json",)):
        ran = await asyncio.to_thread(run_here, tmp_path / "home", "doctor", "--report", "-p", str(board.port), *more)
        assert (ran.code, "image" in ran.out) == (0, True), ran
        texts += [ran.out, ran.err]
    names = ("annas-lamp", "attic-5G", "kitchen", "café", "correct", "s3cret", "mc1_", "cccc")
    _holds_nothing_private(texts, board, *names)


def _holds_nothing_private(texts: list[str], board: PtyBoard, *values: str) -> None:
    for text in texts:
        here = (str(Path.home()), socket.gethostname(), str(board.port), "localhost", "8443")
        for value in (*values, *here, *([getpass.getuser()] if len(getpass.getuser()) > 4 else [])):
            assert value not in text, value
        assert not ADDRESS.search(text), ADDRESS.search(text)
