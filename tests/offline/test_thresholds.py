"""Rules, thermostats, several pins and facts: what is asked back, and what is said of the answers."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, answered, defined, kept, only
from tests.offline.test_offline_turns import proof

from microclaw.models.protocol import AssistantReply, DeviceContext, UserText


async def test_several_pins_are_set_one_after_the_other_and_told_together(ask: Ask) -> None:
    said = "turn on pins 4, 5 and 6"
    messages: list[AssistantReply | object] = []
    for pin in (4, 5, 6):
        reply = await ask(said, *messages)
        assert json.loads(reply.calls[0].arguments) == {"pin": pin, "level": 1}
        messages += answered(reply, pin=pin, level=1, evidence=proof("counted", f"pin {pin} reads 1"))
    assert (await ask(said, *messages)).calls == ()


async def test_a_pin_that_fails_after_others_tells_which_were_set(ask: Ask) -> None:
    said = "turn on pins 4 and 5"
    first = await ask(said)
    done = answered(first, pin=4, level=1)
    failed = answered(await ask(said, *done), ok=False, error="pin_refused", message="pin 5 is used by fade")
    reply = await ask(said, *done, *failed)
    assert "pin 4" in reply.text
    assert reply.failed_code == "pin_refused"


async def test_a_fact_of_the_other_call_is_looked_up(ask: Ask) -> None:
    said = "are we connected to wifi"
    status = answered(await ask(said), facts={"uptime_s": 61})
    assert (await ask(said, *status)).calls[0].name == "device-info"


@pytest.mark.parametrize("board_id", ["virtual", "esp32-s3-devkitc-1-v1.1"])
async def test_mqtt_is_declined_with_the_reason(ask: Ask, board_id: str) -> None:
    reply = await ask("send the humidity to mqtt topic room/hum once a minute", device_context=only(board_id))
    assert reply.failed_code == "not_possible"
    assert reply.next_step is not None
    assert (await ask(reply.next_step)).intent == "read the humidity every 60 s"


async def test_an_output_that_switches_off_by_a_rule_asks_what_it_is_otherwise(ask: Ask) -> None:
    reply = await ask("turn off pin 4 when the temperature is above 28")
    assert reply.next_step is not None
    instead = await ask(reply.next_step.partition(": ")[2])
    assert instead.intent == "turn on pin 4 when the temperature is below 28 °C"


async def test_a_rules_pulse_puts_every_value_into_the_source(ask: Ask) -> None:
    reply = await ask("turn on pin 6 for 5 s whenever the humidity drops below 40.5%")
    values = defined(reply)
    assert values["PIN"] == "6"
    assert values["QUANTITY"] == "humidity"
    assert (values["LIMIT_MILLI"], values["ABOVE"], values["FOR_MS"]) == ("40500", "0", "5000")


@pytest.mark.parametrize(
    ("said", "answer", "intent"),
    [
        ("run a traffic light", "4, 5 and 6", "run a traffic light on pins 4, 5 and 6"),
        ("run a traffic light", "on pins 4 5 6", "run a traffic light on pins 4, 5 and 6"),
        ("dim pin 5", "30%", "dim pin 5 to 30%"),
        ("hold the temperature at 22 degrees with the heater", "pin 17", None),
        ("beep for 100 ms", "pin 5", "turn on pin 5 for 100 ms"),
    ],
)
async def test_an_answer_to_the_question_completes_the_sentence(
    ask: Ask, said: str, answer: str, intent: str | None
) -> None:
    question = await ask(said)
    assert question.failed_code == "ambiguous"
    reply = await ask(answer, before=(UserText(said), kept(question)))
    assert reply.intent == (intent or "hold the temperature at 22 °C +/- 0.5 with the heater on pin 17")


async def test_part_of_an_answer_asks_again(ask: Ask) -> None:
    for said, answer in (("run a traffic light on 4, 5 and 4", "6"), ("turn it on", "4 and 5")):
        question = await ask(said)
        assert not (await ask(answer, before=(UserText(said), kept(question)))).calls


async def test_a_pad_of_the_xiao_is_the_gpio_behind_it(ask: Ask) -> None:
    reply = await ask("set D2 high", device_context=only("xiao-esp32s3"))
    assert json.loads(reply.calls[0].arguments) == {"pin": 3, "level": 1}
    unknown = await ask("set D17 high", device_context=only("xiao-esp32s3"))
    assert not unknown.calls


async def test_a_led_among_several_pins_is_lit_by_its_own_level(ask: Ask, device_context: DeviceContext) -> None:
    device = device_context.devices[0]
    assert device.board.led is not None
    low = replace(device, board=replace(device.board, led=replace(device.board.led, active_level=0)))
    reply = await ask("turn on the leds on pins 2 and 4", device_context=DeviceContext((low,), low))
    assert json.loads(reply.calls[0].arguments) == {"pin": 2, "level": 0}
