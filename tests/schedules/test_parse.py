"""Times in words: each means one thing, is asked back, or is refused with the reason."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from microclaw.clock import machine_zone
from microclaw.errors import ScheduleRefused
from microclaw.schedules.due import to_ms
from microclaw.schedules.parse import parse_when
from microclaw.store.schedules import Cron, Every, Once

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 11, 13, tzinfo=BERLIN)  # a Friday


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("every weekday at 7", "0 7 * * 1-5"),
        ("every day at 7:30", "30 7 * * *"),
        ("every evening at 7", "0 19 * * *"),
        ("on weekends at noon", "0 12 * * 0,6"),
        ("every sunday at 6 pm", "0 18 * * 0"),
        ("every monday and thursday at 6:30", "30 6 * * 1,4"),
        ("weekdays at 7", "0 7 * * 1-5"),
        ("30 7 * * 1-5", "30 7 * * 1-5"),
        ("cron 0 9 1 * *", "0 9 1 * *"),
        ("*/15 * * * *", "*/15 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
        ("every day at 7 and 19", "0 7,19 * * *"),
        ("every weekday at 7:30 am and at 6:30 pm", "30 7,18 * * 1-5"),
    ],
)
def test_what_repeats_by_the_calendar_is_cron_in_its_zone(said: str, fields: str) -> None:
    assert parse_when(said, NOW) == Cron(fields, "Europe/Berlin")


@pytest.mark.parametrize(
    ("said", "local"),
    [
        ("in 20 minutes", "2026-11-20T11:33"),
        ("in an hour", "2026-11-20T12:13"),
        ("in 2 days", "2026-11-22T11:13"),
        ("in 2 days at 9:00", "2026-11-22T09:00"),
        ("in a week at noon", "2026-11-27T12:00"),
        ("tomorrow evening at 8", "2026-11-21T20:00"),
        ("tonight at 10", "2026-11-20T22:00"),
        ("tonight at 12", "2026-11-21T00:00"),
        ("at 22:00", "2026-11-20T22:00"),
        ("at 9:00", "2026-11-21T09:00"),
        ("on friday at 22:00", "2026-11-20T22:00"),
        ("on friday at 9:00", "2026-11-27T09:00"),
        ("next friday at 22:00", "2026-11-27T22:00"),
        ("next monday at 22:00", "2026-11-23T22:00"),
        ("on December 3rd at 2 pm", "2026-12-03T14:00"),
        ("on 3 December 2027 at 14:00", "2027-12-03T14:00"),
        ("2026-12-03 14:00", "2026-12-03T14:00"),
        ("on 1 March at 12:00", "2027-03-01T12:00"),
        ("on 29 February at 12:00", "2028-02-29T12:00"),
    ],
)
def test_one_time_is_a_moment(said: str, local: str) -> None:
    assert parse_when(said, NOW) == Once(to_ms(datetime.fromisoformat(local).replace(tzinfo=BERLIN)))


def test_a_span_is_counted_from_now() -> None:
    assert parse_when("every 2 hours", NOW) == Every(7_200_000, to_ms(NOW))
    assert parse_when("hourly", NOW) == Every(3_600_000, to_ms(NOW))


@pytest.mark.parametrize("said", ["today at 8:00", "on 20 November at 9:00", "2020-01-01 08:00", "2026-11-20 11:13"])
def test_the_past_is_refused(said: str) -> None:
    with pytest.raises(ScheduleRefused) as refused:
        parse_when(said, NOW)
    assert "2026-11-20 11:13" in refused.value.message


@pytest.mark.parametrize(
    "said",
    ["", "  ", "blah", "yesterday at 8", "at 25:00", "on 30 February at 8:00", "every 10 seconds",
     "in -5 minutes", "99 7 * * *", "0 0 30 2 *", "x" * 500, "in 99999 days",
     "in 99999999999999999999 weeks", f"every {'9' * 40} hours", "every day at noon or so", "in 20 minutes at 22:00",
     "at 7", "every day", "every week at 9:00", "at sunset", "tomorrow at 7:00 and 9:00", "every day at 7 and 7:30",
     "every day at 7 and 9 pm", "every monday at 7 and 19 on friday", "daily at 1" + " and at 1" * 20],
)  # fmt: skip
def test_no_time_or_one_of_two_is_refused_with_what_to_say(said: str) -> None:
    with pytest.raises(ScheduleRefused) as refused:
        parse_when(said, NOW)
    assert refused.value.next_step


@pytest.mark.parametrize("said", ["every 3 days", "every other day at 8:00"])
def test_days_between_two_times_are_to_be_named(said: str) -> None:
    with pytest.raises(ScheduleRefused) as refused:
        parse_when(said, NOW)
    assert "every monday" in (refused.value.next_step or "")


@pytest.mark.parametrize(
    ("said", "now", "due"),
    [
        ("tomorrow at 2:30", datetime(2026, 3, 28, 12, tzinfo=BERLIN), "2026-03-29T03:00+02:00"),  # a gap: its end
        ("tomorrow at 12:00", datetime(2026, 10, 24, 12, tzinfo=BERLIN), "2026-10-25T12:00+01:00"),
        ("in 20 minutes", datetime(2026, 3, 29, 1, 50, tzinfo=BERLIN), "2026-03-29T03:10+02:00"),
        ("at 2:30", datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1), "2026-10-25T02:30+01:00"),  # it comes twice
    ],
)
def test_a_change_of_summer_time_moves_no_time(said: str, now: datetime, due: str) -> None:
    assert parse_when(said, now) == Once(to_ms(datetime.fromisoformat(due)))


def test_the_machines_zone_is_what_it_names(tmp_path: Path) -> None:
    zones = tmp_path / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "Vienna").write_bytes(b"TZif")
    link, written, nothing = tmp_path / "localtime", tmp_path / "timezone", tmp_path / "nothing"
    link.symlink_to(zones / "Vienna")
    written.write_text("Asia/Tokyo\n")
    assert machine_zone({"TZ": "America/New_York"}, localtime=link, timezone=written) == "America/New_York"
    assert machine_zone({}, localtime=link, timezone=written) == "Europe/Vienna"
    assert machine_zone({"TZ": "nowhere"}, localtime=nothing, timezone=written) == "Asia/Tokyo"
    assert machine_zone({}, localtime=nothing, timezone=nothing) == "UTC"
