"""Times in words: each means one thing, is asked back, or is refused with the reason."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.agent.language.phrases import phrases

from microclaw.agent.language.times import When
from microclaw.agent.schedules.due import to_ms
from microclaw.agent.schedules.parse import parse_when
from microclaw.clock import machine_zone
from microclaw.errors import ScheduleRefused
from microclaw.host.store.schedules import Cron, Days, Every, Once

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 11, 13, tzinfo=BERLIN)  # a Friday


def test_a_time_in_words_means_one_thing_or_is_refused_with_what_to_say() -> None:
    def refused(fault: ScheduleRefused) -> str:
        step = fault.next_step or "nothing"
        of = "past" if "2026-11-20 11:13" in fault.message else "refused"
        if "every monday" in step:
            return "name the days"
        if fault.next_step:
            return of
        return step

    def read(said: str) -> str:
        try:
            timing = parse_when(said, NOW)
        except ScheduleRefused as fault:
            return refused(fault)
        match timing:
            case Cron(expression=fields, zone="Europe/Berlin"):
                return f"cron {fields}"
            case Once(at_ms=at_ms):
                return f"once {datetime.fromtimestamp(at_ms / 1000, BERLIN):%Y-%m-%dT%H:%M}"
            case Every(every_ms=every_ms, from_ms=from_ms) if from_ms == to_ms(NOW):
                return f"every {every_ms // 1000} s"
        return str(timing)

    rows = phrases("the time of a schedule, said on Friday 2026-11-20 at 11:13 in Berlin")
    assert [(said, read(said)) for said, _ in rows] == rows
    for said in ("", "  ", "x" * 500, f"every {'9' * 40} hours", "daily at 1" + " and at 1" * 20):
        assert read(said) == "refused"


@pytest.mark.parametrize(
    ("said", "reason", "step"),
    [
        ("next sunday at 8:00", "22 November or 29 November", "on 29 November at 08:00"),
        ("every day at 7 and 9 pm", "one of two clocks says am or pm", "7 am and 9 pm"),
        ("at 7", "07:00 or 19:00", "at 07:00"),
        ("on 30 February at 8:00", "not in the calendar", "say it as"),
        ("8" * 300, "at most 200", "say it as"),
    ],
)
def test_a_time_that_is_refused_comes_with_its_reason_and_words_that_are_taken(
    said: str, reason: str, step: str
) -> None:
    with pytest.raises(ScheduleRefused, match=reason) as refused:
        parse_when(said, NOW)
    assert step in (refused.value.next_step or "")
    for words in re.findall('say (?:it of both: )?"(.+?)"', refused.value.next_step or ""):
        assert parse_when(words, NOW)


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
    link = tmp_path / "localtime"
    written = tmp_path / "timezone"
    nothing = tmp_path / "nothing"
    link.symlink_to(zones / "Vienna")
    written.write_text("Asia/Tokyo\n")
    assert machine_zone({"TZ": "America/New_York"}, localtime=link, timezone=written) == "America/New_York"
    assert machine_zone({}, localtime=link, timezone=written) == "Europe/Vienna"
    assert machine_zone({"TZ": "nowhere"}, localtime=nothing, timezone=written) == "Asia/Tokyo"
    assert machine_zone({}, localtime=nothing, timezone=nothing) == "UTC"


def test_a_time_after_another_one_is_never_before_it() -> None:
    noon = to_ms(datetime(2026, 11, 20, 12, 0, tzinfo=BERLIN))
    off_at_noon = parse_when(When(clock="12:00"), NOW)
    assert off_at_noon == Once(noon)
    # The end of each second day is of the same days as its start.
    assert parse_when(When(clock="18:00", repeat="2 days", after="08:00"), NOW) == Days(
        "18:00", "Europe/Berlin", "2026-11-21", every=2
    )
    # It is 11:13, so 9:00 comes tomorrow, and the noon after that as well.
    assert parse_when(When(clock="12:00", after="09:00"), NOW) == Once(noon + 86_400_000)


BERLIN_MITTE = (52.52, 13.41)


@pytest.mark.parametrize(
    ("said", "timing"),
    [
        # It is 11:13, so 6:00 comes tomorrow.
        ("every second day at 6:00", Days("06:00", "Europe/Berlin", "2026-11-21", every=2)),
        ("every other day at 18:00", Days("18:00", "Europe/Berlin", "2026-11-20", every=2)),
        ("every 3 days at 6:00", Days("06:00", "Europe/Berlin", "2026-11-21", every=3)),
        ("every day at sunset", Days("sunset", "Europe/Berlin", "2026-11-20", place=BERLIN_MITTE)),
        (
            "every day 30 minutes before sunset",
            Days("30 min before sunset", "Europe/Berlin", "2026-11-20", place=BERLIN_MITTE),
        ),
        (
            "every weekday at sunrise",
            Days("sunrise", "Europe/Berlin", "2026-11-20", weekdays=(0, 1, 2, 3, 4), place=BERLIN_MITTE),
        ),
    ],
)
def test_days_that_cron_cannot_count(said: str, timing: Days) -> None:
    assert parse_when(said, NOW, BERLIN_MITTE) == timing


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("at sunset", "2026-11-20T16:0"),
        ("at sunrise", "2026-11-21T07:3"),
        ("20 minutes after sunset", "2026-11-20T16:2"),
        ("an hour before sunrise", "2026-11-21T06:3"),
    ],
)
def test_the_next_sunset_is_computed_for_the_place(said: str, due: str) -> None:
    timing = parse_when(said, NOW, BERLIN_MITTE)
    assert isinstance(timing, Once)
    assert datetime.fromtimestamp(timing.at_ms / 1000, BERLIN).isoformat().startswith(due)


def test_without_a_place_sunset_is_refused_with_the_command_that_sets_it() -> None:
    with pytest.raises(ScheduleRefused, match="where you are") as refused:
        parse_when("every day at sunset", NOW)
    assert "microclaw config set agent.place LATITUDE,LONGITUDE" in (refused.value.next_step or "")


@pytest.mark.parametrize("said", ["every evening at 9 am", "tomorrow morning at 8 pm"])
def test_a_half_of_the_day_that_is_said_twice_and_differently_is_refused(said: str) -> None:
    with pytest.raises(ScheduleRefused, match="contradict each other"):
        parse_when(said, NOW)
