"""Questions about the board itself are answered from what it reports; what it does not report is said plainly."""

from __future__ import annotations

import pytest
from tests.agent.offline.test_wishes import world
from tests.agent.offline.turns import Chat


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("when did it last restart?", "has been running for"),
        ("when did the board last reboot?", "has been running for"),
        ("how long ago did the board restart?", "has been running for"),
        ("has the board restarted today?", "has been running for"),
        ("how long has the board been running?", "has been running for"),
        ("how strong is its signal?", "reports no wifi"),
        ("which network is it on?", "reports no wifi"),
        ("what's its IP address?", "reports no ip"),
        ("what is the board's ip?", "reports no ip"),
        ("what ip does the board have?", "reports no ip"),
        ("how full is it?", "reports free_heap_kb 200"),
        ("how full is the memory?", "reports free_heap_kb 200"),
        ("how much space does the board have?", "reports no free_storage"),
        ("how full is its flash?", "reports no free_storage"),
        ("which firmware does it run?", "reports firmware v1"),
        ("is everything all right?", "uptime_s 5"),
        ("is all well?", "uptime_s 5"),
        ("is the board ok?", "uptime_s 5"),
    ],
)
async def test_a_question_about_the_board_is_answered_from_what_it_reports(said: str, answer: str) -> None:
    turn = await Chat(world("wasm")).say(said)
    assert not turn.acts
    assert answer in turn.reply.text


@pytest.mark.parametrize("said", ["how full is the tank?", "is the lamp on pin 4 ok?", "is everything off?"])
async def test_a_question_about_a_thing_is_not_one_about_the_board(said: str) -> None:
    turn = await Chat(world("wasm")).say(said)
    assert turn.reply.failed_code is not None
