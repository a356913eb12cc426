"""What a sentence without a model is about: a thing of its own, the last act's, a program that is there already."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.agent.offline.test_wishes import world
from tests.agent.offline.turns import Chat, World

from microclaw.agent.models.protocol import DeviceContext, KnownApp
from microclaw.hardware.parts.named_parts import NamedPin


@pytest.mark.parametrize(
    ("wish", "done"),
    [
        (
            "when the door on pin 15 opens turn on pin 5 and turn it off again when it closes",
            "when the door contact on pin 15 closes turn off pin 5",
        ),
        (
            "when the button on pin 14 is pressed turn on the lamp on pin 4 and turn it off when it is released",
            "when the button on pin 14 is released turn off pin 4",
        ),
        ("when the button on pin 14 is pressed toggle it", "toggle pin 21"),
        ("turn it off in 5 minutes", "turn off pin 21"),
    ],
)
async def test_it_is_a_thing_of_the_same_sentence_before_it_is_that_of_the_last_act(wish: str, done: str) -> None:
    chat = Chat(world("wasm"))
    await chat.say("set pin 21 on")
    assert done in (await chat.say(wish)).outcome


async def test_who_closes_it_closes_the_door_of_the_sentence() -> None:
    chat = Chat(world("wasm"))
    await chat.say("dim pin 13 to 20 percent")
    wish = "if the door on pin 15 stays open for more than 90 seconds beep pin 5 until somebody closes it"
    turn = await chat.say(wish)
    assert "until the door contact on pin 15 closes" in turn.reply.text
    assert not turn.acts


def _with_program(app: KnownApp) -> World:
    device = replace(world("wasm").context.devices[0], apps=(app,))
    return World(DeviceContext((device,), device))


async def test_a_rule_asks_before_it_takes_the_place_of_another() -> None:
    chat = Chat(_with_program(KnownApp("rule-6", (6,), (5,))))
    asked = await chat.say("when the button on pin 10 is pressed turn on pin 6 for 2 seconds")
    assert asked.reply.text.startswith("rule-6 runs already (on pins 5 and 6), and this would take its place.")
    assert not asked.acts
    assert "rule-6" in (await chat.say("yes")).outcome


async def test_a_recorded_name_beside_another_kind_and_pin_stays() -> None:
    device = world("wasm").context.devices[0]
    context = DeviceContext((device,), device, (NamedPin("door", 15, device.name),))
    wish = "when the door contact on pin 15 stays open for 2 min blink pin 18 3 times"
    assert "when the door contact on pin 15 stays open" in (await Chat(World(context)).say(wish)).outcome


async def test_a_which_one_question_stays_open_after_a_yes() -> None:
    chat = Chat(world("wasm"))
    await chat.say("turn on pin 5 in the evening at 7 and off at 9")
    asked = await chat.say("yes")
    assert asked.reply.text.startswith("Which one: 1: ")
    assert "schedule-add" in (await chat.say("2")).outcome
