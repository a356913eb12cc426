"""The parts that programs name by the objects that they make, in the ways in which people write that."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping

import pytest
from tests.programs.py.conftest import Build

from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.reader import Part, part_folders, parts

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
    (
        "from machine import I2C, Pin\nfrom urtc import DS3231\nDS3231(I2C(0, sda=Pin(4), scl=Pin(5)), address=0x68)",
        {"ds3231": ("ds3231", {"sda": 4, "scl": 5})},
    ),
    ("import sht3x\nsht3x.SHT3x_Sensor(100000, 4, 5)", {"sht3x": ("sht3x", {"sda": 4, "scl": 5})}),
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


ADDRESSES = [
    ("from imu import MPU6050\nMPU6050(bus)", 0x68),
    ("from imu import MPU6050\nMPU6050(bus, 1)", 0x69),
    ("from imu import MPU6050\nMPU6050(bus, device_addr=1)", 0x69),
    ("import bh1750\nbh1750.BH1750(bus)", 0x23),
    ("import bh1750\nbh1750.BH1750(bus, 0x5C)", 0x5C),
    ("import bh1750\nbh1750.BH1750(0x5C, bus)", 0x5C),
    ("import bh1750\nbh1750.BH1750(i2c=bus, address=0x5C)", 0x5C),
    ("from sht3x import SHT3X\nSHT3X(bus)", 0x45),
    ("from sht3x import SHT3X\nSHT3X(bus, address=0x44)", 0x44),
]


@pytest.mark.parametrize(("source", "address"), ADDRESSES)
async def test_a_part_is_at_the_address_that_its_driver_takes(source: str, address: int, build_py: Build) -> None:
    bus = "from machine import I2C, Pin\nbus = I2C(0, scl=Pin(5), sda=Pin(4))"
    (part,) = (await build_py(f"{bus}\n{source}\nprint(1)\n", "program", BOARD)).wired
    assert (dict(part.pins), part.address) == ({"scl": 5, "sda": 4}, address)


NO_PARTS = {
    "imu.Vector3d": "an axis triple that MPU6050 makes",
    "lcd_api.LcdApi": "the half of I2cLcd and GpioLcd that has neither a bus nor pins",
    "ssd1306.SSD1306": "the half of SSD1306_I2C that has no bus",
    "sh1106.SH1106": "the half of SH1106_I2C that has no bus",
    "rotary.Rotary": "the counting half of RotaryIRQ, which has no pins",
    "hx711.HX711Exception": "an error",
    "hx711.InvalidMode": "an error",
    "hx711.DeviceIsNotReady": "an error",
    "ina219.DeviceRangeError": "an error",
}


def driver_trees() -> dict[str, ast.Module]:
    """Return the drivers that parts bring, by their modules."""
    trees = {}
    for folder in part_folders():
        for path in (folder / "python").glob("*.py"):
            trees[path.stem] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def driver_classes() -> dict[str, ast.ClassDef]:
    """Return the classes of the drivers by "module.Class"."""
    classes = {}
    for module, tree in driver_trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes[f"{module}.{node.name}"] = node
    return classes


CLASSES = driver_classes()


def constructor_arguments(name: str) -> ast.arguments:
    """Return the arguments of a class's `__init__`, which it may inherit, without `self`."""
    for node in CLASSES[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = copy.deepcopy(node.args)
            assert arguments.args.pop(0).arg == "self"
            return arguments
    (base,) = CLASSES[name].bases
    module = name.partition(".")[0]
    base_name = ast.unparse(base)
    if "." not in base_name:
        base_name = f"{module}.{base_name}"
    return constructor_arguments(base_name)


TABLE = [(part, name) for part in parts().values() for name in part.serves.constructors]


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, name in TABLE if name in CLASSES])
def test_a_constructor_has_the_parameters_and_the_address_of_its_driver(part: Part, name: str) -> None:
    arguments = constructor_arguments(name)
    parameters = part.serves.constructors[name]
    names = [argument.arg for argument in arguments.args]
    assert list(parameters) == names
    usual = part.serves.addresses.get(name, part.i2c.addresses[0] if part.i2c is not None else None)
    for argument, default in zip(reversed(names), reversed(arguments.defaults), strict=False):
        value = ast.literal_eval(default) if isinstance(default, ast.Constant) else None
        if parameters[argument] == "address" and value is not None:
            assert value == usual


def test_every_class_of_a_driver_is_a_constructor_of_a_part() -> None:
    public = {name for name in CLASSES if not name.partition(".")[2].startswith("_")}
    assert public - {name for _, name in TABLE} == set(NO_PARTS)
