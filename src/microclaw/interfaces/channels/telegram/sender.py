"""Sends messages and files within Telegram's limits, as HTML or else as plain text. It decides nothing about turns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from microclaw.errors import MicroclawError
from microclaw.events import ResultFile, ScreenPicture
from microclaw.hardware.screens.picture import PNG
from microclaw.interfaces.channels.delivery import ReadFile
from microclaw.interfaces.channels.telegram.api import Address, BotApi, TelegramError, Timing
from microclaw.interfaces.channels.telegram.markup import split, telegram_html
from microclaw.text import clean_text, count_text

T = TypeVar("T")
MAX_MIGRATIONS: Final = 1024
_PHOTOS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_log = logging.getLogger(__name__)


def picture_caption(picture: ScreenPicture) -> str:
    """Return "oled1: the last of 12 pictures in the trial"."""
    return f"{picture.part}: the last of {count_text(picture.count, 'picture')} in the trial"


class _SentMessage(Struct, frozen=True):
    message_id: int


class TelegramSender:
    """Sends to chats. Each method tries until Telegram accepts, and raises TelegramError for a permanent refusal."""

    def __init__(self, api: BotApi, timing: Timing) -> None:
        self._api = api
        self._timing = timing
        self._migrated: dict[int, int] = {}

    async def send(self, address: Address, markdown: str, keyboard: Mapping[str, object] | None = None) -> int:
        """Send one message and return its id.

        `markdown` fits into one message (`split`); `keyboard` is a reply markup.
        """
        reply = None
        if address.reply_to is not None:
            reply = {"message_id": address.reply_to, "allow_sending_without_reply": True}
        message = await self._write(
            "sendMessage",
            address.chat,
            _SentMessage,
            markdown,
            message_thread_id=address.topic,
            reply_parameters=reply,
            reply_markup=keyboard,
        )
        return message.message_id

    async def edit(self, address: Address, message_id: int, markdown: str) -> None:
        """Replace a message's text and remove its buttons."""
        await self._write("editMessageText", address.chat, object, markdown, message_id=message_id)

    async def send_all(self, address: Address, markdown: str, keyboard: Mapping[str, object] | None = None) -> None:
        """Send a text in as many messages as it needs; only the first one is a reply."""
        for piece in split(markdown) or ["(no words)"]:
            await self.send(address, piece, keyboard)
            address = Address(address.chat, address.topic)

    async def send_files(self, address: Address, files: Sequence[ResultFile], read: ReadFile) -> None:
        """Send the files of an answer: pictures as photos, others as documents."""
        for file in files:
            name = clean_text(file.name.rpartition("/")[2], one_line=True, limit=100)
            try:
                content = await read(file)
            except MicroclawError as exc:
                _log.info("telegram: a file is not sent: %s", exc.message)
                await self.send_all(address, f"The file {name} no longer exists.")
            else:
                await self._send_file(address, (name, content, file.media_type))

    async def send_pictures(self, address: Address, pictures: Sequence[ScreenPicture]) -> None:
        """Send the pictures of displays as photos, each with the name of its display."""
        for picture in pictures:
            await self._send_file(address, (f"{picture.part}.png", picture.png, PNG), picture_caption(picture))

    async def _send_file(self, address: Address, file: tuple[str, bytes, str], caption: str | None = None) -> None:
        """Send a file's name, content and media type."""
        fields: dict[str, Any] = {"message_thread_id": address.topic, "caption": caption}
        if file[2] in _PHOTOS:
            try:
                await self._call("sendPhoto", address.chat, object, files={"photo": file}, **fields)
                return
            except TelegramError as exc:
                # Telegram refuses photos that are too wide or have too many pixels.
                if exc.status != 400:
                    raise
                _log.info("telegram: %s; the picture is sent as a document", exc.message)
        await self._call("sendDocument", address.chat, object, files={"document": file}, **fields)

    async def _write(self, method: str, chat_id: int, kind: type[T], markdown: str, **fields: object) -> T:
        """Send a text with markup, or without if Telegram refuses the markup."""
        fields |= {"link_preview_options": {"is_disabled": True}}
        try:
            return await self._call(method, chat_id, kind, text=telegram_html(markdown), parse_mode="HTML", **fields)
        except TelegramError as exc:
            if exc.status != 400:
                raise
            _log.info("telegram: %s; the text is sent without markup", exc.message)
            return await self._call(method, chat_id, kind, text=clean_text(markdown), **fields)

    async def _call(self, method: str, chat_id: int, kind: type[T], **fields: Any) -> T:
        """Call a method for a chat, with the chat's new id after a group became a supergroup."""
        backoff = self._timing.backoff()
        while True:
            try:
                return await self._api.call(method, kind, chat_id=self._migrated.get(chat_id, chat_id), **fields)
            except TelegramError as exc:
                may_migrate = chat_id not in self._migrated and len(self._migrated) < MAX_MIGRATIONS
                if exc.migrated_to is not None and may_migrate:
                    self._migrated[chat_id] = exc.migrated_to
                    continue
                if not exc.is_temporary:
                    raise
                _log.info("telegram: %s; trying again", exc.message)
                await asyncio.sleep(backoff.next_wait_s(exc.retry_after_s or None))
