"""Unknown senders are answered: a few accounts that write again and again shut nobody out."""

from __future__ import annotations

from collections import Counter

from tests.channels.conftest import MemoryPeople

from microclaw.channels.telegram.api import Timing
from microclaw.channels.telegram.approvals import UnknownSenders
from microclaw.channels.telegram.updates import User


async def test_a_few_strangers_who_write_again_and_again_take_no_answer_from_a_new_one() -> None:
    now_s, people = 0.0, MemoryPeople()
    senders = UnknownSenders(people, Timing(), lambda: now_s)
    for minute in range(180):
        now_s = 61.0 * minute
        for user in range(40):
            await senders.greeting(_user(user))
        if minute > 2:
            assert "482913" in (await senders.greeting(_user(1000 + minute)) or "")
    answered = Counter(user for _channel, user, _name in people.asked)
    assert max(answered.values()) <= 180  # each at most once a minute


async def test_a_stranger_who_comes_back_is_answered_when_nobody_else_writes() -> None:
    now_s, people = 0.0, MemoryPeople()
    senders = UnknownSenders(people, Timing(), lambda: now_s)
    assert await senders.greeting(_user(7)) is not None
    assert await senders.greeting(_user(7)) is None
    now_s = 61.0
    assert await senders.greeting(_user(7)) is not None


def _user(number: int) -> User:
    return User(number, first_name="x")
