"""The patterns on a virtual board, in both forms: the edges that their titles promise."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.trial import Trial, TrialOptions, try_image
from microclaw.boards.reader import load_board
from microclaw.builds.cache import BuildCache
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill
from microclaw.wasm.compile import compile_module

BOARD = load_board("virtual")
LIGHTS: dict[str, Value] = {"LONG_MS": 3000, "SHORT_MS": 500}


@pytest.fixture(params=[True, False], ids=["blocking", "event-driven"])
def is_blocking(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> BuildCache:
    return BuildCache(tmp_path_factory.mktemp("cache"))


async def ran(
    name: str, params: dict[str, Value], is_blocking: bool, cache: BuildCache, seconds: float, *measured: str
) -> Trial:
    """So long on a board whose sensor `measured` these values, as lines of expectations."""
    source = fill(name, params, blocking=is_blocking).source
    image = await compile_module(source, BOARD, name="tried", cache=cache)
    assert image.warnings == ()
    lines = "\n".join((*measured, "pin 4: never high", f"for {seconds} s", "uptime 1 min", "soak 0 s"))
    return await try_image(image, BOARD, TrialOptions(expectations=parse_expectations(lines)))


def edges(trial: Trial, pin: int = 4) -> list[tuple[int, int]]:
    return [(round(edge.t_ms), edge.level) for edge in trial.edges if edge.pin == pin]


def measured(quantity: str, every_s: float, values: Iterable[float]) -> list[str]:
    return [f"i2c.bme280.{quantity} = {value} at {n * every_s} s" for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"HALF_PERIOD_MS": 250, "TIMES": 3}, [(0, 1), (250, 0), (500, 1), (750, 0), (1000, 1), (1250, 0)]),
        ({"HALF_PERIOD_MS": 100, "TIMES": 1, "ON": 0}, [(100, 1)]),  # lit by low, it ends dark
    ],
)
async def test_a_counted_blink_ends_after_its_number(
    params: dict[str, Value], expected: list[tuple[int, int]], is_blocking: bool, cache: BuildCache
) -> None:
    assert edges(await ran("blink_times", {"PIN": 4, **params}, is_blocking, cache, 60)) == expected


async def test_a_traffic_light_shows_its_four_phases_in_turn_for_an_hour(is_blocking: bool, cache: BuildCache) -> None:
    trial = await ran("traffic_light", LIGHTS, is_blocking, cache, 3600)
    assert edges(trial)[:3] == [(0, 1), (3500, 0), (7000, 1)]
    assert edges(trial, 5)[:4] == [(3000, 1), (3500, 0), (6500, 1), (7000, 0)]
    assert edges(trial, 6)[:2] == [(3500, 1), (6500, 0)]
    reds = [t_ms for t_ms, level in edges(trial) if level]
    assert len(reds) == 515
    assert all(later - earlier == pytest.approx(7000, abs=1) for earlier, later in itertools.pairwise(reds))


@pytest.mark.parametrize(
    ("heats", "celsius"), [(1, [21.0, 20.4, 21.4, 21.6, 20.6, 20.4]), (0, [21.0, 21.6, 20.6, 20.4, 21.4, 21.6])]
)
async def test_a_thermostat_switches_at_the_ends_of_its_hysteresis(
    heats: int, celsius: list[float], is_blocking: bool, cache: BuildCache
) -> None:
    params: dict[str, Value] = {"SETPOINT_MILLI": 21_000, "HYSTERESIS_MILLI": 500, "HEATS": heats}
    trial = await ran("thermostat", params, is_blocking, cache, 12, *measured("temperature", 2, celsius))
    assert [level for _, level in edges(trial)[-3:]] == [1, 0, 1]
    assert [line.split(", ")[1] for line in trial.log[-3:]] == ["pin 4 on", "pin 4 off", "pin 4 on"]


async def test_a_thermostat_whose_sensor_is_silent_keeps_the_heater_off(is_blocking: bool, cache: BuildCache) -> None:
    trial = await ran("thermostat", {"ADDRESS": 0x77}, is_blocking, cache, 5)
    assert edges(trial) == []
    assert set(trial.log) == {"the sensor for temperature does not answer"}


async def test_a_pulse_rule_fires_once_each_time_the_value_crosses(is_blocking: bool, cache: BuildCache) -> None:
    params: dict[str, Value] = {"QUANTITY": "humidity", "LIMIT_MILLI": 40_000, "ABOVE": 0, "FOR_MS": 5000}
    percent = measured("humidity", 10, (50, 30, 30, 40.2, 30, 50, 30))
    pulses = edges(await ran("threshold_pulse", params, is_blocking, cache, 70, *percent))
    assert [level for _, level in pulses] == [1, 0, 1, 0]
    assert [off - on for (on, _), (off, _) in zip(pulses[::2], pulses[1::2], strict=True)] == [5000, 5000]
    assert 10_000 <= pulses[0][0] <= 11_000
    assert 60_000 <= pulses[2][0] <= 61_000


async def test_a_pulse_rule_of_something_lit_by_low_starts_dark(is_blocking: bool, cache: BuildCache) -> None:
    trial = await ran("threshold_pulse", {"LIMIT_MILLI": 100_000, "ON": 0}, is_blocking, cache, 3)
    assert [level for _, level in edges(trial)] == [1]
