"""Every pattern meets its own expectations, in C and in Python, in both forms and where low lights; a wrong one not."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.events import ProgramKind
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import fill, load_pattern, pattern_names
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.py.compile import build
from microclaw.programs.wasm.compile import compile_module

BOARD = load_board("virtual")


def forms() -> list[tuple[str, ProgramKind, bool]]:
    """The patterns in Python and in C, each once for every source that it has."""
    both: list[tuple[str, ProgramKind, bool]] = [
        (name, "wasm", blocking) for name in pattern_names("wasm") for blocking in (True, False)
    ]
    in_c = [row for row in both if row[2] or load_pattern(row[0], False, "wasm").note]
    return in_c + [(name, "py", True) for name in pattern_names()]


@pytest.fixture
def cache(build_cache: Path) -> BuildCache:
    return BuildCache(build_cache)


async def tried(kind: ProgramKind, source: str, expect: str, cache: BuildCache) -> Trial:
    options = TrialOptions(expectations=parse_expectations(expect))
    if kind == "wasm":
        image = await compile_module(source, BOARD, name="pattern", cache=cache)
        return await try_image(image, BOARD, options)
    program = await build(source, "pattern", board=BOARD, cache=cache)
    assert program.warnings == ()
    return await try_image(program, BOARD, options)


ENDS: dict[ProgramKind, str] = {"wasm": "uptime 1 min\nsoak 10 s", "py": "soak 5 s"}


@pytest.mark.parametrize(("name", "kind", "blocking"), forms())
async def test_a_pattern_meets_its_expectations(
    name: str, kind: ProgramKind, blocking: bool, cache: BuildCache
) -> None:
    program = fill(name, {}, kind=kind, blocking=blocking)
    trial = await tried(kind, program.source, f"{program.expect}\n{ENDS[kind]}", cache)
    assert trial.ok, trial.error


WRONG = [
    ("blink", "delay(HALF_PERIOD_MS)", "delay(HALF_PERIOD_MS / 2)"),
    ("fade", "% PERIOD_MS", "% (2 * PERIOD_MS)"),
    ("read_sensor", "ADDRESS, QUANTITY", 'ADDRESS, "humidity"'),
    ("servo", "servo.write(ANGLE)", "servo.write(ANGLE / 2)"),
    ("threshold_pulse", "is_beyond && !was_beyond", "is_beyond"),
    ("bme280", "air.humidity_pct, air.pressure_hpa", "air.pressure_hpa, air.humidity_pct"),
    ("button_counter", "same_ms >= DEBOUNCE_MS", "same_ms >= 0"),
    ("motion_alarm", "left_ms = HOLD_MS + LOOK_MS", "left_ms = HOLD_MS / 2"),
    ("water_level", "(levels == 1 && runs)", "levels == 1"),
    ("button_toggle", "is_on = !is_on;", "is_on = 1;"),
    ("distance_alarm", "cm < LIMIT_CM", "cm > LIMIT_CM"),
    ("melody", "262, 330, 392", "262, 392, 330"),
    ("stepper", "BACK ? 3 : 1", "BACK ? 1 : 3"),
    # In Python alone.
    ("dimmer", "if not ON:", "if ON:"),
    ("servo_dial", "// 65535", "// 131071"),
    ("read_dht22", "sensor.temperature()", "sensor.humidity()"),
    ("led_color", "(RED, GREEN, BLUE)", "(GREEN, RED, BLUE)"),
    ("rainbow", "(down, up, 0)", "(up, down, 0)"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
async def test_a_wrong_program_does_not_meet_a_patterns_expectations(
    name: str, right: str, wrong: str, cache: BuildCache
) -> None:
    kind: ProgramKind = "wasm" if name in pattern_names("wasm") else "py"
    program = fill(name, {}, kind=kind, blocking=True)
    assert right in program.source
    expect = f"{program.expect}\nsoak 0 s" + "\nuptime 1 min" * (kind == "wasm")
    trial = await tried(kind, program.source.replace(right, wrong), expect, cache)
    assert not trial.ok
    assert "expected" in (trial.error or "")


# One of the kinds for each: the expectations of a pattern are the same text for both.
AT_THE_ENDS: list[tuple[str, ProgramKind, dict[str, Value]]] = [
    ("blink", "wasm", {"HALF_PERIOD_MS": 10}),
    ("blink_times", "py", {"TIMES": 1_000_000}),
    ("fast_blink", "wasm", {"FREQUENCY_HZ": 9000}),
    ("pulse", "wasm", {"FOR_MS": 1, "ON": 0}),
    ("pwm_pulse", "py", {"DUTY": 0}),
    ("servo", "wasm", {"ANGLE": 0}),
    ("thermostat", "wasm", {"HYSTERESIS_MILLI": 0, "EVERY_MS": 100}),
    ("threshold", "py", {"QUANTITY": "voltage", "ADDRESS": 64, "LIMIT_MILLI": 5_000, "ABOVE": 0, "ON": 0}),
    ("button_counter", "py", {"DEBOUNCE_MS": 500}),
]


@pytest.mark.parametrize(("name", "kind", "values"), AT_THE_ENDS)
async def test_a_pattern_meets_its_expectations_at_the_ends_of_its_ranges(
    name: str, kind: ProgramKind, values: dict[str, Value], cache: BuildCache
) -> None:
    program = fill(name, values, kind=kind)
    expect = f"{program.expect}\nsoak 0 s" + "\nuptime 1 min" * (kind == "wasm")
    trial = await tried(kind, program.source, expect, cache)
    assert trial.ok, trial.error


async def test_a_thermostat_whose_sensor_is_silent_keeps_the_heater_off(cache: BuildCache) -> None:
    program = fill("thermostat", {"ADDRESS": 0x77}, blocking=False)
    trial = await tried("wasm", program.source, "pin 4: never high\nfor 5 s\nuptime 1 min\nsoak 0 s", cache)
    assert trial.edges == ()
    assert set(trial.log) == {"the sensor for temperature does not answer"}


def test_what_takes_too_long_for_a_person_to_wait_is_not_expected() -> None:
    for name, values in (("blink", {"HALF_PERIOD_MS": 86_400_000}), ("steps", {"LEVEL_1": 0, "TWO": 0})):
        assert fill(name, values).expect == ""
    assert "i2c" not in fill("threshold", {"EVERY_MS": 3_600_000}).expect
