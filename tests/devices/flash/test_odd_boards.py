"""Boards that are silent, print without end, close, or answer nonsense: each ends soon, with a next step."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.devices.flash.odd_board import LyingMicroPython, OddBoard, Talk
from tests.interfaces.cli.conftest import run_here
from tests.peers import listening

from microclaw.devices.flash.board_files import our_files
from microclaw.devices.flash.board_port import HOLD_BOOT, BoardPort
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.raw_repl import STOP_IT
from microclaw.devices.flash.report import PortNote, report_by_cable
from microclaw.errors import DeviceTimeout, DeviceUnreachable, ProtocolError

LOOK_S = 1.0
AT_MOST_S = 60.0  # what never ends fails there; what ends takes a tenth
SETTINGS = json.dumps(
    {"host": "127.0.0.1", "port": 1, "ca_sha256": "c" * 64, "wifi": [{"ssid": "kitchen", "password": "correct horse"}]}
).encode()
HEARD = b'["6b69746368656e", -50, 3]\n'


def _endless(_: bytes) -> bytes:
    return b"a program that prints all day\r\n" * 100


@pytest.mark.parametrize(
    ("talk", "presses"),
    [(lambda _: b"", None), (lambda data: data, None), (_endless, STOP_IT)],
    ids=["silent", "echo", "endless"],
)
async def test_what_is_no_micropython_is_told_in_time_and_where_boot_must_be_pressed(
    talk: Talk, presses: str | None
) -> None:
    with OddBoard(talk) as board:
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises((DeviceTimeout, ProtocolError)) as failed:
                async with BoardPort.parse(board.port).repl(LOOK_S) as repl:
                    await repl.run("print(1)", 2.0)
    assert failed.value.next_step
    assert presses in (None, failed.value.next_step)


async def test_a_board_that_closes_its_port_is_unreachable() -> None:
    async with listening(lambda *_: asyncio.sleep(0)) as socket, asyncio.timeout(2 * AT_MOST_S):
        with OddBoard(lambda _: b"", closes=True) as board:
            for port in (f"socket://127.0.0.1:{socket}", board.port):
                with pytest.raises(DeviceUnreachable):
                    async with BoardPort.parse(port).repl(LOOK_S):
                        pass


async def test_a_socket_where_nobody_answers_is_told_as_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microclaw.devices.flash.raw_repl._RUN_S", 0.2)  # before mpremote gives up by itself
    async with listening(lambda reader, _: reader.readexactly(9999)) as socket, asyncio.timeout(AT_MOST_S):
        with pytest.raises(DeviceTimeout, match="it says nothing"):
            async with BoardPort.parse(f"socket://127.0.0.1:{socket}").repl(LOOK_S):
                pass


@pytest.mark.parametrize("when", ["an answer", "a trickle", "flow control"])
async def test_what_has_no_end_is_given_up_at_its_time(when: str) -> None:
    lying = LyingMicroPython({"hello": b"x\r\n" * 100_000})
    typed = bytearray()

    def talk(data: bytes) -> bytes:
        typed.extend(data)
        if when == "a trickle" and b"hello" in typed:
            return b"."
        if when == "flow control" and b"\x05A\x01" in typed:
            return b"R\x01\x01\x00" if b"\x05A\x01" in data else b"\x01"
        return lying(data)

    with OddBoard(talk) as board:
        async with asyncio.timeout(AT_MOST_S), BoardPort.parse(board.port).repl(AT_MOST_S) as repl:
            with pytest.raises((DeviceTimeout, ProtocolError)):
                await repl.run("print('hello')" + " " * 5000, 2.0)


async def _notes(answers: dict[str, bytes], files: Path) -> list[PortNote]:
    rows = [json.dumps([file.path, file.sha256]) for file in await our_files(files, with_psram=False)]
    whole = "\n".join([*rows, LyingMicroPython.SURVEY.decode()]).encode()
    with OddBoard(LyingMicroPython({"ilistdir": whole, "settings.json": b"True\n\n" + SETTINGS, **answers})) as board:
        port = BoardPort.parse(board.port)
        async with asyncio.timeout(AT_MOST_S):
            return (await report_by_cable(port, Esptool(port), files, look_s=AT_MOST_S)).notes


@pytest.mark.parametrize(
    ("word", "nonsense"),
    [
        ("ilistdir", b"[" * 50_000),
        ("ilistdir", LyingMicroPython.SURVEY.replace(b"160000", b"1e400")),
        ("n.scan()", b'["zz", -50, 3]'),
        ("n.connect", b'[true, 1010, "\\u001b[31m"]'),
        ("settings.json", b'True\n\n{"host": "\\u001b[2J", "port": 1}'),
    ],
)
async def test_nonsense_of_a_board_is_a_fault_of_the_board_and_such_settings_are_none(
    word: str, nonsense: bytes, files: Path
) -> None:
    note = (await _notes({"n.scan()": HEARD, word: nonsense}, files))[-1]
    assert (note.ok, note.part) == (False, "host" if word == "settings.json" else "board")


def test_flash_ends_on_a_board_that_prints_without_end(tmp_path: Path) -> None:
    with OddBoard(_endless) as board:
        ran = run_here(tmp_path / "home", "flash", "--yes", "-p", board.port)
    text = " ".join((ran.out + ran.err).split())
    assert ran.code in (1, 4), text
    assert HOLD_BOOT in text
    assert "Traceback" not in text
