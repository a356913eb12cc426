"""Drivers of parts in a program: what an import may look like, what is refused, and what a trial shows of them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build
from microclaw.programs.py.drivers import driver_file, driver_modules
from microclaw.programs.py.unused import leave_out_unused

BUS = "from machine import I2C, Pin\ni2c = I2C(0, scl=Pin(9), sda=Pin(8))\n"
PRINTS = "print(bme.values)\n"
MEASURED = "('22.50C', '1013.25hPa', '45.00%')"
OPTIONAL = "try:\n    {}\nexcept ImportError:\n    {} = None\n"
IMPORTS = {
    "module": "import bme280\nbme = bme280.BME280(i2c=i2c)\n",
    "module_as": "import bme280 as b\nbme = b.BME280(i2c=i2c)\n",
    "name": "from bme280 import BME280\nbme = BME280(i2c=i2c)\n",
    "name_as": "from bme280 import BME280 as Sensor\nbme = Sensor(address=0x76, i2c=i2c)\n",
    "all": "from bme280 import *\nbme = BME280(i2c=i2c)\n",
    "function": "def make():\n    import bme280\n    return bme280.BME280(i2c=i2c)\nbme = make()\n",
    "optional": f"{OPTIONAL.format('import bme280', 'bme280')}if bme280:\n    bme = bme280.BME280(i2c=i2c)\n",
    "optional_name": f"{OPTIONAL.format('from bme280 import BME280', 'BME280')}bme = BME280(i2c=i2c)\n",
    "own_names": "import bme280\ndef read(*any):\n    return 1\nBME280 = unpack = 2\nbme = bme280.BME280(i2c=i2c)\n",
    "heir": "from bme280 import BME280\nclass Mine(BME280):\n    pass\nbme = Mine(i2c=i2c)\n",
    "two": "import bme280, ina219\nina = ina219.INA219(0.1, i2c)\nbme = bme280.BME280(i2c=i2c)\n",
}


async def tried(source: str, tmp_path: Path) -> Trial:
    board = load_board("virtual")
    image = await build(source, "hello", board=board, cache=BuildCache(tmp_path / "cache"))
    return await try_image(image, board, options=TrialOptions(for_ms=500))


async def refusals(build_py: Build, source: str) -> list[tuple[int | None, str, str | None]]:
    with pytest.raises(BuildError) as caught:
        await build_py(source, board=load_board("virtual"))
    return [(found.line, found.message, found.hint) for found in caught.value.diagnostics]


@pytest.mark.parametrize("form", IMPORTS)
async def test_a_driver_works_in_every_form_of_import(form: str, tmp_path: Path) -> None:
    trial = await tried(BUS + IMPORTS[form] + PRINTS, tmp_path)
    assert trial.ok, trial.error
    assert trial.log == (MEASURED,)


async def test_readings_are_in_the_units_of_the_driver_that_people_know(tmp_path: Path) -> None:
    source = """
import bme280
from ina219 import INA219
print(list(bme280.BME280(i2c=i2c).read_compensated_data()))
ina = INA219(0.1, i2c)
ina.configure(INA219.RANGE_16V, INA219.GAIN_AUTO)
print("%.2f %.1f %.0f" % (ina.voltage(), ina.current(), ina.power()), ina.is_conversion_ready())
"""
    trial = await tried(BUS + source, tmp_path)
    assert json.loads(trial.log[0]) == [2250, pytest.approx(25_939_200, abs=50), pytest.approx(46_080, abs=5)]
    assert trial.log[1] == "3.30 50.0 165 True"


async def test_a_program_pays_only_for_what_it_uses(build_py: Build) -> None:
    board = load_board("virtual")
    plain = await build_py(f"{BUS}print(i2c)\n", "hello", board)
    unused = await build_py(f"import bme280\n{BUS}print(i2c)\n", "hello", board)
    used = await build_py(f"{BUS}{IMPORTS['module']}{PRINTS}", "hello", board)
    assert unused.size_bytes - plain.size_bytes <= 1, "the byte is the import's line"
    assert used.size_bytes - plain.size_bytes <= 1500
    assert b"DeviceRangeError" not in (await build_py(f"{BUS}from ina219 import INA219\n", "hello", board)).mpy


async def test_what_a_driver_cannot_give_is_refused_with_what_it_has(build_py: Build) -> None:
    has = "it has DeviceRangeError, INA219"
    assert await refusals(build_py, "from ina219 import INA220\n") == [(1, "the driver ina219 has no INA220", has)]
    assert await refusals(build_py, "import ina219\nx = ina219.unpack\n") == [
        (2, "the driver ina219 has no unpack", has)
    ]
    value = (2, "the driver ina219 is used as a value", "name what you need of it: ina219.DeviceRangeError")
    assert await refusals(build_py, "import ina219\nprint(ina219)\n") == [value]
    changed = (2, "a program cannot change ina219.INA219", "keep the value in a variable of your own")
    assert await refusals(build_py, "import ina219\nina219.INA219 = 3\n") == [changed]
    other = (2, "ina219 means something else in line 1", "use another name than ina219 for one of them")
    assert await refusals(build_py, "import ina219\nina219 = ina219.INA219(0.1, None)\n") == [other]
    assert await refusals(build_py, "import INA219\n") == [
        (1, "the board's MicroPython has no module INA219", "did you mean ina219?")
    ]


async def test_viper_code_with_its_types_may_be_beside_a_driver(build_py: Build) -> None:
    program = "import micropython\n@micropython.viper\ndef twice(n: int) -> int:\n    return n + n\nprint(twice(2))\n"
    image = await build_py(f"{BUS}{IMPORTS['name']}{program}", board=load_board("virtual"))
    assert "def twice(n: int) -> int:" in image.rewritten


async def test_names_of_a_driver_are_none_of_the_programs(build_py: Build) -> None:
    found = await refusals(build_py, "import ina219\nprint(INA219, unpack)\n")
    assert [message for _, message, _ in found] == ["nothing defines INA219", "nothing defines unpack"]


async def test_a_traceback_ends_at_the_line_that_calls_the_driver(tmp_path: Path) -> None:
    source = (
        BUS
        + "from ina219 import INA219\n\nclass Own:\n    pass\n\nina = INA219(0.1, i2c, address=0x45)\nina.current()\n"
    )
    trap = (await tried(source, tmp_path)).trap or ""
    frames = [line.strip() for line in trap.split("\n") if "File" in line]
    assert frames == ['File "hello.py", line 9, in <module>']


async def test_classes_have_the_names_that_the_driver_gives_them(tmp_path: Path) -> None:
    source = BUS + "import bme280\nprint(type(bme280.BME280(i2c=i2c)).__name__)\n"
    assert (await tried(source, tmp_path)).log == ("BME280",)


async def test_a_driver_may_import_another_one(tmp_path: Path) -> None:
    source = """
import bme280_float
bme = bme280_float.BME280(i2c=i2c)
print(bme.values)
print(["%.1f" % value for value in bme.read_compensated_data()], round(bme.altitude), type(bme).__name__)
"""
    log = (await tried(BUS + source, tmp_path)).log
    assert log == (MEASURED, "['22.5', '101325.0', '45.0'] 0 BME280")


async def test_a_module_of_the_image_is_not_replaced() -> None:
    assert {"bme280", "ina219"} <= set(driver_modules())
    assert not {"dht", "onewire", "ds18x20", "neopixel", "apa106"}.intersection(driver_modules())


@pytest.mark.parametrize("module", driver_modules())
async def test_every_driver_passes_the_checks_of_a_program(module: str, build_py: Build) -> None:
    file = driver_file(module)
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package, _, module = module.rpartition(".")
    imports = f"import {module}\n"
    if package:
        imports = f"from {package} {imports}"
    uses = ""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        # A class whose __init__ waits cannot be a value.
        if isinstance(node, ast.ClassDef):
            uses += f"class Own{node.name}({module}.{node.name}):\n    pass\n"
        else:
            uses += f"print({module}.{node.name})\n"
    assert (await build_py(f"{imports}{uses}", "hello")).warnings == ()


SCREEN_IMPORTS = {
    "word": "from microclaw import pin, screen\nshown = screen.ssd1306(sda=8, scl=9)\n",
    "word_as": "from microclaw import screen as s\nshown = s.ssd1306(sda=8, scl=9)\n",
    "module": "import microclaw.screen as s\nshown = s.ssd1306(sda=8, scl=9)\n",
    "name": "from microclaw.screen import ssd1306\nshown = ssd1306(8, 9)\n",
    "own_names": "from microclaw import screen\ndef wrapped():\n    return 1\nshown = screen.ssd1306(8, 9)\n",
}


@pytest.mark.parametrize("form", SCREEN_IMPORTS)
async def test_a_module_of_microclaw_that_no_firmware_has_works_in_every_form_of_import(
    form: str, tmp_path: Path
) -> None:
    trial = await tried(SCREEN_IMPORTS[form] + "shown.text('Hello')\nprint('shown')\n", tmp_path)
    assert trial.ok, trial.error
    assert trial.log == ("shown",)
    assert [shown.part for shown in trial.screens][-1] == "ssd1306"


async def test_a_name_that_the_module_lacks_is_refused_with_those_that_it_has(build_py: Build) -> None:
    ((line, message, hint),) = await refusals(build_py, "from microclaw import screen\nscreen.oled(8, 9)\n")
    assert (line, message) == (2, "the driver screen has no oled")
    assert hint is not None
    assert "ssd1306" in hint


async def test_a_display_that_does_not_answer_ends_the_program(tmp_path: Path) -> None:
    trial = await tried("from microclaw import screen\nscreen.ssd1306(sda=8, scl=9, address=0x11)\n", tmp_path)
    assert trial.state == "trapped"
    assert trial.untried == "this trial has no I2C device at 0x11"


async def test_methods_of_a_driver_that_nothing_calls_stay_out(build_py: Build) -> None:
    source = BUS + "import ssd1306\noled = ssd1306.SSD1306_I2C(128, 64, i2c)\noled.show()\n"
    board = load_board("virtual")
    small = await build_py(source, board=board)
    assert "def poweron" in small.rewritten
    assert "def invert" not in small.rewritten
    named = await build_py(source + "oled.invert(1)\n", board=board)
    assert "def invert" in named.rewritten
    looked_up = await build_py(source + "name = 'inv' + 'ert'\ngetattr(oled, name)(1)\n", board=board)
    assert "def invert" in looked_up.rewritten


DRIVER = """
class Meter:
    def _get(self, scale=1):
        return 7 * scale
    level = property(_get)
    def fill(self):
        return 1
    clear = fill
    def unused(self):
        return 2
"""


def test_a_method_that_the_body_of_its_class_names_stays_where_it_is() -> None:
    driver = ast.parse(DRIVER)
    program = ast.parse("meter = Meter()\nseen = (meter.level, meter.clear())\n")
    joined = ast.Module([*driver.body, *program.body], [])
    leave_out_unused(joined, driver.body)
    names: dict[str, object] = {}
    exec(compile(joined, "bundle", "exec"), names)
    assert names["seen"] == (7, 1)
    assert "unused" not in ast.unparse(joined)


OWN_ENCODER = """
from rotary import Rotary


class Encoder(Rotary):
    def _hal_get_clk_value(self):
        return self.state >> 1

    def _hal_get_dt_value(self):
        return self.state & 1

    def _hal_close(self):
        print('closed')


encoder = Encoder(0, 10, 1, False, Rotary.RANGE_UNBOUNDED, False, False)
for state in (1, 0, 2, 3):
    encoder.state = state
    encoder._process_rotary_pins(None)
print(encoder.value())
encoder.close()
"""


async def test_a_class_of_people_for_their_pins_may_inherit_from_the_encoder(tmp_path: Path) -> None:
    trial = await tried(OWN_ENCODER, tmp_path)
    assert trial.log == ("1", "closed"), trial.error
