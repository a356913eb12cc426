"""The parts that programs name by the objects that they make, in the ways in which people write that."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.programs.py.conftest import Build

from microclaw.hardware.boards.reader import load_board

BOARD = load_board("virtual")
Wired = dict[str, tuple[str, Mapping[str, int]]]
AIR: Wired = {"dht22": ("dht22", {"data": 4})}
PROBE: Wired = {"ds18b20": ("ds18b20", {"data": 17})}
SONAR: Wired = {"hcsr04": ("hcsr04", {"trig": 5, "echo": 18})}
STRIP: Wired = {"ws2812": ("ws2812", {"data": 48})}
PROGRAMS: list[tuple[str, Wired]] = [
    ("import dht\nfrom machine import Pin\ndht.DHT22(Pin(4))", AIR),
    ("import dht as d, machine\nd.DHT11(pin=machine.Pin(4))", {"dht11": ("dht11", {"data": 4})}),
    ("from dht import DHT22 as D\nfrom machine import Pin\nP = const(4)\nair = Pin(P)\nD(air)", AIR),
    ("from dht import *\nfrom machine import *\nDHT22(Pin(4, Pin.IN))", AIR),
    (
        "from machine import Pin\nimport onewire, ds18x20\nds18x20.DS18X20(onewire.OneWire(Pin(17)))",
        PROBE,
    ),
    (
        "from machine import Pin\nfrom onewire import OneWire\nfrom ds18x20 import DS18X20\n"
        "ow = OneWire(Pin(17))\nDS18X20(ow)",
        PROBE,
    ),
    (
        "from machine import Pin\nfrom dht import DHT22\nclass Room:\n"
        "    def __init__(self):\n        self.pin = Pin(4)\n"
        "        self.air = DHT22(self.pin)\nRoom()",
        AIR,
    ),
    (
        "from machine import Pin\nfrom dht import DHT22\nrooms = [DHT22(Pin(p)) for p in (4, 5)]\nDHT22(Pin(4))",
        {"dht22": ("dht22", {"data": 4}), "dht22-2": ("dht22", {"data": 5})},
    ),
    ("from machine import Pin\nfrom neopixel import NeoPixel\nNeoPixel(Pin(48), 8)", STRIP),
    ("from hcsr04 import *\nHCSR04(trigger_pin=5, echo_pin=18)", SONAR),
    (
        "from machine import *\nfrom mpu6050 import *\nMPU6050(I2C(0, scl=Pin(9), sda=Pin(8)))",
        {"mpu6050": ("mpu6050", {"scl": 9, "sda": 8})},
    ),
    ("import hcsr04\nhcsr04.HCSR04(4, echo_pin=5)", {"hcsr04": ("hcsr04", {"trig": 4, "echo": 5})}),
    (
        "from machine import I2C, Pin\nfrom mpu6050 import MPU6050\nMPU6050(I2C(0, scl=Pin(9), sda=Pin(8)))",
        {"mpu6050": ("mpu6050", {"scl": 9, "sda": 8})},
    ),
    (
        "from machine import SoftI2C, Pin\nimport sht31\nbus = SoftI2C(Pin(5), Pin(4), freq=400000)\n"
        "sht31.SHT31(bus)\nsht31.SHT31(bus, addr=0x45)",
        {"sht3x": ("sht3x", {"scl": 5, "sda": 4}), "sht3x-2": ("sht3x", {"scl": 5, "sda": 4})},
    ),
    (
        "from machine import I2C, Pin\nfrom urtc import DS1307\nclass Watch:\n"
        "    def __init__(self, i2c):\n        self.rtc = DS1307(i2c)\nWatch(I2C(0, sda=Pin(8), scl=Pin(9)))",
        {"ds1307": ("ds1307", {})},
    ),
    (
        "from machine import Pin\nimport dht\ndht.DHT11(Pin(4))\ndht.DHT22(Pin(5))",
        {"dht11": ("dht11", {"data": 4}), "dht22": ("dht22", {"data": 5})},
    ),
    ("from hcsr04 import HCSR04\nHCSR04(trigger_pin=5, echo_pin=18)", SONAR),
    ("import hcsr04\nhcsr04.HCSR04(5, 18)", SONAR),
    ("from hcsr04 import HCSR04 as H\nT = 5\nE = 18\nH(T, E, echo_timeout_us=9000)", SONAR),
    ("import dht, os\nfrom machine import Pin\ndht.DHT22(Pin(len(os.listdir()))) if 0 else None", {}),
    ("class DHT22:\n    def __init__(self, pin):\n        self.pin = pin\nDHT22(4)", {}),
]


@pytest.mark.parametrize(("source", "wired"), PROGRAMS)
async def test_a_part_is_wired_to_the_pin_that_the_program_names(source: str, wired: Wired, build_py: Build) -> None:
    if "const" in source:
        source = f"from micropython import const\n{source}"
    image = await build_py(f"{source}\nprint(1)\n", "program", BOARD)
    assert {part.id: (part.part, dict(part.pins)) for part in image.wired} == wired


async def test_the_length_of_a_chain_is_an_attribute(build_py: Build) -> None:
    source = "from machine import Pin\nimport neopixel\nN = 12\nnp = neopixel.NeoPixel(Pin(48), N)\nnp.write()\n"
    (strip,) = (await build_py(source, "program", BOARD)).wired
    assert strip.attributes == {"count": 12}
