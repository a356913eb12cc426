"""Every pattern meets its own expectations, in C and in Python, in both forms and where low lights; a wrong one not."""

from __future__ import annotations

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.events import ProgramKind
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill, load_pattern, pattern_names
from microclaw.py.compile import build
from microclaw.wasm.compile import compile_module

BOARD = load_board("virtual")


def forms() -> list[tuple[str, ProgramKind, bool]]:
    """The patterns in Python and in C, each once for every source that it has."""
    both: list[tuple[str, ProgramKind, bool]] = [
        (name, "wasm", blocking) for name in pattern_names("wasm") for blocking in (True, False)
    ]
    in_c = [row for row in both if row[2] or load_pattern(row[0], blocking=False).note]
    return in_c + [(name, "py", True) for name in pattern_names()]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("cache"))


async def tried(kind: ProgramKind, source: str, expect: str, cache: BuildCache) -> Trial:
    options = TrialOptions(expectations=parse_expectations(expect))
    if kind == "wasm":
        image = await compile_module(source, BOARD, name="pattern", cache=cache)
        return await try_image(image, BOARD, options)
    program = await build(source, "pattern", board=BOARD, cache=cache)
    assert program.warnings == ()
    return await try_image(program, BOARD, options)


ENDS: dict[ProgramKind, str] = {"wasm": "uptime 1 min", "py": "soak 20 s"}


@pytest.mark.parametrize(("name", "kind", "blocking"), forms())
async def test_a_pattern_meets_its_expectations(
    name: str, kind: ProgramKind, blocking: bool, cache: BuildCache
) -> None:
    has_level = "ON" in load_pattern(name, kind="py").parameters
    variants: list[dict[str, Value]] = [{}, {"ON": 0}] if has_level and blocking else [{}]
    for values in variants:
        program = fill(name, values, kind=kind, blocking=blocking)
        trial = await tried(kind, program.source, f"{program.expect}\n{ENDS[kind]}", cache)
        assert trial.ok, trial.error


WRONG = [
    ("blink", "delay(HALF_PERIOD_MS)", "delay(HALF_PERIOD_MS / 2)"),
    ("blink_times", "i < TIMES", "i <= TIMES"),
    ("button_led", "gpio_set(led,", "gpio_set(led, 1 ^"),
    ("fast_blink", "FREQUENCY_HZ);", "FREQUENCY_HZ * 2);"),
    ("pwm_pulse", "pwm_open(PIN, FREQUENCY_HZ)", "pwm_open(PIN, 900)"),
    ("fade", "% PERIOD_MS", "% (2 * PERIOD_MS)"),
    ("pulse", "gpio_set(output, !ON);", ""),
    ("read_sensor", "ADDRESS, QUANTITY", 'ADDRESS, "humidity"'),
    ("servo", "servo.write(ANGLE)", "servo.write(ANGLE / 2)"),
    ("servo_sweep", "last_ms += STEP_MS", "last_ms += 2 * STEP_MS"),
    ("steps", "gpio_set(second, LEVEL_2);", "gpio_set(second, !LEVEL_2);"),
    ("threshold", "turn_on ? ON : !ON", "turn_on ? !ON : ON"),
    ("threshold_pulse", "is_beyond && !was_beyond", "is_beyond"),
    ("thermostat", "HEATS ? 1 : -1", "HEATS ? -1 : 1"),
    ("traffic_light", "GREEN_PIN, GPIO_OUT", "YELLOW_PIN, GPIO_OUT"),
    ("alarm_buzzer", "% (2 * BEEP_MS)", "% BEEP_MS"),
    ("bme280", "air.humidity_pct, air.pressure_hpa", "air.pressure_hpa, air.humidity_pct"),
    ("button_counter", "same_ms >= DEBOUNCE_MS", "same_ms >= 0"),
    ("day_night_light", "is_on = is_dark", "is_on = !is_dark"),
    ("door_sensor", 'level ? "open" : "closed"', 'level ? "closed" : "open"'),
    ("ina219", "load.voltage_v, load.current_ma", "load.current_ma, load.voltage_v"),
    ("motion_alarm", "left_ms = HOLD_MS + LOOK_MS", "left_ms = HOLD_MS / 2"),
    ("watchdog_pinger", "after(PULSE_MS, end)", "after(2 * PULSE_MS, end)"),
    ("water_level", "(levels == 1 && runs)", "levels == 1"),
    # In Python alone.
    ("led_color", "(RED, GREEN, BLUE)", "(GREEN, RED, BLUE)"),
    ("led_blink", "sleep_ms(HALF_PERIOD_MS)", "sleep_ms(HALF_PERIOD_MS + 50)"),
    ("rainbow", "(down, up, 0)", "(up, down, 0)"),
    ("led_effects", "i == step % COUNT", "i == step // 2 % COUNT"),
    ("plant_watering", "if soil_mv > DRY_MV", "if soil_mv < DRY_MV"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
async def test_a_wrong_program_does_not_meet_a_patterns_expectations(
    name: str, right: str, wrong: str, cache: BuildCache
) -> None:
    kind: ProgramKind = "wasm" if name in pattern_names("wasm") else "py"
    program = fill(name, {"DUTY": 64} if name == "pwm_pulse" else {}, kind=kind, blocking=True)
    assert right in program.source
    expect = f"{program.expect}\nsoak 0 s" + "\nuptime 1 min" * (kind == "wasm")
    trial = await tried(kind, program.source.replace(right, wrong), expect, cache)
    assert not trial.ok
    assert "expected" in (trial.error or "") or name == "traffic_light"  # two opens of one pin fail by themselves


# One of the kinds for each: the expectations of a pattern are the same text for both.
AT_THE_ENDS: list[tuple[str, ProgramKind, dict[str, Value]]] = [
    ("blink", "wasm", {"HALF_PERIOD_MS": 10}),
    ("blink", "py", {"HALF_PERIOD_MS": 600_000}),
    ("blink_times", "wasm", {"HALF_PERIOD_MS": 10, "TIMES": 50}),
    ("blink_times", "py", {"TIMES": 1_000_000}),
    ("fast_blink", "py", {"FREQUENCY_HZ": 10}),
    ("fast_blink", "wasm", {"FREQUENCY_HZ": 9000}),
    ("fade", "py", {"PERIOD_MS": 200}),
    ("pulse", "wasm", {"FOR_MS": 1}),
    ("pwm_pulse", "py", {"DUTY": 0}),
    ("pwm_pulse", "wasm", {"FOR_MS": 10, "ON": 0}),
    ("read_sensor", "py", {"QUANTITY": "power", "ADDRESS": 64}),
    ("servo", "wasm", {"ANGLE": 0}),
    ("servo_sweep", "py", {"PERIOD_MS": 2000}),
    ("steps", "py", {"LEVEL_1": 0}),
    ("thermostat", "py", {"SETPOINT_MILLI": 85_000, "HEATS": 0}),
    ("thermostat", "wasm", {"HYSTERESIS_MILLI": 0, "EVERY_MS": 100}),
    ("threshold", "py", {"QUANTITY": "voltage", "ADDRESS": 64, "LIMIT_MILLI": 5_000, "ABOVE": 0}),
    ("threshold_pulse", "py", {"QUANTITY": "humidity", "LIMIT_MILLI": 98_000}),
    ("button_counter", "py", {"DEBOUNCE_MS": 500}),
    ("day_night_light", "wasm", {"HOLD_MS": 501}),
    ("day_night_light", "py", {"HOLD_MS": 60_000}),
    ("watchdog_pinger", "py", {"EVERY_MS": 100, "PULSE_MS": 50}),
]


@pytest.mark.parametrize(("name", "kind", "values"), AT_THE_ENDS)
async def test_a_pattern_meets_its_expectations_at_the_ends_of_its_ranges(
    name: str, kind: ProgramKind, values: dict[str, Value], cache: BuildCache
) -> None:
    program = fill(name, values, kind=kind)
    expect = f"{program.expect}\nsoak 0 s" + "\nuptime 1 min" * (kind == "wasm")
    trial = await tried(kind, program.source, expect, cache)
    assert trial.ok, trial.error


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_thermostat_whose_sensor_is_silent_keeps_the_heater_off(blocking: bool, cache: BuildCache) -> None:
    program = fill("thermostat", {"ADDRESS": 0x77}, blocking=blocking)
    trial = await tried("wasm", program.source, "pin 4: never high\nfor 5 s\nuptime 1 min\nsoak 0 s", cache)
    assert trial.edges == ()
    assert set(trial.log) == {"the sensor for temperature does not answer"}


def test_what_takes_too_long_for_a_person_to_wait_is_not_expected() -> None:
    for name, values in (("blink", {"HALF_PERIOD_MS": 86_400_000}), ("steps", {"LEVEL_1": 0, "TWO": 0})):
        assert fill(name, values).expect == ""
    assert "i2c" not in fill("threshold", {"EVERY_MS": 3_600_000}).expect
