"""Long polling: asks for updates, hands each over, and acknowledges a batch when it is safe. Reads no message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from microclaw.channels.telegram.api import BotApi, TelegramError, Timing
from microclaw.channels.telegram.updates import ALLOWED_UPDATES, Bot, ButtonPress, Message, Update, read_update
from microclaw.errors import ProtocolError, StoreError

T = TypeVar("T")
Take: TypeAlias = Callable[[Message | ButtonPress], Awaitable[None]]
"""Returns when the update is safe: stored, answered or ignored."""
BATCH: Final = 100
REMEMBERED: Final = 4 * BATCH  # updates that came and may come again
SIDE_BY_SIDE: Final = 8  # chats of a batch; the messages of one are taken in their order
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TelegramState:
    """The channel's state, for a status screen."""

    phase: Literal["connecting", "listening", "disturbed", "off"] = "connecting"
    bot: str | None = None
    reason: str | None = None  # of being disturbed or off


class Poller:
    """`introduce` first, then `run`. Both go on until Telegram answers, and raise its TelegramError about the bot."""

    def __init__(self, api: BotApi, timing: Timing, state: TelegramState) -> None:
        self.state = state
        self._api = api
        self._timing = timing
        self._backoff = timing.backoff()
        self._offset: int | None = None
        self._done: deque[int] = deque(maxlen=REMEMBERED)
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)

    async def introduce(self) -> Bot:
        """Ask who the bot is."""
        me = await self._answer("getMe", Bot)
        self.state.phase, self.state.reason, self.state.bot = "listening", None, me.username
        _log.info("telegram: listening as @%s", me.username)
        return me

    async def run(self, me: Bot, take: Take) -> None:
        poll_s = self._timing.poll_s
        while True:
            answer = await self._answer(
                "getUpdates",
                list[Any],
                wait_s=poll_s,
                offset=self._offset,
                limit=BATCH,
                timeout=int(poll_s),
                allowed_updates=ALLOWED_UPDATES,
            )
            batch = _updates(answer)
            if (answer and not batch) or not await self._take_all(batch, me, take):
                await asyncio.sleep(self._backoff.next_wait_s())
                continue
            self._backoff.succeeded()
            if self.state.phase == "disturbed":
                _log.info("telegram: messages come again")
            self.state.phase, self.state.reason = "listening", None

    async def _answer(self, method: str, kind: type[T], *, wait_s: float = 0.0, **arguments: Any) -> T:
        """Ask Telegram until it answers."""
        while True:
            try:
                return await self._api.call(method, kind, wait_s=wait_s, **arguments)
            except TelegramError as exc:
                if exc.is_of_the_bot:
                    raise
                reason = f"{exc.message}; trying again"
                if exc.status == 409:
                    next_step = "stop the other one, or give this host a bot of its own"
                    if "webhook" in exc.why:
                        next_step = "call deleteWebhook for this bot"
                    reason = f"another program reads this bot's messages (next: {next_step})"
                self._disturbed(reason)
                await asyncio.sleep(self._backoff.next_wait_s(exc.retry_after_s or None))

    async def _take_all(self, batch: list[Update], me: Bot, take: Take) -> bool:
        """Take a batch in, chat by chat; acknowledge it when all of it is safe, and say whether it was."""
        chats: dict[int | None, list[Message | ButtonPress]] = {}
        for update_id, update in {one.update_id: one for one in batch if one.update_id not in self._done}.items():
            try:
                found = read_update(update, me)
            except ProtocolError as exc:
                _log.warning("telegram: update %d is skipped: %s", update_id, exc.message)
                found = None
            if found is None:
                self._done.append(update_id)
            else:
                chats.setdefault(found.chat.id if found.chat else None, []).append(found)
        async with asyncio.TaskGroup() as tasks:
            taking = [tasks.create_task(self._take_chat(updates, take)) for updates in chats.values()]
        if not all(task.result() for task in taking):
            return False  # not acknowledged: Telegram sends it again
        if batch:
            self._offset = max(one.update_id for one in batch) + 1
        return True

    async def _take_chat(self, updates: list[Message | ButtonPress], take: Take) -> bool:
        async with self._side_by_side:
            for update in updates:
                try:
                    await take(update)
                except StoreError as exc:
                    self._disturbed(f"a message waits at Telegram: {exc.message}")
                    return False
                except Exception:  # this update must not keep those behind it from coming
                    _log.exception("telegram: update %d failed and is skipped", update.update_id)
                self._done.append(update.update_id)
            return True

    def _disturbed(self, reason: str) -> None:
        """Log the first failure as a warning, later ones as debug lines, until polling works again."""
        _log.log(logging.DEBUG if self.state.reason else logging.WARNING, "telegram: %s", reason)
        self.state.reason = reason
        if self.state.phase == "listening":
            self.state.phase = "disturbed"


def _updates(answer: list[Any]) -> list[Update]:
    """Those that can be acknowledged: one without a number keeps the others from nobody."""
    found = []
    for one in answer:
        try:
            found.append(msgspec.convert(one, Update))
        except msgspec.ValidationError as exc:
            _log.warning("telegram: an update is skipped: %s", exc)
    return found
