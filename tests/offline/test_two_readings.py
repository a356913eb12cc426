"""A time that may be a pace or a delay, and a count in each time, are asked about; what is offered is understood."""

from __future__ import annotations

import re

import pytest
from tests.offline.conftest import Ask, defined

from microclaw.models.protocol import ModelReply

OFFERED = re.compile(r"say: (?P<first>[^()]+?)(?: \(or: (?P<second>.+)\))?")


def offered(reply: ModelReply) -> list[str]:
    """The sentences that a question offers."""
    found = OFFERED.fullmatch(reply.next_step or "")
    assert found is not None, reply.next_step
    return [one for one in found.groups() if one]


@pytest.mark.parametrize(
    "said",
    [
        "fade pin 5 in 3 seconds", "fade pin 5 in 250 ms", "Please make pin 5 fade in 3 seconds!",
        "fade pin 5 in 3 seconds on virtual-1", "blink pin 2 in 3 seconds", "blink pin 2 in 10 minutes",
        "pulse pin 2 in 3 seconds", "blink pin 2 three times in 3 seconds", "start blinking pin 2 in 3 seconds",
    ],
)  # fmt: skip
async def test_a_pace_or_a_delay_is_asked_about(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    paced, later = offered(reply)
    assert (await ask(paced)).calls[0].name == "deploy-wasm-app"
    assert (await ask(later)).calls[0].name == "schedule-add"


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 5 in 10 minutes",
        "in 3 seconds fade pin 5",
        "blink pin 2 after 3 seconds",
        "fade pin 5 in 3 seconds from now",
        "blink pin 2 every 500 ms in 3 seconds",
        "remind me to fade pin 5 in 3 seconds",
        "dim pin 5 to 30% in 3 seconds",
    ],
)
async def test_what_can_only_be_a_delay_stays_one(ask: Ask, said: str) -> None:
    reply = await ask(said)
    if not reply.calls:
        assert reply.failed_code == "confirm_reading", reply.text
        return
    assert [call.name for call in reply.calls] == ["schedule-add"]


async def test_a_fade_to_a_level_is_neither_a_jump_nor_a_delay(ask: Ask) -> None:
    now, later = offered(await ask("fade pin 5 to 30% in 3 seconds"))
    assert (await ask(now)).calls[0].name == "pwm-set"
    assert (await ask(later)).calls[0].name == "schedule-add"


@pytest.mark.parametrize(
    ("said", "period_ms", "times"),
    [
        ("flash pin 2 twice every 5 seconds", 2500, 2),
        ("blink pin 2 three times every minute", 20_000, 3),
        ("blink pin 2 3 times every 10 seconds", 3333, 3),
        ("blink pin 2 3x every 500 ms", 167, 3),
    ],
)
async def test_a_count_in_each_time_is_asked_about(ask: Ask, said: str, period_ms: int, times: int) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    even, counted = [defined(await ask(one)) for one in offered(reply)]
    assert 2 * int(even["HALF_PERIOD_MS"]) == pytest.approx(period_ms, rel=0.01)
    assert counted["TIMES"] == str(times)


@pytest.mark.parametrize("said", ["blink pin 2 3 times a minute", "blink pin 2 twice each second"])
async def test_a_count_in_one_unit_of_time_is_a_rate(ask: Ask, said: str) -> None:
    assert "TIMES" not in defined(await ask(said))


async def test_a_fraction_of_a_hertz_is_a_rate(ask: Ask) -> None:
    for said, half_ms in (("1/3 Hz", 1500), ("1/2 hertz", 1000), ("1.5/2 Hz", 667)):
        assert defined(await ask(f"blink pin 2 at {said}"))["HALF_PERIOD_MS"] == str(half_ms)


async def test_hours_and_minutes_in_one_word_are_a_time(ask: Ask) -> None:
    for said, ms in (("1h30m", 5_400_000), ("1h 5min", 3_900_000), ("2m30s", 150_000)):
        assert defined(await ask(f"turn on pin 7 for {said}"))["FOR_MS"] == str(ms)
