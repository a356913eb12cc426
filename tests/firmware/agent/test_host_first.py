"""The host's agent answers while the link is up; after it the board's own; then the conversation goes back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.agent.conftest import KEY, AgentBoard, anthropic, ask, free_port, said, scripted, until
from tests.firmware.conftest import PATIENCE_S, Plane, running_plane
from websockets.asyncio.client import ClientConnection

from microclaw.link_server.limits import LinkLimits
from microclaw.link_server.tasks import TaskEnd
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Event


class Host:
    """The host's agent: it answers what it is asked, once it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.cancelled = 0

    async def run(
        self, device: str, text: str, tell: Callable[[str], None], waits: Callable[[str | None], None]
    ) -> TaskEnd:
        self.asked.append(text)
        self.begun.set()
        tell("plan: think")
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return TaskEnd(is_done=True, text=f"the host heard: {text}")


Hosted = Callable[[], AbstractAsyncContextManager[Plane]]


def events(folder: Path, session: str) -> list[Any]:
    """The data of the events agent.conversation that the host has kept."""
    with closing(sqlite3.connect(folder / "microclaw.db")) as store:
        rows = [decode(row[0]).body for row in store.execute("SELECT payload FROM link_events ORDER BY number")]
    found = [body.data for body in rows if isinstance(body, Event) and body.name == "agent.conversation"]
    return [data for data in found if data["session"] == session]


async def until_answers(board: AgentBoard, client: ClientConnection, words: str) -> None:
    """Ask until the answer has these words: the link comes and goes by the clock."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if words in await ask(client, "who is there?", "ws_probe"):
                return
            await asyncio.sleep(0.3)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def hosted(board: AgentBoard, tmp_path: Path, host: Host) -> Hosted:
    """The board knows its host, which runs inside `async with hosted()`; two seconds without it are long."""
    board.environ["MICROCLAW_AWAY_S"] = "2"
    port, folder = free_port(), tmp_path / "host"
    folder.mkdir()

    def hosting() -> AbstractAsyncContextManager[Plane]:
        return running_plane(folder, LinkLimits(), port, runner=host)

    async with hosting() as plane:
        board.told(await plane.plane.provision("lamp", board="esp32-devkitc-v4", host="127.0.0.1"))
    return hosting


async def test_the_host_answers_then_the_board_then_the_host_who_is_told_of_it(
    board: AgentBoard, tmp_path: Path, hosted: Hosted, host: Host
) -> None:
    async with scripted(tmp_path, lambda _: anthropic("I am the board.")) as model:
        board.agent(api_key=KEY, model_url=model.url)
        async with board.running(), board.client() as client:
            async with hosted():
                await until_answers(board, client, "the host heard")
                asked = len(model.asked)
                assert await ask(client, "hello") == "the host heard: hello"
                assert len(model.asked) == asked
                await until(lambda: board.read("agent_data/pending.json") == {})
            await until_answers(board, client, "I am the board.")
            assert await ask(client, "switch it on") == "I am the board."
            told = [row["content"] for row in model.asked[-1].json["messages"]]
            assert told == ["hello", "the host heard: hello", "switch it on"]  # it knows what the host said
            async with hosted():
                await until_answers(board, client, "the host heard")
                found = await ask(client, "and now?")
                assert "person: switch it on\nboard: I am the board." in found
                assert found.endswith("Now the person says: and now?")
                assert await ask(client, "and then?") == "the host heard: and then?"  # told once
                kept = await until(lambda: events(tmp_path / "host", "ws_client1"))
                assert [row["content"] for row in kept[0]["turns"]] == ["switch it on", "I am the board."]
    assert KEY not in (tmp_path / "host/microclaw.db").read_bytes().decode("latin-1")


async def test_without_a_key_it_says_that_the_host_is_away_and_what_runs(
    board: AgentBoard, hosted: Hosted, host: Host
) -> None:
    board.agent()
    async with board.running(), board.client() as client:
        found = await ask(client, "switch it on")
        assert "host is away" in found
        assert "run on: none" in found
        async with hosted():
            await until_answers(board, client, "the host heard")
    assert not [
        text for text in host.asked if text.endswith("switch it on")
    ]  # not done later, behind the person's back


async def test_what_the_host_had_not_answered_is_taken_back(
    board: AgentBoard, tmp_path: Path, hosted: Hosted, host: Host
) -> None:
    async with scripted(tmp_path, lambda _: anthropic("I am the board.")) as model:
        board.agent(api_key=KEY, model_url=model.url)
        async with board.running(), board.client() as client:
            async with hosted():
                await until_answers(board, client, "the host heard")
                host.may_end.clear()
                host.begun.clear()
                await client.send(json.dumps({"type": "message", "content": "slow", "chat_id": "ws_client1"}))
                await host.begun.wait()
            assert (await said(client))["content"] == "I am the board."
            host.may_end.set()
            async with hosted():
                await until_answers(board, client, "the host heard")
                await until(lambda: board.read("agent_data/pending.json") == {})
        assert host.asked.count("slow") == 1


async def test_an_answer_that_came_while_the_board_was_off_is_in_the_conversation(
    board: AgentBoard, hosted: Hosted, host: Host
) -> None:
    board.agent()
    board.environ["MICROCLAW_AWAY_S"] = "30"
    async with hosted():
        async with board.running():
            async with board.client() as client:
                await until_answers(board, client, "the host heard")
                host.may_end.clear()
                host.begun.clear()
                await client.send(json.dumps({"type": "message", "content": "slow", "chat_id": "ws_client1"}))
                await host.begun.wait()
            board.kill()
        host.may_end.set()
        async with board.running(), board.client() as client:
            await until(lambda: board.read("agent_data/pending.json") == {})
            await client.send(json.dumps({"type": "message", "content": "next", "chat_id": "ws_client1"}))
            assert (await said(client))["content"] == "the host heard: slow"  # it waited for its chat
            assert (await said(client))["content"] == "the host heard: next"
    assert board.session("ws_client1")[:2] == [("user", "slow"), ("assistant", "the host heard: slow")]


async def test_nine_chats_at_once_are_more_than_the_host_takes(board: AgentBoard, hosted: Hosted, host: Host) -> None:
    board.agent()
    board.environ["MICROCLAW_AWAY_S"] = "30"
    async with hosted(), board.running(), board.client() as client:
        await until_answers(board, client, "the host heard")
        host.may_end.clear()
        for number in range(9):
            await client.send(json.dumps({"type": "message", "content": "x", "chat_id": f"ws_{number}"}))
        assert (await said(client))["code"] == "overloaded"
        for _ in range(9):
            await client.send(json.dumps({"type": "message", "content": "y", "chat_id": "ws_0"}))
        assert (await said(client))["code"] == "overloaded"  # one is asked, seven wait
        assert (await said(client))["code"] == "overloaded"
        host.may_end.set()
        await until(lambda: board.read("agent_data/pending.json") == {})
        await client.send(json.dumps({"type": "message", "content": "z", "chat_id": "ws_fresh"}))
        async with asyncio.timeout(PATIENCE_S):
            while (await said(client)).get("content") != "the host heard: z":
                pass  # answers to the others come before
