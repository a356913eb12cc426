"""A model that calls the same act twice in a turn: it is done once, and the model is told what came of it."""

from __future__ import annotations

import pytest
from tests.agent.conftest import MakeAgent

from microclaw.models.protocol import ModelReply
from microclaw.models.scripted import call, say

GOOD = call("deploy-wasm-app", sourceCode="GOOD;", appName="a")


@pytest.mark.parametrize(
    ("calls", "done"),
    [
        ([call("gpio-set", pin=4), call("gpio-set", pin=4)], ["set 4 1"]),
        ([call("gpio-set", pin=4), call("gpio-set", '{"level": null, "pin":4}')], ["set 4 1"]),
        (
            [call("gpio-set", pin=4), call("gpio-set", pin=5), call("gpio-set", pin=4), call("gpio-set", pin=5)],
            ["set 4 1", "set 5 1"],
        ),
        (
            [call("gpio-set", pin=4, level=1), call("gpio-set", pin=4, level=0), call("gpio-set", pin=4, level=1)],
            ["set 4 1", "set 4 0", "set 4 1"],
        ),
        ([call("undo"), call("undo")], ["undo"]),
        ([call("gpio-set", pin=4), call("undo"), call("gpio-set", pin=4)], ["set 4 1", "undo", "set 4 1"]),
        ([GOOD, GOOD], ["deploy a"]),
        (
            [
                call("gpio-set", pin=4),
                call("deploy-wasm-app", sourceCode="GOOD;", appName="a"),
                call("gpio-set", pin=4),
            ],
            ["set 4 1", "deploy a", "set 4 1"],
        ),
    ],
)
async def test_what_was_done_is_not_done_again(make_agent: MakeAgent, calls: list[ModelReply], done: list[str]) -> None:
    async with make_agent([*calls, say("ready")]) as agent:
        answer = await agent.answer("do it")
        assert agent.workshop.done == done
        assert sum(action.outcome == "done" for action in answer.actions) == len(done)
        assert answer.error_code is None


async def test_what_failed_and_what_only_looks_may_be_tried_again(make_agent: MakeAgent) -> None:
    bad = call("deploy-wasm-app", sourceCode="BAD;", appName="a")
    async with make_agent([bad, bad, call("gpio-get", pin=4), call("gpio-get", pin=4), say("no")]) as agent:
        answer = await agent.answer("try")
        assert [action.outcome for action in answer.actions] == ["refused", "refused", "done", "done"]
