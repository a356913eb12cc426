"""Mistakes in programs for parts that a trial must show, because the models behave as the parts do."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build

BOARD = load_board("virtual")
WIRING = parse_wiring("""
btn1 = { part = "button", pin = 4 }
probe1 = { part = "ds18b20", data = 15 }
""")

# It has no debounce. With an odd number of edges at each press the lamp would be right by chance.
TOGGLE = """
from machine import Pin
button = Pin(4, Pin.IN, Pin.PULL_UP)
lamp = Pin(5, Pin.OUT, value=0)
before = 1
while True:
    now = button.value()
    if before == LEVEL_BEFORE and now != before:
        lamp.value(not lamp.value())
    before = now
"""
THERMOMETER = """
from machine import Pin
from onewire import OneWire
from ds18x20 import DS18X20
import time
bus = DS18X20(OneWire(Pin(15)))
rom = bus.scan()[0]
while True:
    bus.convert_temp()
    time.sleep_ms(WAIT_MS)
    print("temp", bus.read_temp(rom))
    time.sleep(2)
"""


async def tried(source: str, expect: str, folder: Path, wiring: Wiring = WIRING) -> Trial:
    image = await build(source, "mistake", board=BOARD, cache=BuildCache(folder))
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect), wiring=wiring))


@pytest.mark.parametrize("level_before", ["1", "0"])
async def test_the_first_press_already_shows_that_a_program_has_no_debounce(level_before: str, tmp_path: Path) -> None:
    expect = "press btn1 at 1 s for 200 ms\npin 5: high at 1500 ms"
    trial = await tried(TOGGLE.replace("LEVEL_BEFORE", level_before), expect, tmp_path)
    assert trial.proof == "not met"


@pytest.mark.parametrize(("wait_ms", "first"), [("750", r"temp 2\d.*"), ("700", r"temp 85.0")])
async def test_a_thermometer_has_no_temperature_until_its_conversion_has_had_its_time(
    wait_ms: str, first: str, tmp_path: Path
) -> None:
    trial = await tried(THERMOMETER.replace("WAIT_MS", wait_ms), f'log ~ "{first}" within 1 s\nfor 3 s', tmp_path)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error


FOLLOW = """
from machine import Pin
from time import sleep_ms
button = Pin(4, Pin.INPULL)
lamp = Pin(5, Pin.OUT, value=0)
while True:
    lamp.value(button.value())
    sleep_ms(5)
"""
TO_SUPPLY = parse_wiring('btn1 = { part = "button", pin = 4, active = "high" }')
PRESSED = "press btn1 at 1 s for 200 ms\npin 5: high at 1100 ms\npin 5: low at 1500 ms\nsoak 0 s"


@pytest.mark.parametrize(("pull", "proof"), [(", Pin.PULL_DOWN", "met in the trial"), ("", "untried")])
async def test_a_level_that_nothing_holds_proves_nothing(pull: str, proof: str, tmp_path: Path) -> None:
    trial = await tried(FOLLOW.replace("PULL", pull), PRESSED, tmp_path, TO_SUPPLY)
    assert (trial.ok, trial.proof) == (proof != "untried", proof)
    assert ("btn1 (button) on pin 4" in str(trial.error)) == (proof == "untried")
    assert bool(trial.warnings) == (proof == "untried")


TURN = """
from machine import Pin
from time import sleep_us
step = Pin(4, Pin.OUT, value=0)
for _ in range(200):
    step.value(1)
    sleep_us(HALF_US)
    step.value(0)
    sleep_us(HALF_US)
"""
MOTOR = parse_wiring('motor1 = { part = "a4988", step = 4, dir = 5 }')
TURNED = "motor1: steps -200 at 2 s\nmotor1: lost 0 at 2 s\nsoak 0 s"


@pytest.mark.parametrize(("half_us", "proof"), [("500", "met in the trial"), ("300", "not met")])
async def test_steps_that_the_rotor_cannot_follow_are_lost(half_us: str, proof: str, tmp_path: Path) -> None:
    trial = await tried(TURN.replace("HALF_US", half_us), TURNED, tmp_path, MOTOR)
    assert trial.proof == proof, trial.error
    assert any("steps lost" in warning for warning in trial.warnings) == (proof == "not met")


CHAIN = """
from machine import Pin
from neopixel import NeoPixel
strip = NeoPixel(Pin(5), 30)
strip.fill((255, 0, 0))
strip.write()
"""


@pytest.mark.parametrize(("count", "proof"), [("count = 30", "met in the trial"), ("count = 8", "not met")])
async def test_only_the_wired_leds_of_a_chain_show_anything(count: str, proof: str, tmp_path: Path) -> None:
    wiring = parse_wiring(f'strip1 = {{ part = "ws2812", data = 5, {count} }}')
    trial = await tried(CHAIN, "led 5[7]: red at 1 s\nled 5[12]: red at 1 s\nsoak 0 s", tmp_path, wiring)
    assert trial.proof == proof, trial.error
    assert ("has 8 LEDs" in str(trial.error)) == (proof == "not met")
    assert ("colors for 30" in str(trial.warnings)) == (proof == "not met")


CLIMATE = """
import dht
from machine import Pin
import time
sensor = dht.DHT22(Pin(15))
while True:
    sensor.measure()
    print("t", sensor.temperature())
    time.sleep_ms(PAUSE_MS)
"""


@pytest.mark.parametrize(("pause_ms", "is_ok"), [("2000", True), ("200", False)])
async def test_a_sensor_that_is_read_too_often_does_not_answer(pause_ms: str, is_ok: bool, tmp_path: Path) -> None:
    wiring = parse_wiring('air1 = { part = "dht22", data = 15 }')
    expect = 'air1.temperature = 31 at 4 s\nlog ~ "t 31.0" within 8 s\nsoak 0 s'
    trial = await tried(CLIMATE.replace("PAUSE_MS", pause_ms), expect, tmp_path, wiring)
    assert trial.ok == is_ok, trial.error
    assert ("2 s between two readings" in str(trial.warnings)) != is_ok


CHIP_ID = """
from machine import I2C, Pin
bus = I2C(0, sda=Pin(8), scl=Pin(9))
print("id", bus.readfrom_mem(ADDRESS, 0xD0, 1)[0])
"""
AIR = parse_wiring('air1 = { part = "bme280", address = 0x76 }')
ON_OTHER_PINS = parse_wiring('air1 = { part = "bme280", address = 0x77, sda = 4, scl = 5 }')


@pytest.mark.parametrize(
    ("address", "wiring", "text"),
    [
        ("0x76", AIR, None),
        ("0x77", AIR, "no I2C device at 0x77; the wiring has air1 (bme280) at 0x76 on pins 8, 9"),
        ("0x77", ON_OTHER_PINS, "no I2C device at 0x77; the wiring has air1 (bme280) at 0x77 on pins 4, 5"),
    ],
)
async def test_a_part_that_the_wiring_has_elsewhere_is_the_programs_mistake(
    address: str, wiring: Wiring, text: str | None, tmp_path: Path
) -> None:
    expect = 'log ~ "id 96" within 1 s\nsoak 0 s'
    trial = await tried(CHIP_ID.replace("ADDRESS", address), expect, tmp_path, wiring)
    assert (trial.ok, trial.error, trial.untried) == (text is None, text, None)


@pytest.mark.parametrize(("address", "wiring"), [("0x3c", AIR), ("0x77", Wiring())])
async def test_a_part_of_which_no_wiring_says_where_it_is_stays_untried(
    address: str, wiring: Wiring, tmp_path: Path
) -> None:
    trial = await tried(CHIP_ID.replace("ADDRESS", address), 'log ~ "id" within 1 s\nsoak 0 s', tmp_path, wiring)
    assert str(trial.untried) == f"this trial has no I2C device at {address}"
