"""One turn as a chat sees it: typing, progress in a message that is edited, then the answer in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from microclaw.channels.telegram.answer import answer_buttons, answer_markdown, step_line
from microclaw.channels.telegram.api import TelegramError, Timing
from microclaw.channels.telegram.sender import LIMIT, Buttons, Sender, split
from microclaw.events import Answer, Delta, Step, ToolRun, TurnEvent

_log = logging.getLogger(__name__)

SHOWN_STEPS: Final = 8
MAX_STREAMED_CHARS: Final = 2 * LIMIT  # the progress is one message: what a model streams beyond comes with the answer


class LiveReply:
    """`follow` a turn to its answer, then `show` that in the place of its progress, or `withdraw` the progress."""

    def __init__(self, sender: Sender, chat_id: int, timing: Timing) -> None:
        self._sender = sender
        self._chat_id = chat_id
        self._timing = timing
        self._pause_s = timing.pause_s if chat_id > 0 else timing.group_pause_s  # groups have negative ids
        self._steps: list[str] = []
        self._streamed = ""
        self._news = asyncio.Event()  # there is something to show, or the turn is over
        self._over = asyncio.Event()
        self._message_id: int | None = None  # with the progress
        self._progress_text = ""

    async def follow(self, events: AsyncIterator[TurnEvent]) -> Answer | None:
        """Show the progress; the answer, or None when none came."""
        answer = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._progress(), name=f"telegram: progress in {self._chat_id}")
            try:
                async for event in events:
                    if isinstance(event, Answer):
                        answer = event
                    else:
                        self._take(event)
            finally:
                self._over.set()
                self._news.set()
        return answer

    async def show(self, answer: Answer) -> None:
        """Raises TelegramError for a refusal that will not change."""
        pieces = split(answer_markdown(answer)) or ["(no words)"]
        for number, piece in enumerate(pieces, 1):
            await self._sender.insist(self._put, piece, answer_buttons(answer) if number == len(pieces) else ())
            self._message_id = None  # the next piece is a message of its own

    async def withdraw(self) -> None:
        """Delete the progress."""
        if self._message_id is not None:
            with suppress(TelegramError):  # too old to be deleted: it stays
                await self._sender.insist(self._sender.delete, self._chat_id, self._message_id)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case Delta(text) if len(self._streamed) < MAX_STREAMED_CHARS:
                self._streamed += text
            case ToolRun(state="started"):
                self._streamed = ""  # what came before was a thought on the way, not the answer
            case Step(stage):
                if self._steps and self._steps[-1].startswith(f"{stage} …"):
                    self._steps.pop()
                self._steps = [*self._steps, step_line(event)][-SHOWN_STEPS:]
            case _:
                return  # approvals come to the chat by themselves (telegram.approvals)
        self._news.set()

    async def _progress(self) -> None:
        """While it runs. Everything here may fail: the answer comes in any case."""
        if await self._ends_within(0.0):
            return
        await self._sender.typing(self._chat_id)
        await self._ends_within(self._timing.first_s)
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.typing_s):
                    await self._news.wait()
            if self._news.is_set() and not self._over.is_set():
                self._news.clear()
                await self._show_progress()
                await self._ends_within(self._pause_s)
            elif self._message_id is None and not self._over.is_set():
                await self._sender.typing(self._chat_id)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _show_progress(self) -> None:
        pieces = split(self._streamed.strip() or "\n".join(self._steps))
        if not pieces or pieces[0] == self._progress_text:
            return
        try:
            await self._put(pieces[0])
            self._progress_text = pieces[0]
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)
            if exc.will_pass:
                await self._ends_within(exc.retry_after_s or self._timing.backoff_s)
            else:
                await self._over.wait()  # the answer will say so

    async def _put(self, text: str, buttons: Buttons = ()) -> None:
        """Into the message with the progress; a new one where there is none, or the person deleted it."""
        if self._message_id is not None:
            try:
                await self._sender.edit(self._chat_id, self._message_id, text, buttons)
            except TelegramError as exc:
                if exc.status != 400:
                    raise
            else:
                return
        self._message_id = await self._sender.send(self._chat_id, text, buttons)
