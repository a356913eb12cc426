"""A sentence's effect on the last act, where nothing or only a question may come of it; the board's side of it is in
tests/agent/test_conversations.py."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.offline.conftest import kept
from tests.offline.score import CHANGING, _answer, board

from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    KnownDevice,
    Message,
    ModelReply,
    ModelRequest,
    ToolReturn,
    UserText,
)
from microclaw.offline.decision import Context, Result
from microclaw.offline.last_act import Undoable, Unlogged, undoable_after
from microclaw.offline.model import OfflineModel
from microclaw.offline.parse import Parse

_MAX_STEPS = 8


async def converse(*said: str, expired: bool = False) -> tuple[list[tuple[str, dict[str, Any]]], ModelReply]:
    """The calls of the last sentence that change something, and its answer. `expired`: it came much later."""
    device = KnownDevice("bench-1", board())
    device_context, model = DeviceContext((device,), device), OfflineModel()
    before: list[Message] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    reply, number = ModelReply(""), 0
    installed: set[str] = set()
    for index, sentence in enumerate(said):
        if expired and index == len(said) - 1 and isinstance(last := before[-1], AssistantReply):
            before[-1] = AssistantReply(last.text, question=last.question, question_expired=True)
        turn: list[Message] = [*before, UserText(sentence)]
        calls = []
        for _ in range(_MAX_STEPS):
            reply = await model.respond(ModelRequest("", tuple(turn), (), device_context=device_context))
            if not reply.calls:
                break
            turn.append(AssistantReply("", reply.calls))
            for call in reply.calls:
                arguments, number = json.loads(call.arguments), number + 1
                calls += [(call.name, arguments)] if call.name in CHANGING else []
                fields = _answer(call.name, arguments) | {"change": number}
                if call.name == "deploy-wasm-app":
                    fields["replaced"] = arguments["appName"] in installed
                    installed.add(arguments["appName"])
                turn.append(ToolReturn(call.call_id, call.name, json.dumps(fields)))
        before += [UserText(sentence), kept(reply)]
    return calls, reply


@pytest.mark.parametrize(
    "said",
    [
        "blink pin 5 | wait 5 seconds",
        "blink pin 5 | fade it twice as fast",
        "dim pin 5 to 30% | read it twice as bright",
        "turn on pin 5 | dim pin 6 to 30% | turn all of them off",
        "blink pin 5 | make that 25",
        "turn on pin 5 | no",
        "turn on pin 5 | no, 1",
        "turn on pin 5 | make it 0",
        "turn on pin 5 | faster",
        "blink pin 5 | brighter",
        "turn off pin 5 | stop it",
        "is pin 5 on | stop it",
        "dim pin 5 to 30% | and 6",
        "dim pin 5 to 100% | brighter",
        "dim pin 5 to 30% | no, 5",
        "turn on pin 5 | no, pin 6 but not now",
        "turn on pin 5 | what is running | stop it",
        "turn on pin 5 | who fades curtains in a film | turn it off",
        "turn on pin 5 | what can you do | hello | what time is it | help | turn it off",
        "turn on pins 5 and 6 | blink it",
        "turn on pin 5 and turn off pin 6 | and 7",
        "turn on pin 5 | what about pin 6",
        "turn on pin 5 | and 6?",
        "run a traffic light on pins 4, 5 and 6 | same on pin 7",
        "run a traffic light on pins 4, 5 and 6 | turn it on",
        "read the temperature every 10 seconds | turn it on",
        "what is the temperature | again",
        "turn on pin 5 at 7 | no, pin 6",
        "turn on pin 5 at 22:00 | no, pin 6",
        "turn on pin 5 | no, pin 77",
        "the fan is on pin 11 | forget the fan | turn on the fan",
        "blink pin 5 every 100 ms | turn on pin 6 in 10 minutes | delete it",
        "could the relay thingy on pin 10 be switched on for me | no, pin 5",
        "turn on pin 5 | xyzzy 6 | turn it off",
        "turn on pin 5 | dim my lamp and make it pretty | turn it off",
    ],
)
async def test_where_it_is_not_clear_nothing_is_changed(said: str) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert calls == [], reply.text


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("turn on pin 5 | no, pin 27", "correct", {"undo": [1]}),
        ("turn on pin 5 | turn it off | turn it on again", "gpio-set", {"pin": 5, "level": 1}),
        ("turn on pin 5 | stop it", "gpio-set", {"pin": 5, "level": 0}),
        ("turn on pin 5 | and 6 | and 11", "gpio-set", {"pin": 11, "level": 1}),
        ("dim pin 5 to 30% | a bit brighter", "pwm-set", {"pin": 5, "duty": 102}),
        ("dim pin 5 to 30% | and 6 | same on pin 6", "pwm-set", {"pin": 6, "duty": 76}),
        ("blink pin 5 every 100 ms | no, pin 6", "deploy-wasm-app", {"appName": "blink"}),
        ("blink pin 5 every 100 ms | no, pin 6 | no, pin 7", "deploy-wasm-app", {"appName": "blink"}),
        ("blink pin 5 every 100 ms | turn it off", "gpio-set", {"pin": 5, "level": 0}),
        ("turn on pin 5 | the fan is on pin 11 | forget the fan | undo | yes", "undo", {}),
        ("turn on pin 5 | stop it in 1 second", "schedule-add", {"do": "turn off pin 5"}),
        ("turn on pin 5 | asdf qwer | turn it off", "gpio-set", {"pin": 5, "level": 0}),
        ("turn on pin 5 | make it go crazy | turn it off", "gpio-set", {"pin": 5, "level": 0}),
        ("turn on pin 5 | yes | turn it off", "gpio-set", {"pin": 5, "level": 0}),
        ("blink the LED | gibberish | make it faster", "deploy-wasm-app", {"appName": "blink"}),
    ],
)
async def test_a_sentence_refers_to_the_last_act(said: str, tool: str, arguments: dict[str, Any]) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert calls, reply.text
    assert calls[-1][0] == tool
    assert arguments.items() <= calls[-1][1].items()


@pytest.mark.parametrize("said", ["turn it off", "same on pin 6", "no, pin 6", "faster", "stop it", "and 6", "again"])
async def test_after_a_quarter_of_an_hour_nothing_refers_to_the_last_act(said: str) -> None:
    calls, _ = await converse("turn on pin 5", said, expired=True)
    assert [tool for tool, _ in calls if tool != "switch-program"] == []


@pytest.mark.parametrize(
    ("said", "pin"),
    [
        ("turn on pin 5 | can pin 9 be used | turn it on", 9),
        ("turn on pin 5 | the fan is on pin 11 | turn it on", 11),
        ("turn on pin 5 | is pin 6 on | turn it on", 6),
        ("turn on pin 5 | what can you do | turn it on", 5),
        ("turn on pin 5 | remember that the dog is called Rex | turn it on", 5),
        ("turn on pin 5 | set it to 1", 5),
        ("turn on pin 99 | try again | no, pin 6", 6),
        ("turn on pin 99 | not pin 99, pin 6", 6),
        ("turn on pin 99 | I meant pin 6, not 99", 6),
        ("turn on pin 99 | no wait, I meant pin 6", 6),
        ("turn on pin 99 | use pin 6 instead", 6),
        ("turn on pin 99 | I said pin 6!", 6),
        ("turn on pin 99 | no, the led", 2),
    ],
)
async def test_it_is_what_was_spoken_of_last(said: str, pin: int) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert calls == [("gpio-set", {"pin": pin, "level": 1, "device": "bench-1"})], reply.text


@pytest.mark.parametrize(("said", "duty"), [("turn it up", 128), ("a bit darker", 51), ("half as bright", 38)])
async def test_more_and_less_light_are_shares_of_full_brightness(said: str, duty: int) -> None:
    calls, _ = await converse("dim pin 5 to 30%", said)
    assert calls == [("pwm-set", {"pin": 5, "duty": duty, "device": "bench-1"})]


async def test_a_correction_is_one_call_that_takes_all_changes_back_newest_first() -> None:
    calls, reply = await converse("turn on pins 5 and 6", "no, pins 7 and 8")
    pins = [{"pin": 7, "level": 1}, {"pin": 8, "level": 1}]
    assert calls == [("correct", {"undo": [2, 1], "pins": pins, "device": "bench-1"})]
    assert reply.failed_code is None


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("dim pin 5 to 30% | no, pin 6", {"pin": 6, "duty": 76}),
        ("turn on pin 21 | no, I meant pin 10", {"pin": 10, "level": 1}),
        ("turn on pin 5 | no, off", {"pin": 5, "level": 0}),
        ("toggle pin 5 | no, pin 6", {"pin": 6, "level": 1}),
        ("turn on pin 5 | no, pin 6 | no, pin 7", {"pin": 7, "level": 1}),
        ("turn on pin 5 | no | no, pin 6", {"pin": 6, "level": 1}),
        ("turn on pin 5 | no | no | no, pin 6", {"pin": 6, "level": 1}),
    ],
)
async def test_a_correction_of_a_pin_is_one_call(said: str, instead: dict[str, int]) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert [(tool, arguments["pins"]) for tool, arguments in calls] == [("correct", [instead])], reply.text


@pytest.mark.parametrize(
    "said",
    [
        "turn on pin 10", "turn off pins 5 and 6", "turn on the led", "dim pin 5 to 30%", "blink pin 5",
        "turn on pin 5 at 22:00",
    ],
)  # fmt: skip
async def test_a_no_after_an_act_that_is_done_offers_to_undo_it(said: str) -> None:
    calls, reply = await converse(said, "no")
    assert calls == []
    assert reply.next_step
    calls, _ = await converse(said, "no", "yes")
    assert [tool for tool, _ in calls] == ["schedule-remove" if "at 22" in said else "correct"]
    assert (await converse(said, "no", "no"))[0] == []


async def test_a_correction_of_what_was_learned_still_asks() -> None:
    calls, reply = await converse("could the relay thingy on pin 10 be switched on for me", "no, pin 5")
    assert (calls, reply.failed_code) == ([], "confirm_reading")
    assert "pin 5" in reply.text


async def test_is_it_on_after_a_program_was_stopped_is_about_its_pin() -> None:
    _, reply = await converse("blink pin 5", "stop it", "is it on?")
    assert "in 5" in reply.text


@pytest.mark.parametrize("said", ["a bit brighter", "brighter"])
async def test_the_hint_names_the_acts_own_pin(said: str) -> None:
    _, reply = await converse("blink pin 7", said)
    assert reply.next_step


async def test_the_expectations_of_the_pattern_go_with_its_program() -> None:
    [(tool, arguments)], _ = await converse("blink pin 5 twice a second")
    assert tool == "deploy-wasm-app"
    assert arguments["expect"].startswith("pin 5: high for 250 ms, low for 250 ms\n")


@pytest.mark.parametrize(
    ("said", "pin", "angle"),
    [
        ("sweep the servo on pin 9 back and forth | no, I meant pin 10", 10, None),
        ("move the servo on pin 9 to 45 degrees | no, I meant pin 10", 10, 45),
        ("move the servo on pin 9 to 45 degrees | no, 90 degrees", 9, 90),
        ("move the servo on pin 9 to 45 degrees | make it 90 degrees", 9, 90),
        ("move the servo on pin 9 to 45 degrees | same on pin 10", 10, 45),
    ],
)
async def test_a_servo_is_corrected_as_other_programs_are(said: str, pin: int, angle: int | None) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert [name for name, _ in calls] == ["deploy-wasm-app"], reply.text
    source = calls[0][1]["sourceCode"]
    assert re.search(rf"^#define PIN {pin}$", source, re.M), source
    assert angle is None or re.search(rf"^#define ANGLE {angle}$", source, re.M), source


@pytest.mark.parametrize(
    ("said", "period_ms"),
    [
        ("sweep the servo on pin 9 | faster", 2000),
        ("sweep the servo on pin 9 every 6 seconds | faster", 3000),
        ("sweep the servo on pin 9 | make it every 3 seconds", 3000),
    ],
)
async def test_a_sweep_has_a_pace(said: str, period_ms: int) -> None:
    calls, reply = await converse(*said.split(" | "))
    assert calls, reply.text
    assert f"#define PERIOD_MS {period_ms}" in calls[-1][1]["sourceCode"]


GONE = Result("schedule-remove", True, {"schedule": 1, "state": "removed"})
REFUSED = Result("schedule-remove", False, {"error": "permission_refused"})
SET, UNDONE = Result("gpio-set", True, {"change": 1}), Result("undo", True, {"change": 2})
RESTARTED = Result("switch-program", True, {"change": 1, "switch": "restart"})
FIRST, SECOND = Unlogged("schedule-add", 2), Unlogged("schedule-add", 1)
OF_UNDO = Parse("cancel_schedule", {"number": 1, "undo": True})


@pytest.mark.parametrize(
    ("parse", "results", "before", "after"),
    [
        (Parse("cancel_schedule", {"number": 1}), [GONE], (SECOND,), (SECOND, Unlogged("schedule-remove", 1))),
        (OF_UNDO, [GONE], (FIRST, SECOND), (FIRST,)),
        (OF_UNDO, [REFUSED], (FIRST, SECOND), (FIRST, SECOND)),  # it is still there to be reverted
        (Parse("set_pin"), [SET], (SECOND,), (SECOND, None)),
        (Parse("set_pin"), [UNDONE, SET], (SECOND, None), (SECOND, None)),  # a correction
        (Parse("undo"), [UNDONE, UNDONE], (SECOND, None), (SECOND,)),
        (Parse("switch_app"), [RESTARTED], (SECOND,), (SECOND,)),  # undo leaves it alone
    ],
)
def test_undo_goes_back_through_schedules_and_boards_in_turn(
    parse: Parse, results: list[Result], before: Undoable, after: Undoable
) -> None:
    at = Context(parse, "said", DeviceContext(), None, False, tuple(results))
    assert undoable_after(at, results, before) == after


async def test_undo_of_two_schedules_and_an_act_between_them() -> None:
    said = ["turn on pin 5 in 5 minutes", "turn on pin 5", "turn on pin 6 in 10 minutes", "undo", "undo", "undo"]
    undone = [[tool for tool, _ in (await converse(*said[:count]))[0]] for count in range(4, len(said) + 1)]
    assert undone == [[], ["undo"], []]  # a schedule is listed first, and there is none


async def test_after_a_quarter_of_an_hour_undo_is_still_about_what_was_done_last() -> None:
    calls, reply = await converse("turn on pin 5", "turn on pin 6 in 10 minutes", "undo", expired=True)
    assert (calls, reply.failed_code) == ([], "unknown_name")  # this board's host has no schedule
