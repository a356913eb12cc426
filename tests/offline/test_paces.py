"""A rate that is said is kept, made by PWM, or refused with the nearest ones; the trial is held against it."""

from __future__ import annotations

import json
import re

import pytest
from tests.offline.conftest import Ask, called, defined, kept

from microclaw.boards.reader import load_board
from microclaw.models.protocol import DeviceContext, KnownDevice, Message, ModelReply, UserText


def numbers(reply: ModelReply) -> dict[str, int]:
    return {name: int(value) for name, value in defined(reply).items() if value.isdecimal()}


async def program(ask: Ask, said: str, *before: Message) -> tuple[dict[str, int], str]:
    """The deployed program's values, and its expectations; where it asks first, after a yes."""
    reply = await ask(said, before=before)
    if not reply.calls:
        assert reply.failed_code == "confirm_reading", reply.text
        reply = await ask("yes", before=(*before, UserText(said), kept(reply)))
    return numbers(reply), called(reply)[1]["expect"]


@pytest.mark.parametrize(
    ("said", "hz"),
    [
        ("blink pin 14 at 300 Hz", "300"),
        ("blink pin 14 at 440 hertz", "440"),
        ("blink pin 14 400 times a second", "400"),
        ("blink pin 14 every 5 ms", "100"),
        ("blink pin 14 at 47 Hz", "47"),
        ("blink pin 14 at 9 kHz", "9000"),
        ("make pin 14 flicker at 300Hz please", "300"),
    ],
)
async def test_a_rate_too_fast_for_a_loop_is_made_by_pwm(ask: Ask, said: str, hz: str) -> None:
    values, expect = await program(ask, said)
    asked = float(hz)
    assert abs(values["FREQUENCY_HZ"] - asked) <= asked / 100
    found = re.search(r"pwm 14: ([\d.]+) Hz \+- 1 %", expect)
    assert found is not None
    assert float(found[1]) == pytest.approx(asked, rel=1e-4)


@pytest.mark.parametrize(
    ("refused", "bound", "accepted"),
    [
        ("blink pin 14 every 25 hours", "between 10 ms and 24 h", "blink pin 14 every 24 hours"),
        ("blink pin 14 once every 49 hours", "between 10 ms and 24 h", "blink pin 14 once every 48 hours"),
        ("blink pin 14 0 times", "between 1 and 1000000", "blink pin 14 1000000 times"),
        ("fade pin 14 at 6 Hz", "between 200 ms and 1 h", "fade pin 14 at 5 Hz"),
    ],
)
async def test_a_refusal_names_the_last_value_that_is_accepted(
    ask: Ask, refused: str, bound: str, accepted: str
) -> None:
    reply = await ask(refused)
    assert (reply.calls, reply.next_step) == ((), bound)
    assert [call.name for call in (await ask(accepted)).calls] == ["deploy-wasm-app"]


async def test_the_pins_that_a_question_names_can_be_used(ask: Ask) -> None:
    step = (await ask("set pin 99 on")).next_step
    assert step is not None
    spans = [tuple(map(int, span.split("-"))) for span in re.findall(r"\d+(?:-\d+)?", step)]
    named = {pin for span in spans for pin in range(span[0], span[-1] + 1)}
    assert named == {pin.number for pin in load_board("virtual").pins.values() if pin.uses and pin.reserved is None}


async def test_every_rate_is_kept_within_one_percent_or_refused(ask: Ask) -> None:
    for tenths in range(1, 1200, 7):
        hz = tenths / 10
        reply = await ask(f"blink pin 14 at {hz} Hz")
        if not reply.calls:
            continue
        values = numbers(reply)
        real = values.get("FREQUENCY_HZ") or 500 / values["HALF_PERIOD_MS"]
        assert abs(real - hz) <= hz / 100


async def test_the_nearest_rate_of_a_refusal_is_possible(ask: Ask) -> None:
    for said in ("blink pin 14 at 23.4 Hz", "blink pin 14 at 40 kHz"):
        refused = await ask(said)
        assert (refused.calls, refused.failed_code) == ((), "ambiguous")
        nearest = re.search(r"([\d.]+) Hz", refused.next_step or "")
        assert nearest is not None
        assert (await ask(f"blink pin 14 at {nearest[1]} Hz")).calls


async def test_a_slow_rate_is_expected_as_it_was_said_and_not_as_it_was_rounded(ask: Ask) -> None:
    values, expect = await program(ask, "blink pin 14 at 7 Hz")
    assert values["HALF_PERIOD_MS"] == 71
    assert "high for 71.429 ms, low for 71.429 ms" in expect


@pytest.mark.parametrize(
    "said",
    [
        "play a 440 Hz tone on pin 15 for two seconds",
        "tone of 440 Hz on pin 15 for 2 s",
        "beep on pin 15 at 440 Hz for 2 seconds",
        "buzz gpio 15 at 0.44 kHz for 2000 ms",
    ],
)
async def test_a_tone_for_a_time_is_made_by_pwm_and_held_against_its_rate(ask: Ask, said: str) -> None:
    values, expect = await program(ask, said)
    assert (values["FREQUENCY_HZ"], values["FOR_MS"], values["DUTY"]) == (440, 2000, 128)
    assert "pwm 15: 440 Hz +- 1 %" in expect


async def test_a_tone_without_an_end_goes_on_and_is_named_so(ask: Ask) -> None:
    (call,) = (await ask("play a 25 Hz tone on pin 15")).calls  # a loop could blink it, PWM does it better
    arguments = json.loads(call.arguments)
    assert arguments["appName"] == "tone"
    assert "pwm 15: 25 Hz +- 1 %, 50 % at 1 s, 50 % at 10 s" in arguments["expect"]


@pytest.mark.parametrize(
    "said",
    [
        "play a tone on pin 5",
        "play a 440 Hz tone for two seconds",
        "play a 20 kHz tone on pin 5 for 2 seconds",
        "play a 5 Hz tone on pin 5",
        "play a 23.4 Hz tone on pin 5",
    ],
)
async def test_a_tone_that_cannot_be_is_refused_with_what_to_say(ask: Ask, said: str) -> None:
    reply = await ask(said)
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
    assert reply.next_step


async def test_a_pin_without_pwm_plays_no_tone(ask: Ask) -> None:
    board = KnownDevice("old", load_board("esp32-devkitc-v4"))
    said = "play a 440 Hz tone on pin 34 for two seconds"
    reply = await ask(said, device_context=DeviceContext((board,), board))
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")


async def test_flashes_are_counted_only_at_rates_that_are_kept(ask: Ask) -> None:
    values, _ = await program(ask, "blink pin 4 100 times at 50 Hz")
    assert (values["HALF_PERIOD_MS"], values["TIMES"]) == (10, 100)


async def test_the_exact_rate_goes_along_where_the_pin_is_named_later(ask: Ask) -> None:
    asked = await ask("blink at 300 Hz")
    values, _ = await program(ask, "pin 14", UserText("blink at 300 Hz"), kept(asked))
    assert values["FREQUENCY_HZ"] == 300
