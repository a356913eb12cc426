"""The faults of a program for a board: names, methods, classes and pins that are not there; and what is right."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.reader import load_board

PIN = "from machine import Pin\n"
MAKES = "from machine import ADC, PWM, Pin\nled = Pin(2, Pin.OUT)\nadc = ADC(Pin(32))\npwm = PWM(Pin(4), freq=50)\n"
NAMES = [
    f"{PIN}led = Pin(4, Pin.OUT)\nLed.on()\n",
    "import time\ntime.Sleep(1)\n",
    "from machine import pin\n",
    f"{PIN}Pin(4, Pin.OUTPUT)\n",
    "import mqtt\n",  # it is in microclaw
]
WRITE = "or write it there: a line NAME = VALUE for each of"
# Methods that pins, PWM and ADC objects lack, where the class is sure.
METHODS = [
    f"{MAKES}led.togle()\n",
    "from machine import Pin\nclass Lamp:\n    def __init__(self):\n        self.pin = Pin(2, Pin.OUT)\n"
    "    def flip(self):\n        self.pin.togle()\nLamp().flip()\n",
    f"{MAKES}def lamp():\n    if adc.read() > 9:\n        return None\n    own = Pin(5, Pin.OUT)\n    return own\n"
    "lamp().togle()\n",
]
# Buses that cannot have these pins, and what is past the pins.
PINS = [
    *[f"from machine import UART\n{line}\n" for line in ("UART(0, 9600)", "UART(1)", "UART(2).init(tx=6)")],
    "from machine import UART\ndef f(n): return UART(n)\nf(int('1'))\n",
    *[f"{PIN}print({name})\n" for name in ("Pin.board", "Pin.cpu", "Pin.board.GPIO6")],
    *[
        f"import machine\nprint(machine.{call})\n"
        for call in ("WDT()", "RTC().init((2020,))", "RTC().datetime((2020,))", "freq(20000000)")
    ],
    *[
        f"import micropython\n@micropython.{kind}\n{word} f():\n    nop()\nf()\n"
        for kind, word in (("asm_xtensa", "def"), ("asm_thumb", "async def"))
    ],
]


async def refused(build_py: Build, source: str, board: str = "esp32-devkitc-v4") -> list[Diagnostic]:
    with pytest.raises(BuildError) as caught:
        await build_py(source, board=load_board(board))
    return [d for d in caught.value.diagnostics if d.severity == "error"]


@pytest.mark.parametrize("source", [*NAMES, *PINS])
async def test_what_is_not_there_is_refused(build_py: Build, source: str) -> None:
    assert await refused(build_py, source)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("import keys\nprint(keys.SSID.upper(), keys.PASSWORD)\n", f"{WRITE} SSID, PASSWORD"),
        ("from keys import SSID as ssid\nprint(ssid)\n", f"{WRITE} SSID"),
        ("import keys\nprint(keys.SSID, keys.load())\n", "or into lib/ there"),
        ("import keys\nclass Lock(keys.Key):\n    pass\n", "or into lib/ there"),
    ],
)
async def test_settings_that_are_not_there_are_named_and_a_library_is_none(
    build_py: Build, source: str, hint: str
) -> None:
    (error,) = await refused(build_py, source)
    assert error.hint == f"put keys.py beside the program, {hint}"


@pytest.mark.parametrize(("other", "is_offered"), [(25, True), (6, False)])
async def test_pins_that_all_fit_another_board_offer_it(build_py: Build, other: int, is_offered: bool) -> None:
    first, *others = await refused(build_py, f"{PIN}Pin({other}, Pin.IN)\nPin(22, Pin.OUT)\n", "virtual")
    assert ("(--board esp32-devkitc-v4)" in (first.hint or "")) is is_offered
    assert not any("--board" in (error.hint or "") for error in others)


@pytest.mark.parametrize("source", METHODS)
async def test_a_method_that_the_object_lacks_is_one_error(build_py: Build, source: str) -> None:
    assert len(await refused(build_py, source)) == 1


@pytest.mark.parametrize(
    ("before", "body"),
    [("n = 0\n", "n = max(n, 3)"), ("def work():\n  n = 0\n", "n = 1"), ("every(500, print)\nn = 0\n", "n += 1")],
)
async def test_a_loop_that_never_waits_ends_nor_looks_at_anything_is_refused(
    build_py: Build, before: str, body: str
) -> None:
    source = f"from microclaw import every\n{before}{'  ' * ('def' in before)}while True: {body}\n"
    (found,) = await refused(build_py, source)
    assert found.line == source.count("\n")


@pytest.mark.parametrize(
    ("board", "hint"),
    [
        ("virtual", "is on pin 2: Pin(2, Pin.OUT)"),
        ("esp32-s3-devkitc-1-v1.1", "is addressable, on pin 38: NeoPixel(Pin(38), 1)"),
        ("esp32-devkitc-v4", "has no LED that a program can switch: its only LED shows"),
    ],
)
async def test_a_pin_by_name_is_refused_with_the_boards_led(build_py: Build, board: str, hint: str) -> None:
    (found, *_) = await refused(build_py, f'{PIN}NAME = "LED"\nPin(NAME, Pin.OUT)\n', board)
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("", "(a: int) -> int:\n    return ptr32(a)[0]"),
        ("def ptr32(a): return [a]\n", "(a: int) -> int:\n    return ptr32(a)[0]"),
        ("ptr8 = 1\n", "(a: ptr8) -> int:\n    return a[0]"),
        ("", "(a: int) -> ptr16:\n    return a"),
    ],
)
async def test_pointers_of_viper_are_refused(before: str, body: str, build_py: Build) -> None:
    found = await refused(build_py, f"import micropython\n{before}@micropython.viper\ndef f{body}\nprint(f(1))\n")
    assert "ptr" in found[0].message


@pytest.mark.parametrize(
    "source",
    [
        f"{MAKES}led.toggle()\nled.value(led.OUT)\nadc.read_uv()\npwm.duty_u16(5)\n",
        f"{MAKES}def flip(led):\n    led.togle()\n",  # a parameter can be anything
        "from machine import Pin\nclass Mock:\n    def togle(self): pass\nled = Mock()\nled = Pin(2)\nled.togle()\n",
        f"{MAKES}try:\n    led.togle()\nexcept AttributeError:\n    led.on()\n",
        f"{MAKES}if hasattr(adc, 'readu16'):\n    adc.readu16()\n",
        "ptr = 0\nptr += 1\nprint(ptr)\n",
        f"{MAKES}def any_of(n):\n    return any_of(n - 1) if n else led\nany_of(2).togle()\n",
        f"{MAKES}def other(n):\n    if n:\n        return n\n    return led\nother(2).togle()\n",
        f"{MAKES}def again():\n    return again()\nagain().togle()\n",
        f"{MAKES}def parts():\n    yield led\n    return led\nparts().togle()\n",
    ],
)
async def test_an_object_that_may_be_another_is_left_alone(build_py: Build, source: str) -> None:
    await build_py(source)


async def test_the_class_and_the_private_names_of_an_object_stay_as_they_are_written(build_py: Build) -> None:
    source = """class A:
    _made = 0
    def __init__(self, n=0):
        self._n = n
    def next(self):
        self.__class__._made += 1
        return type(self)(self._n + getattr(self, "_n", 0))
"""
    image = await build_py(f"{source}print(A(1).next()._n, A().__dict__)\n")
    assert image.warnings == ()
    for part in ("self.__class__._made += 1", "type(self)(self._n + getattr(self, '_n', 0))", "A().__dict__"):
        assert part in image.rewritten
