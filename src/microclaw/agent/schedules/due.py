"""Computes when a schedule is due. Runs nothing and reads no clock.

A local time that does not exist because summer time begins is due at the end of that gap. A local time that occurs
twice because summer time ends is due the first time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from microclaw.agent.language.times import split_sun_time
from microclaw.agent.schedules.sun import sun_time
from microclaw.clock import find_zone
from microclaw.errors import ScheduleRefused
from microclaw.host.store.schedules import Cron, Days, Every, Once, Timing

MIN_EVERY_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_MAX_EQUAL_CRON_TIMES: Final = 400  # times of an expression that the start of summer time moves to the same moment
_MAX_DAYS_AHEAD: Final = 800
_CRON_EXAMPLE: Final = 'five fields, as in "30 7 * * 1-5"'


def next_due(timing: Timing, after_ms: int) -> int | None:
    """Return the first due time after `after_ms` (Unix ms), or None if there is none."""
    match timing:
        case Once(at_ms):
            return at_ms if at_ms > after_ms else None
        case Every(every_ms, from_ms):
            intervals = (after_ms - from_ms) // every_ms
            return from_ms + (intervals + 1) * every_ms
        case Cron():
            return _next_cron(timing, after_ms)
        case Days():
            return _next_of_days(timing, after_ms)
    assert_never(timing)


def is_due_more_often(timing: Timing, limit: int, first_ms: int | None) -> bool:
    """Return True if there are more than `limit` due times in the hour that begins with the first one, `first_ms`."""
    if first_ms is None:
        return False
    due_ms = first_ms
    for _ in range(limit):
        following_ms = next_due(timing, due_ms)
        if following_ms is None:
            return False
        due_ms = following_ms
    return due_ms < first_ms + HOUR_MS


def check_cron(expression: str, zone: str) -> Cron:
    """Parse five cron fields.

    Raises ScheduleRefused if a field is invalid or no date matches.
    """
    cron = Cron(" ".join(expression.split()), zone)
    field_count = len(cron.expression.split(" "))
    if field_count != 5 or next_due(cron, 0) is None:
        raise ScheduleRefused(f"{expression!r} is not a time of cron", next_step=_CRON_EXAMPLE)
    return cron


def get_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone with this name. Raises ScheduleRefused if it does not exist."""
    zone = find_zone(name)
    if zone is None:
        raise ScheduleRefused(f"there is no time zone {name[:80]!r}", next_step="name one as in Europe/Berlin")
    return zone


def at_wall_clock(naive: datetime, zone: tzinfo) -> datetime:
    """Attach the zone to a local time.

    Returns the end of the gap for a local time that does not exist, and the first of two equal local times.
    """
    moment = naive.replace(tzinfo=zone, fold=0)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        naive += timedelta(minutes=1)
        moment = naive.replace(tzinfo=zone, fold=0)
    return moment


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _next_cron(cron: Cron, after_ms: int) -> int | None:
    from cronsim import CronSim, CronSimError

    after = datetime.fromtimestamp(after_ms // 1000, get_zone(cron.zone))
    try:
        # In the repeated hour at the end of summer time, cronsim begins with the first pass, which may be over.
        for moment in islice(CronSim(cron.expression, after), _MAX_EQUAL_CRON_TIMES):
            due_ms = to_ms(moment)
            if due_ms > after_ms:
                return due_ms
    except CronSimError as exc:
        reason = str(exc).removeprefix("Bad ")
        text = f"{cron.expression!r} is not a time of cron: {reason}"
        raise ScheduleRefused(text, next_step=_CRON_EXAMPLE) from exc
    return None


def _next_of_days(days: Days, after_ms: int) -> int | None:
    """Return the first due time after `after_ms`, or None if the sun does not rise or set there for two years."""
    zone = get_zone(days.zone)
    first = date.fromisoformat(days.first)
    yesterday = datetime.fromtimestamp(after_ms / 1000, zone).date() - timedelta(days=1)
    for offset in range(_MAX_DAYS_AHEAD):
        day = max(first, yesterday) + timedelta(days=offset)
        is_weekday = not days.weekdays or day.weekday() in days.weekdays
        if not is_weekday or (day - first).days % days.every:
            continue
        moment = moment_on(day, days.clock, zone, days.place)
        if moment is not None and to_ms(moment) > after_ms:
            return to_ms(moment)
    return None


def moment_on(day: date, clock: str, zone: tzinfo, place: tuple[float, float] | None) -> datetime | None:
    """Return the moment of a time of day, or of a sun's time at the place; None if the sun has none there that day."""
    if ":" in clock:
        return at_wall_clock(datetime.combine(day, time.fromisoformat(clock)), zone)
    if place is None:
        return None
    event, minutes = split_sun_time(clock)
    moment = sun_time(event, day, *place)
    if moment is None:
        return None
    return moment + timedelta(minutes=minutes)
