"""A model's service that fails for a moment: the turn asks again, says so, and never repeats what it has done."""

from __future__ import annotations

import time
from contextlib import aclosing

import pytest
from tests.agent.conftest import MakeAgent

from microclaw.agent.acts import own_words
from microclaw.agent.asking import RetryLimits
from microclaw.agent.turn import TurnLimits
from microclaw.errors import ModelError, ModelFault
from microclaw.events import Answer, Inbound, Step
from microclaw.models.breaker import Breaker
from microclaw.models.router import Router
from microclaw.models.scripted import Scripted, ScriptedModel, call, say

AT_ONCE = TurnLimits(retries=RetryLimits(tries=4, waits_s=30.0, pause_s=0.0))


def failed(fault: ModelFault, retry_after_s: float | None = None) -> ModelError:
    return ModelError(f"the service says {fault}", next_step="ask again", fault=fault, retry_after_s=retry_after_s)


@pytest.mark.parametrize("fault", ["rate_limit", "unreachable"])
async def test_a_failure_that_may_pass_is_asked_again_and_shown(make_agent: MakeAgent, fault: ModelFault) -> None:
    async with make_agent([failed(fault), failed(fault), say("here I am")], limits=AT_ONCE) as agent:
        events = await agent.events("hello")
        answer = events[-1]
        assert isinstance(answer, Answer)
        assert own_words(answer.text) == "here I am"
        assert answer.error_code is None
        shown = [event for event in events if isinstance(event, Step) and event.stage == "model"]
        assert [step.state for step in shown] == ["running", "running"]


@pytest.mark.parametrize(("fault", "tries"), [("auth", 1), ("timeout", 1), ("other", 1), ("server", 4)])
async def test_a_failure_that_stays_is_told_after_the_last_try(
    make_agent: MakeAgent, fault: ModelFault, tries: int
) -> None:
    async with make_agent([failed(fault)] * 9, limits=AT_ONCE) as agent:
        assert (await agent.answer("hello")).error_code == "model_error"
        assert len(agent.script.requests) == tries


@pytest.mark.parametrize("limits", [TurnLimits(turn_s=60.0), TurnLimits(retries=RetryLimits(waits_s=60.0))])
async def test_a_pause_longer_than_there_is_time_for_is_not_waited_for(
    make_agent: MakeAgent, limits: TurnLimits
) -> None:
    async with make_agent([failed("rate_limit", 600.0), say("never")], limits=limits) as agent:
        assert (await agent.answer("hello")).error_code == "model_error"
        assert len(agent.script.requests) == 1


async def test_an_act_is_done_once_however_often_the_model_fails_after_it(make_agent: MakeAgent) -> None:
    script: list[Scripted] = [call("gpio-set", pin=4), failed("server"), failed("unreachable"), say("it is on")]
    async with make_agent(script, limits=AT_ONCE) as agent:
        answer = await agent.answer("pin 4 on")
        assert agent.workshop.done == ["set 4 1"]
        assert "done: gpio-set pin=4" in answer.text


async def test_a_listener_that_leaves_ends_the_pause(make_agent: MakeAgent) -> None:
    limits = TurnLimits(retries=RetryLimits(pause_s=20.0))
    async with make_agent([failed("server"), say("second")], limits=limits) as agent:
        began = time.monotonic()
        async with aclosing(agent.conversations.chat(Inbound("test", "c1", "first"))) as events:
            assert isinstance(await anext(events), Step)
        assert (await agent.answer("second")).text.startswith("second")
        assert time.monotonic() - began < 15


async def test_a_turns_steps_name_the_stand_in_once(make_agent: MakeAgent) -> None:
    models = [ScriptedModel([failed("overloaded", 30)]), ScriptedModel([call("gpio-set", pin=4), say("pin 4 is on")])]
    models[0].name, models[1].name = "dear", "cheap"
    async with make_agent(model=Router(tuple((model, Breaker(lambda: 0.0)) for model in models))) as agent:
        events = await agent.events("set pin 4 on")
    told = [event.text for event in events if isinstance(event, Step) and event.stage == "model"]
    assert told == ["cheap answers: dear is out (overloaded); dear is asked again in 30 s"]
    assert isinstance(events[-1], Answer)
