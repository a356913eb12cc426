"""Jobs that have begun outlive their readers, and end with the host."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from microclaw.errors import Overloaded, PinRefused
from microclaw.events import Step
from microclaw.host.config.settings import Limits
from microclaw.interfaces.api.caller import LOCAL_OWNER, Caller
from microclaw.interfaces.api.jobs import CANCELLED, Feed, Jobs, with_keepalives
from microclaw.wire.host_api import StreamEvent, StreamFailure, StreamResult


async def read_all(feed: Feed) -> list[StreamEvent]:
    async with asyncio.timeout(60):
        return [event async for event in feed.read()]


async def test_full_feed_drops_the_oldest_and_never_the_end() -> None:
    feed = Feed(2)
    for text in "abc":
        feed.put(Step("try", text))
    feed.finish(StreamResult({}))
    assert await read_all(feed) == [Step("try", "b"), Step("try", "c"), StreamResult({})]


async def test_the_end_of_events_after_their_reader_left_is_not_logged_as_an_error() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    may_end = asyncio.Event()
    has_ended = asyncio.Event()

    async def events() -> AsyncGenerator[int, None]:
        await may_end.wait()
        has_ended.set()
        return
        yield

    paced = with_keepalives(events(), keepalive_s=0)
    assert await anext(paced) is None
    may_end.set()
    await has_ended.wait()
    # The reader leaves at a keepalive, while the end comes.
    await paced.aclose()
    del paced
    gc.collect()
    assert problems == []


async def test_a_cancellable_job_ends_before_it_begins_and_not_after() -> None:
    begun = asyncio.Event()
    go_on = asyncio.Event()
    changed: list[str] = []

    async def work(feed: Feed) -> StreamEvent:
        await go_on.wait()
        feed.begin()
        begun.set()
        await asyncio.sleep(0)
        changed.append("device")
        return StreamResult({})

    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group, Limits())
        early = jobs.start("job", work, by=replace(LOCAL_OWNER, request="a"), cancellable=True)
        assert jobs.cancel("socket.a") == "cancelled"
        assert await read_all(early) == [CANCELLED]
        assert jobs.cancel("nobody's") == "unknown"
        go_on.set()
        late = jobs.start("job", work, by=replace(LOCAL_OWNER, request="b"), cancellable=True)
        await begun.wait()
        assert jobs.cancel("socket.b") == "begun"
        assert await read_all(late) == [StreamResult({})]
    assert changed == ["device"]


async def test_a_failure_of_a_job_is_its_end_and_a_host_that_stops_waits_for_what_ends_alone() -> None:
    async def refused(_feed: Feed) -> StreamEvent:
        raise PinRefused("pin 27 is the flash", next_step="use 4")

    async def broken(_feed: Feed) -> StreamEvent:
        raise ZeroDivisionError("secret detail")

    async def short(_feed: Feed) -> StreamEvent:
        await asyncio.sleep(0)
        return StreamResult({"short": True})

    async def endless(_feed: Feed) -> StreamEvent:
        await asyncio.Event().wait()
        return StreamResult({})

    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group, Limits(drain_s=0.05))
        feeds = [jobs.start("job", work) for work in (refused, broken, short, endless)]
        await jobs.drain()
        with pytest.raises(Overloaded):
            jobs.start("late", short)
        known, unknown, done, cut = [(await read_all(feed))[-1] for feed in feeds]
    assert known == StreamFailure("pin_refused", "pin 27 is the flash", "use 4")
    assert isinstance(unknown, StreamFailure)
    assert (unknown.code, "secret detail" in unknown.message) == ("internal_error", False)
    assert done == StreamResult({"short": True})
    assert isinstance(cut, StreamFailure)
    assert cut.code == "interrupted"


async def test_one_person_has_half_of_the_room_and_the_last_place_is_the_command_lines() -> None:
    go = asyncio.Event()

    async def work(feed: Feed) -> StreamEvent:
        await go.wait()
        return StreamResult({})

    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group, Limits(parallel_jobs=8))

        def start(person_id: str, token: str) -> Feed:
            return jobs.start("waits", work, by=Caller(person_id, direct=False, source=token))

        for number in range(4):
            start("p-1", f"t-{number % 2}")  # two tokens of one person
        with pytest.raises(Overloaded):
            start("p-1", "t-3")
        for _ in range(3):
            start("p-2", "t-4")
        with pytest.raises(Overloaded):
            start("p-3", "t-5")
        own = jobs.start("own", work)
        with pytest.raises(Overloaded):
            jobs.start("own", work)
        go.set()
        assert await read_all(own) == [StreamResult({})]
