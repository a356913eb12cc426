"""Several models behind one: who is asked, who answers, what is done offline, and what is said when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace
from tests.agent.models.asking import request
from tests.agent.models.event_streams import Events, openai_stream
from tests.agent.models.model_server import openai_reply, server

from microclaw.agent.models.breaker import FAULTS_OF_THE_SERVICE, Breaker
from microclaw.agent.models.protocol import (
    AssistantReply,
    DeviceContext,
    ImageInput,
    KnownApp,
    KnownDevice,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    ToolReturn,
    UserText,
)
from microclaw.agent.models.router import Chain, Outage, Router, choose_model, silence_limit_s, turn_limit_s
from microclaw.agent.models.scripted import Scripted, ScriptedModel, say
from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.dialogue_state import DialogueState, Question
from microclaw.agent.offline.model import OfflineModel
from microclaw.errors import BudgetSpent, ModelError, ModelFault
from microclaw.host.config.settings import ModelChoice, ModelSettings

LOVE = UserText("tell me of love")


class Named(ScriptedModel):
    def __init__(self, name: str, *replies: Scripted) -> None:
        super().__init__(replies)
        self.name = name
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class Breaks(Named):
    """Says a beginning, then fails, or hangs."""

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        if self.name == "hangs":
            await asyncio.Event().wait()
        if on_text is not None:
            on_text("The pin ")
        raise error("unreachable")


def chain(*models: Model, now: Callable[[], float] = lambda: 0.0) -> Chain:
    return tuple((model, Breaker(now)) for model in models)


def router(*models: Model, now: Callable[[], float] = lambda: 0.0) -> Router:
    return Router(chain(*models, now=now))


def error(fault: ModelFault) -> ModelError:
    return ModelError(f"first: {fault}", fault=fault, next_step="mend it")


# Fallbacks.


async def test_only_a_fault_of_the_service_goes_on_to_the_next() -> None:
    for fault in FAULTS_OF_THE_SERVICE:
        reply = await router(Named("first", error(fault)), Named("second", say("hi"))).respond(request())
        assert (reply.text, reply.model, bool(reply.instead), reply.note) == ("hi", "second", True, "")
    for wrong in (error("refused"), error("other"), BudgetSpent("no money")):
        second = Named("second", say("hi"))
        with pytest.raises(ModelError) as caught:
            await router(Named("first", wrong), second).respond(request())
        assert caught.value is wrong
        assert second.requests == []


async def test_a_model_that_is_out_is_left_alone_for_its_pause_and_that_is_said() -> None:
    at_s = 0.0
    first = Named("first", error("auth"), say("back"))
    both = router(first, Named("second", say("one"), say("two")), now=lambda: at_s)
    assert both.outages() == ()
    assert (await both.respond(request())).model == "second"
    assert both.outages() == (Outage("first", "auth", "first: auth", "mend it", "second", 600.0),)
    assert (await both.respond(request())).instead
    assert len(first.requests) == 1
    at_s = 601.0
    reply = await both.respond(request())
    assert (reply.text, reply.instead, both.outages()) == ("back", "", ())


async def test_a_turn_that_tries_again_is_ended_by_no_breaker_unless_the_service_asked_to_be_left_alone() -> None:
    tries = [error("unreachable")] * 5
    for fallbacks in ([], [Named("second", *tries)]):
        first = Named("first", *tries, say("hi"))
        model = router(first, *fallbacks)
        for _ in tries:
            with pytest.raises(ModelError, match="first: unreachable"):
                await model.respond(request())
        assert [outage.retry_in_s for outage in model.outages()] == [0.0]
        assert (await model.respond(request())).text == "hi"
    busy = Named("busy", ModelError("slow down", fault="rate_limit", retry_after_s=9.0))
    alone = router(busy)
    for _ in range(3):
        with pytest.raises(ModelError) as caught:
            await alone.respond(request())
        assert caught.value.retry_after_s == 9.0
    assert len(busy.requests) == 1


async def test_after_streamed_text_the_next_beginning_is_announced() -> None:
    seen: list[str] = []
    reply = await router(Breaks("breaks"), Named("second", say("on"))).respond(request(), seen.append)
    assert "".join(seen) == "The pin \n(breaks broke off; second begins again)\non"
    assert reply.text == "on"


async def test_a_cancelled_request_counts_against_nobody() -> None:
    breaker = Breaker(lambda: 0.0)
    alone = Router(((Breaks("hangs"), breaker),))
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await alone.respond(request())
    assert (breaker.wait_s, breaker.last) == (0, None)


# The choice.


async def test_a_task_has_its_own_model_and_the_same_fallbacks() -> None:
    async with server((200, openai_reply("chat"))) as main, server((500, {}), (200, openai_reply("short"))) as small:
        settings = ModelSettings(
            ModelChoice("openai", "main", base_url=f"{main.url}/v1"),
            tasks={"summary": ModelChoice("openai", "small", base_url=f"{small.url}/v1")},
            fallbacks=(ModelChoice("openai", "spare", base_url=f"{small.url}/v1"),),
        )
        model = choose_model(settings, OfflineModel())
        assert (await model.respond(ModelRequest("", (LOVE,), ()))).text == "chat"
        reply = await model.respond(ModelRequest("", (UserText("sum up"),), (), task="summary"))
        assert (reply.text, reply.model) == ("short", "spare")
        assert [b["model"] for b in small.bodies] == ["small", "spare"]
        await model.aclose()


@pytest.mark.parametrize(
    ("choice", "silence_s", "turn_s"),
    [
        (ModelChoice("anthropic"), 90, 120),
        (ModelChoice("openai", base_url="https://api.example.org/v1"), 90, 120),
        (ModelChoice("openai", base_url="http://192.168.1.5:11434/v1"), 600, 1200),
        (ModelChoice("openai", base_url="http://localhost:1234/v1", silence_s=30), 30, 120),
        (ModelChoice("anthropic", silence_s=200), 200, 400),
    ],
)
def test_a_model_at_home_may_be_silent_for_longer_and_its_turn_lasts_longer(
    choice: ModelChoice, silence_s: float, turn_s: float
) -> None:
    assert silence_limit_s(choice) == silence_s
    assert turn_limit_s(None, ModelSettings(choice)) == turn_s
    assert turn_limit_s(10, ModelSettings(choice)) == 10


# Sentences that need no model.


def asked(*messages: Message, device_context: DeviceContext) -> ModelRequest:
    return replace(request(*messages), device_context=device_context)


async def test_a_sure_sentence_asks_no_server_unless_that_is_switched_off(device_context: DeviceContext) -> None:
    async with server((200, Events(openai_stream("hello"))), (200, openai_reply("summary"))) as s:
        choice = ModelChoice("openai", "m", base_url=f"{s.url}/v1")
        seen = list[str]()
        said = asked(UserText("set pin 4 on"), device_context=device_context)
        first = choose_model(ModelSettings(choice), OfflineModel())
        reply = await first.respond(said)
        assert (reply.calls[0].name, reply.model, s.paths) == ("gpio-set", "offline", [])
        second = choose_model(ModelSettings(choice, offline_first=False), OfflineModel())
        assert (await second.respond(said, seen.append)).text == "hello"
        assert seen == ["hello"]
        assert (await first.respond(replace(said, task="summary"))).text == "summary"  # only chats are answered offline
        await first.aclose()
        await second.aclose()


SURE = ["set pin 4 on", "turn off pin 4", "blink the led every second", "what is the temperature?", "list devices",
        "which pins are free", "undo that", "stop blink", "is the blinker still running?", "what is running",
        "restart the board", "is it hot"]  # fmt: skip
UNSURE = ["turn on the garden light",  # which pin? it would ask back
          "set pin 99 high", "do not blink the led", "who won the football match yesterday", "what can you do",
          "thanks", "stop the music",  # no program of that name
          "erase the flash", "flash the board", "", "x" * 5000, "yes"]  # fmt: skip
ASKS = msgspec.json.encode(DialogueState(Question("confirmed", Parse("remove_all"), "stop everything"))).decode()
ON = UserText("set pin 4 on")
BEGUN_BY_A_MODEL = (
    AssistantReply("", (ToolCall("toolu_1", "gpio-set", '{"pin": 4, "level": 1}'),)),
    ToolReturn("toolu_1", "gpio-set", '{"device": "virtual-1", "pin": 4}'),
)


@pytest.mark.parametrize(
    ("messages", "sure"),
    [
        *(((UserText(one),), True) for one in SURE),
        *(((UserText(one),), False) for one in UNSURE),
        ((UserText("set pin 4 on", (ImageInput("image/png", b"x"),)),), False),  # a picture is for a model
        ((UserText("switch the relay"), AssistantReply("Shall I do it now?"), ON), False),
        ((UserText("hi"), AssistantReply("Hello."), ON), True),
        ((UserText("what is in the oven"), AssistantReply("A cake."), UserText("is it hot")), False),
        ((UserText("turn on the garden light"), AssistantReply("Which pin is it on."), UserText("pin 4")), False),
        ((UserText("stop everything"), AssistantReply("That removes blink.", question=ASKS), UserText("yes")), True),
        ((UserText("blink the led"), *BEGUN_BY_A_MODEL, ON), False),
    ],
)
def test_only_whole_sentences_of_no_models_conversation_that_the_templates_would_do_are_sure(
    messages: tuple[Message, ...], sure: bool, device_context: DeviceContext
) -> None:
    """blink runs on the one board."""
    device = KnownDevice("virtual-1", device_context.devices[0].board, (KnownApp("blink", (2,)),))
    busy = DeviceContext((device,), device)
    assert OfflineModel().is_sure(asked(*messages, device_context=busy)) is sure


async def test_a_turn_ends_with_whoever_began_it(device_context: DeviceContext) -> None:
    model = Router(chain(Named("scripted", say("done"))), offline=OfflineModel())
    first = await model.respond(asked(ON, device_context=device_context))
    more = (AssistantReply("", first.calls), ToolReturn(first.calls[0].call_id, "gpio-set", '{"device": "virtual-1"}'))
    assert (await model.respond(asked(ON, *more, device_context=device_context))).model == "offline"
    assert (await model.respond(asked(ON, *BEGUN_BY_A_MODEL, device_context=device_context))).model == "scripted"
