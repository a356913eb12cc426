"""Messages out: markup with a way back to plain text, Telegram's limits honoured, a chat that is gone told apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from microclaw.channels.telegram.api import TelegramError, TelegramUnreachable
from microclaw.channels.telegram.html import plain, telegram_html
from microclaw.channels.telegram.split import split
from microclaw.channels.telegram.timing import Backoff, Timing
from microclaw.errors import MicroclawError

_log = logging.getLogger(__name__)

Buttons: TypeAlias = Sequence[tuple[str, str]]  # label, callback data (at most 64 bytes)
T = TypeVar("T")
MAX_MIGRATIONS: Final = 1024


class Caller(Protocol):
    """The Bot API (telegram.api.BotApi)."""

    async def call(self, method: str, *, wait_s: float = 0.0, **arguments: object) -> Any: ...

    async def download(self, file_path: str, limit_bytes: int) -> bytes: ...


class ChatGone(MicroclawError):
    """This chat takes no message of ours, now and later: the bot was blocked or removed, or the chat is no more."""

    code = "chat_gone"


class Sender:
    def __init__(self, api: Caller, timing: Timing) -> None:
        self._api = api
        self._timing = timing
        self._migrated: dict[int, int] = {}

    async def send(self, chat_id: int, markdown: str, buttons: Buttons | None = None) -> int:
        """The new message's id. `markdown` fits into one message (telegram.split)."""
        sent = await self._with_markup("sendMessage", chat_id, markdown, reply_markup=_keyboard(buttons))
        message_id = sent.get("message_id") if isinstance(sent, dict) else None
        if not isinstance(message_id, int):
            raise TelegramUnreachable("sendMessage: the answer names no message")
        return message_id

    async def edit(self, chat_id: int, message_id: int, markdown: str, buttons: Buttons | None = None) -> None:
        try:
            await self._with_markup(
                "editMessageText", chat_id, markdown, message_id=message_id, reply_markup=_keyboard(buttons)
            )
        except TelegramError as exc:
            if "message is not modified" not in exc.description:
                raise

    async def delete(self, chat_id: int, message_id: int) -> None:
        await self._api.call("deleteMessage", chat_id=self._place(chat_id), message_id=message_id)

    async def typing(self, chat_id: int) -> None:
        """A courtesy: when it fails, nothing is lost."""
        try:
            await self._api.call("sendChatAction", chat_id=self._place(chat_id), action="typing")
        except (TelegramError, TelegramUnreachable) as exc:
            _log.debug("telegram: %s", exc.message)

    async def send_all(self, chat_id: int, markdown: str) -> None:
        """A whole text in as many messages as it needs; returns when Telegram has taken all of them."""
        for piece in split(markdown):
            await self.insist(lambda piece=piece: self.send(chat_id, piece))  # type: ignore[misc]

    async def insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it until Telegram took it, however long it is away; raises ChatGone and refusals that will not change."""
        backoff = Backoff(self._timing.backoff_s, self._timing.backoff_most_s)
        while True:
            try:
                return await act()
            except TelegramUnreachable as exc:
                _log.info("telegram: %s; trying again", exc.message)
                await backoff.wait()
            except TelegramError as exc:
                if exc.status == 429:
                    await asyncio.sleep(exc.retry_after_s)
                elif exc.status >= 500:
                    _log.info("telegram: %s; trying again", exc.message)
                    await backoff.wait()
                else:
                    raise

    async def _with_markup(self, method: str, chat_id: int, markdown: str, **more: object) -> Any:
        markup = telegram_html(markdown)
        try:
            return await self._to_chat(method, chat_id, text=markup, parse_mode="HTML", **more)
        except TelegramError as exc:
            if exc.status != 400 or "can't parse entities" not in exc.description:
                raise
            _log.warning("telegram: markup was refused, the text goes without it")
            return await self._to_chat(method, chat_id, text=plain(markdown), **more)

    async def _to_chat(self, method: str, chat_id: int, **arguments: Any) -> Any:
        no_preview = {"is_disabled": True}
        try:
            return await self._api.call(
                method, chat_id=self._place(chat_id), link_preview_options=no_preview, **arguments
            )
        except TelegramError as exc:
            if exc.migrated_to is not None and len(self._migrated) < MAX_MIGRATIONS:
                self._migrated[chat_id] = exc.migrated_to
                return await self._api.call(
                    method, chat_id=exc.migrated_to, link_preview_options=no_preview, **arguments
                )
            if exc.status == 403 or (exc.status == 400 and _is_gone(exc.description)):
                raise ChatGone(exc.message) from exc
            raise

    def _place(self, chat_id: int) -> int:
        """Where a group is now: one that became a supergroup has another id."""
        return self._migrated.get(chat_id, chat_id)


def _is_gone(description: str) -> bool:
    return any(words in description for words in ("chat not found", "PEER_ID_INVALID", "not enough rights to send"))


def _keyboard(buttons: Buttons | None) -> dict[str, object] | None:
    if buttons is None:
        return None
    return {"inline_keyboard": [[{"text": label, "callback_data": data} for label, data in buttons]]}
