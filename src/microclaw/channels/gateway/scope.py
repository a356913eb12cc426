"""Whose conversation a chat id names: ids of one token are another's strangers. No IO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

CHANNEL: Final = "ws"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """Who speaks. `token_id` is None for who needs none, on loopback."""

    person_id: str
    token_id: str | None = None

    def journaled(self, chat_id: str) -> str:
        """The conversation's id in the journal, different for every pair of scope and chat id.

        On loopback `ws_client1` becomes `client1`, so that its file is MimiClaw's `ws_client1.jsonl`. An "@" is in no
        such name: with it begin the other ids of loopback, and before it stands the token of those of a token.
        """
        if self.token_id is not None:
            return f"{self.token_id}@{chat_id}"
        bare = chat_id.removeprefix("ws_")
        return bare if bare != chat_id and _PLAIN.fullmatch(bare) else f"@{chat_id}"


def visible(journaled: str) -> str:
    """The chat id as its client knows it."""
    _, at, chat_id = journaled.partition("@")
    return chat_id if at else f"ws_{journaled}"
