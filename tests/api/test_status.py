"""What the status screen says of channels, schedules, approvals and budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.api.status import (
    SHOWN,
    ChannelStates,
    approval_object,
    channel_objects,
    for_everybody,
    schedule_object,
    usage_object,
)
from microclaw.auth.approvals import PendingApproval
from microclaw.auth.people import OwnerAlone, Permission, Person
from microclaw.channels.telegram.poller import TelegramState
from microclaw.config.load import load_settings
from microclaw.config.settings import BudgetSettings, Settings
from microclaw.schedules.entry import Once, Prompt, Schedule
from microclaw.store.schedules import ScheduleState
from microclaw.store.usage import UsageCount


def entry(number: int, next_ms: int | None, state: ScheduleState = "active") -> Schedule:
    return Schedule(
        schedule_id=number,
        said="at 7",
        what="blink",
        timing=Once(1),
        deed=Prompt("blink"),
        person_id="owner",
        channel="terminal",
        chat_id="t",
        device=None,
        missed="skip",
        approved=Permission.READ,
        state=state,
        why="",
        created_ms=1,
        next_ms=next_ms,
    )


def asked(count: int) -> list[PendingApproval]:
    return [PendingApproval(f"a{n}", "owner", f"act {n}", (), "terminal", "t", 60.0) for n in range(count)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, home=tmp_path / "home")


def test_channels_tell_how_they_are(settings: Settings) -> None:
    channels = ChannelStates(TelegramState("listening", "claw_bot"), "ws://127.0.0.1:18789", lambda: 2)
    telegram, gateway = channel_objects(channels, settings)
    assert telegram == {"name": "telegram", "state": "on", "text": "@claw_bot", "bot": "@claw_bot"}
    assert gateway == {"name": "gateway", "state": "on", "text": "ws://127.0.0.1:18789", "clients": 2} | {
        "open": False,
        "token_file": None,
    }


def test_disturbed_channel_says_why(settings: Settings) -> None:
    (telegram, _) = channel_objects(ChannelStates(TelegramState("disturbed", "claw_bot", "no network")), settings)
    assert (telegram["state"], telegram["text"]) == ("disturbed", "no network")


def test_channel_that_is_off_says_why_where_it_was_wanted(settings: Settings) -> None:
    settings = replace(settings, problems=("telegram is off: the environment has no BOT",))
    channels = ChannelStates(problems=("the chat gateway is off: port 18789 is taken",))
    assert channel_objects(channels, settings) == [
        {"name": "telegram", "state": "off", "text": "the environment has no BOT"},
        {"name": "gateway", "state": "off", "text": "port 18789 is taken"},
    ]
    assert [c["text"] for c in channel_objects(ChannelStates(), replace(settings, problems=()))] == [None, None]


def test_schedules_that_are_due_next_come_first() -> None:
    entries = (*(entry(n, 1000 - n) for n in range(SHOWN + 2)), entry(90, None, "paused"), entry(91, None, "over"))
    found = schedule_object(entries)
    assert (found["active"], found["paused"]) == (SHOWN + 2, 1)
    assert [due["next_ms"] for due in found["next"]] == [994, 995, 996, 997, 998]


def test_spending_of_today_is_told_with_its_limits() -> None:
    today = UsageCount(requests=3, input_tokens=10, output_tokens=5, cost_nano_usd=1_500_000_000)
    found = usage_object(today, BudgetSettings(day_usd=2.0))
    assert found == {"requests": 3, "tokens": 15, "cost_usd": 1.5, "day_usd": 2.0, "day_tokens": None}


def test_approvals_are_counted_and_the_first_are_named() -> None:
    found = approval_object(asked(SHOWN + 1), OwnerAlone())
    assert (found["pending"], len(found["first"])) == (SHOWN + 1, SHOWN)
    assert found["first"][0] == {"approval_id": "a0", "action": "act 0", "asked_by": "owner"}


def test_who_asked_for_an_approval_is_named() -> None:
    class Bea:
        def get(self, person_id: str) -> Person:
            return Person(person_id, "Bea", "member")

    found = approval_object(asked(1), Bea())
    assert found["first"][0]["asked_by"] == "Bea"


def test_others_than_owners_do_not_see_what_concerns_other_people() -> None:
    status = {"pid": 1, "problems": [], "channels": [], "schedules": {}, "approvals": {}, "usage": {}, "devices": []}
    assert for_everybody(status) == {"devices": []}
