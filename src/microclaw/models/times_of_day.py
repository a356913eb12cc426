"""Times of day, dates and delays in a sentence, taken off what is to be done then. Schedules nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_WORDS = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}
_CLOCK = re.compile(r"\b(?:at |by |around )?clock (\d\d)(\d\d)\b")
_CLOCK_WORD = re.compile(r"\b(?:at |by |around )?(noon|midday|midnight|sunrise|sunset|dawn|dusk)\b")
_BARE_HOUR = re.compile(r"\bat (\d{1,2})(?:000 milli)?\b(?! (?:ms|milli|percent))")
_REPEAT = re.compile(
    rf"\b(?:every|each) (?:single )?(day|morning|evening|night|afternoon|weekday|weekend|week|month|year|{_DAYS})\b"
    rf"|\b(daily|weekly|monthly)\b|\bon (weekdays|weekends|(?:{_DAYS})s)\b"
)
_DATE = re.compile(rf"\b(tomorrow|tonight)(?: (?:morning|evening|night|afternoon))?\b|\b(?:on |next |this )({_DAYS})\b")
_DELAY = re.compile(r"^(?:in|after) (\d+) ms\b|\b(?:in|after) (\d+) ms(?: from)?$")
_TODAY = re.compile(r"\btoday\b")
_NOTIFY = re.compile(r"\b(?:and )?(?:send|tell|mail|text|message) (?:it |that )?(?:to )?me\b")


@dataclass(frozen=True, slots=True)
class When:
    """The times a sentence names: "23:30" or "sunset", "daily", "tomorrow", a delay; None where it names none.

    `notify` when the person wants to be told then.
    """

    clock: str | None = None
    repeat: str | None = None
    date: str | None = None
    delay_ms: int | None = None
    notify: bool = False


def split_when(said: str) -> tuple[str, When] | None:
    """What is to be done and when, of a sentence with its quantities normalized; None when it names no time."""
    rest, clock = _clock(said)
    rest, repeat = _taken(_REPEAT, rest)
    rest, date = _taken(_DATE, rest)
    rest, delay = _taken(_DELAY, rest)
    if clock is None and (repeat or date):
        rest, hour = _taken(_BARE_HOUR, rest)
        clock = f"{int(hour):02d}:00" if hour and int(hour) < 24 else None
    if clock is not None:
        rest = _TODAY.sub(" ", rest)
    if clock is None and repeat is None and date is None and delay is None:
        return None
    rest, told = _NOTIFY.subn(" ", rest)
    rest = re.sub(r"\s+", " ", rest).strip()
    rest = re.sub(r"^(?:(?:at|on|and|then) )+|(?: (?:at|on|and))+$", "", rest)
    return rest, When(clock, _repeated(repeat), date, int(delay) if delay else None, bool(told))


def _clock(said: str) -> tuple[str, str | None]:
    found = _CLOCK.search(said)
    if found is not None:
        return f"{said[: found.start()]} {said[found.end() :]}", f"{found[1]}:{found[2]}"
    rest, word = _taken(_CLOCK_WORD, said)
    return rest, _WORDS.get(word, word) if word else None


def _taken(pattern: re.Pattern[str], text: str) -> tuple[str, str | None]:
    """The text without the pattern's first match, and the word or number in it."""
    found = pattern.search(text)
    if found is None:
        return text, None
    word = next(group for group in found.groups() if group is not None)
    return f"{text[: found.start()]} {text[found.end() :]}".strip(), word


def _repeated(word: str | None) -> str | None:
    match word:
        case "day" | "morning" | "evening" | "night" | "afternoon" | "daily":
            return "daily"
        case "weekday" | "weekdays":
            return "weekdays"
        case "weekend" | "weekends":
            return "weekends"
        case None:
            return None
        case _:
            return word.removesuffix("s")
