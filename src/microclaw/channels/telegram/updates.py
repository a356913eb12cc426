"""Telegram's updates, as the Bot API has them: messages and presses of buttons. No IO."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from microclaw.errors import ProtocolError
from microclaw.text import encodable

ALLOWED_UPDATES: Final = ("message", "callback_query")
_REFUSED: Final = (
    "document", "video", "audio", "animation", "sticker", "video_note", "location", "contact", "poll", "venue", "dice",
    "voice",
)  # fmt: skip


class Update(Struct, frozen=True):
    """`message` and `callback_query` are as they came: `read_update` reads them."""

    update_id: int
    message: Any = None
    callback_query: Any = None


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
    """A person's message. `refused` names its kind where that is none of ours; the Bot API has no such field."""

    update_id: int
    chat: Chat
    sender: User
    text: str = ""
    caption: str = ""
    photo: tuple[PhotoSize, ...] = ()
    reply_to_message: _Replied = _Replied()
    forward_origin: Any = None
    forward_date: Any = None  # before Bot API 7.0
    refused: str | None = None

    @property
    def is_private(self) -> bool:
        return self.chat.type == "private"

    @property
    def is_forwarded(self) -> bool:
        """The words are somebody else's."""
        return self.forward_origin is not None or self.forward_date is not None

    def words(self, me: Bot) -> str:
        """The text without the bot's @name."""
        return encodable(_name(me).sub("", self.text or self.caption)).strip()

    def is_for(self, me: Bot) -> bool:
        """True if it is meant for the bot: private, or in a group named, answered, or a command for it."""
        replied = self.reply_to_message.sender
        named = _name(me).search(self.text or self.caption) is not None
        return self.is_private or named or (replied is not None and replied.id == me.id)


class ButtonPress(Struct, frozen=True, rename={"sender": "from", "query_id": "id"}):
    """`message` is the one with the button; Telegram leaves it out when it is old."""

    update_id: int
    query_id: str
    sender: User
    message: _Pressed | None = None
    data: str = ""

    @property
    def chat(self) -> Chat | None:
        return None if self.message is None else self.message.chat


class _Pressed(Struct, frozen=True):
    chat: Chat


def read_update(update: Update, me: Bot) -> Message | ButtonPress | None:
    """None for what is ignored: an edit, another bot's message, a message that says nothing (somebody joined).

    Raises ProtocolError for an update that is not as the Bot API says.
    """
    try:
        if (press := update.callback_query) is not None:
            return msgspec.convert(press | {"update_id": update.update_id}, ButtonPress)
        if update.message is None:
            return None
        if update.message.get("from", {}).get("is_bot", True):
            return None
        refused = next((kind for kind in _REFUSED if kind in update.message), None)
        more = {"update_id": update.update_id, "refused": refused}
        message = msgspec.convert(update.message | more, Message)
        return message if message.words(me) or message.photo or refused else None
    except (AttributeError, TypeError, ValueError, RecursionError) as exc:
        raise ProtocolError(f"an update that is not as the Bot API says: {type(exc).__name__}") from exc


def _name(me: Bot) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(me.username)}(?!\w)", re.IGNORECASE)
