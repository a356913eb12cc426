"""How this channel's chats and people are named elsewhere in the host (declarations only)."""

from __future__ import annotations

from typing import Final

CHANNEL: Final = "tg"  # as MimiClaw names its session files: tg_<chat_id>.jsonl


def chat_number(chat_id: str) -> int | None:
    """A journaled chat id as Telegram's number; None for one that is none."""
    digits = chat_id.removeprefix("-")
    return int(chat_id) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else None
