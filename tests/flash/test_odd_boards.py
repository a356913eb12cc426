"""Boards that are silent, print without end, close, or answer nonsense: each ends soon, in words with a next step."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import run_in
from tests.flash.odd_board import LyingMicroPython, OddBoard, Talk
from tests.flash.pty_board import BANNER

from microclaw.errors import ConfigError, DeviceTimeout, DeviceUnreachable, ProtocolError
from microclaw.flash.board_files import our_files
from microclaw.flash.board_port import BoardPort
from microclaw.flash.diagnosis import PortNote, diagnose
from microclaw.flash.esptool import Esptool
from microclaw.flash.report import CableReport, report_by_cable

LOOK_S = 1.0
AT_MOST_S = 30.0  # what never ends fails there; what ends takes a tenth
DEEP = b"[" * 120_000
SETTINGS = json.dumps(
    {"host": "127.0.0.1", "port": 1, "ca_sha256": "c" * 64, "wifi": [{"ssid": "kitchen", "password": "correct horse"}]}
).encode()
HEARD = b'["6b69746368656e", -50, 3]\n'


def _endless(_: bytes) -> bytes:
    return b"a program that prints all day\r\n" * 100


@pytest.mark.parametrize(
    ("talk", "said", "step"),
    [
        (lambda _: b"", "it says nothing", "RESET"),
        (lambda data: data, "only comes back", "RX and TX"),
        (_endless, "prints there without end", "BOOT"),
        (lambda _: b".", "another program talks there", "BOOT"),
        (lambda data: b"login: " if data else b"", "another program talks there", "BOOT"),
    ],
    ids=["silent", "echo", "endless", "trickle", "a login"],
)
async def test_what_is_no_micropython_is_told_in_time_with_what_to_do(talk: Talk, said: str, step: str) -> None:
    with OddBoard(talk) as board:
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises(DeviceTimeout, match=said) as failed:
                async with BoardPort.parse(board.port).repl(LOOK_S):
                    pass
    assert step in str(failed.value.next_step)


async def test_banners_without_end_are_no_micropython_either() -> None:
    """Where the pty's other end is held up for long enough it looks entered; what follows ends in time too."""
    with OddBoard(lambda _: BANNER * 50) as board:
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises((DeviceTimeout, ProtocolError)) as failed:
                async with BoardPort.parse(board.port).repl(LOOK_S) as repl:
                    await repl.run("print(1)", 2.0)
    assert failed.value.next_step


async def test_a_board_that_goes_at_once_is_told_so() -> None:
    with OddBoard(lambda _: b"", closes=True) as board:
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises(
                DeviceUnreachable, match=r"there is no port|closes as soon|another program has"
            ) as failed:
                async with BoardPort.parse(board.port).repl(LOOK_S):
                    pass
    if "another program" not in failed.value.message:  # its name on this machine may be another test's already
        assert "plug the board in" in str(failed.value.next_step)


async def test_a_server_that_closes_each_connection_is_told_so() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = BoardPort.parse(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises(DeviceUnreachable, match="closes as soon as it is opened") as failed:
                async with port.repl(LOOK_S):
                    pass
    assert "goes on where it was" not in str(failed.value.next_step)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may open everything; anybody else is left as they are."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


async def test_a_port_without_permission_is_told_with_the_group() -> None:
    with OddBoard(lambda _: b"") as board:
        Path(board.port).chmod(0)
        with _as_nobody(), pytest.raises(ConfigError, match="your user may not open") as failed:
            async with BoardPort.parse(board.port).repl(LOOK_S):
                pass
    assert "dialout" in str(failed.value.next_step)


@pytest.mark.parametrize("printed", [b"." * 300_000, b"x\r\n" * 100_000])
async def test_an_answer_that_is_too_long_is_refused(printed: bytes) -> None:
    with OddBoard(LyingMicroPython({"hello": printed})) as board:
        async with asyncio.timeout(AT_MOST_S), BoardPort.parse(board.port).repl(LOOK_S) as repl:
            with pytest.raises(ProtocolError, match="more than 262144 bytes") as failed:
                await repl.run("print('hello')")
    assert failed.value.next_step


async def test_an_answer_that_trickles_without_end_is_given_up_at_its_time() -> None:
    pasted = LyingMicroPython({})
    typed = bytearray()

    def talk(data: bytes) -> bytes:
        typed.extend(data)
        return b"." if b"hello" in typed else pasted(data)

    with OddBoard(talk) as board:
        async with asyncio.timeout(AT_MOST_S), BoardPort.parse(board.port).repl(LOOK_S) as repl:
            await repl.run("print('first')")
            with pytest.raises((DeviceTimeout, ProtocolError)):
                await repl.run("print('hello')", 0.5)


async def test_flow_control_without_end_is_given_up() -> None:
    lying, typed = LyingMicroPython({}), bytearray()

    def talk(data: bytes) -> bytes:
        typed.extend(data)
        return lying(data) if b"\x05A\x01" not in typed else b"R\x01\x01\x00" if b"\x05A\x01" in data else b"\x01"

    with OddBoard(talk) as board:
        async with asyncio.timeout(AT_MOST_S), BoardPort.parse(board.port).repl(LOOK_S) as repl:
            with pytest.raises(DeviceTimeout, match="in time"):
                await repl.run("x" * 5000, 1.0)


async def _notes(answers: dict[str, bytes], files: Path) -> list[PortNote]:
    rows = [json.dumps([file.path, file.sha256]) for file in await our_files(files, with_psram=False)]
    whole = "\n".join([*rows, LyingMicroPython.SURVEY.decode()]).encode()
    with OddBoard(LyingMicroPython({"ilistdir": whole, "settings.json": b"True\n\n" + SETTINGS, **answers})) as board:
        port = BoardPort.parse(board.port)
        async with asyncio.timeout(AT_MOST_S):
            return await diagnose(port, Esptool(port), files, look_s=LOOK_S)


NONSENSE = [
    DEEP,
    b"Infinity",
    b"NaN",
    b"[" * 900 + b"]" * 900,
    b"9" * 5000,
    b"1e400",
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe",
]


@pytest.mark.parametrize("nonsense", [*NONSENSE, b'["/main.py"]\n' + LyingMicroPython.SURVEY])
async def test_nonsense_about_what_is_on_a_board_is_told_so(nonsense: bytes, files: Path) -> None:
    note = (await _notes({"ilistdir": nonsense}, files))[-1]
    assert (note.ok, note.part) == (False, "board")
    assert "answered nonsense about what is on it" in note.text
    assert "microclaw flash --erase" in str(note.next_step)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "[1e400, 26, 1]"),
        ("version", f"[{10**400}, 26, 1]"),
        ("heap", f"{10**400}"),
        ("room", "-1"),
        ("machine", json.dumps("x" * 5000)),
        ("machine", "7"),
        ("mpy", "true"),
    ],
)
async def test_a_fact_of_the_wrong_form_is_nonsense(key: str, value: str, files: Path) -> None:
    facts = json.loads(LyingMicroPython.SURVEY)
    text = json.dumps({**facts, key: "HERE"}).replace('"HERE"', value).encode()
    assert "answered nonsense" in (await _notes({"ilistdir": text}, files))[-1].text


@pytest.mark.parametrize(
    "nonsense",
    [
        *(text for text in NONSENSE if text not in (b"[]",)),
        b'["00"]',
        b'["zz", -50, 3]',
        b'["6b", 1e999, 3]',
        b'["6b", 9999, 3]',
    ],
)
async def test_nonsense_about_the_wifi_around_is_told_so(nonsense: bytes, files: Path) -> None:
    note = (await _notes({"n.scan()": nonsense}, files))[-1]
    assert "answered nonsense about the Wi-Fi around it" in note.text


@pytest.mark.parametrize(
    "nonsense", [*NONSENSE, b'[true, 1010, "\\u001b[31m"]', b"[true, 1010, 7]", b'[false, 1e400, ""]', b"[]\n[]"]
)
async def test_nonsense_about_joining_is_told_so(nonsense: bytes, files: Path) -> None:
    note = (await _notes({"n.scan()": HEARD, "n.connect": nonsense}, files))[-1]
    assert "answered nonsense about its Wi-Fi" in note.text


@pytest.mark.parametrize("nonsense", [*NONSENSE, b'{"host": "\\u001b[2J", "port": 1}', b'{"host": "a", "port": 1e400}'])
async def test_settings_that_are_nonsense_are_none(nonsense: bytes, files: Path) -> None:
    note = (await _notes({"settings.json": b"True\n\n" + nonsense}, files))[-1]
    assert (note.part, note.text) == ("host", "it was told of no host")


HUGE = str(10**400)
WHOLE_MEMORY = '{"gc_free":1,"gc_used":2,"idf_free":3,"idf_largest":4,"flash":4194304,"mac":"246f28010203"}'


@pytest.mark.parametrize("number", [HUGE, "-5", "1e400", "true", '"\\u001b[31m"', "[1]", "null", str(2**50)])
async def test_a_number_that_no_board_has_is_not_in_the_report(number: str, files: Path) -> None:
    memory = WHOLE_MEMORY.replace('"gc_free":1', f'"gc_free":{number}').replace('"flash":4194304', f'"flash":{number}')
    found = await _report({"gc_used": memory.encode()}, files)
    outcomes = {check.part: check.outcome for check in found.checks}
    if number == "1e400":
        assert outcomes["cable"] == "problem (device_error)"
        return
    assert found.memory == {"gc_used": 2, "idf_free": 3, "idf_largest": 4}
    assert "flash" not in found.board
    assert found.board["mac"] == "24:6f:28:xx:xx:xx"


@pytest.mark.parametrize(
    "line", [*NONSENSE, b"[1]", b'["\\ud800"]', b'["x"]', b'[{"a": 1}]', b'["' + b"y" * 100_000 + b'"]']
)
async def test_a_program_record_that_is_nonsense_is_a_line_of_ours(line: bytes, files: Path) -> None:
    found = await _report({"gc_used": WHOLE_MEMORY.encode(), "/r0": line}, files)
    ours = ("its record is damaged", "its record is of another version")
    assert [(one["name"], one["state"] in ours) for one in found.programs] == [("?", True)]


@pytest.mark.parametrize(
    "change", [{"gen": 10**400}, {"a": [10**400, "0" * 64]}, {"a": [1e308, "0" * 64]}, {"now": []}]
)
async def test_a_sealed_record_with_numbers_of_no_program_is_of_another_version(
    change: dict[str, object], files: Path
) -> None:
    body = json.dumps({"name": "blink", "gen": 1, "now": "a", "a": [9, "0" * 64], **change})
    seal = hashlib.sha256(body.encode()).hexdigest()
    line = json.dumps([f"{body}\n{seal}"]).encode()
    found = await _report({"gc_used": WHOLE_MEMORY.encode(), "/r0": line}, files)
    states = [one["state"] for one in found.programs]
    assert states == ([] if change == {"now": []} else ["its record is of another version"])


async def _report(answers: dict[str, bytes], files: Path) -> CableReport:
    with OddBoard(LyingMicroPython({"settings.json": b"False\n\n{}", **answers})) as board:
        port = BoardPort.parse(board.port)
        async with asyncio.timeout(AT_MOST_S):
            return await report_by_cable(port, Esptool(port), files, pin=None, look_s=LOOK_S)


def test_doctor_and_flash_end_on_a_board_that_prints_without_end_and_say_what_to_do(tmp_path: Path) -> None:
    for words in (["doctor", "--port"], ["flash", "--yes", "-p"]):
        with OddBoard(_endless) as board:
            ran = run_in(tmp_path / "home", *words, board.port)
        text = " ".join((ran.out + ran.err).split())
        assert ran.code in (1, 4), text
        assert "prints there without end" in text
        assert "does not enter download mode" in text
        assert "next: hold the board's BOOT button" in text
        assert "Traceback" not in text
