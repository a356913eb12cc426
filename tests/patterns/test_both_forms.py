"""The first patterns do the same in both forms: `main` with sleeps, and event-driven."""

from __future__ import annotations

import pytest
from tests.patterns.conftest import Started

from microclaw.patterns.expected import Value


async def test_blink_toggles_each_half_period(start: Started) -> None:
    running = await start("blink", {"PIN": 13, "HALF_PERIOD_MS": 250})
    await running.run(1_100)
    assert await running.edges(13) == [(250 * n, 1 - n % 2) for n in range(5)]


async def test_pulse_is_one_pulse(start: Started) -> None:
    running = await start("pulse", {"FOR_MS": 300})
    await running.run(5_000)
    assert await running.edges(2) == [(0, 1), (300, 0)]


async def test_steps_set_each_pin_at_its_time_and_not_before(start: Started) -> None:
    running = await start("steps", {"WAIT_1_MS": 200, "PIN_1": 4, "WAIT_2_MS": 300, "PIN_2": 13})
    await running.run(2_000)
    assert await running.edges(4) == [(200, 1)]
    assert await running.edges(13) == [(500, 1)]


async def test_two_steps_of_one_pin_are_a_pulse(start: Started) -> None:
    running = await start("steps", {"PIN_1": 4, "PIN_2": 4, "LEVEL_2": 0, "WAIT_2_MS": 300})
    await running.run(2_000)
    assert await running.edges(4) == [(0, 1), (300, 0)]


async def test_one_step_leaves_the_second_pin_alone(start: Started) -> None:
    running = await start("steps", {"WAIT_1_MS": 200, "PIN_1": 4, "TWO": 0, "PIN_2": 4})
    await running.run(2_000)
    assert await running.edges(4) == [(200, 1)]


async def test_a_pwm_pulse_ends(start: Started) -> None:
    running = await start("pwm_pulse", {"DUTY": 77, "FOR_MS": 300})
    await running.run(200)
    assert (await running.duties(5))[-1] == 77
    await running.run(200)
    assert (await running.duties(5))[-1] == 0


async def test_led_is_on_while_the_button_is_pressed(start: Started) -> None:
    running = await start("button_led", {"BUTTON_PIN": 1, "LED_PIN": 2})
    await running.run(100)
    await running.press(1, 0)
    await running.run(200)
    await running.press(1, 1)
    await running.run(200)
    assert [level for _, level in await running.edges(2)] == [1, 0]
    assert await running.log() == ["watching the button on pin 1", "button pressed", "button released"]


async def test_fade_rises_and_falls(start: Started) -> None:
    running = await start("fade", {"PERIOD_MS": 400})
    await running.run(410)
    duties = await running.duties(5)
    assert len(duties) in (20, 21)  # with or without the one that pwm_open sets
    assert max(duties) == 255
    assert duties[-1] == 0


@pytest.mark.parametrize("above", [1, 0])
async def test_threshold_switches_with_hysteresis(start: Started, above: int) -> None:
    params: dict[str, Value] = {
        "QUANTITY": "voltage",
        "ADDRESS": 0x40,
        "LIMIT_MILLI": 5000,
        "ABOVE": above,
        "HYSTERESIS_MILLI": 500,
    }
    running = await start("threshold", params)
    for volts in (5.2, 4.8, 5.2, 4.0, 4.8, 5.2, 6.0):
        await running.measure("ina219", voltage_v=volts)
        await running.run(1_000)
    levels = [line.rpartition(" ")[2] for line in await running.log()]
    assert levels == (["off", "on", "off", "on"] if above else ["on", "off"])


async def test_read_sensor_prints_each_period(start: Started) -> None:
    running = await start("read_sensor", {"EVERY_MS": 5_000})
    await running.run(10_100)
    log = await running.log()
    assert len(log) == 3
    assert all(line.startswith("temperature ") for line in log)
