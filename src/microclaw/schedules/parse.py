"""Times as people write them ("every weekday at 7", "in 20 minutes", "30 7 * * 1-5") as timings. It never guesses.

A time in the past is refused, one that may mean two things is asked back: both as ScheduleRefused. Words that name a
time alone ("at 22:00") mean the next one.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from microclaw.errors import ScheduleRefused
from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import DAYS, MONTHS, When, open_question, split_when, when_text
from microclaw.schedules.due import MIN_EVERY_MS, at_wall_clock, check_cron, to_ms
from microclaw.store.schedules import Cron, Every, Once, Timing

MAX_CHARS: Final = 200
FORMS: Final = (
    'say it as "in 20 minutes", "tomorrow at 8:00", "on 3 December at 14:00", "every weekday at 7:00", '
    '"every 2 hours", or as cron: "30 7 * * 1-5"'
)
_FURTHEST_MS: Final = 10 * 366 * 86_400_000
_CRON: Final = re.compile(r"(?:cron:? )?((?:[\d*][\d*/,#L-]* ){3}[\dA-Z*][\dA-Z*/,#L-]* [\dA-Z*][\dA-Z*/,#L-]*)", re.I)
_NICKNAMES: Final = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_EVERY: Final = re.compile(r"(?:every|each) (\d+) ms")
_SOME_DAYS: Final = re.compile(r"(?:every|each) (?:\d+|other) (?:day|week)s?\b.*")
_CLOCK: Final = r"(\d{1,2}(?::\d\d)?)( ?[ap]\.?m\.?)?"
_TWO_CLOCKS: Final = re.compile(rf"((?:(?!\bat\b).)+)at {_CLOCK} and (?:at )?{_CLOCK}", re.I)
_IN_DAYS: Final = re.compile(r"\bin (?:(\d+)|an?) (day|week)s?\b(?: (?:from now|time))?")
_ON_DAYS: Final = re.compile(rf"(?=(?:weekdays|weekends|(?:{'|'.join(DAYS)})s)\b)")
_WEEKDAYS: Final = {"daily": "*", "weekdays": "1-5", "weekends": "0,6"}


def parse_when(when: str | When, now: datetime) -> Timing:
    """The timing of these words, or of a time read from words, for somebody whose clock shows `now`. ScheduleRefused.

    The zone of `now` is an IANA one.
    """
    if isinstance(when, str):
        text = when
    else:
        text = when_text(when)
    if len(text) > MAX_CHARS:
        raise ScheduleRefused(f"a time has at most {MAX_CHARS} characters, this has {len(text)}", next_step=FORMS)
    try:
        if isinstance(when, str):
            return _read(when, now)
        return _timing(when, now, text)
    except (ValueError, OverflowError) as exc:
        # 25 o'clock, the 30th of February, a day beyond the calendar's end.
        raise ScheduleRefused(f"{text[:60]!r} is not in the calendar", next_step=FORMS) from exc


def _read(text: str, now: datetime) -> Timing:
    plain = " ".join(text.split())
    cron = _CRON.fullmatch(_NICKNAMES.get(plain.lower(), plain))
    if cron is not None:
        return check_cron(cron[1], _zone(now).key)
    two = _TWO_CLOCKS.fullmatch(plain)
    if two is not None:
        days, first, half, second, other_half = two.groups(default="")
        if bool(half) != bool(other_half):
            # "at 7 and 9 pm" may mean 7 in the morning.
            text = f"{plain[:60]!r}: one of two clocks says am or pm"
            raise ScheduleRefused(text, next_step='say it of both: "every day at 7 am and 9 pm"')
        return _twice(_read(f"{days}at {first}{half}", now), _read(f"{days}at {second}{other_half}", now))
    said = re.sub(r"^hourly$", "every 3600000 ms", normalize_quantities(text))
    repeated = _EVERY.fullmatch(said)
    if repeated is not None:
        return _every(int(repeated[1]), now)
    if _SOME_DAYS.fullmatch(said):
        raise ScheduleRefused(
            f"{text!r}: days and weeks are counted by the calendar", next_step='name the days: "every monday at 7:00"'
        )
    if _ON_DAYS.match(said):
        said = f"on {said}"
    else:
        said = said
    found = split_when(_counted_days(said, now), bare_hour=True)
    if found is None or found[0]:
        raise ScheduleRefused(f"{text[:60]!r} is no time that I understand", next_step=FORMS)
    return _timing(found[1], now, text)


def _twice(first: Timing, second: Timing) -> Cron:
    """Two times of the same days as one cron."""
    if isinstance(first, Cron) and isinstance(second, Cron):
        (minute, hour, *days), (other_minute, other_hour, *_) = first.expression.split(), second.expression.split()
        if minute == other_minute:
            return Cron(" ".join((minute, f"{hour},{other_hour}", *days)), first.zone)
    raise ScheduleRefused("these are two times", next_step="make a schedule for each")


def _timing(when: When, now: datetime, text: str) -> Timing:
    question = open_question(when)
    if question is not None:
        raise ScheduleRefused(f"{text!r}: {question[0][0].lower()}{question[0][1:]}", next_step=f'say "{question[1]}"')
    if when.delay_ms is not None:
        return _once(to_ms(now) + when.delay_ms, now, text)
    clock = time.fromisoformat(when.clock or "")
    if when.repeat is not None:
        days = [str((DAYS.index(day) + 1) % 7) for day in when.repeat.split(" and ") if day in DAYS]
        days_of_week = _WEEKDAYS.get(when.repeat) or ",".join(days)
        return check_cron(f"{clock.minute} {clock.hour} * * {days_of_week}", _zone(now).key)
    return _once(to_ms(_moment(when, clock, now)), now, text)


def _zone(now: datetime) -> ZoneInfo:
    assert isinstance(now.tzinfo, ZoneInfo)
    return now.tzinfo


def _every(every_ms: int, now: datetime) -> Every:
    if every_ms < MIN_EVERY_MS:
        raise ScheduleRefused(
            "a schedule runs once a minute at most",
            next_step="what repeats faster runs on the board itself: blink the led every second",
        )
    if every_ms > _FURTHEST_MS:
        raise ScheduleRefused("that is more than ten years apart", next_step=FORMS)
    return Every(every_ms, to_ms(now))


def _counted_days(said: str, now: datetime) -> str:
    """ "in 2 days at 9" with its date instead; without a time of day it is the one of now."""
    found = _IN_DAYS.search(said)
    if found is None:
        return said
    days = int(found[1] or 1) * (7 if found[2] == "week" else 1)
    rest = f"{said[: found.start()]}{said[found.end() :]}".strip()
    return f"{(now + timedelta(days)).date().isoformat()} {rest or f'clock {now:%H%M}'}"


def _moment(when: When, clock: time, now: datetime) -> datetime:
    """The next time that is meant; one that a date puts into the past stays there."""
    date_words = when.date or "today"
    if date_words.startswith("next "):
        day = _day_of_next_week(date_words, clock, now.date())
    else:
        day = _day(date_words, now.date())
    if when.date == "tonight" and clock.hour < 6:
        day += timedelta(days=1)
    moment = at_wall_clock(datetime.combine(day, clock), _zone(now))
    if to_ms(moment) <= to_ms(now) < to_ms(moment.replace(fold=1)):
        return moment.replace(fold=1)  # summer time ends: the hour comes once more
    if to_ms(moment) <= to_ms(now) and (when.date is None or when.date in DAYS):
        day += timedelta(days=1 if when.date is None else 7)
        moment = at_wall_clock(datetime.combine(day, clock), _zone(now))
    return moment


def _day_of_next_week(said: str, clock: time, today: date) -> date:
    """Return the day of "next friday". Raises ScheduleRefused if this week has a friday to come: it may be meant."""
    days_away = DAYS.index(said.removeprefix("next ")) - today.weekday()
    day = today + timedelta(days_away + 7)
    if days_away <= 0:
        return day
    earlier = f"{day - timedelta(7):%d %B}".lstrip("0")
    later = f"{day:%d %B}".lstrip("0")
    step = f'say "on {earlier} at {clock:%H:%M}", or "on {later} at {clock:%H:%M}"'
    raise ScheduleRefused(f"{said!r}: is that {earlier} or {later}?", next_step=step)


def _day(said: str, today: date) -> date:
    """Return the day of these words. Raises ValueError if the calendar has none."""
    if said in ("today", "tonight"):
        return today
    if said == "tomorrow":
        return today + timedelta(days=1)
    if said in DAYS:
        return today + timedelta(days=(DAYS.index(said) - today.weekday()) % 7)
    if "-" in said:
        return date.fromisoformat(said)
    number, name, *year = said.split(" ")
    month = MONTHS.index(name) + 1
    if year:
        return date(int(year[0]), month, int(number))
    years = range(today.year, today.year + 9)  # the 29th of February may be eight years away
    days = [date(year, month, int(number)) for year in years if int(number) <= monthrange(year, month)[1]]
    return min(day for day in days if day >= today)  # ValueError for the 30th


def _once(at_ms: int, now: datetime, text: str) -> Once:
    away_ms = at_ms - to_ms(now)
    if away_ms > _FURTHEST_MS:
        raise ScheduleRefused(f"{text!r} is more than ten years away", next_step=FORMS)
    if away_ms <= 0:
        moment = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
        why = f"{text!r} is in the past: {moment:%Y-%m-%d %H:%M} was before now, {now:%Y-%m-%d %H:%M}"
        raise ScheduleRefused(why, next_step='say a time that comes, as in "tomorrow at 8:00" or "in 20 minutes"')
    return Once(at_ms)
