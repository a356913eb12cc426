"""Telegram's updates, as the Bot API has them: messages and presses of buttons. No IO."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

from microclaw.text import encodable

ALLOWED_UPDATES: Final = ("message", "callback_query")


class Bot(Struct, frozen=True):
    """The bot itself (getMe)."""

    id: int
    username: str


class User(Struct, frozen=True):
    id: int
    is_bot: bool = False
    first_name: str = ""
    username: str = ""


class Chat(Struct, frozen=True):
    id: int
    type: str


class PhotoSize(Struct, frozen=True):
    """One size of a picture; `file_size` in bytes, 0 where Telegram does not say."""

    file_id: str
    file_size: int = 0


class _Replied(Struct, frozen=True, rename={"sender": "from"}):
    sender: User | None = None


class Message(Struct, frozen=True, rename={"sender": "from"}):
    """A person's message, or another bot's. `caption` belongs to a picture or to a file of another kind."""

    chat: Chat
    sender: User
    text: str = ""
    caption: str = ""
    photo: tuple[PhotoSize, ...] = ()
    reply_to_message: _Replied = _Replied()
    forward_origin: Any = None
    forward_date: Any = None  # before Bot API 7.0

    @property
    def is_forwarded(self) -> bool:
        """The words are somebody else's."""
        return self.forward_origin is not None or self.forward_date is not None

    def words(self, me: Bot) -> str:
        """The text without the bot's @name; empty for what is neither text nor a picture with a caption."""
        said = self.text or (self.caption if self.photo else "")
        return encodable(_name(me).sub("", said)).strip()

    def is_for(self, me: Bot) -> bool:
        """True if it is meant for the bot: private, or in a group named, answered, or a command for it."""
        replied = self.reply_to_message.sender
        named = _name(me).search(self.text or self.caption) is not None
        return self.chat.type == "private" or named or (replied is not None and replied.id == me.id)


class _Pressed(Struct, frozen=True):
    chat: Chat


class ButtonPress(Struct, frozen=True, rename={"sender": "from", "query_id": "id"}):
    """`message` is the one with the button; Telegram leaves it out when it is old."""

    query_id: str
    sender: User
    message: _Pressed | None = None
    data: str = ""


class Update(Struct, frozen=True):
    update_id: int
    message: Message | None = None
    callback_query: ButtonPress | None = None

    @property
    def chat_id(self) -> int | None:
        said = self.message or (self.callback_query and self.callback_query.message)
        return said.chat.id if said else None


def _name(me: Bot) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(me.username)}(?!\w)", re.IGNORECASE)
