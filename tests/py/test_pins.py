"""Buses without pins of their own: the image's default pins are the program's, or it must name some."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.boards.reader import load_board
from microclaw.errors import BuildError


@pytest.mark.parametrize(
    ("made", "pins"),
    [
        ("I2C(0)", (18, 19)),
        ("I2C(1)", (25, 26)),
        ("I2C(0, scl=Pin(22), sda=Pin(21))", (21, 22)),
        ("UART(2)", (16, 17)),
        ("UART(2, 9600, tx=4)", (4, 16)),
        ("SPI(2, 1000000, sck=Pin(18), mosi=Pin(23))", (18, 19, 23)),
        ("SPI(2, sck=Pin(18), mosi=Pin(23), miso=None)", (18, 23)),
        ("UART(2).init(9600, tx=4, rx=5)", (4, 5, 16, 17)),
    ],
)
async def test_default_pins_are_the_programs(made: str, pins: tuple[int, ...], build_py: Build) -> None:
    assert (await build_py(f"from machine import I2C, SPI, UART, Pin\nx = {made}\n")).pins == pins


@pytest.mark.parametrize(
    "line",
    [
        "UART(0, 9600)", "UART(0, tx=4, rx=5)", "n = 0\nUART(n)", "UART(1)", "UART(2).init(tx=6)",
        "def f(n): return UART(n)\nf(int('1'))",
    ],
)  # fmt: skip
async def test_pins_that_a_bus_cannot_have_are_refused(line: str, build_py: Build) -> None:
    with pytest.raises(BuildError):
        await build_py(f"from machine import UART\n{line}\n")


@pytest.mark.parametrize("made", ["I2C(0)", "SPI(1)", "UART(1)"])
async def test_bus_of_a_chip_whose_defaults_nobody_knows_needs_its_pins(made: str, build_py: Build) -> None:
    board = load_board("esp32-c3-devkitm-1")
    with pytest.raises(BuildError):
        await build_py(f"from machine import I2C, SPI, UART\n{made}\n", board=board)


@pytest.mark.parametrize("line", ["Pin.board", "Pin.cpu", "Pin.board.GPIO6", "machine.RTC()", "machine.freq(20000000)"])
async def test_what_is_past_the_pins_is_refused(line: str, build_py: Build) -> None:
    with pytest.raises(BuildError):
        await build_py(f"import machine\nfrom machine import Pin\nprint({line})\n")


@pytest.mark.parametrize(
    "body",
    [
        "(a: int) -> int:\n    return ptr32(a)[0]",
        "(a: ptr8) -> int:\n    return a[0]",
        "(a: int) -> ptr16:\n    return a",
    ],
)
@pytest.mark.parametrize("before", ["", "def ptr32(a): return [a]\n", "ptr8 = 1\n"])
async def test_pointers_of_viper_are_refused(before: str, body: str, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"import micropython\n{before}@micropython.viper\ndef f{body}\nprint(f(1))\n")
    first = caught.value.diagnostics[0]
    assert "ptr" in first.message


@pytest.mark.parametrize("kind", ["asm_xtensa", "asm_thumb", "asm_rv32"])
@pytest.mark.parametrize("word", ["def", "async def"])
async def test_assembler_is_refused(kind: str, word: str, build_py: Build) -> None:
    with pytest.raises(BuildError):
        await build_py(f"import micropython\n@micropython.{kind}\n{word} f():\n    nop()\nf()\n")


async def test_plain_variable_may_be_called_ptr(build_py: Build) -> None:
    assert (await build_py("ptr = 0\nptr += 1\nprint(ptr)\n")).warnings is not None
