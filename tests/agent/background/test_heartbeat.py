"""The heartbeat: no model without a task, no message without news."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.agent.conftest import Agent, MakeAgent

from microclaw.agent.acts import own_words
from microclaw.agent.background.unattended import Heartbeat, tasks_in
from microclaw.errors import ModelError
from microclaw.knowledge.texts import TextFiles
from microclaw.models.protocol import ModelReply
from microclaw.schedules import runner

IDLE = [
    "",
    "\n\n",
    "# Heartbeat\n\n",
    "# Heartbeat\n<!-- write your tasks below,\n- like this one -->\n",
    "## Done\n- [x] water the plants\n* [X] call mum\n",
    "- \n- [ ]\n---\n",
    "<!-- never closed\n- a task",
]


class Clock(runner.Clock):
    """Moves on by itself whenever it is waited for."""

    def __init__(self, waits: int) -> None:
        super().__init__(lambda: self.at_ms)
        self.at_ms = 1_700_000_000_000
        self.left = waits
        self.over = asyncio.Event()

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        assert until_ms is not None
        if self.left == 0:
            self.over.set()
            await news.wait()
        self.left -= 1
        self.at_ms = until_ms


def heartbeat(agent: Agent, file: Path, clock: Clock | None = None) -> Heartbeat:
    texts = TextFiles(file.parent, now=lambda: datetime.now(UTC))
    return Heartbeat(
        inbox=agent.inbox,
        read=partial(texts.read, file.name),
        minutes=30,
        clock=clock or Clock(0),
        home=("test", "home"),
    )


async def test_no_model_is_asked_when_there_is_nothing_to_do(make_agent: MakeAgent, tmp_path: Path) -> None:
    file = tmp_path / "HEARTBEAT.md"
    async with make_agent() as agent:
        assert await heartbeat(agent, file).beat() is None, "without the file"
        for text in IDLE:
            file.write_text(text)
            assert await heartbeat(agent, file).beat() is None, text
        assert agent.script.requests == []


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("# Tasks\n- look at the greenhouse\n- [x] done\n- [ ] open\n", "- look at the greenhouse\n- [ ] open"),
        ("tell me a joke at noon", "tell me a joke at noon"),
        ("1. water\n2) [x] done", "1. water"),
    ],
)
def test_what_is_to_be_looked_after_is_the_rest(text: str, tasks: str) -> None:
    assert tasks_in(text) == tasks


async def test_a_task_is_a_turn_of_its_own_kind_and_its_news_are_sent(make_agent: MakeAgent, tmp_path: Path) -> None:
    file = tmp_path / "HEARTBEAT.md"
    file.write_text("- look at the greenhouse\n")
    async with make_agent([ModelReply("It is 31 degrees in there.")]) as agent:
        await heartbeat(agent, file).beat()
        request = agent.script.requests[0]
        assert request.task == "heartbeat"
        assert "look at the greenhouse" in str(request.messages[-1])
        waiting = await agent.outbox.undelivered("test", "home")
        assert [one.text.split("\n")[0] for one in waiting] == ["It is 31 degrees in there."]


@pytest.mark.parametrize("text", ["NOTHING", "Nothing.", "nothing to report", "HEARTBEAT_OK"])
async def test_no_news_are_not_sent(make_agent: MakeAgent, tmp_path: Path, text: str) -> None:
    file = tmp_path / "HEARTBEAT.md"
    file.write_text("- look at the greenhouse\n")
    async with make_agent([ModelReply(text)]) as agent:
        await heartbeat(agent, file).beat()
        assert len(agent.script.requests) == 1
        assert await agent.outbox.undelivered("test", "home") == ()


async def test_it_beats_at_its_interval_and_outlives_a_failure(make_agent: MakeAgent, tmp_path: Path) -> None:
    file = tmp_path / "HEARTBEAT.md"
    file.write_text("- look\n")
    clock = Clock(waits=3)
    async with make_agent([ModelReply("one"), ModelError("down"), ModelReply("three")]) as agent:
        running = asyncio.create_task(heartbeat(agent, file, clock).run())
        async with asyncio.timeout(60):
            await clock.over.wait()
        running.cancel()
        await asyncio.wait((running,))
        assert clock.at_ms == 1_700_000_000_000 + 3 * 30 * 60_000
        assert [own_words(one.text) for one in await agent.outbox.undelivered("test", "home")] == ["one", "three"]


async def test_a_clock_that_was_ahead_puts_no_beat_off(make_agent: MakeAgent, tmp_path: Path) -> None:
    class SetBack(Clock):
        async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
            """At the first wait the clock goes back by five years."""
            assert until_ms is not None
            if self.left == 3:
                until_ms = self.at_ms - 5 * 366 * 86_400_000
            await super().wait(news, until_ms)

    file = tmp_path / "HEARTBEAT.md"
    file.write_text("- water the plants\n")
    async with make_agent([ModelReply("NOTHING")] * 3) as agent:
        clock = SetBack(waits=3)
        running = asyncio.create_task(heartbeat(agent, file, clock).run())
        async with asyncio.timeout(60):
            await clock.over.wait()
        assert clock.at_ms < 1_700_000_000_000 - 4 * 366 * 86_400_000
        running.cancel()
        await asyncio.wait((running,))
