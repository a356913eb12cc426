"""Questions about what was done and what comes next are answered from the host's records, and none of them acts."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.agent.offline.turns import CHANGING, WORLDS, Chat, one
from tests.agent.turn.real_host import real_host

from microclaw.agent.offline.decision import Context, ToolFields
from microclaw.agent.offline.more_questions import MORE_QUESTIONS
from microclaw.agent.offline.questions import QUESTIONS, pin_schedules, pin_uses
from microclaw.agent.offline.sentences import english

NOW = "2026-11-23T14:00:00+01:00"
BOARD = one("virtual", name="desk")


def _moment(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _change(number: int, at: str, kind: str, summary: str, **more: Any) -> dict[str, Any]:
    fields = {"change_id": number, "at_ms": _moment(at), "device": "desk", "kind": kind, "summary": summary}
    return fields | {"state": "done", "person": "ada", "undone_by": None, "undoes": None} | more


CHANGES = [
    _change(9, "2026-11-23T13:00:00+01:00", "gpio.set", "set pin 4 of desk high", state="failed"),
    _change(8, "2026-11-23T12:30:00+01:00", "gpio.set", "set pin 5 of shelf high", device="shelf"),
    _change(7, "2026-11-23T09:10:00+01:00", "gpio.set", "set pin 4 of desk high"),
    _change(6, "2026-11-23T08:00:00+01:00", "app.deploy", "install blink on desk"),
    _change(5, "2026-11-22T20:00:00+01:00", "gpio.set", "set pin 7 of desk high"),
    _change(4, "2026-11-22T19:00:00+01:00", "gpio.set", "set pin 14 of desk low"),
]
RESULTS: dict[str, dict[str, Any]] = {
    "time": {"now": NOW},
    "list-changes": {"changes": CHANGES},
    "query-wasm-apps": {"apps": [{"name": "blink", "state": "running", "pins": [2]}]},
    "schedule-list": {
        "schedules": [
            {
                "schedule": 3,
                "when": "at 8:00",
                "what": "turn on pin 9 for 10 s",
                "next": "tomorrow, 08:00",
                "state": "active",
                "created_ms": _moment("2026-11-21T08:40:00+01:00"),
                "by": "ada",
            },
            {
                "schedule": 4,
                "when": "every day at 06:45",
                "what": "turn on pin 10",
                "next": "today, 06:45",
                "next_ms": 1,
                "created_ms": _moment("2026-11-20T09:00:00+01:00"),
                "by": "ada",
            },
            {
                "schedule": 2,
                "when": "in 5 minutes",
                "what": "turn on pin 9",
                "next": None,
                "state": "over",
                "created_ms": _moment("2026-11-21T08:30:00+01:00"),
                "by": "ada",
            },
        ]
    },
    "gpio-get": {"device": "desk", "level": 1},
    "catalog": {"entries": [["watering", "water a plant", ["c"]]]},
}


def _answer(sentence: str) -> str:
    parse = english().parse(sentence)
    assert parse is not None
    context = Context(parse, sentence, BOARD.context)
    decide = {**QUESTIONS, **MORE_QUESTIONS}[parse.kind]
    for _ in range(4):
        decision = decide(context)
        if hasattr(decision, "text"):
            return str(decision.text)
        result = ToolFields(decision.tool, ok=True, fields=RESULTS[decision.tool])
        context = replace(context, results=(*context.results, result))
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("why is pin 4 on", "09:10 set pin 4 of desk high (change 7, asked by ada)"),
        ("who switched pin 4 on", "09:10 set pin 4 of desk high (change 7, asked by ada)"),
        ("who turned on pin 4", "09:10 set pin 4"),
        ("how long has pin 7 been on", "2026-11-22 20:00 set pin 7"),
        ("who switched pin 5 on", "no record that pin 5 was set"),
        ("why is the led on", "driven by blink: 08:00 install blink on desk (change 6, asked by ada)"),
        ("how long has the led been blinking", "blink: 08:00 install blink"),
        ("how long has pin 5 been blinking", "No program of this host runs on pin 5"),
        ("what did you do today", "09:10 set pin 4 of desk high (change 7, asked by ada)\n  08:00 install blink"),
        ("what did you do yesterday", "2026-11-22 20:00 set pin 7"),
        ("what happened this evening", "Nothing was changed by this host this evening"),
        ("did pin 4 open this morning", "09:10 set pin 4"),
        ("did the valve on pin 7 open this morning", "No change of this host set pin 7 this morning. What a program"),
        ("what did you do in the last 6 hours", "09:10 set pin 4 of desk high (change 7, asked by ada)"),
        ("what happened in the last hour", "Nothing was changed by this host in the last 1 h"),
        ("what happens at 6:45", "At 06:45: turn on pin 10 (schedule 4, every day at 06:45; next today, 06:45)"),
        ("what will happen at 7 pm", "No schedule names 19:00"),
        ("which program drives the led", "blink: 08:00 install blink"),
        ("which program uses pin 5", "No program of this host runs on pin 5"),
        ("is the door on pin 15 open", "Pin 15 of desk is high. No door contact is recorded there"),
        ("when does the pump on pin 9 run next", "Next: tomorrow, 08:00: turn on pin 9 for 10 s (schedule 3)"),
        ("when does pin 5 run next", "No schedule of this host names it"),
        ("which programs are there for plants", "watering: water a plant"),
        ("what can you do with a button", "button"),
    ],
)
def test_a_question_is_answered_from_the_records(sentence: str, answer: str) -> None:
    assert answer in _answer(sentence)


def test_a_failed_change_and_one_of_another_board_are_no_reason() -> None:
    text = _answer("what did you do today")
    assert "change 9" not in text
    assert "change 8" not in text


def test_a_pin_that_was_left_on_or_is_scheduled_is_in_use() -> None:
    parse = english().parse("which pins are free")
    assert parse is not None
    results = tuple(ToolFields(tool, ok=True, fields=fields) for tool, fields in RESULTS.items())
    context = Context(parse, "which pins are free", BOARD.context, results=results)
    uses = pin_uses(context) | pin_schedules(context)
    assert uses == {
        4: "left on: set pin 4 of desk high (change 7)",
        7: "left on: set pin 7 of desk high (change 5)",
        9: "named by schedule 3",
        10: "named by schedule 4",
    }


@pytest.mark.parametrize(
    "sentence",
    [
        "why is pin 4 on",
        "what did you do today",
        "is the door on pin 15 open",
        "which pins are free",
        "what is wired to pin 8",
        "when does the pump run next",
        "how long has the led been blinking",
        "what was the highest temperature today",
        "which programs are there for a plant",
        "what can you do with a button",
        "did pin 7 open this morning",
        "what happens at 6:45",
        "what did you do in the last 20 minutes",
        "how cold is it and how damp",
        "who switched pin 5 on",
    ],
)
async def test_a_question_never_acts(sentence: str) -> None:
    turn = await Chat(WORLDS["40 pins"]).say(sentence)
    assert not CHANGING & {tool for tool, _ in turn.calls}
    assert turn.reply.failed_code in (None, "not_possible")
    assert turn.reply.text


@pytest.mark.parametrize(
    "sentence",
    [
        "what did you do tomorrow",
        "tomorrow at 8:00 who switched pin 5 on",
        "why is the sky blue",
    ],
)
async def test_what_is_no_question_about_the_records_is_not_answered_from_them(sentence: str) -> None:
    turn = await Chat(WORLDS["40 pins"]).say(sentence)
    assert not turn.calls
    assert turn.reply.failed_code is not None


def test_a_schedule_that_was_added_is_an_act_and_a_cancelled_one_has_no_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created = _moment("2026-11-23T13:55:00+01:00")
    row = {"schedule": 5, "when": "at 05:07", "what": "turn on pin 9", "created_ms": created, "by": "ada"}
    rows = [*RESULTS["schedule-list"]["schedules"], row]
    monkeypatch.setitem(RESULTS, "schedule-list", {"schedules": rows})
    line = "13:55 add schedule 5: turn on pin 9, at 05:07 (asked by ada)"
    recent = _answer("what did you do in the last 10 minutes")
    assert line in recent
    assert "schedule 4" not in recent
    assert "cancelled are not recorded" in recent
    assert line in _answer("what did you do last")
    assert "cancelled are not recorded" in _answer("what happened this evening")


async def test_a_question_is_answered_from_a_list_that_is_too_long_for_a_model(tmp_path: Path) -> None:
    async with real_host(tmp_path / "home") as home:
        await asyncio.to_thread(home.client.use_tool, "gpio-set", {"pin": 7, "level": 1})
        for number in range(60):
            await asyncio.to_thread(home.client.use_tool, "gpio-set", {"pin": 4, "level": number % 2})
        listed = await asyncio.to_thread(home.client.use_tool, "list-changes", {"limit": 200})
        oldest = await home.say("why is pin 7 on")
        today = await home.say("what did you do today")
    assert listed["content"]["cut"]
    assert "set pin 7 of virtual-1 high" in oldest.text
    assert "and 53 more" in today.text


def test_a_list_that_is_not_whole_is_no_proof_that_nothing_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = {"changes": CHANGES, "cut": "result was longer"}
    monkeypatch.setitem(RESULTS, "list-changes", cut)
    assert "none of the newest 6 changes names it" in _answer("who switched pin 5 on")
    assert "None of the newest 6 changes is of this evening" in _answer("what happened this evening")


async def test_two_readings_and_a_time_in_words() -> None:
    both = await Chat(WORLDS["one board"]).say("how cold is it and how humid")
    assert [tool for tool, _ in both.calls] == ["i2c-read", "i2c-read"]
    assert "Temperature: " in both.reply.text
    assert "Humidity: " in both.reply.text
    uptime = await Chat(WORLDS["one board"]).say("how long has the device been up")
    assert "has been running for" in uptime.reply.text
    assert "uptime_s" not in uptime.reply.text


async def test_a_schedule_says_if_it_is_once_and_that_the_host_must_run() -> None:
    once = await Chat(WORLDS["one board"]).say("turn on pin 7 at 7:15 pm")
    assert once.reply.text == "Schedule 1: turn on pin 7, once; next Monday, 7:00. This host must run then."
    span = await Chat(WORLDS["one board"]).say("every day turn on pin 7 from 17:00 to 18:30")
    assert span.reply.text.count("This host must run then.") == 1
    assert "once" not in span.reply.text


@pytest.mark.parametrize(
    ("sentence", "is_done_once"),
    [
        ("turn on pin 4 for 1 second", True),
        ("blink pin 4 three times", True),
        ("turn on pin 4 then wait 10 s then turn on pin 5", True),
        ("blink pin 2 twice a second and pin 4 once a second", False),
        ("blink pin 4 twice a second", False),
        ("when the button on pin 7 is pressed turn on pin 4 for 3 s", False),
    ],
)
async def test_what_is_done_once_is_not_begun_again_by_a_restart(sentence: str, *, is_done_once: bool) -> None:
    turn = await Chat(WORLDS["one board"]).say(sentence)
    (arguments,) = [arguments for tool, arguments in turn.calls if tool == "deploy-wasm-app"]
    assert arguments.get("autostart", True) is not is_done_once


@pytest.mark.parametrize("sentence", ["flash the led every half hour", "flash pin 2 once every 30 minutes"])
async def test_a_flash_that_comes_seldom_is_a_short_one(sentence: str) -> None:
    ((tool, arguments),) = (await Chat(WORLDS["one board"]).say(sentence)).calls
    assert (tool, arguments["appName"]) == ("deploy-wasm-app", "rule-2")
    assert arguments["expect"].startswith("pin 2: high at 260 ms, low at 760 ms\n")


@pytest.mark.parametrize(
    "sentence",
    [
        "flash the led every half hour for 3 hours",
        "flash the led red every hour",
        "when there is motion on pin 6, turn off the lamp on pin 4 for 3 s",
        "the lamp on pin 4 goes off for 3 s",
        "lamp on pin 4, blink pin 5 when the button on pin 6 is pressed",
        "warn me on pin 5 when the temperature is above 30",
    ],
)
async def test_what_may_be_meant_otherwise_is_asked(sentence: str) -> None:
    turn = await Chat(WORLDS["one board"]).say(sentence)
    assert not turn.calls
    assert turn.reply.failed_code is not None
