"""The gateway's JSON messages, read and written. No IO; docs/protocols/chat-gateway.md has every field."""

from __future__ import annotations

import json
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from microclaw.errors import MicroclawError

MAX_CHAT_ID_BYTES: Final = 31  # the device keeps it in 32 bytes with the final NUL


class BadMessage(MicroclawError):
    """A client's message cannot be used; `code` goes into the `error` message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(Struct, frozen=True):
    content: Annotated[str, Meta(pattern=r"\S")]
    chat_id: str | None = None

    def __post_init__(self) -> None:
        if self.chat_id and not self.chat_id.isprintable():
            raise ValueError('"chat_id" is a text of printable characters')


class Ping(Struct, frozen=True):
    ts: int | float | Annotated[str, Meta(max_length=64)] | None = None


class Subscribe(Struct, frozen=True):
    events: frozenset[str]


class Approve(Struct, frozen=True):
    approval_id: str
    approved: bool


class _Typed(Struct):
    type: str


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
        form = _FORMS.get(msgspec.json.decode(text, type=_Typed).type)
        message = None if form is None else msgspec.json.decode(text, type=form)
    except msgspec.ValidationError as exc:
        raise BadMessage("bad_message", str(exc)) from None
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage("bad_json", "a message is one JSON object") from None
    if isinstance(message, Message) and (size := len((message.chat_id or "").encode())) > MAX_CHAT_ID_BYTES:
        raise BadMessage("chat_id_too_long", f'"chat_id" has {size} bytes, at most {MAX_CHAT_ID_BYTES} are allowed')
    return message


def line(type_: str, **fields: object) -> str:
    """A message to a client. A lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
    text = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()
