"""One turn as a chat sees it: typing, progress in a message that is edited, then the answer in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from microclaw.channels.delivery import ReadFile
from microclaw.channels.telegram.answer import answer_buttons, answer_markdown, step_line
from microclaw.channels.telegram.api import TelegramError, TelegramUnreachable, Timing
from microclaw.channels.telegram.sender import LIMIT, Buttons, ChatGone, Sender, split
from microclaw.events import Answer, Delta, Step, ToolRun, TurnEvent

_log = logging.getLogger(__name__)

SHOWN_STEPS: Final = 8
MAX_STREAMED_CHARS: Final = 16 * LIMIT  # what a model streams beyond comes with the answer


class LiveReply:
    """`await LiveReply(...).follow(events)` returns when Telegram has the answer; `answer` is None when none came.

    Raises ChatGone, and TelegramError for a refusal that will not change. `claim` says whether an answer is this
    reply's to deliver: messages that joined one turn have one answer.
    """

    def __init__(
        self,
        sender: Sender,
        chat_id: int,
        timing: Timing,
        *,
        steps: bool,
        claim: Callable[[int | None], bool],
        read: ReadFile,
    ) -> None:
        self.answer: Answer | None = None
        self._claim = claim
        self._read = read
        self._sender = sender
        self._chat_id = chat_id
        self._timing = timing
        self._pause_s = timing.pause_s if chat_id > 0 else timing.group_pause_s  # groups have negative ids
        self._shows_steps = steps
        self._steps: list[str] = []
        self._streamed = ""
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._shown: list[tuple[int, str]] = []

    async def follow(self, events: AsyncIterator[TurnEvent]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._progress(), name=f"telegram: progress in {self._chat_id}")
            try:
                async for event in events:
                    if isinstance(event, Answer):
                        self.answer = event
                        self._over.set()
                    else:
                        self._take(event)
            finally:
                self._over.set()
        if self.answer is None:
            return
        if self._claim(self.answer.outbound_id):
            text, buttons = answer_markdown(self.answer), answer_buttons(self.answer)
            await self._sender.insist(lambda: self._show(text, buttons))
            await self._sender.send_files(self._chat_id, self.answer.files, self._read)
        else:
            self.answer = None
            await self._sender.insist(self._withdraw)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case Delta(text) if len(self._streamed) < MAX_STREAMED_CHARS:
                self._streamed += text
            case ToolRun(state="started"):
                self._streamed = ""  # what came before was a thought on the way, not the answer
            case Step() if self._shows_steps:
                self._note(event)
            case _:
                return  # approvals come to the chat by themselves (telegram.approvals)
        self._news.set()

    def _note(self, step: Step) -> None:
        if self._steps and self._steps[-1].startswith(f"{step.stage} …"):
            self._steps.pop()
        self._steps.append(step_line(step))
        del self._steps[:-SHOWN_STEPS]

    # While it runs. Everything here may fail: the answer comes in any case.

    async def _progress(self) -> None:
        if await self._ends_within(0.0):
            return
        await self._sender.typing(self._chat_id)
        if await self._ends_within(self._timing.first_s):
            return
        while not self._over.is_set():
            if await self._has_news():
                await self._show_progress()
                await self._ends_within(self._pause_s)
            elif not self._shown:
                await self._sender.typing(self._chat_id)

    async def _has_news(self) -> bool:
        """Wait for something to show, not longer than "typing" lasts, nor than the turn."""
        news = asyncio.ensure_future(self._news.wait())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((news, over), timeout=self._timing.typing_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            over.cancel()
        has_news = self._news.is_set() and not self._over.is_set()
        self._news.clear()
        return has_news

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _show_progress(self) -> None:
        text = self._streamed.strip() or "\n".join(self._steps)
        if not text:
            return
        try:
            await self._show(text)
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)
            await self._ends_within(exc.retry_after_s)
        except TelegramUnreachable as exc:
            _log.debug("telegram: %s", exc.message)
            await self._ends_within(self._timing.backoff_s)
        except ChatGone:
            await self._over.wait()  # the answer will say so

    async def _show(self, text: str, buttons: Buttons | None = None) -> None:
        """Make the chat's messages be `text`: edit those that differ, send those that lack, take away the rest.

        The last one has the buttons.

        May be called again after a failure: it goes on where it stopped.
        """
        pieces = split(text) or ["(no words)"]
        for index, piece in enumerate(pieces):
            below = buttons if index == len(pieces) - 1 else None
            if index >= len(self._shown):
                self._shown.append((await self._sender.send(self._chat_id, piece, below), piece))
            elif self._shown[index][1] != piece or below is not None:
                await self._replace(index, piece, below)
        await self._withdraw(len(pieces))

    async def _withdraw(self, kept: int = 0) -> None:
        """Delete what was shown, but for the first `kept` messages."""
        while len(self._shown) > kept:
            try:
                await self._sender.delete(self._chat_id, self._shown[-1][0])
            except TelegramError as exc:
                if exc.status == 429:
                    raise
                _log.debug("telegram: %s", exc.message)  # too old to be deleted: it stays
            self._shown.pop()

    async def _replace(self, index: int, piece: str, buttons: Buttons | None) -> None:
        message_id = self._shown[index][0]
        try:
            await self._sender.edit(self._chat_id, message_id, piece, buttons)
        except TelegramError as exc:
            if exc.status != 400:
                raise
            message_id = await self._sender.send(self._chat_id, piece, buttons)  # the person deleted it meanwhile
        self._shown[index] = (message_id, piece)
