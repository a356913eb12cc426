"""A correction of the schedule that was just made takes its place: never a second one beside the wrong one."""

from __future__ import annotations

import pytest
from tests.agent.offline.test_wishes import world
from tests.agent.offline.turns import Chat, converse


@pytest.mark.parametrize(
    ("chat", "when", "do"),
    [
        ("turn pin 4 on at 7 am | I meant every day", {"clock": "07:00", "repeat": "daily"}, "turn on pin 4"),
        ("turn pin 4 on every day at 7 | yes | no, at 8", {"clock": "08:00", "repeat": "daily"}, "turn on pin 4"),
        ("turn pin 4 on every evening at 7 | sorry, at 8", {"clock": "20:00", "repeat": "daily"}, "turn on pin 4"),
        ("turn pin 4 on every day at 7 | make it 7:30", {"clock": "07:30", "repeat": "daily"}, "turn on pin 4"),
        ("turn pin 4 on every day at 7 | only on weekdays", {"clock": "07:00", "repeat": "weekdays"}, "turn on pin 4"),
        ("turn pin 4 on every day at 7 | i meant pin 5", {"clock": "07:00", "repeat": "daily"}, "turn on pin 5"),
        (
            "run the pump on pin 9 for 5 s every day at 8 | make it 10 seconds",
            {"clock": "08:00", "repeat": "daily"},
            "turn on pin 9 for 10 s",
        ),
        ("turn pin 4 on in 5 minutes | make it 10 minutes", {"delay_ms": 600_000}, "turn on pin 4"),
        ("remind me to feed the cat at 8 pm | no, at 9", {"clock": "21:00"}, "remind me to feed the cat"),
        (
            "turn pin 4 on every day at 7 | no, turn pin 5 on every day at 8",
            {"clock": "08:00", "repeat": "daily"},
            "turn on pin 5",
        ),
    ],
)
async def test_a_corrected_schedule_takes_the_place_of_the_wrong_one(chat: str, when: dict[str, str], do: str) -> None:
    turn = await converse(world("wasm"), chat)
    assert [tool for tool, _ in turn.acts] == ["schedule-add", "schedule-remove"]
    added, removed = (arguments for _, arguments in turn.acts)
    assert (added["when"], added["do"]) == (when, do)
    assert removed == {"schedule": 1}
    assert "Schedule 1 was cancelled." in turn.reply.text


@pytest.mark.parametrize("said", ["i meant 8", "i meant off", "all over again", "the other pin", "not at 8", "at 8"])
async def test_a_correction_that_is_not_clear_changes_nothing(said: str) -> None:
    chat = Chat(world("wasm"))
    await chat.say("turn pin 4 on every day at 7")
    turn = await chat.say(said)
    assert not turn.acts
    assert turn.reply.failed_code is not None


async def test_all_over_again_repeats_the_last_act() -> None:
    turn = await converse(world("wasm"), "blink pin 4 three times | all over again")
    assert "blink pin 4 3 times" in turn.outcome


async def test_the_other_pin_is_asked_for() -> None:
    turn = await converse(world("wasm"), "turn pin 4 on | the other pin")
    assert "Which pin do you mean" in turn.reply.text
