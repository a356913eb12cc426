"""What somebody hears who is not admitted: a code and what to do with it, now and then. Reads nothing they wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from microclaw.channels.ports import People
from microclaw.channels.telegram.timing import Timing
from microclaw.channels.telegram.updates import ChatMessage
from microclaw.errors import Overloaded

MAX_REMEMBERED: Final = 1024
ANSWERS_A_MINUTE: Final = 10  # to all strangers together


class Strangers:
    """`greeting` is None when a stranger was answered a moment ago, or too many ask at once."""

    def __init__(self, people: People, channel: str, timing: Timing, now_s: Callable[[], float]) -> None:
        self._people = people
        self._channel = channel
        self._pause_s = timing.stranger_s
        self._now_s = now_s
        self._answered_s: dict[int, float] = {}

    async def greeting(self, message: ChatMessage) -> str | None:
        if not self._may_answer(message.user_id):
            return None
        try:
            code = await self._people.ask_pairing(self._channel, str(message.user_id), message.user_name)
        except Overloaded:
            return "Too many people ask to be let in at the moment. Please write again in ten minutes."
        return f"I do not know you yet. The owner of this host can let you in:\n`microclaw person pair {code}`"

    def _may_answer(self, user_id: int) -> bool:
        now_s = self._now_s()
        self._answered_s = {user: at_s for user, at_s in self._answered_s.items() if now_s - at_s < self._pause_s}
        within_a_minute = sum(1 for at_s in self._answered_s.values() if now_s - at_s < 60)
        if user_id in self._answered_s or within_a_minute >= ANSWERS_A_MINUTE:
            return False
        if len(self._answered_s) >= MAX_REMEMBERED:
            return False
        self._answered_s[user_id] = now_s
        return True
