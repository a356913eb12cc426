"""Parses times as people write them ("every weekday at 7", "in 20 minutes", "30 7 * * 1-5"). Never guesses.

Raises ScheduleRefused for a time in the past and for an ambiguous time. A time of day without a date ("at 22:00") means
its next occurrence.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.times import (
    DAYS,
    MONTHS,
    When,
    contradiction,
    format_when,
    is_sun_time,
    open_question,
    split_when,
)
from microclaw.agent.schedules.due import MIN_EVERY_MS, at_wall_clock, check_cron, moment_on, next_due, to_ms
from microclaw.errors import ScheduleRefused
from microclaw.host.store.schedules import Cron, Days, Every, Once, Timing

Coordinates: TypeAlias = tuple[float, float]
"""Degrees north and east."""
PLACE_SETTING: Final = "agent.place"
MAX_CHARS: Final = 200
FORMS: Final = (
    'say it as "in 20 minutes", "tomorrow at 8:00", "on 3 December at 14:00", "every weekday at 7:00", '
    '"every 2 hours", or as cron: "30 7 * * 1-5"'
)
_MAX_AHEAD_MS: Final = 10 * 366 * 86_400_000
_CRON: Final = re.compile(r"(?:cron:? )?((?:[\d*][\d*/,#L-]* ){3}[\dA-Z*][\dA-Z*/,#L-]* [\dA-Z*][\dA-Z*/,#L-]*)", re.I)
_NICKNAMES: Final = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_EVERY: Final = re.compile(r"(?:every|each) (\d+) ms")
_SOME_WEEKS: Final = re.compile(r"(?:every|each) (?:\d+|other) weeks?\b.*")
_DAY_COUNT: Final = re.compile(r"(\d+) days")
_CLOCK: Final = r"(\d{1,2}(?::\d\d)?)( ?[ap]\.?m\.?)?"
_TWO_CLOCKS: Final = re.compile(rf"((?:(?!\bat\b).)+)at {_CLOCK} and (?:at )?{_CLOCK}", re.I)
_IN_DAYS: Final = re.compile(r"\bin (?:(\d+)|an?) (day|week)s?\b(?: (?:from now|time))?")
_ON_DAYS: Final = re.compile(rf"(?=(?:weekdays|weekends|(?:{'|'.join(DAYS)})s)\b)")
_WEEKDAYS: Final = {"daily": "*", "weekdays": "1-5", "weekends": "0,6"}


def parse_when(when: str | When, now: datetime, place: Coordinates | None = None) -> Timing:
    """Parse a time in words, or convert the time that a sentence named. Raises ScheduleRefused.

    `now` is the user's local time, with an IANA zone. `place` is where the sun rises and sets, if that is known.
    """
    text = when if isinstance(when, str) else format_when(when)
    if len(text) > MAX_CHARS:
        raise ScheduleRefused(f"a time has at most {MAX_CHARS} characters, this has {len(text)}", next_step=FORMS)
    try:
        if isinstance(when, str):
            return _parse_text(when, now, place)
        return _timing(when, now, text, place)
    except (ValueError, OverflowError) as exc:
        # 25 o'clock, the 30th of February, a day beyond the calendar's end.
        raise ScheduleRefused(f"{text[:60]!r} is not in the calendar", next_step=FORMS) from exc


def _parse_text(text: str, now: datetime, place: Coordinates | None) -> Timing:
    one_line = " ".join(text.split())
    cron = _CRON.fullmatch(_NICKNAMES.get(one_line.lower(), one_line))
    if cron is not None:
        return check_cron(cron[1], _zone(now).key)
    two_clocks = _TWO_CLOCKS.fullmatch(one_line)
    if two_clocks is not None:
        return _parse_two_clocks(two_clocks, one_line, now)

    reason = contradiction(text)
    if reason is not None:
        raise ScheduleRefused(f"{text[:60]!r}: {reason}", next_step='say the time as in "every day at 21:00"')
    normalized = normalize_quantities(text)
    if normalized == "hourly":
        normalized = "every 3600000 ms"
    interval = _EVERY.fullmatch(normalized)
    if interval is not None:
        return _every(int(interval[1]), now)
    if _SOME_WEEKS.fullmatch(normalized):
        text = f"{text!r}: weeks are counted by the calendar"
        raise ScheduleRefused(text, next_step='name the days: "every monday at 7:00"')
    if _ON_DAYS.match(normalized):
        normalized = f"on {normalized}"
    split = split_when(_replace_day_count(normalized, now), bare_hour=True)
    if split is None or split[0]:
        raise ScheduleRefused(f"{text[:60]!r} is not a time that I understand", next_step=FORMS)
    return _timing(split[1], now, text, place)


def _parse_two_clocks(match: re.Match[str], one_line: str, now: datetime) -> Cron:
    """Parse "every day at 7:00 and 19:00". Raises ScheduleRefused if only one clock says am or pm."""
    days, first_clock, first_half, second_clock, second_half = match.groups(default="")
    if bool(first_half) != bool(second_half):
        # "at 7 and 9 pm" may mean 7 in the morning.
        text = f"{one_line[:60]!r}: one of two clocks says am or pm"
        raise ScheduleRefused(text, next_step='say it of both: "every day at 7 am and 9 pm"')
    first = _parse_text(f"{days}at {first_clock}{first_half}", now, None)
    second = _parse_text(f"{days}at {second_clock}{second_half}", now, None)
    return _join(first, second)


def _join(first: Timing, second: Timing) -> Cron:
    """Join two times of the same days in one cron expression. Raises ScheduleRefused if their minutes differ."""
    if isinstance(first, Cron) and isinstance(second, Cron):
        minute, hour, *days = first.expression.split()
        second_minute, second_hour, *_ = second.expression.split()
        if minute == second_minute:
            expression = " ".join([minute, f"{hour},{second_hour}", *days])
            return Cron(expression, first.zone)
    raise ScheduleRefused("these are two times", next_step="make a schedule for each")


def _timing(when: When, now: datetime, text: str, place: Coordinates | None) -> Timing:
    question = open_question(when)
    if question is not None:
        words, example = question
        words = f"{words[0].lower()}{words[1:]}"
        raise ScheduleRefused(f"{text!r}: {words}", next_step=f'say "{example}"')
    if when.delay_ms is not None:
        return _once(to_ms(now) + when.delay_ms, now, text)
    has_sun = is_sun_time(when.clock) or is_sun_time(when.after)
    if has_sun or (when.repeat is not None and _DAY_COUNT.fullmatch(when.repeat)):
        return _days(when, now, text, place)
    clock = time.fromisoformat(when.clock or "")
    if when.repeat is not None:
        expression = f"{clock.minute} {clock.hour} * * {_cron_weekdays(when.repeat)}"
        return check_cron(expression, _zone(now).key)
    if when.after is not None:
        start = _next_moment(when, time.fromisoformat(when.after), now)
        return _once(to_ms(_next_moment(When(), clock, start)), now, text)
    return _once(to_ms(_next_moment(when, clock, now)), now, text)


def _days(when: When, now: datetime, text: str, place: Coordinates | None) -> Timing:
    """Return the time of a sunset, or of each second day. Raises ScheduleRefused if the place is not known."""
    if place is None and (is_sun_time(when.clock) or is_sun_time(when.after)):
        step = f"microclaw config set {PLACE_SETTING} LATITUDE,LONGITUDE, as in 52.52,13.40; then start the host again"
        raise ScheduleRefused("I do not know where you are, so I cannot compute the sun's times", next_step=step)
    clock = when.clock or ""
    zone = _zone(now).key
    if when.date is not None:
        day = _parse_day(when.date, now.date())
        moment = moment_on(day, when.after or clock, _zone(now), place)
        due_ms = to_ms(moment) if moment is not None else None
    else:
        due_ms = next_due(Days(when.after or clock, zone, now.date().isoformat(), place=place), to_ms(now))
    if due_ms is not None and when.after is not None:
        due_ms = next_due(Days(clock, zone, now.date().isoformat(), place=place), due_ms)
    if due_ms is None:
        raise ScheduleRefused(f"{text!r}: the sun has no {clock} there then", next_step='say a time, as in "at 20:00"')
    if when.repeat is None:
        return _once(due_ms, now, text)
    first = datetime.fromtimestamp(due_ms / 1000, now.tzinfo).date().isoformat()
    count = _DAY_COUNT.fullmatch(when.repeat)
    sun_place = place if is_sun_time(clock) else None
    if count is not None:
        return Days(clock, zone, first, every=int(count[1]), place=sun_place)
    return Days(clock, zone, now.date().isoformat(), weekdays=_weekdays(when.repeat), place=place)


def _weekdays(repeat: str) -> tuple[int, ...]:
    """Return the days of "weekdays" or "monday and friday" as numbers, 0 for Monday; none for every day."""
    if repeat == "weekdays":
        return (0, 1, 2, 3, 4)
    if repeat == "weekends":
        return (5, 6)
    return tuple(DAYS.index(day) for day in repeat.split(" and ") if day in DAYS)


def _cron_weekdays(repeat: str) -> str:
    """Convert "weekdays" or "monday and friday" to cron's day-of-week field, in which Sunday is 0."""
    if repeat in _WEEKDAYS:
        return _WEEKDAYS[repeat]
    days = [day for day in repeat.split(" and ") if day in DAYS]
    return ",".join(str((DAYS.index(day) + 1) % 7) for day in days)


def _zone(now: datetime) -> ZoneInfo:
    assert isinstance(now.tzinfo, ZoneInfo)
    return now.tzinfo


def _every(every_ms: int, now: datetime) -> Every:
    if every_ms < MIN_EVERY_MS:
        raise ScheduleRefused(
            "a schedule runs once a minute at most",
            next_step="what repeats faster runs on the board itself: blink the led every second",
        )
    if every_ms > _MAX_AHEAD_MS:
        raise ScheduleRefused("that is more than ten years apart", next_step=FORMS)
    return Every(every_ms, to_ms(now))


def _replace_day_count(text: str, now: datetime) -> str:
    """Replace "in 2 days" by its date, with the current time of day if the text names none."""
    match = _IN_DAYS.search(text)
    if match is None:
        return text
    days = int(match[1] or 1)
    if match[2] == "week":
        days *= 7
    day = (now + timedelta(days=days)).date()
    rest = f"{text[: match.start()]}{text[match.end() :]}".strip()
    clock = rest or f"clock {now:%H%M}"
    return f"{day.isoformat()} {clock}"


def _next_moment(when: When, clock: time, now: datetime) -> datetime:
    """Return the next occurrence of a time of day. A moment that a date puts into the past stays there."""
    date_words = when.date or "today"
    if date_words.startswith("next "):
        day = _day_of_next_week(date_words, clock, now.date())
    else:
        day = _parse_day(date_words, now.date())
    if when.date == "tonight" and clock.hour < 6:
        day += timedelta(days=1)
    moment = at_wall_clock(datetime.combine(day, clock), _zone(now))
    if to_ms(moment) > to_ms(now):
        return moment
    second_pass = moment.replace(fold=1)  # the hour is repeated when summer time ends
    if to_ms(second_pass) > to_ms(now):
        return second_pass
    if when.date is None:
        day += timedelta(days=1)
    elif when.date in DAYS:
        day += timedelta(days=7)
    else:
        return moment
    return at_wall_clock(datetime.combine(day, clock), _zone(now))


def _day_of_next_week(words: str, clock: time, today: date) -> date:
    """Return the day of "next friday". Raises ScheduleRefused if this week has a friday to come: it may be meant."""
    days_away = DAYS.index(words.removeprefix("next ")) - today.weekday()
    day = today + timedelta(days_away + 7)
    if days_away <= 0:
        return day
    earlier = f"{day - timedelta(7):%d %B}".lstrip("0")
    later = f"{day:%d %B}".lstrip("0")
    step = f'say "on {earlier} at {clock:%H:%M}", or "on {later} at {clock:%H:%M}"'
    raise ScheduleRefused(f"{words!r}: is that {earlier} or {later}?", next_step=step)


def _parse_day(words: str, today: date) -> date:
    """Parse a day, as "tomorrow", "friday" or "3 december". Raises ValueError if the calendar does not have it."""
    if words in ("today", "tonight"):
        return today
    if words == "tomorrow":
        return today + timedelta(days=1)
    if words in DAYS:
        return today + timedelta(days=(DAYS.index(words) - today.weekday()) % 7)
    if "-" in words:
        return date.fromisoformat(words)
    number, month_name, *year = words.split(" ")
    day = int(number)
    month = MONTHS.index(month_name) + 1
    if year:
        return date(int(year[0]), month, day)
    return _next_date(month, day, today)


def _next_date(month: int, day: int, today: date) -> date:
    """Return the next date with this month and day. Raises ValueError for the 30th of February."""
    for year in range(today.year, today.year + 9):  # the 29th of February may be eight years away
        days_in_month = monthrange(year, month)[1]
        if day <= days_in_month and date(year, month, day) >= today:
            return date(year, month, day)
    raise ValueError(f"no month {month} has a day {day}")


def _once(at_ms: int, now: datetime, text: str) -> Once:
    ahead_ms = at_ms - to_ms(now)
    if ahead_ms > _MAX_AHEAD_MS:
        raise ScheduleRefused(f"{text!r} is more than ten years away", next_step=FORMS)
    if ahead_ms <= 0:
        moment = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
        why = f"{text!r} is in the past: {moment:%Y-%m-%d %H:%M} was before now, {now:%Y-%m-%d %H:%M}"
        raise ScheduleRefused(why, next_step='say a time that comes, as in "tomorrow at 8:00" or "in 20 minutes"')
    return Once(at_ms)
