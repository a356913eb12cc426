"""The gateway's JSON messages, read and written. No IO; docs/protocols/chat-gateway.md has every field."""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeAlias

from msgspec import Struct, ValidationError, convert

from microclaw.errors import MicroclawError

MAX_CHAT_ID_BYTES: Final = 31  # the device keeps it in 32 bytes with the final NUL
MAX_MARK_CHARS: Final = 64
EVENTS: Final = frozenset({"delta", "tool", "approval"})


class BadMessage(MicroclawError):
    """What a client sent cannot be used; `code` goes into the `error` message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(Struct, frozen=True):
    content: str
    chat_id: str | None = None


class Ping(Struct, frozen=True):
    ts: Any = None


class Subscribe(Struct, frozen=True):
    events: frozenset[str]


class Approve(Struct, frozen=True):
    approval_id: str
    approved: bool


ClientMessage: TypeAlias = Message | Ping | Subscribe | Approve
_FORMS: Final[dict[str, type[ClientMessage]]] = {
    "message": Message,
    "ping": Ping,
    "subscribe": Subscribe,
    "approve": Approve,
}


def read_message(text: str) -> ClientMessage | None:
    """None for a type of another version. Raises BadMessage."""
    try:
        # Not msgspec: a lone surrogate is no error here.
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        raise BadMessage("bad_json", "a message is one JSON object") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadMessage("bad_message", 'a message is a JSON object with a "type"')
    if (form := _FORMS.get(value["type"])) is None:
        return None
    try:
        message = convert(value, form)
    except ValidationError as exc:
        raise BadMessage("bad_message", str(exc)) from None
    match message:
        case Message():
            return _checked(message)
        case Ping(ts) if not isinstance(ts, int | float | str) or (isinstance(ts, str) and len(ts) > MAX_MARK_CHARS):
            return Ping()
        case Subscribe(events):
            return Subscribe(EVENTS & events)
    return message


def _finite(text: str) -> float:
    """Python reads NaN, Infinity and 1e400 and writes them as no JSON has them."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _checked(message: Message) -> Message:
    if not message.content.strip():
        raise BadMessage("bad_message", '"content" is empty')
    content, chat_id = _storable(message.content), message.chat_id or None
    if chat_id is not None and not chat_id.isprintable():
        raise BadMessage("bad_message", '"chat_id" is a text of printable characters')
    if chat_id is not None and (size := len(chat_id.encode())) > MAX_CHAT_ID_BYTES:
        raise BadMessage("chat_id_too_long", f'"chat_id" has {size} bytes, at most {MAX_CHAT_ID_BYTES} are allowed')
    return Message(content, chat_id)


def line(type_: str, **fields: object) -> str:
    """A message to a client."""
    return _storable(json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":")))


def _storable(text: str) -> str:
    """A lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
    return text.encode(errors="replace").decode()
