"""The device of a sentence: an unknown one is told, "which device?" can be answered by its name."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.offline.conftest import Ask, answered, called, kept

from microclaw.boards.reader import load_board
from microclaw.boards.voice import VOICE_BOARD
from microclaw.models.protocol import (
    DeviceContext,
    KnownApp,
    KnownDevice,
    Message,
    ModelReply,
    ToolReturn,
    UserText,
)


@pytest.mark.parametrize(
    "sentence",
    ["turn on pin 2 on kitchen", "turn on pin 2 on board kitchen", "blink pin 2 on kitchen",
     "what is running on kitchen", "read the temperature on kitchen", "stop blink on kitchen",
     "blink pin 2 on kitchen every second", "turn pin 2 on in the kitchen", "stop blink in the kitchen"],
)  # fmt: skip
async def test_an_unknown_device_is_told(ask: Ask, sentence: str) -> None:
    reply = await ask(sentence)
    assert (reply.calls, reply.failed_code) == ((), "unknown_name")


@pytest.mark.parametrize(
    "sentence",
    ["turn on pin 2 on at 50%", "set pin 4 on fire", "turn on pin 2 on high",
     "turn on pin 2 on Monday", "put pin 2 on", "turn on pin 2 on virtual-1"],
)  # fmt: skip
async def test_an_on_that_names_no_device_is_not_taken_for_one(ask: Ask, sentence: str) -> None:
    assert (await ask(sentence)).failed_code != "unknown_name"


@pytest.mark.parametrize("answer", ["on desk", "desk", "the desk", "on board desk."])
@pytest.mark.parametrize(("sentence", "tool"), [("turn on pin 4", "gpio-set"), ("scan the i2c bus", "i2c-scan")])
async def test_which_device_is_answered_by_its_name(
    ask: Ask, two_boards: DeviceContext, sentence: str, tool: str, answer: str
) -> None:
    question = await ask(sentence, device_context=two_boards)
    assert question.failed_code == "ambiguous"
    reply = await ask(answer, device_context=two_boards, before=(UserText(sentence), kept(question)))
    (call,) = reply.calls
    assert (call.name, json.loads(call.arguments)["device"]) == (tool, "desk")


async def test_a_device_that_does_not_exist_answers_nothing(ask: Ask, two_boards: DeviceContext) -> None:
    question = await ask("turn on pin 4", device_context=two_boards)
    reply = await ask("on kitchen", device_context=two_boards, before=(UserText("turn on pin 4"), kept(question)))
    assert reply.calls == ()


@pytest.fixture
def three(two_boards: DeviceContext) -> DeviceContext:
    shelf = KnownDevice("shelf", load_board("virtual"), (KnownApp("fade", (4,)),))
    return DeviceContext((*two_boards.devices, shelf, KnownDevice("kitchen", VOICE_BOARD)))


def listed(reply: ModelReply, *names: str, error: str = "") -> tuple[Message, ...]:
    """The board's answer to the query that the reply asks for."""
    assert called(reply)[0] == "query-wasm-apps"
    if error:
        return answered(reply, ok=False, error="device_unreachable", message=error)
    return answered(reply, apps=[{"name": name, "state": "running", "pins": [2]} for name in names])


async def asked_of_all(
    ask: Ask, boards: DeviceContext, said: str, *each: tuple[str, ...] | str
) -> tuple[ModelReply, tuple[Message, ...]]:
    after: tuple[Message, ...] = ()
    for one in each:
        reply = await ask(said, *after, device_context=boards)
        after += listed(reply, error=one) if isinstance(one, str) else listed(reply, *one)
    return await ask(said, *after, device_context=boards), after


async def test_what_is_running_tells_of_all_boards_a_line_each(ask: Ask, three: DeviceContext) -> None:
    reply, _ = await asked_of_all(ask, three, "what is running", ("blink",), (), "shelf does not answer")
    assert (reply.failed_code, len(reply.text.splitlines())) == (None, 3)


async def test_where_no_board_answers_that_is_the_failure(ask: Ask, three: DeviceContext) -> None:
    reply, _ = await asked_of_all(ask, three, "what is running", "gone", "gone", "gone")
    assert reply.failed_code == "device_unreachable"


async def test_the_one_board_that_has_the_program_is_meant(ask: Ask, three: DeviceContext) -> None:
    reply, _ = await asked_of_all(ask, three, "stop blink", ("blink",))
    (call,) = reply.calls
    expected = {"appName": "blink", "switch": "stop", "device": "virtual-1"}
    assert (call.name, json.loads(call.arguments)) == ("switch-program", expected)
    reply, _ = await asked_of_all(ask, three, "is blink running", ("blink",))
    assert reply.text.startswith("Yes, blink runs on virtual-1")
    reply, _ = await asked_of_all(ask, three, "stop blink", "virtual-1 is away")
    assert (reply.calls, reply.failed_code) == ((), "device_unreachable")


async def test_a_program_of_several_boards_or_of_none_is_asked_about(ask: Ask, three: DeviceContext) -> None:
    first, desk, *others = three.devices
    both = DeviceContext((first, replace(desk, stopped=("blink",)), *others))
    for context, said in ((both, "stop blink"), (three, "stop rainbow"), (three, "is rainbow running")):
        question = await ask(said, device_context=context)
        assert (question.calls, question.failed_code) == ((), "ambiguous")
        answer = await ask("desk", device_context=context, before=(UserText(said), kept(question)))
        assert json.loads(answer.calls[0].arguments) == {"device": "desk"}


@pytest.mark.parametrize("sentence", ["is blink running on virtual-1", "did blink stop on virtual-1"])
async def test_a_program_between_two_runs_has_not_ended(ask: Ask, two_boards: DeviceContext, sentence: str) -> None:
    asked = await ask(sentence, device_context=two_boards)
    query, answer = listed(asked, "blink")
    assert isinstance(answer, ToolReturn)
    waits = answer.content.replace('"running"', '"waiting", "runs": "every 10 min: the board keeps it"')
    reply = await ask(sentence, query, replace(answer, content=waits), device_context=two_boards)
    assert "waits" in reply.text


async def test_of_many_boards_it_asks_which(ask: Ask, two_boards: DeviceContext) -> None:
    boards = tuple(replace(two_boards.devices[1], name=f"shelf-{n}") for n in range(9))
    reply = await ask("what is running", device_context=DeviceContext(boards))
    assert (reply.calls, reply.failed_code) == ((), "ambiguous")
