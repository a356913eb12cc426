"""The offline model's words about the answers of tools, and its next call after them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.agent.offline.turns import WORLDS, Chat, one

from microclaw.agent.models.protocol import AssistantReply, KnownApp
from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.dialogue_state import DialogueState, LastAct, Question, state_after

ONE_BOARD = WORLDS["one board"]


def deployed(kind: str, text: str = "as tried", *, verified: bool = True) -> dict[str, Any]:
    return {"appName": "it", "verified": verified, "evidence": [{"kind": kind, "text": text}]}


def listed(state: str, **more: Any) -> dict[str, Any]:
    return {"apps": [{"name": "blink", "state": state, "pins": [2], **more}]}


READ = {"sensor": "bme280", "values": {"temperature_c": 22.46, "pressure_hpa": 1012.84}}
LOST = "accepted, but the board could not be reached afterwards: no answer"
WAITS = {"runs": "every 10 min: the board keeps it"}
FOUND = [
    {"text": "the relay is on pin 4", "source": "memory/MEMORY.md", "day": "", "kind": "memory"},
    {"text": "what do you know about the relay", "source": "sessions/a.jsonl", "day": "2026-11-20", "kind": "said"},
]


@pytest.mark.parametrize(
    ("said", "answer", "code", "words"),
    [
        ("blink pin 2", deployed("accepted", "accepted only"), None, "no read-back"),
        ("turn on pin 4 for 1 second", deployed("counted"), None, "It ends by itself."),
        ("turn on pin 4 for 1 second", deployed("accepted"), None, "It ends by itself."),
        ("blink pin 2", deployed("accepted", LOST, verified=False), "not_verified", ""),
        ("blink pin 2", deployed("counted", "no edge on pin 2 in 3 s", verified=False), "not_verified", ""),
        ("what is the temperature in degrees Celsius?", READ, None, "Temperature: 22.5 °C, read"),
        ("what is the humidity", READ, "tool_failed", ""),
        ("is blink still running", listed("running"), None, "blink runs on virtual-1"),
        ("is blink still running", listed("trapped"), None, "blink is on virtual-1 but trapped"),
        (
            "is blink still running",
            listed("listed"),
            None,
            "blink is listed by virtual-1; its firmware does not report whether it still works",
        ),
        ("is blink still running", listed("waiting", **WAITS), None, "waits"),
        ("is waterfall still running", listed("running"), None, "No program of that name runs. On virtual-1: blink"),
        ("stop everything", listed("running") | {"missing": ["fade"]}, "confirm", "stops blink, fade on"),
        ("delete all programs", listed("running") | {"stopped": ["fade"]}, "confirm", "removes blink, fade from"),
        ("what do you know about the relay", {"found": FOUND}, None, "relay is on pin 4 (memory/MEMORY.md)"),
        ("forget the relay", {"removed": [{"line": "- it"}], "still_in_conversations": 2}, None, "2 messages"),
        ("forget the relay", {"success": False, "removed": []}, "unknown_name", ""),
    ],
)
async def test_an_answer_says_what_is_known(said: str, answer: dict[str, Any], code: str | None, words: str) -> None:
    reply = (await Chat(ONE_BOARD, **answer).say(said)).reply
    assert (reply.failed_code, reply.calls) == (code, ())
    assert words in reply.text
    assert "sessions/a" not in reply.text  # it is a question to memory itself


@pytest.mark.parametrize(
    ("said", "answer", "tool", "arguments"),
    [
        ("toggle pin 4", {"pin": 4, "level": 1}, "gpio-set", {"pin": 4, "level": 0}),
        ("stop blink", {"apps": [], "missing": ["blink"]}, "switch-program", {"appName": "blink", "switch": "stop"}),
        ("stop blink", listed("listed", foreign=True), "uninstall-wasm-app", {"appName": "blink"}),  # nothing is kept
        ("are we connected to wifi", {"facts": {"uptime_s": 61}}, "device-info", {}),
        ("stop it in 3 seconds", listed("running"), "schedule-add", {"when": {"delay_ms": 3000}, "do": "stop blink"}),
    ],
)
async def test_the_next_call_follows_from_the_answer(
    said: str, answer: dict[str, Any], tool: str, arguments: dict[str, Any]
) -> None:
    assert (await Chat(ONE_BOARD, **answer).say(said)).calls[1] == (tool, arguments)


async def test_a_pin_is_free_by_the_claims_of_the_programs() -> None:
    apps = (KnownApp("blink", (2,)), KnownApp("button", (), (4,)), KnownApp("log", (), (), (7,)))

    async def told(sentence: str, *listed: dict[str, Any], ok: bool = True) -> str:
        chat = Chat(one("virtual", *apps), success=ok, apps=listed, message="no answer")
        return (await chat.say(sentence)).reply.text

    own = [{"name": app.name, "state": "running"} for app in apps]
    theirs = {"name": "theirs", "state": "running", "pins": [14], "foreign": True}
    for pin, said in ((2, "driven by blink"), (4, "read by button"), (7, "used by log")):
        assert f"Pin {pin} is {said}; " in await told(f"is pin {pin} free", *own)
    free = await told("which pins are free", theirs)
    assert "Pin 2 is driven by blink. Pin 4 is read by button. Pin 7 is used by log." in free
    assert ": 1, 5, 6, 10, " in free
    assert "Pin 14 is used by theirs" in free
    assert "Pin 6 is free" in await told("is pin 6 free", theirs)
    assert "Pin 14 is used by theirs" in await told("is pin 14 free", theirs)
    ended = await told("is pin 2 free", {"name": "blink", "state": "ended"})
    assert "Pin 2 is held by blink, which has ended" in ended
    assert "Pin 2 is driven by blink; " in await told("is pin 2 free", ok=False)


async def test_what_was_done_on_a_device_that_is_gone_is_not_done_on_another() -> None:
    chat = Chat(WORLDS["one board"])
    await chat.say("blink pin 2")
    chat.world = WORLDS["xiao"]
    assert (await chat.say("faster")).acts == []


def test_a_question_that_an_older_version_wrote_is_none() -> None:
    question = Question("pin", Parse("set_pin", {"level": 1}), "light it", "desk")
    act = LastAct(Parse("blink", {"pin": 4}), "blink pin 4", "desk", changes=(7,), app="blink")
    state = DialogueState(question, act)
    assert state_after(AssistantReply("Which pin?", question=msgspec.json.encode(state).decode())) == state
    for old in ('{"question":{"slot":"colour"}}', '{"slot":"pin","said":"x"}', "yes"):
        assert state_after(AssistantReply("Which pin?", question=old)) == DialogueState()
