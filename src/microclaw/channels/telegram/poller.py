"""Long polling: asks for updates, hands each over, and acknowledges a batch when it is safe. Reads no message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from microclaw.channels.telegram.api import ALLOWED_UPDATES, BotApi, TelegramError, Timing, Update
from microclaw.errors import StoreError

T = TypeVar("T")
Take: TypeAlias = Callable[[Update], Awaitable[None]]
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
    """`ask` and `run` go on until Telegram answers, and raise its TelegramError about the bot."""

    def __init__(self, api: BotApi, timing: Timing, state: TelegramState) -> None:
        self._state = state
        self._api = api
        self._poll_s = timing.poll_s
        self._backoff = timing.backoff()
        self._done: deque[int] = deque(maxlen=REMEMBERED)
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(self, take: Take) -> None:
        asked = {"limit": BATCH, "timeout": int(self._poll_s), "allowed_updates": ALLOWED_UPDATES}
        offset: int | None = None
        while True:
            updates = await self.ask("getUpdates", list[Any], wait_s=self._poll_s, offset=offset, **asked)
            numbers = [number for one in updates if (number := _number(one)) is not None]
            if bool(updates) != bool(numbers) or not await self._take_all(updates, take):
                await asyncio.sleep(self._backoff.next_wait_s())  # not acknowledged: Telegram sends it again
                continue
            offset = max(numbers, default=-1) + 1 or offset
            self._backoff.succeeded()
            self._state.phase, self._state.reason = "listening", None

    async def ask(self, method: str, kind: type[T], **arguments: Any) -> T:
        """Ask Telegram until it answers."""
        while True:
            try:
                return await self._api.call(method, kind, **arguments)
            except TelegramError as exc:
                if exc.is_of_the_bot:
                    raise
                reason = f"{exc.message}; trying again"
                if exc.status == 409:
                    reason = "another program reads this bot's messages (next: stop it, or call deleteWebhook)"
                self._disturbed(reason)
                await asyncio.sleep(self._backoff.next_wait_s(exc.retry_after_s or None))

    async def _take_all(self, updates: list[Any], take: Take) -> bool:
        """Take a batch in, chat by chat; True when all of it is safe."""
        chats: dict[int | None, list[Update]] = {}
        for one in updates:
            try:
                update = msgspec.convert(one, Update)
            except (ValueError, RecursionError) as exc:
                _log.warning("telegram: an update is skipped: %s", exc)
            else:
                chats.setdefault(update.chat_id, []).append(update)
        async with asyncio.TaskGroup() as tasks:
            taking = [tasks.create_task(self._take_chat(of_chat, take)) for of_chat in chats.values()]
        return all(task.result() for task in taking)

    async def _take_chat(self, updates: list[Update], take: Take) -> bool:
        async with self._side_by_side:
            for update in updates:
                if update.update_id in self._done:
                    continue
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
        _log.log(logging.DEBUG if self._state.reason else logging.WARNING, "telegram: %s", reason)
        self._state.reason = reason
        if self._state.phase == "listening":
            self._state.phase = "disturbed"


def _number(update: Any) -> int | None:
    """The update's number; None for one that cannot be acknowledged."""
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if isinstance(number, int) else None
