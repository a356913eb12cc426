"""The patterns in Python do what those in C do: their own expectations, tried on the virtual board."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.patterns.test_expectations import AT_THE_ENDS, variants

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import ConfigError
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill, pattern_names
from microclaw.py.compile import build

BOARD = load_board("virtual")


async def tried(source: str, expect: str, folder: Path) -> Trial:
    image = await build(source, "pattern", board=BOARD, cache=BuildCache(folder))
    assert image.warnings == ()
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(expect)))


@pytest.mark.parametrize("name", pattern_names())
async def test_a_pattern_meets_its_expectations(name: str, tmp_path: Path) -> None:
    for values in variants(name):
        program = fill(name, values, kind="py")
        trial = await tried(program.source, f"{program.expect}\nsoak 20 s", tmp_path)
        assert trial.ok, trial.error


@pytest.mark.parametrize(("name", "values"), AT_THE_ENDS)
async def test_a_pattern_meets_its_expectations_at_the_ends_of_its_ranges(
    name: str, values: dict[str, Value], tmp_path: Path
) -> None:
    program = fill(name, values, kind="py")
    trial = await tried(program.source, f"{program.expect}\nsoak 0 s", tmp_path)
    assert trial.ok, trial.error


WRONG = [
    ("blink", "sleep_ms(HALF_PERIOD_MS)", "sleep_ms(HALF_PERIOD_MS // 2)"),
    ("blink_times", "range(TIMES)", "range(TIMES + 1)"),
    ("button_led", "ON if pressed else 1 - ON", "1 - ON if pressed else ON"),
    ("fade", "% PERIOD_MS", "% (2 * PERIOD_MS)"),
    ("pulse", "sleep_ms(FOR_MS)", "sleep_ms(2 * FOR_MS)"),
    ("pwm_pulse", "light.duty_u16(0 if ON else 65535)", ""),
    ("read_sensor", "sensor(QUANTITY, ADDRESS)", 'sensor("humidity", ADDRESS)'),
    ("steps", "second.value(LEVEL_2)", "second.value(1 - LEVEL_2)"),
    ("thermostat", "(1 if HEATS else -1)", "(-1 if HEATS else 1)"),
    ("threshold", "ON if turn_on else 1 - ON", "1 - ON if turn_on else ON"),
    ("led_color", "(RED, GREEN, BLUE)", "(GREEN, RED, BLUE)"),
    ("led_blink", "sleep_ms(HALF_PERIOD_MS)", "sleep_ms(HALF_PERIOD_MS + 50)"),
    ("rainbow", "(down, up, 0)", "(up, down, 0)"),
    ("servo", "ANGLE // 180", "ANGLE // 120"),
    ("servo_sweep", "sleep_ms(STEP_MS)", "sleep_ms(2 * STEP_MS)"),
    ("threshold_pulse", "sleep_ms(FOR_MS)", "sleep_ms(FOR_MS // 2)"),
    ("led_effects", "i == step % COUNT", "i == step // 2 % COUNT"),
    ("plant_watering", "if soil_mv > DRY_MV", "if soil_mv < DRY_MV"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
async def test_a_wrong_program_does_not_meet_a_patterns_expectations(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    program = fill(name, {"DUTY": 64} if name == "pwm_pulse" else {}, kind="py")
    assert right in program.source
    trial = await tried(program.source.replace(right, wrong), f"{program.expect}\nsoak 0 s", tmp_path)
    assert not trial.ok
    assert "expected" in (trial.error or "") or name == "fade"  # a duty beyond the highest fails by itself


OTHERS: list[tuple[str, dict[str, Value]]] = [
    ("led_color", {"RED": 0, "GREEN": 0, "BLUE": 0}),
    ("led_color", {"PIN": 38, "COUNT": 8, "RED": 10, "GREEN": 200, "BLUE": 30}),
    ("led_blink", {"HALF_PERIOD_MS": 20, "COUNT": 3, "RED": 0, "BLUE": 255}),
    ("rainbow", {"PERIOD_MS": 1000, "COUNT": 12}),
    ("led_effects", {"EFFECT": "wipe", "COLOR": "red", "COUNT": 3}),
    ("led_effects", {"EFFECT": "breathe", "COLOR": "white", "STEP_MS": 20}),
    ("plant_watering", {"EVERY_MS": 1000, "WATER_MS": 200}),
    ("servo", {"ANGLE": 0}),
    ("servo", {"ANGLE": 180, "PIN": 13}),
    ("servo_sweep", {"PERIOD_MS": 2000}),
]


@pytest.mark.parametrize(("name", "values"), OTHERS)
async def test_a_pattern_of_lights_and_servos_meets_its_expectations(
    name: str, values: dict[str, Value], tmp_path: Path
) -> None:
    program = fill(name, values, kind="py")
    trial = await tried(program.source, f"{program.expect}\nsoak 0 s", tmp_path)
    assert trial.ok, trial.error


def test_a_pattern_for_python_alone_says_so() -> None:
    with pytest.raises(ConfigError, match="boards that take Python"):
        fill("led_color", {})
