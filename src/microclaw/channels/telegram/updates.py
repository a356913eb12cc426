"""What Telegram sends, read into values: messages and button presses. No IO; edits and everything else is `Ignored`."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from microclaw.errors import ProtocolError

ALLOWED_UPDATES: Final = ("message", "callback_query")
_REFUSED: Final = (
    "document", "video", "audio", "animation", "sticker", "video_note", "location", "contact", "poll", "venue", "dice",
)  # fmt: skip


class Bot(Struct, frozen=True):
    """Who we are (getMe)."""

    bot_id: int
    username: str


class RemoteFile(Struct, frozen=True):
    """A file that Telegram keeps for us; `size_bytes` 0 where it did not say."""

    kind: Literal["image", "voice"]
    file_id: str
    size_bytes: int
    media_type: str


class ChatMessage(Struct, frozen=True):
    """A person's message. `photos` is one picture in several sizes; `refused` names what we do not take.

    `addressed`: in a group, whether it was meant for the bot: named, answered, or a command for it. `forwarded`: the
    words are somebody else's.
    """

    update_id: int
    chat_id: int
    is_private: bool
    user_id: int
    user_name: str
    text: str
    addressed: bool
    photos: tuple[RemoteFile, ...] = ()
    voice: RemoteFile | None = None
    refused: str | None = None
    forwarded: bool = False


class ButtonPress(Struct, frozen=True):
    update_id: int
    query_id: str
    user_id: int
    chat_id: int | None
    data: str


class Ignored(Struct, frozen=True):
    update_id: int


Update: TypeAlias = ChatMessage | ButtonPress | Ignored


def update_id_of(value: object) -> int | None:
    """Its number, for an update that may be malformed otherwise."""
    number = value.get("update_id") if isinstance(value, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def read_bot(value: object) -> Bot:
    try:
        assert isinstance(value, dict)
        return Bot(_number(value["id"]), str(value["username"]))
    except (AssertionError, KeyError, TypeError, ValueError) as exc:
        raise ProtocolError("Telegram's getMe named no bot") from exc


def read_update(value: dict[str, Any], me: Bot) -> Update:
    """Raises ProtocolError for an update that is not as the Bot API says."""
    try:
        update_id = _number(value["update_id"])
        if (message := value.get("message")) is not None:
            return _message(update_id, message, me)
        if (query := value.get("callback_query")) is not None:
            return _press(update_id, query)
        return Ignored(update_id)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        raise ProtocolError(f"an update that is not as the Bot API says: {type(exc).__name__}") from exc


def _message(update_id: int, message: dict[str, Any], me: Bot) -> ChatMessage | Ignored:
    sender = message.get("from")
    if sender is None or sender.get("is_bot"):
        return Ignored(update_id)
    chat = message["chat"]
    text = _text(message.get("text") or message.get("caption") or "")
    bare, named = _without_name(text, me.username)
    answers_us = ((message.get("reply_to_message") or {}).get("from") or {}).get("id") == me.bot_id
    refused = next((kind for kind in _REFUSED if kind in message), None)
    photos = tuple(_file("image", each, "image/jpeg") for each in message.get("photo") or ())
    voice = _file("voice", message["voice"], "audio/ogg") if "voice" in message else None
    if not (bare or photos or voice or refused):
        return Ignored(update_id)  # somebody joined, a title changed, a message was pinned
    return ChatMessage(
        update_id=update_id,
        chat_id=_number(chat["id"]),
        is_private=chat["type"] == "private",
        user_id=_number(sender["id"]),
        user_name=_text(sender.get("first_name") or sender.get("username") or "somebody")[:64],
        text=bare,
        addressed=named or answers_us,
        photos=photos,
        voice=voice,
        refused=refused,
        forwarded="forward_origin" in message or "forward_date" in message,  # the latter before Bot API 7.0
    )


def _press(update_id: int, query: dict[str, Any]) -> ButtonPress:
    message = query.get("message") or {}
    chat = message.get("chat")
    return ButtonPress(
        update_id=update_id,
        query_id=_text(query["id"]),
        user_id=_number(query["from"]["id"]),
        chat_id=None if chat is None else _number(chat["id"]),
        data=_text(query.get("data") or "")[:64],
    )


def _file(kind: Literal["image", "voice"], value: dict[str, Any], default_type: str) -> RemoteFile:
    size = value.get("file_size", 0)
    return RemoteFile(kind, _text(value["file_id"]), _number(size), _text(value.get("mime_type") or default_type)[:64])


def _without_name(text: str, username: str) -> tuple[str, bool]:
    """`text` without the bot's @name, and whether it was there (names are the same in any case)."""
    name, lowered, kept, at, named = f"@{username}".lower(), text.lower(), list[str](), 0, False
    if len(lowered) != len(text):  # a letter whose lower case is longer: places would not agree
        lowered = text
    while (found := lowered.find(name, at)) >= 0:
        end = found + len(name)
        is_whole = not (lowered[end : end + 1].isalnum() or lowered[end : end + 1] == "_")
        kept.append(text[at : found if is_whole else end])
        named, at = named or is_whole, end
    kept.append(text[at:])
    return "".join(kept).strip(), named


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value.encode(errors="replace").decode()  # a lone surrogate, which JSON can carry and UTF-8 cannot


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return value
