"""What the status screen says of channels, schedules, approvals and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from microclaw.api.status import (
    SHOWN,
    approval_object,
    channel_objects,
    for_everybody,
    problem_lines,
    schedule_object,
    usage_object,
)
from microclaw.auth.approvals import Pending
from microclaw.auth.people import OwnerAlone, Person
from microclaw.channels.telegram.poller import TelegramState
from microclaw.config import BudgetSettings, Settings, load_settings
from microclaw.store.usage import UsageCount, UsageGroup


@dataclass(frozen=True)
class Open:
    telegram: TelegramState | None = None
    gateway: str | None = None
    clients: Clients | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clients:
    clients: int


@dataclass(frozen=True)
class Entry:
    schedule_id: int
    next_ms: int | None
    state: str = "active"
    said: str = "at 7"
    what: str = "blink"


@dataclass(frozen=True)
class Book:
    entries: tuple[Entry, ...]

    async def all(self) -> Sequence[Entry]:
        return self.entries


@dataclass(frozen=True)
class Today:
    today: UsageCount

    async def report(self, by: UsageGroup, days: int) -> Today:
        assert (by, days) == ("day", 1)
        return self


@dataclass(frozen=True)
class Asked:
    count: int

    def pending(self) -> Sequence[Pending]:
        return [Pending(f"a{n}", "owner", f"act {n}", (), "terminal", "t", 60.0) for n in range(self.count)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, home=tmp_path / "home")


def test_channels_tell_how_they_are(settings: Settings) -> None:
    channels = Open(TelegramState("listening", "claw_bot"), "ws://127.0.0.1:18789", Clients(2))
    telegram, gateway = channel_objects(channels, settings)
    assert telegram == {"name": "telegram", "state": "on", "text": "@claw_bot", "bot": "@claw_bot"}
    assert gateway == {"name": "gateway", "state": "on", "text": "ws://127.0.0.1:18789", "clients": 2}


def test_disturbed_channel_says_why(settings: Settings) -> None:
    (telegram, _) = channel_objects(Open(TelegramState("disturbed", "claw_bot", "no network")), settings)
    assert (telegram["state"], telegram["text"]) == ("disturbed", "no network")


def test_channel_that_is_off_says_why_where_it_was_wanted(settings: Settings) -> None:
    settings = replace(settings, problems=("telegram is off: the environment has no BOT",))
    channels = Open(problems=("the chat gateway is off: port 18789 is taken",))
    assert channel_objects(channels, settings) == [
        {"name": "telegram", "state": "off", "text": "the environment has no BOT"},
        {"name": "gateway", "state": "off", "text": "port 18789 is taken"},
    ]
    assert problem_lines(channels, settings) == [*settings.problems, *channels.problems]
    assert [c["text"] for c in channel_objects(None, replace(settings, problems=()))] == [None, None]


async def test_schedules_that_are_due_next_come_first() -> None:
    entries = (*(Entry(n, 1000 - n) for n in range(SHOWN + 2)), Entry(90, None, "paused"), Entry(91, None, "over"))
    found = await schedule_object(Book(entries))
    assert found is not None
    assert (found["active"], found["paused"]) == (SHOWN + 2, 1)
    assert [entry["next_ms"] for entry in found["next"]] == [994, 995, 996, 997, 998]
    assert await schedule_object(None) is None


async def test_spending_of_today_is_told_with_its_limits(settings: Settings) -> None:
    settings = replace(settings, budget=BudgetSettings(day_usd=2.0))
    spent = Today(UsageCount(requests=3, input_tokens=10, output_tokens=5, cost_nano_usd=1_500_000_000))
    found = await usage_object(spent, settings)
    assert found == {"requests": 3, "tokens": 15, "cost_usd": 1.5, "day_usd": 2.0, "day_tokens": None}


def test_approvals_are_counted_and_the_first_are_named() -> None:
    found = approval_object(Asked(SHOWN + 1), OwnerAlone())
    assert found is not None
    assert (found["pending"], len(found["first"])) == (SHOWN + 1, SHOWN)
    assert found["first"][0] == {"id": "a0", "action": "act 0", "asked_by": "owner"}


def test_who_asked_for_an_approval_is_named() -> None:
    class Bea:
        def get(self, person_id: str) -> Person:
            return Person(person_id, "Bea", "member")

    found = approval_object(Asked(1), Bea())
    assert found is not None
    assert found["first"][0]["asked_by"] == "Bea"


def test_others_than_owners_do_not_see_what_concerns_other_people() -> None:
    status = {"pid": 1, "problems": [], "channels": [], "schedules": {}, "approvals": {}, "usage": {}, "devices": []}
    assert for_everybody(status) == {"devices": []}
