"""Sentences about "the LED" on every board of the profiles: drive it by its own level, or say why not."""

from __future__ import annotations

import pytest
from tests.offline.conftest import Ask, answered, called, defined, kept, only

from microclaw.boards.reader import board_ids, load_board
from microclaw.models.protocol import (
    UserText,
)

ABOUT_THE_LED = (
    "blink the LED",
    "blink the led every half second",
    "turn on the led",
    "turn off the led",
    "toggle the led",
    "fade the led",
    "turn on the led for 2 seconds",
    "dim the led to 30%",
    "is the led on?",
    "when the button on pin 12 is pressed turn on the led",
)
PLAIN = [name for name in board_ids() if (led := load_board(name).led) is not None and led.kind == "simple"]
OTHERS = [name for name in board_ids() if name not in PLAIN]


@pytest.mark.parametrize("sentence", ABOUT_THE_LED)
@pytest.mark.parametrize("board_id", PLAIN)
async def test_plain_led_is_driven_on_its_own_pin(ask: Ask, board_id: str, sentence: str) -> None:
    led = load_board(board_id).led
    assert led is not None
    reply = await ask(sentence, device_context=only(board_id))
    assert reply.failed_code is None, reply.text
    done = called(reply)[1]
    if "sourceCode" not in done:
        assert done["pin"] == led.pin
        return
    written = defined(reply)
    assert written.get("PIN", written.get("LED_PIN")) == str(led.pin)
    assert written["ON"] == str(led.active_level)


@pytest.mark.parametrize(("sentence", "lit"), [("turn on the led", True), ("turn off the led", False)])
@pytest.mark.parametrize("board_id", PLAIN)
async def test_on_and_off_are_the_leds_own_levels(ask: Ask, board_id: str, sentence: str, lit: bool) -> None:
    led = load_board(board_id).led
    assert led is not None
    reply = await ask(sentence, device_context=only(board_id))
    assert called(reply)[1]["level"] == (led.active_level if lit else 1 - led.active_level)


@pytest.mark.parametrize("sentence", ABOUT_THE_LED)
@pytest.mark.parametrize("board_id", OTHERS)
async def test_led_that_cannot_be_driven_is_refused_with_the_reason_and_free_pins(
    ask: Ask, board_id: str, sentence: str
) -> None:
    board = load_board(board_id)
    reply = await ask(sentence, device_context=only(board_id))
    assert not reply.calls
    assert reply.next_step is not None
    assert reply.next_step.endswith(f"blink the LED on pin {board.free_pins('output')[0]}")


@pytest.mark.parametrize("board_id", OTHERS)
async def test_next_step_of_the_refusal_works(ask: Ask, board_id: str) -> None:
    refused = await ask("blink the LED", device_context=only(board_id))
    assert refused.next_step is not None
    again = await ask(refused.next_step.partition("as in: ")[2], device_context=only(board_id))
    assert defined(again)["PIN"] == str(load_board(board_id).free_pins("output")[0])


@pytest.mark.parametrize("board_id", OTHERS)
async def test_pin_said_after_the_refusal_completes_the_sentence(ask: Ask, board_id: str) -> None:
    refused = await ask("blink the LED", device_context=only(board_id))
    pin = load_board(board_id).free_pins("output")[-1]
    before = (UserText("blink the LED"), kept(refused))
    reply = await ask(f"pin {pin}", device_context=only(board_id), before=before)
    assert (defined(reply)["PIN"], defined(reply)["ON"]) == (str(pin), "1")


async def test_led_named_with_its_own_addressable_pin_is_refused_too(ask: Ask) -> None:
    assert not (await ask("blink the led on pin 8", device_context=only("esp32-c6-devkitc-1"))).calls


async def test_led_named_with_its_own_pin_keeps_its_level(ask: Ask) -> None:
    reply = await ask("turn on the led on pin 21", device_context=only("xiao-esp32s3"))
    assert called(reply)[1] == {"pin": 21, "level": 0}


async def test_reading_a_led_lit_by_low_tells_whether_it_is_lit(ask: Ask) -> None:
    device_context = only("xiao-esp32s3")
    first = await ask("is the led on?", device_context=device_context)
    reply = await ask("is the led on?", *answered(first, level=0), device_context=device_context)
    assert "is on" in reply.text


async def test_dimming_a_led_lit_by_low_inverts_the_duty(ask: Ask) -> None:
    reply = await ask("dim the led to 30%", device_context=only("xiao-esp32s3"))
    assert called(reply)[1] == {"pin": 21, "duty": 178}
