"""Splits times of day, dates and delays from the rest of a sentence. Schedules nothing."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from msgspec import Struct

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
SUN: Final = frozenset({"sunrise", "sunset", "dawn", "dusk"})

_DAYS = "|".join(DAYS)
_PARTS = "morning|afternoon|evening|night"
_MONTH = "|".join((*MONTHS, *(month[:3] for month in MONTHS), "sept"))
_REPEATS = dict.fromkeys(("day", *_PARTS.split("|")), "daily") | {"weekday": "weekdays", "weekend": "weekends"}
_REPEAT_WORDS = {"daily": "every day", "weekdays": "every weekday", "weekends": "on weekends"}
# "Every second day" has become "every 1000 ms day" by then.
_ORDINALS = {"other": "2", "1000 ms": "2", "2nd": "2", "third": "3", "3rd": "3", "fourth": "4", "4th": "4"}
_SOME_DAYS = rf"(?:{'|'.join(_ORDINALS)}|[1-9]\d?)"
_DAY_COUNT = re.compile(rf"({_SOME_DAYS}) days?")
_EVENT = rf"(?:the )?(?:{'|'.join(sorted(SUN))})"
# A time before these words is a length or a period, and not how long before or after the sun's event.
_OFFSET = rf"(?<!for )(?<!every )(?<!each )(?<!in )(?<!within )\d+ ms (?:before|after) {_EVENT}"
_CLOCK = re.compile(rf"(?<![\w-])(?:at |by |around |after )?(clock \d{{4}}|{_OFFSET}|{_EVENT})(?![\w-])")
_MAX_OFFSET_MIN: Final = 720
_OFFSET_WORDS: Final = re.compile(r"(\d+) min (before|after) (\w+)")
# "Half past 6", "ten to seven". "From 10 to 7" are two times, so a number before "to" stands behind "at".
_SPOKEN_TIME: Final = re.compile(
    r"\b(?:(?P<lead>at|by) )?(?:(?:a )?(?P<quarter>(?:half|quarter) past|quarter (?:to|of))"
    r"|(?:(?P<past>\d{1,2})(?:000 milli)?|(?P<past_ms>\d+) ms) past"
    r"|(?:(?<=\bat )|(?<=\bby )|(?<=\buntil ))(?:(?P<to>5|10|20|25)(?:000 milli)?|(?P<to_ms>\d+) ms) to)"
    r" (?:clock (?P<clock>\d{4})|(?P<hour>1[0-2]|[1-9])(?:000 milli)?)\b(?! (?:milli|degrees|percent|ms)\b)"
    r"(?P<part> in the (?:morning|afternoon|evening)| at night)?"
)
_FIRST_THING: Final = re.compile(
    r"\b(?:first thing(?: (?:in the|at|every) [a-z]+)?|last thing (?:in the|at|every) [a-z]+)(?= |$)"
)
_QUARTERS: Final = {"half past": 30, "quarter past": 15, "quarter to": -15, "quarter of": -15}
_BARE_HOUR = re.compile(r"\bat (\d{1,2})(?:000 milli)?\b(?![/:]| ?/|\.\d| (?:ms|milli|percent|over|divided)\b)")
_REPEAT = re.compile(
    rf"\b(?:every|each) (?:single )?({_SOME_DAYS} days?|day|{_PARTS}|weekday|weekend|week|month|year"
    rf"|(?:{_DAYS})(?:(?: and|,) (?:{_DAYS}))*)\b"
    rf"|\b(daily|weekly|monthly)\b|\b(?:on|at) (?:the )?(weekdays|weekends|(?:{_DAYS})s(?:(?: and|,) (?:{_DAYS})s)*)\b"
)
_DATE = re.compile(
    rf"\b(tomorrow|tonight)(?: (?:{_PARTS}))?\b|\b(?:on |this |on the )?(next (?:{_DAYS}))\b(?: (?:{_PARTS})\b)?"
    rf"|\b(?:on |this )({_DAYS})\b(?: (?:{_PARTS})\b)?"
    rf"|\b(?:on )?(?:the )?(\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTH})\b\.?(?: 20\d\d\b)?)"
    rf"|\b(?:on )?(?:the )?((?:{_MONTH})\b\.? \d{{1,2}}(?:st|nd|rd|th)?\b(?: 20\d\d\b)?)|\b(?:on )?(20\d\d-\d\d-\d\d)\b"
)
_DELAY = re.compile(
    r"(?:^|(?<=\bremind me )|(?<=\bremind us ))(?:in|after) (-?\d+) ms\b|\b(?:in|after) (-?\d+) ms(?: from)?(?: now)?$"
)
_NO_ON = frozenset({"tomorrow", "tonight", "today"})
_TODAY = re.compile(r"\btoday\b")
_PART = re.compile(rf"\b(?:every|each|tomorrow|this|in the|(?:{_DAYS})) ({_PARTS})\b|\bat (night)\b|\bto(night)\b")
_PART_WORD = re.compile(r"\b(?:in the (?:morning|afternoon|evening)|at night|this (?:morning|afternoon|evening))\b")
_LATE_HOURS = {"evening": range(1, 12), "afternoon": range(1, 12), "night": range(6, 13)}
_HALF: Final = re.compile(r"\d ?([ap])\.?m\b")
_EARLY: Final = re.compile(r"\bmornings?\b")
_LATE: Final = re.compile(r"\b(?:afternoon|evening|tonight)s?\b")
_NOTIFY = re.compile(r"\b(?:and )?(?:send|tell|mail|text|message) (?:it |that )?(?:to )?me\b")


class When(Struct, frozen=True):
    """The times in a sentence, each None if the sentence does not name it.

    `clock` is "23:30", "sunset" or "30 min after sunset", `repeat` "daily", `date` "tomorrow" or "2026-12-03". `hour`
    is an hour from 1 to 12, as in "at 7", which may be in the morning or in the evening. `after`: it is the first such
    time after that one.
    """

    clock: str | None = None
    repeat: str | None = None
    date: str | None = None
    delay_ms: int | None = None
    hour: int | None = None
    after: str | None = None


def split_when(said: str, *, bare_hour: bool = False) -> tuple[str, When] | None:
    """Split a sentence with normalized quantities into the rest and its time. Return None if it names no time.

    With `bare_hour`, "at 7" without a date is a time too.
    """
    _, part_of_day = _cut(_PART, said)
    rest, spoken_count = _SPOKEN_TIME.subn(" ", write_spoken_times(said))
    rest, thing_count = _FIRST_THING.subn(" ", rest)
    rest, clock = _cut(_CLOCK, rest)
    if clock:
        clock = _name_clock(clock)
        if clock is None:
            return None
    rest, repeat = _cut(_REPEAT, rest)
    rest, date = _cut(_DATE, rest)
    rest, delay = _cut(_DELAY, rest)
    has_date = repeat is not None or date is not None
    if delay is not None and (clock or has_date):
        # A time and a delay together mean nothing.
        return None
    rest, part_count = _PART_WORD.subn(" ", rest)
    hour = None
    may_name_hour = has_date or part_count > 0 or bare_hour or _TODAY.search(rest) is not None
    if clock is None and delay is None and may_name_hour:
        rest, bare = _cut(_BARE_HOUR, rest)
        if bare is not None and int(bare) < 24:
            hour = int(bare)
    has_part = has_date or part_of_day is not None
    if hour is not None and (has_part or hour not in range(1, 13)):
        clock = f"{hour:02d}:00"
        hour = None
    if clock is not None or hour is not None:
        rest, today_count = _TODAY.subn(" ", rest)
        if today_count and not has_date:
            date = "today"
    delay_ms = None if delay is None else int(delay)
    when = When(_with_part_of_day(clock, part_of_day), _name_days(repeat), _name_date(date), delay_ms, hour)
    if when == When() and not spoken_count and not thing_count:
        return None
    return _tidy(rest), when


def _name_clock(words: str) -> str | None:
    """Write "clock 2330" as "23:30" and "1800000 ms after the sunset" as "30 min after sunset".

    Return None for an offset that is not of whole minutes, or longer than half a day.
    """
    clock = re.sub(r"clock (\d\d)", r"\1:", words).replace("the ", "")
    offset = re.match(r"(\d+) ms", clock)
    if offset is None:
        return clock
    minutes = int(offset[1]) / 60_000
    if not minutes.is_integer() or not 0 < minutes <= _MAX_OFFSET_MIN:
        return None
    return f"{int(minutes)} min{clock[offset.end() :]}"


def is_sun_time(clock: str | None) -> bool:
    """Return True for "sunset" and "30 min after sunset"."""
    return clock is not None and ":" not in clock


def split_sun_time(clock: str) -> tuple[str, int]:
    """Return the sun's event of a clock, and how many minutes after it the clock is; negative before it."""
    offset = _OFFSET_WORDS.fullmatch(clock)
    if offset is None:
        return clock, 0
    minutes = int(offset[1])
    if offset[2] == "before":
        minutes = -minutes
    return offset[3], minutes


def write_spoken_times(text: str) -> str:
    """Write "half past 6 in the evening" as "clock 1830". A time stays if its part of the day is not said."""
    return _SPOKEN_TIME.sub(_spoken_clock, text)


def ask_spoken_time(text: str) -> str | None:
    """Return the two times that the only "half past 6" of a sentence may be, as "06:30 or 18:30"; else None."""
    matches = list(_SPOKEN_TIME.finditer(text))
    if len(matches) != 1 or matches[0]["hour"] is None:
        return None
    minutes = (60 * int(matches[0]["hour"]) + _spoken_minutes(matches[0])) % 720
    return f"{minutes // 60:02d}:{minutes % 60:02d} or {minutes // 60 + 12:02d}:{minutes % 60:02d}"


def _spoken_clock(match: re.Match[str]) -> str:
    if match["clock"]:
        minutes = 60 * int(match["clock"][:2]) + int(match["clock"][2:])
    else:
        part = match["part"] or _cut(_PART, match.string)[1]
        if part is None:
            return match[0]
        hour = hour_of_day(int(match["hour"]), part)
        if hour is None:
            return match[0]
        minutes = 60 * hour
    minutes = (minutes + _spoken_minutes(match)) % 1440
    clock = f"clock {minutes // 60:02d}{minutes % 60:02d}"
    if match["lead"]:
        return f"{match['lead']} {clock}"
    return clock


def _spoken_minutes(match: re.Match[str]) -> int:
    """Return how many minutes after its hour a spoken time is; negative before it."""
    if match["quarter"]:
        return _QUARTERS[match["quarter"]]
    if match["past"] or match["past_ms"]:
        return int(match["past"] or int(match["past_ms"]) // 60_000)
    return -int(match["to"] or int(match["to_ms"]) // 60_000)


def hour_of_day(hour: int, part: str) -> int | None:
    """Return an hour of "in the evening" or "at night" on the clock of 24 hours; None if it is in no such part."""
    name = part.split()[-1]
    is_noon_or_midnight = hour == 12 and name in ("morning", "evening")
    if hour > 12 or is_noon_or_midnight:
        return None
    if hour in _LATE_HOURS.get(name, range(0)):
        return (hour + 12) % 24
    return hour


def _cut(pattern: re.Pattern[str], text: str) -> tuple[str, str | None]:
    """Return the text without the first match of the pattern, and the word or number in the match."""
    match = pattern.search(text)
    if match is None:
        return text, None
    word = next(group for group in match.groups() if group is not None)
    return f"{text[: match.start()]} {text[match.end() :]}".strip(), word


def contradiction(text: str) -> str | None:
    """Return what a typed sentence says twice and differently ("evening", "am"), or None; two times may differ."""
    typed = text.lower()
    early_words = set(_EARLY.findall(typed))
    late_words = set(_LATE.findall(typed))
    halves = set(_HALF.findall(typed))
    if late_words and not early_words and halves == {"a"}:
        return f'"{min(late_words)}" and "am" contradict each other'
    if early_words and not late_words and halves == {"p"}:
        return f'"{min(early_words)}" and "pm" contradict each other'
    return None


def _tidy(rest: str) -> str:
    """Remove "tell me" and the prepositions that stood before a time."""
    # The answer of a schedule is sent anyway, so "and tell me" adds nothing.
    rest = _NOTIFY.sub(" ", rest)
    rest = re.sub(r"\s+", " ", rest).strip(" ,")
    return re.sub(r"^(?:(?:at|on|and|then) )+|(?: (?:at|and))+$|^(?:at|on|and)$", "", rest)


def _with_part_of_day(clock: str | None, part_of_day: str | None) -> str | None:
    """Add twelve hours to a clock if its part of the day needs them: "every evening at 7", "tonight at 12"."""
    if clock is None or ":" not in clock:
        return clock
    hour = int(clock[:2])
    if hour not in _LATE_HOURS.get(part_of_day or "", range(0)):
        return clock
    return f"{(hour + 12) % 24:02d}{clock[2:]}"


def _name_days(repeat: str | None) -> str | None:
    """Return "daily", "weekdays", "weekends" or the days ("monday and friday"); other words as they are."""
    if repeat is None:
        return None
    counted = _DAY_COUNT.fullmatch(repeat)
    if counted is not None:
        count = int(_ORDINALS.get(counted[1], counted[1]))
        return "daily" if count == 1 else f"{count} days"
    return _REPEATS.get(repeat) or " and ".join(re.findall(_DAYS, repeat)) or repeat


def _name_date(word: str | None) -> str | None:
    """Return a day of a month as "3 december" or "3 december 2027"; other words as they are."""
    if word is None or word in ("tomorrow", "tonight", "today", *DAYS):
        return word
    if "-" in word or word.startswith("next "):
        return word
    abbreviations = re.findall(r"[a-z]{3}", word)
    month = next(name for name in MONTHS if name[:3] in abbreviations)
    day, *year = re.findall(r"\d+", word)
    return " ".join((str(int(day)), month, *year))


def open_question(when: When) -> tuple[str, str] | None:
    """Return the question about an incomplete time and an example of an answer, or None for a complete time."""
    if when.hour is not None:
        early = f"{when.hour % 24:02d}:00"
        late = f"{(when.hour + 12) % 24:02d}:00"
        return f"Is that {early} or {late}?", f"at {early}"
    if when.clock is None and when.delay_ms is None:
        return "At what time?", f"{format_when(when)} at 8:00".strip()
    if when.repeat in ("week", "month", "year", "weekly", "monthly", "yearly"):
        return "On which day?", f"every monday at {when.clock}"
    return None


def format_when(when: When) -> str:
    """Return words that parse to the same time: "every monday at 18:00", "in 20 min"."""
    if when.delay_ms is not None:
        return f"in {spoken_duration(when.delay_ms)}"
    words = []
    if when.repeat:
        words.append(_REPEAT_WORDS.get(when.repeat, f"every {when.repeat}"))
    if when.date is not None:
        needs_on = when.date not in _NO_ON and not when.date.startswith("next ")
        words.append(f"on {when.date}" if needs_on else when.date)
    if when.clock is not None:
        has_offset = _OFFSET_WORDS.fullmatch(when.clock) is not None
        words.append(when.clock if has_offset else f"at {when.clock}")
    return " ".join(words)


def spoken_duration(ms: int | Fraction) -> str:
    """Return a time as people write it, from whole milliseconds: 500 -> "500 ms", 2000 -> "2 s", 7_200_000 -> "2 h"."""
    whole_ms = round(ms)
    if whole_ms >= 3_600_000 and whole_ms % 3_600_000 == 0:
        return f"{whole_ms // 3_600_000} h"
    if whole_ms >= 120_000 and whole_ms % 60_000 == 0:
        return f"{whole_ms // 60_000} min"
    if whole_ms >= 1000:
        return f"{whole_ms / 1000:.15g} s"
    return f"{whole_ms} ms"
