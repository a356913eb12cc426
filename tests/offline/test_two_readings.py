"""A time that may be a pace or a delay, and a count in each time, are asked about; what is offered is understood."""

from __future__ import annotations

import json
import re

import pytest
from tests.offline.conftest import Ask
from tests.offline.test_paces import defined

from microclaw.models.protocol import AssistantReply, ModelReply, ToolReturn

OFFERED = re.compile(r"say: (?P<first>[^()]+?)(?: \(or: (?P<second>.+)\))?")


def offered(reply: ModelReply) -> list[str]:
    """The sentences that a question offers."""
    found = OFFERED.fullmatch(reply.next_step or "")
    assert found is not None, reply.next_step
    return [one for one in found.groups() if one]


@pytest.mark.parametrize(
    ("said", "readings"),
    [
        ("fade pin 5 in 3 seconds", ("up and down once in 3 s", "a wait of 3 s")),
        ("fade pin 5 in 2 seconds", ("up and down once in 2 s", "a wait of 2 s")),
        ("fade pin 5 in 250 ms", ("up and down once in 0.25 s", "a wait of 0.25 s")),
        ("Please make pin 5 fade in 3 seconds!", ("up and down once in 3 s", "a wait of 3 s")),
        ("fade pin 5 in 3 seconds on virtual-1", ("up and down once in 3 s", "a wait of 3 s")),
        ("blink pin 2 in 3 seconds", ("one blink each 3 s", "a wait of 3 s")),
        ("blink pin 2 in 10 minutes", ("one blink each 10 min", "a wait of 10 min")),
        ("pulse pin 2 in 3 seconds", ("on for 3 s, once", "a wait of 3 s")),
        ("blink pin 2 three times in 3 seconds", ("3 flashes that take 3 s together", "a wait of 3 s")),
    ],
)
async def test_a_pace_or_a_delay_is_asked_about(ask: Ask, said: str, readings: tuple[str, str]) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    for reading in readings:
        assert reading in reply.text
    paced, later = offered(reply)
    assert (await ask(paced)).calls[0].name == "deploy-wasm-app"
    assert (await ask(later)).calls[0].name == "schedule-add"


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 5 in 10 minutes",
        "in 3 seconds fade pin 5",
        "blink pin 2 after 3 seconds",
        "start blinking pin 2 in 3 seconds",
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


@pytest.mark.parametrize("said", ["fade pin 5 over 3 seconds", "fade pin 5 within 3 seconds"])
async def test_a_fade_over_a_time_is_refused_with_what_to_say(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert "no program for one that takes 3 s and then ends" in reply.text
    (paced,) = offered(reply)
    (call,) = (await ask(paced)).calls
    assert defined(json.loads(call.arguments)["sourceCode"])["PERIOD_MS"] == 3000


@pytest.mark.parametrize("word", ["in", "over"])
async def test_a_fade_to_a_level_is_neither_a_jump_nor_a_delay(ask: Ask, word: str) -> None:
    reply = await ask(f"fade pin 5 to 30% {word} 3 seconds")
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert "no program that fades to a level" in reply.text
    now, later = offered(reply)
    assert (await ask(now)).calls[0].name == "pwm-set"
    assert (await ask(later)).calls[0].name == "schedule-add"


async def test_a_schedule_of_what_does_not_end_says_so(ask: Ask) -> None:
    said = "in 3 seconds fade pin 5"
    (call,) = (await ask(said)).calls
    made = json.dumps({"success": True, "schedule": 1, "what": "fade pin 5", "next": "today, 12:10"})
    reply = await ask(said, AssistantReply("", (call,)), ToolReturn(call.call_id, call.name, made))
    assert reply.text.endswith("It then goes on until it is stopped.")


@pytest.mark.parametrize(
    ("said", "period_ms", "times"),
    [
        ("flash pin 2 twice every 5 seconds", 2500, 2),
        ("every 5 seconds flash pin 2 twice", 2500, 2),
        ("twice every 5 seconds flash pin 2", 2500, 2),
        ("blink pin 2 three times every minute", 20_000, 3),
        ("every minute blink pin 2 three times", 20_000, 3),
        ("blink pin 2 3 times every 10 seconds", 3333, 3),
        ("blink pin 2 3x every 500 ms", 167, 3),
    ],
)
async def test_a_count_in_each_time_is_asked_about(ask: Ask, said: str, period_ms: int, times: int) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert "I have no program for that" in reply.text
    assert "until it is stopped" in reply.text
    assert "then the end" in reply.text
    sources = [json.loads((await ask(one)).calls[0].arguments)["sourceCode"] for one in offered(reply)]
    even, counted = map(defined, sources)
    assert 2 * even["HALF_PERIOD_MS"] == pytest.approx(period_ms, rel=0.01)
    assert counted["TIMES"] == times


@pytest.mark.parametrize("said", ["blink pin 2 3 times a minute", "blink pin 2 twice each second"])
async def test_a_count_in_one_unit_of_time_is_a_rate(ask: Ask, said: str) -> None:
    assert "TIMES" not in defined(json.loads((await ask(said)).calls[0].arguments)["sourceCode"])


async def test_a_program_that_ends_says_that_it_ends(ask: Ask) -> None:
    for said, ends in (("blink pin 2 3 times", True), ("blink pin 2", False)):
        (call,) = (await ask(said)).calls
        proof = {"kind": "accepted", "text": "as in the trial: pin 2 went high"}
        done = {"success": True, "verified": True, "appName": "blink", "device": "virtual-1", "evidence": [proof]}
        result = ToolReturn(call.call_id, call.name, json.dumps(done))
        text = (await ask(said, AssistantReply("", (call,)), result)).text
        assert text.startswith("virtual-1 took blink")
        assert text.endswith("It ends by itself.") is ends


async def test_a_fraction_of_a_hertz_is_a_rate(ask: Ask) -> None:
    for said, half_ms in (("1/3 Hz", 1500), ("1/2 hertz", 1000), ("1.5/2 Hz", 667)):
        (call,) = (await ask(f"blink pin 2 at {said}")).calls
        assert defined(json.loads(call.arguments)["sourceCode"])["HALF_PERIOD_MS"] == half_ms


@pytest.mark.parametrize(
    ("said", "why", "not_why"),
    [
        ("play a 440 Hz tone on pin 5 for 0 seconds", '"for 0 seconds" is too short', "Hz"),
        ("blink pin 2 for 0 seconds", "no flash", "longer than"),
        ("blink pin 2 for 100 ms every 10 seconds", "on for a shorter time than it is off", "takes 20 s"),
        ("blink pin 2 for 300 ms", "One flash takes 1 s", "shorter time"),
    ],
)
async def test_a_refused_time_is_refused_for_its_own_fault(ask: Ask, said: str, why: str, not_why: str) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert why in reply.text
    assert not_why not in reply.text


async def test_hours_and_minutes_in_one_word_are_a_time(ask: Ask) -> None:
    for said, ms in (("1h30m", 5_400_000), ("1h 5min", 3_900_000), ("2m30s", 150_000)):
        (call,) = (await ask(f"turn on pin 7 for {said}")).calls
        assert defined(json.loads(call.arguments)["sourceCode"])["FOR_MS"] == ms
