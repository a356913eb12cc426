"""The gateway's JSON messages, read and written. No IO; docs/protocols/chat-gateway.md has every field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from microclaw.errors import MicroclawError

MAX_CHAT_ID_BYTES: Final = 31  # the device keeps it in 32 bytes with the final NUL
EVENTS: Final = frozenset({"delta", "tool", "approval"})


class BadMessage(MicroclawError):
    """What a client sent cannot be used; `code` goes into the `error` message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = code


@dataclass(frozen=True, slots=True)
class Say:
    content: str
    chat_id: str | None


@dataclass(frozen=True, slots=True)
class Ping:
    ts: int | float | str | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decide:
    approval_id: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """A type from another time: ignored."""


ClientMessage: TypeAlias = Say | Ping | Subscribe | Decide | Unknown


def read_message(text: str) -> ClientMessage:
    """Raises BadMessage."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("bad_json", "a message is one JSON object") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadMessage("bad_message", 'a message is a JSON object with a "type"')
    match value["type"]:
        case "message":
            return _say(value)
        case "ping":
            ts = value.get("ts")
            is_mark = isinstance(ts, int | float | str) and not (isinstance(ts, str) and len(ts) > 64)
            return Ping(ts if is_mark else None)
        case "subscribe":
            return _subscribe(value)
        case "approve":
            approval_id, approved = value.get("approval_id"), value.get("approved")
            if not isinstance(approval_id, str) or not isinstance(approved, bool):
                raise BadMessage("bad_message", '"approve" has "approval_id" (text) and "approved" (true or false)')
            return Decide(approval_id, approved)
        case _:
            return Unknown()


def _say(value: dict[str, Any]) -> Say:
    content, chat_id = value.get("content"), value.get("chat_id")
    if not isinstance(content, str) or not content.strip():
        raise BadMessage("bad_message", '"message" has "content", a text that is not empty')
    content = _storable(content)
    if chat_id is None or chat_id == "":
        return Say(content, None)
    if not isinstance(chat_id, str) or not chat_id.isprintable():
        raise BadMessage("bad_message", '"chat_id" is a text of printable characters')
    if (size := len(chat_id.encode())) > MAX_CHAT_ID_BYTES:
        raise BadMessage("chat_id_too_long", f'"chat_id" has {size} bytes, at most {MAX_CHAT_ID_BYTES} are allowed')
    return Say(content, chat_id)


def _subscribe(value: dict[str, Any]) -> Subscribe:
    events = value.get("events")
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise BadMessage("bad_message", '"subscribe" has "events", a list of names')
    return Subscribe(EVENTS.intersection(events))


def response(content: str, chat_id: str) -> str:
    return _line({"type": "response", "content": content, "chat_id": chat_id})


def pong(ts: int | float | str | None) -> str:
    return _line({"type": "pong"} if ts is None else {"type": "pong", "ts": ts})


def error(code: str, message: str) -> str:
    return _line({"type": "error", "code": code, "message": message})


def delta(content: str) -> str:
    return _line({"type": "delta", "content": content})


def tool(name: str, state: str) -> str:
    return _line({"type": "tool", "name": name, "state": state})


def approval(approval_id: str, text: str, detail: tuple[str, ...], expires_s: float) -> str:
    value = {"approval_id": approval_id, "content": text, "detail": list(detail), "expires_s": expires_s}
    return _line({"type": "approval", **value})


def approval_settled(approval_id: str, outcome: str) -> str:
    return _line({"type": "approval_settled", "approval_id": approval_id, "outcome": outcome})


def _line(value: dict[str, object]) -> str:
    return _storable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _storable(text: str) -> str:
    """A lone surrogate, which JSON can carry and UTF-8 cannot, becomes "?"."""
    return text.encode(errors="replace").decode()
