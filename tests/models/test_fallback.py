"""Several models behind one: who is asked, who answers, and what the person reads when one fails in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from msgspec.structs import replace
from tests.models.asking import anthropic, openai, request
from tests.models.event_streams import Events, anthropic_stream, event, openai_stream
from tests.models.model_server import anthropic_reply, openai_reply, server

from microclaw.config.settings import ModelTask
from microclaw.errors import BudgetSpent, ModelError, ModelFault
from microclaw.models.breaker import Breaker
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText
from microclaw.models.router import Chain, Outage, Router, outages_of
from microclaw.models.scripted import Scripted, ScriptedModel, say
from microclaw.offline.model import OfflineModel

OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}
TASKS: Final[tuple[ModelTask, ...]] = ("subagent", "summary")
FALLS: Final[tuple[ModelFault, ...]] = (
    "unreachable", "timeout", "rate_limit", "quota", "overloaded", "server", "auth", "unreadable",
)  # fmt: skip


class Named(ScriptedModel):
    def __init__(self, name: str, *replies: Scripted) -> None:
        super().__init__(replies)
        self.name = name


class Breaks:
    """Says a beginning, then fails."""

    name = "breaks"

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        if on_text is not None:
            on_text("The pin ")
        raise ModelError("cut", fault="unreachable")


def chain(*models: Model, now: Callable[[], float] = lambda: 0.0) -> Chain:
    return tuple((model, Breaker(now)) for model in models)


def router(*models: Model, now: Callable[[], float] = lambda: 0.0) -> Router:
    return Router(chain(*models, now=now))


def error(fault: ModelFault) -> ModelError:
    return ModelError(f"first: {fault}", fault=fault, next_step="mend it")


@pytest.mark.parametrize("fault", FALLS)
async def test_a_fault_of_the_service_goes_on_to_the_next(fault: ModelFault) -> None:
    reply = await router(Named("first", error(fault)), Named("second", say("hi"))).respond(request())
    assert (reply.text, reply.model, bool(reply.instead), reply.note) == ("hi", "second", True, "")


@pytest.mark.parametrize("wrong", [error("refused"), error("other"), BudgetSpent("no money")])
async def test_a_wrong_request_is_not_asked_twice(wrong: ModelError) -> None:
    second = Named("second", say("hi"))
    with pytest.raises(ModelError) as caught:
        await router(Named("first", wrong), second).respond(request())
    assert caught.value is wrong
    assert second.requests == []


async def test_an_open_breakers_model_is_not_asked_and_that_is_said() -> None:
    first = Named("first", error("auth"), say("never"))
    both = router(first, Named("second", say("one"), say("two")))
    await both.respond(request())
    reply = await both.respond(request())
    assert len(first.requests) == 1
    assert reply.instead


async def test_a_lone_model_that_is_left_alone_says_why_and_for_how_long() -> None:
    first = Named("first", error("auth"), say("never"))
    alone = router(first)
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            await alone.respond(request())
    assert (caught.value.fault, caught.value.retry_after_s, len(first.requests)) == ("auth", 600.0, 1)


async def test_the_first_model_is_asked_again_after_its_pause() -> None:
    at_s = 0.0
    both = router(Named("first", error("auth"), say("back")), Named("second", say("hi")), now=lambda: at_s)
    assert both.outages() == ()
    assert (await both.respond(request())).model == "second"
    assert both.outages() == (Outage("first", "auth", "first: auth", "mend it", "second", 600.0),)
    at_s = 601.0
    reply = await both.respond(request())
    assert (reply.text, reply.instead) == ("back", "")
    assert both.outages() == ()


async def test_an_outage_that_nobody_stands_in_for_is_told() -> None:
    both = router(Named("a", error("server")), Named("b", error("auth")))
    with pytest.raises(ModelError):
        await both.respond(request())
    assert [(out.model, out.why, out.instead) for out in outages_of(both)] == [("a", "server", None)]


async def test_outages_are_known_through_every_choice_the_one_for_chats_first() -> None:
    chats = chain(Named("dear", error("auth")), Named("cheap", say("hi"), say("on")))
    others = chain(Named("small", error("quota")), Named("cheap", say("hi")))
    every = Router(others, {"chat": chats, "subagent": chats}, OfflineModel())
    assert outages_of(every) == ()
    for task in TASKS:
        await every.respond(replace(request(), task=task))
    assert [out.model for out in outages_of(every)] == ["dear", "small"]
    assert outages_of(Named("alone")) == ()


async def test_after_streamed_text_the_next_beginning_is_announced() -> None:
    seen: list[str] = []
    reply = await router(Breaks(), Named("second", say("on"))).respond(request(), seen.append)
    assert "".join(seen) == "The pin \n(breaks broke off; second begins again)\non"
    assert reply.text == "on"


async def test_a_cancelled_request_counts_against_nobody() -> None:
    class Hangs(Breaks):
        async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
            await asyncio.Event().wait()
            raise AssertionError

    breaker = Breaker(lambda: 0.0)
    alone = Router(((Hangs(), breaker),))
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await alone.respond(request())
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "first",
    [
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}),
        (500, {"type": "error", "error": {"type": "api_error", "message": "oops"}}),
        (529, {"type": "error", "error": OVERLOADED}),
        (401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        (200, Events(anthropic_stream("Pin ")[:4], end="cut")),
        (
            200,
            Events([*anthropic_stream("Pin ")[:4], event("error", error=OVERLOADED)]),
        ),
        (200, Events([], end="stall")),
    ],
)
async def test_real_failures_of_one_provider_are_answered_by_the_other(first: tuple[int, object]) -> None:
    async with server(first) as one, server((200, Events(openai_stream("on")))) as two:
        both = router(anthropic(one.url, 0.3), openai(two.url))
        seen: list[str] = []
        reply = await both.respond(request(), seen.append)
        await both.aclose()
    assert (reply.text, reply.model) == ("on", "test-model")
    assert seen[-1] == "on"


async def test_retry_after_is_honoured_from_the_wire() -> None:
    limited = (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}})
    back = (200, anthropic_reply({"type": "text", "text": "back"}))
    at_s = 0.0
    async with (
        server(limited, back, head="retry-after: 30\r\nconnection: close") as one,
        server((200, openai_reply("a")), (200, openai_reply("b"))) as two,
    ):
        both = router(anthropic(one.url), openai(two.url), now=lambda: at_s)
        assert (await both.respond(request())).text == "a"
        at_s = 29.0
        assert (await both.respond(request())).text == "b"
        at_s = 31.0
        assert (await both.respond(request())).text == "back"
        await both.aclose()
