"""Due times: wall clocks through both changes of summer time, spans that no clock changes, cron's odd fields."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.agent.schedules.conftest import ZONE, Clock
from tests.conftest import OpenStore

from microclaw.agent.schedules.due import next_due, to_ms
from microclaw.agent.schedules.runner import run_at
from microclaw.agent.schedules.sun import sun_time
from microclaw.errors import StoreError
from microclaw.host.operations.operation import Permission
from microclaw.host.store.database import Database
from microclaw.host.store.schedules import (
    Cron,
    Days,
    Every,
    Once,
    Schedule,
    SchedulePrompt,
    ScheduleTable,
    Timing,
    ToolAction,
)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """A moment as "2026-03-29T01:30:00+01:00"."""
    return to_ms(datetime.fromisoformat(text))


def dues(timing: Timing, begin: str, end: str) -> list[str]:
    """Every due time between two moments, on the timing's wall clock."""
    zone = ZoneInfo(timing.zone) if isinstance(timing, Cron) else UTC
    found = []
    due = next_due(timing, ms(begin))
    while due is not None and due < ms(end):
        found.append(datetime.fromtimestamp(due / 1000, zone).isoformat(timespec="minutes"))
        due = next_due(timing, due)
    return found


@pytest.mark.parametrize(
    ("fields", "zone", "begin", "end", "expected"),
    [
        # Berlin: 2 o'clock becomes 3 on 29 March 2026, 3 becomes 2 on 25 October. New York: 8 March and 1 November.
        ("30 2 * * *", BERLIN, "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00",
         ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("30 2 * * *", BERLIN, "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00",
         ["2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("15 2 * * *", NEW_YORK, "2026-03-07T12:00-05:00", "2026-03-10T00:00-04:00",
         ["2026-03-08T03:00-04:00", "2026-03-09T02:15-04:00"]),
        # Times in one gap are one run; the second pass of an hour is none.
        ("0,20,40 2 * * *", BERLIN, "2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00", ["2026-03-29T03:00+02:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:10+01:00", "2026-10-26T02:00+01:00", []),
    ],
)  # fmt: skip
def test_a_daily_job_is_due_once_a_day_through_a_change_of_summer_time(
    fields: str, zone: str, begin: str, end: str, expected: list[str]
) -> None:
    assert dues(Cron(fields, zone), begin, end) == expected


def test_hours_and_spans_go_on_through_both_changes() -> None:
    assert len(dues(Cron("0 * * * *", BERLIN), "2026-03-28T23:30:00+01:00", "2026-03-30T00:30:00+02:00")) == 24
    assert len(dues(Cron("0 * * * *", BERLIN), "2026-10-24T23:30:00+02:00", "2026-10-26T00:30:00+01:00")) == 26
    begin = ms("2026-03-28T23:00:00+01:00")
    assert next_due(Every(2 * HOUR_MS, begin), begin) == begin + 2 * HOUR_MS
    assert next_due(Every(2 * HOUR_MS, begin), ms("2026-03-29T10:00:00+02:00")) == begin + 12 * HOUR_MS
    assert (next_due(Once(5000), 4999), next_due(Once(5000), 5000)) == (5000, None)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.integers(1_767_225_600, 1_798_761_600),
)
def test_the_next_due_time_is_always_after_and_within_two_days(minute: int, hour: int, zone: str, after_s: int) -> None:
    due = next_due(Cron(f"{minute} {hour} * * *", zone), after_s * 1000)
    assert due is not None
    assert 0 < due - after_s * 1000 <= 49 * HOUR_MS


def kept(timing: Timing, deed: ToolAction | SchedulePrompt) -> Schedule:
    return Schedule("then", "that", timing, deed, "owner", "t", "c", None, "run", Permission.ACT, 1)


async def harmed(database: Database, number: int, column: str, text: str) -> None:
    query = f"UPDATE schedules SET {column} = ? WHERE schedule_id = ?"
    await database.write(lambda sql: sql.execute(query, (text, number)).rowcount)


async def test_what_is_stored_is_read_back_and_what_is_none_of_ours_told_and_hides_no_other(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store(tmp_path / "store.db") as database:
        table = ScheduleTable(database)
        numbers = list[int]()
        for timing in (Once(5), Every(60_000, 7), Cron("0 7 * * 1", BERLIN)):
            for deed in (ToolAction("gpio-set", '{"pin":4}'), SchedulePrompt("look at lamp", {"d-1": "lamp"})):
                numbers.append(await table.add(kept(timing, deed)))
                assert await table.get(numbers[-1]) == replace(kept(timing, deed), schedule_id=numbers[-1])
        for number, (column, text) in enumerate(
            (("act", "{}"), ("act", "4"), ("act", '{"kind":"prompt","text":"x","devices":[1]}'), ("timing", "{}")), 1
        ):
            await harmed(database, number, column, text)
            with pytest.raises(StoreError):
                await table.get(number)
        assert [one.schedule_id for one in await table.readable()] == numbers[4:]


async def test_a_run_is_not_begun_where_the_schedule_was_paused_or_removed_meanwhile(
    open_store: OpenStore, tmp_path: Path
) -> None:
    """The runner read it as due, and the pause came before the run was noted."""
    async with open_store(tmp_path / "store.db") as database:
        table = ScheduleTable(database)
        number = await table.add(kept(Once(5), SchedulePrompt("look")))
        claim = partial(table.claim, number, 1, next_ms=2, woke=False, now_ms=1)
        await table.set_state(number, "paused", "by a test", None)
        assert not await claim()
        await table.set_next(number, 2, instead_of=1)
        paused = replace(
            kept(Once(5), SchedulePrompt("look")), schedule_id=number, state="paused", why="by a test", next_ms=None
        )
        assert await table.get(number) == paused
        assert await claim(paused_too=True)  # a person has it run now all the same
        assert await table.get(number) == paused
        await table.remove(number)
        assert not await claim(paused_too=True)
        assert await table.open_runs() == ()


async def test_the_hosts_own_work_runs_at_the_start_and_at_its_times_whatever_the_clock_did() -> None:
    clock = Clock()
    done = list[str]()

    async def work() -> None:
        done.append(f"{datetime.fromtimestamp(clock.at_ms / 1000, ZONE):%Y-%m-%d %H:%M}")
        if len(done) == 5:
            raise StoreError("the disk is full")

    running = asyncio.create_task(run_at(Cron("0 4 * * *", ZONE.key), work, clock, at_start=True))
    await clock.looked()
    for at in ((2026, 11, 21, 4), (2026, 11, 21, 23), (2031, 3, 3, 3), (2026, 11, 20, 12), (2026, 11, 21, 4)):
        await clock.to(datetime(*at, tzinfo=ZONE))
    assert done == ["2026-11-20 11:00", "2026-11-21 04:00", "2031-03-03 03:00", "2026-11-21 04:00"]
    clock.move(datetime(2026, 11, 22, 4, tzinfo=ZONE))
    with pytest.raises(StoreError):  # for the supervisor, which begins it again
        await running


def test_each_second_day_is_counted_from_its_first_and_a_summer_time_moves_no_clock() -> None:
    days = Days("06:00", "Europe/Berlin", "2026-10-24", every=2)
    due_ms = to_ms(datetime(2026, 10, 23, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    times = []
    for _ in range(3):
        due_ms = next_due(days, due_ms) or 0
        times.append(f"{datetime.fromtimestamp(due_ms / 1000, ZoneInfo('Europe/Berlin')):%m-%d %H:%M %Z}")
    # The 25th is the day on which summer time ends.
    assert times == ["10-24 06:00 CEST", "10-26 06:00 CET", "10-28 06:00 CET"]


@pytest.mark.parametrize(
    ("event", "day", "place", "utc"),
    [
        # Times of published tables, to the minute.
        ("sunrise", date(2026, 6, 21), (52.52, 13.41), "02:43"),
        ("sunset", date(2026, 6, 21), (52.52, 13.41), "19:33"),
        ("sunset", date(2026, 12, 21), (52.52, 13.41), "14:54"),
        ("sunset", date(2026, 3, 20), (-33.87, 151.21), "08:08"),
        ("sunset", date(2026, 6, 21), (69.65, 18.96), None),
    ],
)
def test_the_sun_sets_when_tables_say_so(event: str, day: date, place: tuple[float, float], utc: str | None) -> None:
    moment = sun_time(event, day, *place)
    if utc is None:
        assert moment is None
    else:
        assert moment is not None
        hour, minute = map(int, utc.split(":"))
        expected = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
        assert abs((moment - expected).total_seconds()) <= 120


def test_where_the_sun_does_not_set_for_weeks_it_is_due_when_it_sets_again() -> None:
    midsummer = to_ms(datetime(2026, 6, 21, tzinfo=UTC))
    due_ms = next_due(Days("sunset", "Europe/Oslo", "2026-06-21", place=(69.65, 18.96)), midsummer)
    assert due_ms is not None
    assert datetime.fromtimestamp(due_ms / 1000, UTC).month == 7
