"""What the patterns do on a virtual board: the edges that their titles promise."""

from __future__ import annotations

import itertools

import pytest
from tests.patterns.conftest import Started

from microclaw.patterns.expected import Value


async def test_a_counted_blink_ends_after_its_number(start: Started) -> None:
    program = await start("blink_times", {"PIN": 4, "HALF_PERIOD_MS": 250, "TIMES": 3})
    await program.run(60_000)
    assert await program.edges(4) == [(0, 1), (250, 0), (500, 1), (750, 0), (1000, 1), (1250, 0)]


async def test_a_counted_blink_of_an_led_lit_by_low_ends_dark(start: Started) -> None:
    program = await start("blink_times", {"PIN": 4, "HALF_PERIOD_MS": 100, "TIMES": 1, "ON": 0})
    await program.run(10_000)
    assert await program.edges(4) == [(100, 1)]


async def test_a_traffic_light_shows_its_four_phases_in_turn(start: Started) -> None:
    program = await start("traffic_light", {"LONG_MS": 3000, "SHORT_MS": 500})
    await program.run(7900)
    assert await program.edges(4) == [(0, 1), (3500, 0), (7000, 1)]
    assert await program.edges(5) == [(3000, 1), (3500, 0), (6500, 1), (7000, 0)]
    assert await program.edges(6) == [(3500, 1), (6500, 0)]


async def test_a_traffic_light_goes_on_for_an_hour(start: Started) -> None:
    program = await start("traffic_light", {"LONG_MS": 3000, "SHORT_MS": 500})
    await program.run(3_600_000)
    reds = [t_ms for t_ms, level in await program.edges(4) if level]
    assert len(reds) == 515
    assert all(later - earlier == pytest.approx(7000, abs=1) for earlier, later in itertools.pairwise(reds))


@pytest.mark.parametrize(
    ("heats", "celsius", "levels"),
    [
        (1, [21.0, 20.4, 21.4, 21.6, 20.6, 20.4], [1, 0, 1]),
        (0, [21.0, 21.6, 20.6, 20.4, 21.4, 21.6], [1, 0, 1]),
    ],
)
async def test_a_thermostat_switches_at_the_ends_of_its_hysteresis(
    start: Started, heats: int, celsius: list[float], levels: list[int]
) -> None:
    program = await start("thermostat", {"SETPOINT_MILLI": 21_000, "HYSTERESIS_MILLI": 500, "HEATS": heats})
    for degrees in celsius:
        await program.measure("bme280", temperature_c=degrees)
        await program.run(2000)
    assert [level for _, level in (await program.edges(4))[-3:]] == levels
    assert [line.split(", ")[1] for line in (await program.log())[-3:]] == ["pin 4 on", "pin 4 off", "pin 4 on"]


async def test_a_thermostat_whose_sensor_is_silent_keeps_the_heater_off(start: Started) -> None:
    program = await start("thermostat", {"ADDRESS": 0x77})
    await program.run(5000)
    assert await program.edges(4) == []
    assert set(await program.log()) == {"the sensor for temperature does not answer"}


async def test_a_pulse_rule_fires_once_each_time_the_value_crosses(start: Started) -> None:
    values: dict[str, Value] = {"QUANTITY": "humidity", "LIMIT_MILLI": 40_000, "ABOVE": 0, "FOR_MS": 5000}
    program = await start("threshold_pulse", values)
    for percent in (50, 30, 30, 40.2, 30, 50, 30):
        await program.measure("bme280", humidity_pct=percent)
        await program.run(10_000)
    edges = await program.edges(4)
    assert [level for _, level in edges] == [1, 0, 1, 0]
    assert [off - on for (on, _), (off, _) in zip(edges[::2], edges[1::2], strict=True)] == [5000, 5000]
    assert 10_000 <= edges[0][0] <= 11_000
    assert 60_000 <= edges[2][0] <= 61_000


async def test_a_pulse_rule_of_something_lit_by_low_starts_dark(start: Started) -> None:
    program = await start("threshold_pulse", {"LIMIT_MILLI": 100_000, "ON": 0})
    await program.run(3000)
    assert [level for _, level in await program.edges(4)] == [1]
