"""Telegram by a scripted server of its bot API, over TLS: long polling, the allow-list, long answers, giant updates."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tests.firmware.agent.conftest import AgentBoard, Asked, Scripted, scripted, until
from tests.firmware.conftest import PATIENCE_S

TOKEN = "123456:of-a-test-AAAA"
ALLOWED = 4711


class Bot:
    """Telegram's end: updates wait until they are confirmed by the next offset."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.sent: list[tuple[int, str]] = []
        self.refusals = 0
        self.offsets: list[int] = []

    def say(self, text: str, chat: int = ALLOWED) -> None:
        number = 100 + len(self.updates)
        self.updates.append({"update_id": number, "message": {"chat": {"id": chat}, "text": text}})

    async def script(self, asked: Asked) -> Any:
        assert asked.path.startswith(f"/bot{TOKEN}/")
        if self.refusals:
            self.refusals -= 1
            return 429, {"ok": False, "error_code": 429, "description": "Too Many Requests"}
        if asked.path.endswith("/sendMessage"):
            self.sent.append((asked.json["chat_id"], asked.json["text"]))
            return {"ok": True, "result": {}}
        self.offsets.append(asked.json["offset"])
        there = [row for row in self.updates if row["update_id"] >= asked.json["offset"]]
        if not there:
            await asyncio.sleep(0.3)
        return {"ok": True, "result": there[: asked.json["limit"]]}

    def serving(self, folder: Path) -> AbstractAsyncContextManager[Scripted]:
        return scripted(folder, self.script)


def told(board: AgentBoard, server: Scripted) -> None:
    board.agent(tg_token=TOKEN, tg_chats=[ALLOWED], tg_url=server.url)


async def test_who_is_allowed_is_answered_and_a_stranger_hears_nothing(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    bot.say("let me in", chat=666)
    bot.updates.append({"update_id": 101, "message": {"chat": {"id": ALLOWED}, "photo": []}})
    bot.updates.append({"update_id": 102, "edited_message": {}})
    bot.say("hello 😀")
    async with bot.serving(tmp_path) as server:
        told(board, server)
        async with board.running():
            await until(lambda: bot.sent)
            await until(lambda: bot.offsets[-1] == 104)
    assert [chat for chat, _ in bot.sent] == [ALLOWED]
    assert board.session("tg_4711")[0] == ("user", "hello 😀")
    assert TOKEN not in "\n".join(board.lines)


async def test_an_update_is_not_handled_twice_over_a_kill(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    bot.say("once")
    async with bot.serving(tmp_path) as server:
        told(board, server)
        async with board.running():
            await until(lambda: bot.sent)
            board.kill()
        async with board.running():
            asked = len(bot.offsets)
            await until(lambda: len(bot.offsets) > asked + 1)
    assert len(bot.sent) == 1
    assert bot.offsets[-1] == 101


async def test_a_giant_update_is_passed_over_and_the_next_is_answered(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    bot.say("x" * 100_000)
    bot.say("hello")
    async with bot.serving(tmp_path) as server:
        told(board, server)
        async with board.running():
            await until(lambda: bot.sent)
    assert board.session("tg_4711")[0] == ("user", "hello")


async def test_refusals_and_nonsense_are_waited_out(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    bot.say("hello")
    bot.refusals = 2
    nonsense: list[Any] = [[], {"ok": True, "result": {}}, {"ok": True, "result": [1]}, b"\x00"]

    async def script(asked: Asked) -> Any:
        return nonsense.pop() if nonsense else await bot.script(asked)

    async with scripted(tmp_path, script) as server:
        told(board, server)
        async with board.running():
            await until(lambda: bot.sent)
    assert TOKEN not in "\n".join(board.lines)


async def test_a_long_answer_comes_in_pieces(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    bot.say("say much")

    async def script(asked: Asked) -> Any:
        if asked.path.startswith("/bot"):
            return await bot.script(asked)
        return {"choices": [{"message": {"content": "é" * 9000}}]}

    async with scripted(tmp_path, script) as server:
        board.agent(tg_token=TOKEN, tg_chats=[ALLOWED], tg_url=server.url, provider="openai", model_url=server.url)
        async with board.running(), asyncio.timeout(PATIENCE_S):
            await until(lambda: len(bot.sent) == 3)
    assert "".join(text for _, text in bot.sent) == "é" * 9000


async def test_telegram_is_off_without_a_token(board: AgentBoard, tmp_path: Path) -> None:
    bot = Bot()
    async with bot.serving(tmp_path) as server:
        board.agent(tg_url=server.url, tg_chats=[ALLOWED])
        async with board.running():
            await asyncio.sleep(2)
    assert server.asked == []
    assert json.loads((board.folder / "agent_data/settings.json").read_text())["tg_chats"] == [ALLOWED]
