"""The event-driven form of the shipped patterns does what it says; tests/patterns runs both forms on a board."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import microclaw.patterns
from microclaw.boards.pins import check_pin
from microclaw.boards.profile import BoardProfile
from microclaw.patterns.library import pattern_names

PLACE = Path(microclaw.patterns.__path__[0])
NAMES = pattern_names("wasm")
_DEFINE = re.compile(r"^#define (\w+) (.+)$", re.M)


def read(name: str) -> tuple[dict[str, Any], str]:
    data = tomllib.loads((PLACE / f"{name}.toml").read_text())
    return data, (PLACE / data.get("events", data["source"])).read_text()


async def start(compile_c: Any, firmware: Any, name: str, changes: dict[str, Any] | None = None, **state: Any) -> Any:
    _, source = read(name)
    for key, value in (changes or {}).items():
        source, count = re.subn(rf"^#define {key} .+$", f"#define {key} {value}", source, flags=re.M)
        assert count == 1
    board = firmware((await compile_c(source, name=name)).wasm, **state)
    board.call("on_init")
    return board


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_defines_of_the_source(name: str) -> None:
    data, source = read(name)
    defines = dict(_DEFINE.findall(source))
    for key, parameter in data["parameters"].items():
        written = defines[key].strip('"')
        default = parameter["default"]
        assert (int(written, 0) if parameter["type"] != "word" else written) == default
        if parameter["type"] == "int":
            assert parameter["min"] <= default <= parameter["max"]
        if parameter["type"] == "word":
            assert default in parameter["choices"]


@pytest.mark.parametrize("name", NAMES)
async def test_pattern_compiles_without_a_warning_and_names_its_pins(
    compile_c: Any, board: BoardProfile, name: str
) -> None:
    data, source = read(name)
    image = await compile_c(source, name=name)
    assert image.warnings == ()
    for parameter in data["parameters"].values():
        if parameter["type"] == "pin":
            assert parameter["default"] in image.pins
            check_pin(board, parameter["default"], parameter["use"])


async def test_blink_toggles_each_half_period(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "blink", {"PIN": 13, "HALF_PERIOD_MS": 250})
    board.run_ms(1000)
    assert board.drives == [(250 * n, "/dev/gpio/13", 1 - n % 2) for n in range(5)]


async def test_fade_rises_and_falls_evenly(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "fade", {"PERIOD_MS": 400})
    board.run_ms(400)
    duties = [int.from_bytes(dict(c.frames)[2], "little") for c in board.ioctls if c.command == 0x8403]
    assert len(duties) == 20
    assert max(duties) == duties[9] == 8192
    assert duties[:10] == sorted(duties[:10])
    assert duties[10:] == sorted(duties[10:], reverse=True)
    assert duties[-1] == 0


@pytest.mark.parametrize("period_ms", [200, 3_600_000])
async def test_fade_never_overflows(compile_c: Any, firmware: Any, period_ms: int) -> None:
    board = await start(compile_c, firmware, "fade", {"PERIOD_MS": period_ms, "STEP_MS": period_ms // 10})
    board.run_ms(period_ms)
    duties = [int.from_bytes(dict(c.frames)[2], "little") for c in board.ioctls if c.command == 0x8403]
    assert duties == [round(d * 8192 / 255) for d in (51, 102, 153, 204, 255, 204, 153, 102, 51, 0)]


async def test_led_is_on_while_the_button_is_pressed(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "button_led", levels={"/dev/gpio/0": 1})
    board.run_ms(100)
    assert board.drives == []
    board.levels["/dev/gpio/0"] = 0
    board.run_ms(100)
    board.levels["/dev/gpio/0"] = 1
    board.run_ms(100)
    assert board.drives == [(120, "/dev/gpio/2", 1), (220, "/dev/gpio/2", 0)]
    assert board.log == ["watching the button on pin 0\n", "button pressed\n", "button released\n"]


def ina219(volts: float) -> dict[int, dict[int, int]]:
    return {0x40: {1: 500, 2: round(volts / 0.004) << 3}}


@pytest.mark.parametrize("above", [1, 0])
async def test_threshold_switches_with_hysteresis(compile_c: Any, firmware: Any, above: int) -> None:
    changes = {"QUANTITY": '"voltage"', "ADDRESS": "0x40", "LIMIT_MILLI": 5000, "ABOVE": above}
    board = await start(compile_c, firmware, "threshold", changes, registers=ina219(5.0))
    for volts in (5.2, 4.8, 5.2, 4.0, 4.8, 5.2, 6.0):
        board.registers = ina219(volts)
        board.run_ms(1000)
    levels = [(t_ms // 1000, level) for t_ms, _, level in board.drives]
    assert levels == ([(0, 0), (1, 1), (4, 0), (6, 1)] if above else [(0, 0), (2, 1), (7, 0)])
    assert board.log[0] == "voltage 5.00, pin 4 off\n"


async def test_read_sensor_prints_each_period(compile_c: Any, firmware: Any) -> None:
    changes = {"QUANTITY": '"voltage"', "ADDRESS": "0x40", "EVERY_MS": 5000}
    board = await start(compile_c, firmware, "read_sensor", changes, registers=ina219(3.3))
    board.run_ms(9999)
    board.registers = {}
    board.run_ms(1)
    assert board.log == ["voltage 3.30\n", "voltage 3.30\n", "the sensor for voltage does not answer\n"]


async def test_pulse_is_one_pulse(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "pulse")
    board.run_ms(5000)
    assert board.drives == [(0, "/dev/gpio/2", 1), (200, "/dev/gpio/2", 0)]


LIT_BY_LOW = {"ON": 0}


async def test_blink_lights_first_where_low_lights(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "blink", LIT_BY_LOW)
    board.run_ms(1000)
    assert [level for _, _, level in board.drives] == [0, 1, 0]


async def test_pulse_is_a_low_one_where_low_lights(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "pulse", LIT_BY_LOW)
    board.run_ms(5000)
    assert board.drives == [(0, "/dev/gpio/2", 0), (200, "/dev/gpio/2", 1)]


async def test_led_lit_by_low_is_off_until_the_button_is_pressed(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "button_led", LIT_BY_LOW, levels={"/dev/gpio/0": 1})
    board.run_ms(100)
    board.levels["/dev/gpio/0"] = 0
    board.run_ms(100)
    board.levels["/dev/gpio/0"] = 1
    board.run_ms(100)
    assert [level for _, _, level in board.drives] == [1, 0, 1]


async def test_fade_begins_dark_where_low_lights(compile_c: Any, firmware: Any) -> None:
    board = await start(compile_c, firmware, "fade", {"PERIOD_MS": 400, **LIT_BY_LOW})
    board.run_ms(400)
    duties = [int.from_bytes(dict(c.frames)[2], "little") for c in board.ioctls if c.command == 0x8403]
    assert (min(duties), duties[9], duties[-1]) == (0, 0, 8192)


async def test_threshold_drives_low_for_on_where_low_lights(compile_c: Any, firmware: Any) -> None:
    changes = {"QUANTITY": '"voltage"', "ADDRESS": "0x40", "LIMIT_MILLI": 5000, **LIT_BY_LOW}
    board = await start(compile_c, firmware, "threshold", changes, registers=ina219(6.0))
    board.run_ms(1000)
    assert [level for _, _, level in board.drives] == [0]
    assert board.log == ["voltage 6.00, pin 4 on\n"]
