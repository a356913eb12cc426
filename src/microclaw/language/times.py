"""Splits times of day, dates and delays from the rest of a sentence. It schedules nothing."""

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
_CLOCK = re.compile(r"(?<![\w-])(?:at |by |around )?(clock \d{4}|sunrise|sunset|dawn|dusk)(?![\w-])")
_SPOKEN_HOUR = re.compile(  # "half past 6": what is done then is read, the time is asked for
    r"\b(?:(?:at|by) )?(?:half past|(?:a )?quarter (?:past|to)|\d+(?: ms| milli)? past) "
    r"(?:clock \d{4}|\d+(?: milli)?)\b"
)
_BARE_HOUR = re.compile(r"\bat (\d{1,2})(?:000 milli)?\b(?![/:]| ?/|\.\d| (?:ms|milli|percent|over|divided)\b)")
_REPEAT = re.compile(
    rf"\b(?:every|each) (?:single )?(day|{_PARTS}|weekday|weekend|week|month|year"
    rf"|(?:{_DAYS})(?:(?: and|,) (?:{_DAYS}))*)\b"
    rf"|\b(daily|weekly|monthly)\b|\bon (weekdays|weekends|(?:{_DAYS})s(?:(?: and|,) (?:{_DAYS})s)*)\b"
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
_NOTIFY = re.compile(r"\b(?:and )?(?:send|tell|mail|text|message) (?:it |that )?(?:to )?me\b")


class When(Struct, frozen=True):
    """The times in a sentence: "23:30" or "sunset", "daily", "tomorrow" or "2026-12-03", a delay; None if not named.

    `hour` is one of the clock's face, as in "at 7": morning or evening.
    """

    clock: str | None = None
    repeat: str | None = None
    date: str | None = None
    delay_ms: int | None = None
    hour: int | None = None


def split_when(said: str, *, bare_hour: bool = False) -> tuple[str, When] | None:
    """The rest of a sentence with normalized quantities, and its time; None if it names no time.

    `bare_hour`: "at 7" alone is a time too.
    """
    _, part = _taken(_PART, said)
    rest, spoken = _SPOKEN_HOUR.subn(" ", said)
    rest, clock = _taken(_CLOCK, rest)
    if clock:
        clock = re.sub(r"clock (\d\d)", r"\1:", clock)
    else:
        clock = None
    rest, repeat = _taken(_REPEAT, rest)
    rest, date = _taken(_DATE, rest)
    rest, delay = _taken(_DELAY, rest)
    if delay is not None and (clock or repeat or date):
        return None  # a time and a delay together mean nothing
    rest, in_part = _PART_WORD.subn(" ", rest)
    hour = None
    if not (clock or delay) and (repeat or date or in_part or bare_hour or _TODAY.search(rest)):
        rest, bare = _taken(_BARE_HOUR, rest)
        if bare is not None and int(bare) < 24:
            known = repeat or date or part or int(bare) > 12 or int(bare) == 0
            clock, hour = (f"{int(bare):02d}:00", None) if known else (None, int(bare))
    if clock is not None or hour is not None:
        rest, today = _TODAY.subn(" ", rest)
        date = "today" if today and date is None and repeat is None else date
    if not spoken and all(found is None for found in (clock, repeat, date, delay, hour)):
        return None
    if repeat is not None:
        repeat = _REPEATS.get(repeat) or " and ".join(re.findall(_DAYS, repeat)) or repeat
    rest = re.sub(r"\s+", " ", _NOTIFY.sub(" ", rest)).strip(" ,")  # its answer is sent anyway
    rest = re.sub(r"^(?:(?:at|on|and|then) )+|(?: (?:at|and))+$|^(?:at|on|and)$", "", rest)
    late = {"evening": range(1, 12), "afternoon": range(1, 12), "night": range(6, 13)}.get(part or "", range(0))
    if clock is not None and ":" in clock and int(clock[:2]) in late:  # "every evening at 7", "tonight at 12"
        clock = f"{(int(clock[:2]) + 12) % 24:02d}{clock[2:]}"
    return rest, When(clock, repeat, _dated(date), int(delay) if delay else None, hour)


def _taken(pattern: re.Pattern[str], text: str) -> tuple[str, str | None]:
    """The text without the first match of the pattern, and the word or number in the match."""
    found = pattern.search(text)
    if found is None:
        return text, None
    word = next(group for group in found.groups() if group is not None)
    return f"{text[: found.start()]} {text[found.end() :]}".strip(), word


def _dated(word: str | None) -> str | None:
    """A day of a month as "3 december" or "3 december 2027"; other words as they are."""
    if word is None or word in ("tomorrow", "tonight", "today", *DAYS) or "-" in word or word.startswith("next "):
        return word
    month = next(name for name in MONTHS if name[:3] in re.findall(r"[a-z]{3}", word))
    day, *year = re.findall(r"\d+", word)
    return " ".join((str(int(day)), month, *year))


def open_question(when: When) -> tuple[str, str] | None:
    """The question about an incomplete time, and an example of an answer; None for a complete time."""
    if when.clock in SUN:
        return f"I do not know when {when.clock} is where you are: at what time?", "at 20:00"
    if when.hour is not None:
        early, late = (f"{hour % 24:02d}:00" for hour in (when.hour, when.hour + 12))
        return f"Is that {early} or {late}?", f"at {early}"
    if when.clock is None and when.delay_ms is None:
        return "At what time?", f"{when_text(when)} at 8:00".strip()
    if when.repeat in ("week", "month", "year", "weekly", "monthly", "yearly"):
        return "On which day?", f"every monday at {when.clock}"
    return None


def when_text(when: When) -> str:
    """The time in words that parse to the same time: "every monday at 18:00", "in 20 min"."""
    if when.delay_ms is not None:
        return f"in {spoken(when.delay_ms)}"
    every = {"daily": "every day", "weekdays": "every weekday", "weekends": "on weekends"}
    if when.repeat:
        words = [every.get(when.repeat, f"every {when.repeat}")]
    else:
        words = []
    if when.date is not None:
        words.append(when.date if when.date in _NO_ON or when.date.startswith("next ") else f"on {when.date}")
    if when.clock is not None:
        words.append(f"at {when.clock}")
    return " ".join(words)


def spoken(ms: int | Fraction) -> str:
    """As people say it, in whole milliseconds: 500 -> "500 ms", 2000 -> "2 s", 7_200_000 -> "2 h"."""
    whole = round(ms)
    for least, size, unit in ((3_600_000, 3_600_000, "h"), (120_000, 60_000, "min")):
        if whole >= least and whole % size == 0:
            return f"{whole // size} {unit}"
    if whole >= 1000:
        return f"{whole / 1000:.15g} s"
    return f"{whole} ms"
