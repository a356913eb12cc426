"""Sends messages and files within Telegram's limits, as HTML or else as plain text. It decides nothing about turns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from microclaw.channels.delivery import ReadFile
from microclaw.channels.telegram.api import Address, BotApi, TelegramError, Timing
from microclaw.channels.telegram.markup import split, telegram_html
from microclaw.errors import MicroclawError
from microclaw.events import ResultFile
from microclaw.text import clean_text

T = TypeVar("T")
MAX_MIGRATIONS: Final = 1024
_PHOTOS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_log = logging.getLogger(__name__)


class _Sent(Struct, frozen=True):
    message_id: int


class Sender:
    """Each method tries until Telegram accepts it, and raises TelegramError for a refusal that stays."""

    def __init__(self, api: BotApi, timing: Timing) -> None:
        self._api = api
        self._timing = timing
        self._migrated: dict[int, int] = {}

    async def send(self, address: Address, markdown: str, keyboard: Mapping[str, object] | None = None) -> int:
        """The new message's id. `markdown` fits into one message (`split`); `keyboard` is a reply markup."""
        reply = None
        if address.reply_to is not None:
            reply = {"message_id": address.reply_to, "allow_sending_without_reply": True}
        more = {"message_thread_id": address.topic, "reply_parameters": reply, "reply_markup": keyboard}
        return (await self._write("sendMessage", address.chat, _Sent, markdown, **more)).message_id

    async def edit(self, address: Address, message_id: int, markdown: str) -> None:
        """The message has no buttons then."""
        await self._write("editMessageText", address.chat, object, markdown, message_id=message_id)

    async def send_all(self, address: Address, markdown: str, keyboard: Mapping[str, object] | None = None) -> None:
        """A whole text in as many messages as it needs; the first one answers the message of the address."""
        for piece in split(markdown) or ["(no words)"]:
            await self.send(address, piece, keyboard)
            address = Address(address.chat, address.topic)

    async def send_files(self, address: Address, files: Sequence[ResultFile], read: ReadFile) -> None:
        """Files of an answer: pictures as photos, others as documents."""
        for file in files:
            name = clean_text(file.name.rpartition("/")[2], one_line=True, limit=100)
            try:
                content = await read(file)
            except MicroclawError as exc:
                _log.info("telegram: a file is not sent: %s", exc.message)
                await self.send_all(address, f"The file {name} is no longer there.")
            else:
                await self._send_file(address, (name, content, file.media_type))

    async def _send_file(self, address: Address, file: tuple[str, bytes, str]) -> None:
        topic = address.topic
        if file[2] in _PHOTOS:
            try:
                await self._call("sendPhoto", address.chat, object, message_thread_id=topic, files={"photo": file})
                return
            except TelegramError as exc:
                if exc.status != 400:
                    raise
                _log.info("telegram: %s; the picture goes as a document", exc.message)  # too wide, too many pixels
        await self._call("sendDocument", address.chat, object, message_thread_id=topic, files={"document": file})

    async def _write(self, method: str, chat_id: int, kind: type[T], markdown: str, **more: object) -> T:
        """A text with markup, or without where Telegram refuses the markup."""
        more |= {"link_preview_options": {"is_disabled": True}}
        try:
            return await self._call(method, chat_id, kind, text=telegram_html(markdown), parse_mode="HTML", **more)
        except TelegramError as exc:
            if exc.status != 400:
                raise
            _log.info("telegram: %s; the text goes without markup", exc.message)
            return await self._call(method, chat_id, kind, text=clean_text(markdown), **more)

    async def _call(self, method: str, chat_id: int, kind: type[T], **more: Any) -> T:
        """A call of a chat: of its new id where a group became a supergroup."""
        backoff = self._timing.backoff()
        while True:
            try:
                return await self._api.call(method, kind, chat_id=self._migrated.get(chat_id, chat_id), **more)
            except TelegramError as exc:
                is_known = chat_id in self._migrated or len(self._migrated) >= MAX_MIGRATIONS
                if exc.migrated_to is not None and not is_known:
                    self._migrated[chat_id] = exc.migrated_to
                    continue
                if not exc.will_pass:
                    raise
                _log.info("telegram: %s; trying again", exc.message)
                await asyncio.sleep(backoff.next_wait_s(exc.retry_after_s or None))
