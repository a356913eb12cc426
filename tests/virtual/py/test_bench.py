"""The simulated modules on MicroPython's unix port, over a pipe to the same drivers that the virtual board has."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.virtual.py.bench import MODULES, Bench

from microclaw.boards.reader import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.clock import RealClock

MICROPYTHON = Path(__file__).parents[3] / ".micropython" / "bin" / "micropython"
pytestmark = pytest.mark.skipif(not MICROPYTHON.exists(), reason="scripts/micropython.sh has not been run")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(Board(load_board("virtual"), RealClock()), tmp_path) as bench:
        yield bench


def run(bench: Bench, program: str) -> str:
    environment = {**os.environ, "MICROPYPATH": f"{MODULES}:.frozen", "MICROCLAW_BOARD": bench.address}
    done = subprocess.run(
        [MICROPYTHON, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_an_input_interrupts_the_event_loop(bench: Bench) -> None:
    program = """
import asyncio
from machine import Pin
async def main():
    pressed = asyncio.Event()
    button = Pin(4, Pin.IN, Pin.PULL_UP)
    button.irq(lambda pin: (print(pin, pin.value()), pressed.set()), Pin.IRQ_FALLING)
    Pin(5, Pin.OUT, value=1)  # says that it is ready
    await pressed.wait()
asyncio.run(main())
"""

    bench.board.watch_edges(lambda edge: bench.board.set_input(4, 0) if edge.pin == 5 else None)
    assert run(bench, program) == "Pin(4) 0\n"


def test_a_strip_of_leds_shows_its_colours(bench: Bench) -> None:
    run(bench, "import neopixel, machine\nn = neopixel.NeoPixel(machine.Pin(4), 2)\nn[1] = (255, 1, 2)\nn.write()")
    assert bench.board.led_changes().records[-1].data == bytes([0, 0, 0, 1, 255, 2]).hex()


def test_the_sensors_answer_on_the_boards_own_bus(bench: Bench) -> None:
    program = """
from machine import I2C, Pin
bus = I2C(0, scl=Pin(9), sda=Pin(8))
print(bus.scan(), bus.readfrom_mem(0x76, 0xD0, 1))
try:
    bus.readfrom(0x11, 1)
except OSError as exc:
    print(exc.errno)
print(I2C(0, scl=Pin(5), sda=Pin(6)).scan())
"""
    assert run(bench, program) == "[64, 118] b'`'\n19\n[]\n"


def test_settings_in_flash_outlive_a_power_cut(bench: Bench) -> None:
    program = """
import esp32
nvs = esp32.NVS("fw")
nvs.set_i32("fails", 2)
nvs.set_blob("ca", b"\\x00\\xff")
try:
    nvs.get_i32("none")
except OSError as exc:
    print(exc.errno)
"""
    assert run(bench, program) == "-4354\n"
    bench.power_cut()
    read = "import esp32\nn = esp32.NVS('fw')\nb = bytearray(4)\nprint(n.get_i32('fails'), n.get_blob('ca', b), b)"
    assert run(bench, read) == "2 2 bytearray(b'\\x00\\xff\\x00\\x00')\n"


def test_a_reset_is_noted_with_its_cause(bench: Bench) -> None:
    run(bench, "import machine\nprint(machine.reset_cause())\nmachine.reset()")
    assert bench.resets == [2]
    assert run(bench, "import machine\nprint(machine.reset_cause())") == "2\n"
