"""Long polling: asks for updates, hands each over, and acknowledges a batch when it is safe. Reads no message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Any, Final, Literal

from microclaw.backoff import Backoff
from microclaw.channels.telegram.api import BotApi, FileTooLarge, TelegramError, TelegramUnreachable, Timing
from microclaw.channels.telegram.updates import ALLOWED_UPDATES, Bot, Ignored, Update, read_update, update_id_of
from microclaw.errors import ProtocolError, StoreError

_log = logging.getLogger(__name__)

BATCH: Final = 100
REMEMBERED: Final = 4 * BATCH  # updates that came and may come again
SIDE_BY_SIDE: Final = 8  # chats of a batch; the messages of one are taken in their order


class WrongToken(Exception):
    """Telegram does not know this bot (any more)."""


@dataclass(slots=True)
class TelegramState:
    """How the channel is, for a status screen, and what came since the start: `failed` and `malformed` were skipped."""

    phase: Literal["connecting", "listening", "disturbed", "off"] = "connecting"
    bot: str | None = None
    reason: str | None = None  # of being disturbed or off
    updates: int = 0
    duplicates: int = 0
    malformed: int = 0
    ignored: int = 0
    failed: int = 0


class Poller:
    """`await Poller(...).run()` ends only with WrongToken."""

    def __init__(
        self, api: BotApi, me: Bot, take: Callable[[Update], Awaitable[None]], timing: Timing, state: TelegramState
    ) -> None:
        self.state = state
        self._api = api
        self._me = me
        self._take = take
        self._timing = timing
        self._offset: int | None = None
        self._done: deque[int] = deque(maxlen=REMEMBERED)
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(self) -> None:
        backoff = self._timing.backoff()
        while True:
            try:
                batch = await self._poll()
                safe = await self._take_all(batch)
            except TelegramError as exc:
                await self._refused(exc, backoff)
                continue
            except (TelegramUnreachable, FileTooLarge) as exc:
                self._disturbed("telegram: %s; trying again", exc.message)
                await asyncio.sleep(backoff.next_wait_s())
                continue
            if not safe:
                await asyncio.sleep(backoff.next_wait_s())
                continue
            backoff.succeeded()
            if self.state.phase == "disturbed":
                _log.info("telegram: messages come again")
            self.state.phase, self.state.reason = "listening", None

    async def _poll(self) -> list[Any]:
        batch = await self._api.call(
            "getUpdates",
            wait_s=self._timing.poll_s,
            offset=self._offset,
            limit=BATCH,
            timeout=int(self._timing.poll_s),
            allowed_updates=ALLOWED_UPDATES,
        )
        if not isinstance(batch, list):
            raise TelegramUnreachable("getUpdates: the answer is no list")
        return batch

    async def _take_all(self, batch: list[Any]) -> bool:
        """Take a batch in, chat by chat; acknowledge it when all of it is safe, and say whether it was."""
        chats: dict[object, list[Update]] = {}
        taken = set(self._done)
        newest, unnumbered = -1, 0
        for value in batch:
            update_id = update_id_of(value)
            if update_id is None:
                self.state.malformed += 1
                unnumbered += 1
                continue
            newest = max(newest, update_id)
            if (update := self._read(update_id, value, taken)) is not None:
                taken.add(update_id)
                chats.setdefault(getattr(update, "chat_id", None), []).append(update)
        async with asyncio.TaskGroup() as tasks:
            taking = [tasks.create_task(self._take_chat(updates)) for updates in chats.values()]
        if not all(task.result() for task in taking):
            return False  # not acknowledged: Telegram sends it again
        if newest >= 0:
            self._offset = newest + 1
        return unnumbered == 0

    def _read(self, update_id: int, value: dict[str, Any], taken: Container[int]) -> Update | None:
        """None for what needs no work: it is malformed, was taken already, or is of no kind of ours."""
        self.state.updates += 1
        if update_id in taken:
            self.state.duplicates += 1
            return None
        try:
            update = read_update(value, self._me)
        except ProtocolError as exc:
            self.state.malformed += 1
            self._done.append(update_id)
            _log.warning("telegram: update %d is skipped: %s", update_id, exc.message)
            return None
        if isinstance(update, Ignored):
            self.state.ignored += 1
            self._done.append(update_id)
            return None
        return update

    async def _take_chat(self, updates: list[Update]) -> bool:
        async with self._side_by_side:
            for update in updates:
                try:
                    await self._take(update)
                except StoreError as exc:
                    self._disturbed("telegram: a message waits at Telegram: %s", exc.message)
                    return False
                except Exception:  # this update must not keep those behind it from coming
                    self.state.failed += 1
                    _log.exception("telegram: update %d failed and is skipped", update.update_id)
                self._done.append(update.update_id)
            return True

    async def _refused(self, exc: TelegramError, backoff: Backoff) -> None:
        match exc.status:
            case 401 | 404:
                raise WrongToken from exc
            case 409:
                next_step = "stop the other one, or give this host a bot of its own"
                if "webhook" in exc.description:
                    next_step = "call deleteWebhook for this bot"
                self._disturbed("telegram: another program reads this bot's messages (next: %s)", next_step)
            case 429:
                self._disturbed("telegram: %s; polling again when its wait is over", exc.message)
            case _:
                self._disturbed("telegram: %s; trying again", exc.message)
        await asyncio.sleep(backoff.next_wait_s(exc.retry_after_s or None))

    def _disturbed(self, text: str, detail: str) -> None:
        """Log the first failure as a warning, later ones as debug lines, until polling works again."""
        _log.log(logging.DEBUG if self.state.phase == "disturbed" else logging.WARNING, text, detail)
        self.state.phase, self.state.reason = "disturbed", text % detail
