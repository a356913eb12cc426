"""Which device a sentence is for: an unknown one is told, "which device?" can be answered by its name."""

from __future__ import annotations

import json

import pytest
from tests.offline.conftest import Ask, kept

from microclaw.models.protocol import DeviceContext, UserText


@pytest.mark.parametrize(
    "sentence",
    ["turn on pin 2 on kitchen", "turn on pin 2 on board kitchen", "blink pin 2 on kitchen",
     "what is running on kitchen", "read the temperature on kitchen", "stop blink on kitchen",
     "blink pin 2 on kitchen every second"],
)  # fmt: skip
async def test_an_unknown_device_is_told(ask: Ask, sentence: str) -> None:
    reply = await ask(sentence)
    assert (reply.calls, reply.failed_code) == ((), "unknown_name")
    assert reply.text == "There is no device kitchen, so I did nothing. There is: virtual-1."


@pytest.mark.parametrize(
    "sentence",
    ["turn on pin 2 on at 50%", "turn pin 2 on in the kitchen", "set pin 4 on fire", "turn on pin 2 on high",
     "turn on pin 2 on Monday", "put pin 2 on", "turn on pin 2 on virtual-1"],
)  # fmt: skip
async def test_an_on_that_names_no_device_is_not_taken_for_one(ask: Ask, sentence: str) -> None:
    assert (await ask(sentence)).failed_code != "unknown_name"


@pytest.mark.parametrize("answer", ["on desk", "desk", "the desk", "on board desk."])
@pytest.mark.parametrize(("sentence", "tool"), [("turn on pin 4", "gpio-set"), ("what is running", "query-wasm-apps")])
async def test_which_device_is_answered_by_its_name(
    ask: Ask, two_boards: DeviceContext, sentence: str, tool: str, answer: str
) -> None:
    question = await ask(sentence, device_context=two_boards)
    assert question.text == "Which device? There are 2: virtual-1, desk."
    assert question.next_step == "say it, as in: on virtual-1"
    reply = await ask(answer, device_context=two_boards, before=(UserText(sentence), kept(question)))
    (call,) = reply.calls
    assert (call.name, json.loads(call.arguments)["device"]) == (tool, "desk")


async def test_a_device_that_does_not_exist_answers_nothing(ask: Ask, two_boards: DeviceContext) -> None:
    question = await ask("turn on pin 4", device_context=two_boards)
    reply = await ask("on kitchen", device_context=two_boards, before=(UserText("turn on pin 4"), kept(question)))
    assert reply.calls == ()


@pytest.mark.parametrize("word", ["toggle", "flip"])
async def test_a_toggle_in_a_rule_is_not_dropped(ask: Ask, word: str) -> None:
    reply = await ask(f"when the button on pin 4 is pressed {word} pin 6")
    assert (reply.calls, reply.failed_code) == ((), "not_possible")
    assert "toggle" in reply.text
