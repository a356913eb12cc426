"""Times as people write them ("every weekday at 7", "in 20 minutes", "30 7 * * 1-5") as timings. It never guesses.

A time in the past is refused, one that may mean two things is asked back: both as ScheduleRefused. Words that name a
time alone ("at 22:00") mean the next one.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from microclaw.errors import ScheduleRefused
from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import DAYS, MONTHS, When, open_question, split_when
from microclaw.schedules.due import MIN_EVERY_MS, at_wall_clock, check_cron, to_ms
from microclaw.store.schedules import Cron, Every, Once, Timing

MAX_CHARS: Final = 200
FORMS: Final = (
    'say it as "in 20 minutes", "tomorrow at 8:00", "on 3 December at 14:00", "every weekday at 7:00", '
    '"every 2 hours", or as cron: "30 7 * * 1-5"'
)
_FURTHEST: Final = timedelta(days=5 * 366)
_CRON: Final = re.compile(r"(?:cron:? )?((?:[\d*][\d*/,#L-]* ){3}[\dA-Z*][\dA-Z*/,#L-]* [\dA-Z*][\dA-Z*/,#L-]*)", re.I)
_EVERY: Final = re.compile(r"(?:every|each) (\d+) ms")
_EVERY_DAYS: Final = re.compile(r"(?:every|each) (\d+) (day|week)s?\b")
_IN_DAYS: Final = re.compile(r"\bin (?:(\d+)|an?) (day|week)s?\b(?: (?:from now|time))?")
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ON_DAYS: Final = re.compile(rf"(?=(?:weekdays|weekends|(?:{'|'.join(DAYS)})s)\b)")
_TWO_CLOCKS: Final = re.compile(r"(.+) clock (\d\d)(\d\d) and (?:at )?clock (\d\d)(\d\d)")
_OTHER_DAY: Final = re.compile(r"(?:every|each) other (?:day|week)\b")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_WEEKDAYS: Final = {"daily": "*", "weekdays": "1-5", "weekends": "0,6"}


def parse_when(text: str, now: datetime) -> Timing:
    """The timing that `text` names for somebody whose clock shows `now`; its zone is an IANA one. ScheduleRefused."""
    assert isinstance(now.tzinfo, ZoneInfo)
    if not text.strip() or len(text) > MAX_CHARS:
        raise ScheduleRefused(f"{text[:60]!r} names no time", next_step=FORMS)
    plain = " ".join(text.split())
    cron = _CRON.fullmatch(_NICKNAMES.get(plain.lower(), plain))
    if cron is not None:
        return check_cron(cron[1], now.tzinfo.key)
    said = normalize_quantities(text)
    said = re.sub(r"^hourly$", "every 3600000 ms", said)
    repeated = _EVERY.fullmatch(said)
    if repeated is not None:
        return _every(int(repeated[1]), now)
    if _EVERY_DAYS.search(said) or _OTHER_DAY.search(said):
        raise ScheduleRefused(
            f"{text!r}: days and weeks are counted by the calendar", next_step='name the days: "every monday at 7:00"'
        )
    if (two := _TWO_CLOCKS.fullmatch(said)) is not None:
        return _twice_a_day(two, text, now)
    said = f"on {said}" if _ON_DAYS.match(said) else said
    found = split_when(_counted_days(said, now), bare_hour=True)
    if found is None or found[0]:
        raise ScheduleRefused(f"{text!r} is no time that I understand", next_step=FORMS)
    return timing_of(found[1], now, text)


def timing_of(when: When, now: datetime, text: str) -> Timing:
    """The timing of a time that was read already; `text` is what a refusal names. ScheduleRefused."""
    zone = now.tzinfo
    assert isinstance(zone, ZoneInfo)
    question = open_question(when)
    if question is not None:
        raise ScheduleRefused(f"{text!r}: {question[0][0].lower()}{question[0][1:]}", next_step=f'say "{question[1]}"')
    if when.delay_ms is not None:
        return _once(to_ms(now) + when.delay_ms, now, text)
    hour, minute = _hour_and_minute(when.clock or "")
    if when.repeat is not None:
        return Cron(f"{minute} {hour} * * {_weekdays(when.repeat)}", zone.key)
    return _once(to_ms(_moment(when, hour, minute, now, zone)), now, text)


def _twice_a_day(said: re.Match[str], text: str, now: datetime) -> Timing:
    """ "Every day at 7:00 and 19:00" as one cron; times with other minutes are two schedules."""
    days, (hour, minute, other_hour, other_minute) = said[1].removesuffix(" at"), said.groups()[1:]
    first, other = f"{days} at {hour}:{minute}", f"{days} at {other_hour}:{other_minute}"
    timing = parse_when(first, now)
    if not isinstance(timing, Cron) or minute != other_minute:
        raise ScheduleRefused(f"{text!r} is two times", next_step=f'make two schedules: "{first}" and "{other}"')
    fields = timing.expression.split(" ")
    return check_cron(" ".join([fields[0], f"{int(hour)},{int(other_hour)}", *fields[2:]]), timing.zone)


def _hour_and_minute(clock: str) -> tuple[int, int]:
    found = _CLOCK.fullmatch(clock)
    if found is None:
        raise ScheduleRefused(f"{clock[:20]} is no time of day", next_step="midnight is 00:00")
    return int(found[1]), int(found[2])


def _weekdays(repeat: str) -> str:
    """The days of the week as cron numbers them."""
    days = [str((DAYS.index(day) + 1) % 7) for day in repeat.split(" and ") if day in DAYS]
    if repeat not in _WEEKDAYS and not days:
        raise ScheduleRefused(f"{repeat[:40]!r} is no day", next_step=FORMS)
    return _WEEKDAYS.get(repeat) or ",".join(days)


def _every(every_ms: int, now: datetime) -> Every:
    if every_ms < MIN_EVERY_MS:
        raise ScheduleRefused(
            "a schedule runs once a minute at most",
            next_step="what repeats faster runs on the board itself: blink the led every second",
        )
    if every_ms > _FURTHEST // timedelta(milliseconds=1):
        raise ScheduleRefused("that is more than five years apart", next_step=FORMS)
    return Every(every_ms, to_ms(now))


def _counted_days(said: str, now: datetime) -> str:
    """ "in 2 days at 9" with its date instead; without a time of day it is the one of now."""
    found = _IN_DAYS.search(said)
    if found is None:
        return said
    count = int(found[1] or 1) * (7 if found[2] == "week" else 1)
    if count > _FURTHEST.days:
        raise ScheduleRefused(f"{count} days are more than five years", next_step=FORMS)
    rest = f"{said[: found.start()]}{said[found.end() :]}".strip()
    day = (now + timedelta(days=count)).date().isoformat()
    return f"{day} {rest or f'clock {now:%H%M}'}"


def _moment(when: When, hour: int, minute: int, now: datetime, zone: ZoneInfo) -> datetime:
    """The next time that is meant; one that a date puts into the past stays there."""
    day = _day(when.date, now)
    if when.date == "tonight" and hour < 6:
        day += timedelta(days=1)
    moment = at_wall_clock(datetime.combine(day, time(hour, minute)), zone)
    if to_ms(moment) <= to_ms(now) < to_ms(moment.replace(fold=1)):
        return moment.replace(fold=1)  # summer time ends: the hour comes once more
    if to_ms(moment) <= to_ms(now) and (when.date is None or when.date in DAYS):
        day += timedelta(days=1 if when.date is None else 7)
        moment = at_wall_clock(datetime.combine(day, time(hour, minute)), zone)
    return moment


def _day(said: str | None, now: datetime) -> date:
    today = now.date()
    match said:
        case None | "today" | "tonight":
            return today
        case "tomorrow":
            return today + timedelta(days=1)
        case _ if said in DAYS:
            return today + timedelta(days=(DAYS.index(said) - today.weekday()) % 7)
        case _ if said.startswith("next "):  # "next friday" on a friday is the one after it
            return today + timedelta(days=(DAYS.index(said.removeprefix("next ")) - today.weekday()) % 7 or 7)
    try:
        if "-" in said:
            return date.fromisoformat(said)
        number, month, *year = said.split(" ")
        if year:
            return date(int(year[0]), MONTHS.index(month) + 1, int(number))
        return _next_such_day(int(number), MONTHS.index(month) + 1, today)
    except ValueError as exc:
        raise ScheduleRefused(f"there is no {said}", next_step=FORMS) from exc


def _next_such_day(number: int, month: int, today: date) -> date:
    for year in range(today.year, today.year + 9):  # the 29th of February may be eight years away
        try:
            found = date(year, month, number)
        except ValueError:
            continue
        if found >= today:
            return found
    raise ValueError(f"no day {number} in month {month}")


def _once(at_ms: int, now: datetime, text: str) -> Once:
    away_ms = at_ms - to_ms(now)
    if away_ms > 2 * _FURTHEST // timedelta(milliseconds=1):
        raise ScheduleRefused(f"{text!r} is more than ten years away", next_step=FORMS)
    if away_ms <= 0:
        moment = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
        raise ScheduleRefused(
            f"{text!r} is in the past: {moment:%Y-%m-%d %H:%M} was before now, {now:%Y-%m-%d %H:%M}",
            next_step='say a time that comes, as in "tomorrow at 8:00" or "in 20 minutes"',
        )
    return Once(at_ms)
