"""A correction where acts are asked about first: one question for both halves, and nothing is half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.agent.test_conversations import Talk

from microclaw.app import running_host
from microclaw.cli.board_control import BoardControl
from microclaw.config.load import load_settings
from microclaw.events import Answer, ApprovalAsked
from microclaw.operations.client import Client
from microclaw.virtual_boards.process import VirtualBoardProcess


class AskedTalk(Talk):
    """Answers each question with the next of `decisions`; returns them with whether the pins then were as wanted."""

    async def decided(self, text: str, *decisions: bool, looks_at: str = "") -> tuple[list[tuple[str, bool]], Answer]:
        left, asked = list(decisions), []

        def turn() -> Answer:
            for event in Client(self.socket).stream("/v1/chat", {"text": text, "chat_id": "c"}):
                if isinstance(event, ApprovalAsked):
                    asked.append((event.text, all(self.sees(one) for one in looks_at.split())))
                    Client(self.socket).decide(event.approval_id, approved=left.pop(0))
                if isinstance(event, Answer):
                    return event
            raise AssertionError("no answer came")

        answer = await asyncio.to_thread(turn)
        assert not left, asked
        return asked, answer


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[AskedTalk]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('[agent]\napprovals = "always"\n')
    settings = load_settings({"MICROCLAW_CACHE": str(tmp_path / "cache")}, home=home, http_port=None)
    assert settings.agent.approvals == "always"
    async with VirtualBoardProcess() as board, running_host(settings) as host:
        await host.devices.add("virtual-1", "virtual", board.ready.transports)
        with BoardControl(board.ready.control) as witness:
            yield AskedTalk(settings.control_socket, witness)


async def test_a_correction_is_asked_once_for_both_and_done_whole(talk: AskedTalk) -> None:
    await talk.decided("turn on pin 40", True)
    asked, _ = await talk.decided("no, I meant pin 10", True, looks_at="40=1 10=0")
    assert [shown for _, shown in asked] == [True]
    assert await talk.missing("40=0 10=1") == []


async def test_a_correction_that_is_declined_changes_nothing(talk: AskedTalk) -> None:
    await talk.decided("turn on pin 40", True)
    asked, _ = await talk.decided("no, I meant pin 10", False)
    assert len(asked) == 1
    assert await talk.missing("40=1 10=0") == []


async def test_what_is_corrected_twice_and_on_several_pins_is_asked_once_each_time(talk: AskedTalk) -> None:
    await talk.decided("dim pin 5 to 40%", True)
    asked, _ = await talk.decided("no, pin 6", True)
    assert len(asked) == 1
    assert await talk.missing("5=0% 6=40%") == []
    asked, _ = await talk.decided("no, pin 7", True)
    assert await talk.missing("6=0% 7=40%") == []
    assert len(asked) == 1
