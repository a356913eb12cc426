"""Sentences with two times: "turn pin 4 on at 7:00 and off at 21:00", "from 7:00 to 9:00 blink the led".

Each becomes two schedules, of which every part is a sentence that is understood by itself. It schedules nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import BEGINS, NEGATIONS, normalize_quantities
from microclaw.agent.language.times import DAYS, SUN, When, format_when, is_sun_time, split_when
from microclaw.agent.offline.decision import Parse, Say, number_sentences
from microclaw.agent.offline.rules.reader import switched_pins
from microclaw.agent.offline.sentences import english

_JOINT: Final = re.compile(r",? (?:and then|and|then|but) ")
# Words that limit or deny a time. A sentence with one of them is not taken.
_DOUBT: Final = re.compile(rf"\b(?:{NEGATIONS}|except|without|only|or|either|instead|maybe|perhaps|if)\b")
_DAYS_IN_FRONT: Final = r"(?P<days>(?:(?:every|each) [a-z]+|daily|on [a-z]+s) )?"
_TIMES_IN_FRONT: Final = re.compile(
    rf"{_DAYS_IN_FRONT}(?P<times>at clock \d{{4}} and (?:at )?clock \d{{4}}) "
    r"(?P<rest>(?!at |on [a-z]|every |each )[a-z].*)"
)
_NAMED_PIN: Final = r"(?:(?:the|my|our) )?(?:[a-z]{3,} )?(?:on |at )?(pin \d+)"
_SHOULD_BE: Final = re.compile(rf"\b{_NAMED_PIN} (?:should|shall|must|has to|is to) (?:be|stay) on(?= |$)")
_LIGHT_FROM: Final = re.compile(
    r"^(?:(?:the|my|our) )?(?:light|lamp|led|fan|pump|heater|relay) (?:on |at )?(pin \d+)(?: on)?(?= (?:from|between) )"
)
_PART: Final = r"(?: in the (morning|afternoon|evening)| at (night))?"
_POINT: Final = rf"(?:clock (\d{{4}})|(\d{{1,2}})(?:000 milli)?|({'|'.join(sorted(SUN))})){_PART}"
_NAMED_PART: Final = re.compile(r"\b(?:every|each|this|tomorrow) (morning|afternoon|evening|night)\b")
_RANGE: Final = re.compile(
    rf"\b(?:(?:from|between) {_POINT} (?:to|until|till|and)|at {_POINT} (?:until|till)) {_POINT}(?!\w)"
)
_BEGINS: Final = re.compile(rf"\b{BEGINS} ")
_SWITCH_WORDS: Final = frozenset({"turn", "switch", "put", "shut", "it", "them", "that", "back", "again"})
_STOP: Final = re.compile(r"(?:stop|end)(?: it| them| that| again)?")
_REPEAT_AT_END: Final = re.compile(r"\b(?:every|each|daily|on)\b[^,]*$")
_HOURS: Final = {"morning": range(1, 12), "afternoon": range(12, 19), "evening": range(16, 24), "night": range(19, 24)}
_AFTER_MIDNIGHT: Final = range(1, 7)
_STOPPED_BY_WORD: Final = {"blink": "blinking", "flash": "flashing", "fade": "fading", "breathe": "breathing"}


def parse_two_times(text: str) -> Parse | Say | None:
    """Parse a sentence with two times as two schedules. Return None if a word of it is not understood.

    Return Say for a sentence that contradicts itself.
    """
    normal = _in_usual_order(normalize_quantities(text))
    if _DOUBT.search(normal):
        return None
    readings = list[tuple[Parse, Parse]]()
    span = _read_range(normal)
    if span is not None:
        readings.append(span)
    for joint in _JOINT.finditer(normal):
        pair = _read_pair(normal[: joint.start()], normal[joint.end() :])
        if pair is not None:
            readings.append(pair)
    if len(readings) != 1:
        return None
    first, second = readings[0]
    if _is_same_time(first, second) and _has_same_target(first, second):
        text = f"Both are {format_when(_complete(first.when))}, so I did nothing: the one undoes the other."
        return Say(text, "refused", "name two times, as in: turn pin 4 on at 7:00 and off at 21:00")
    return _in_order(first, second)


def _in_usual_order(normal: str) -> str:
    """Write the times behind what they are for, and "the lamp on pin 4 should be on" as "turn on pin 4"."""
    front = _TIMES_IN_FRONT.fullmatch(normal)
    if front is not None:
        days = front["days"] or ""
        normal = f"{front['rest']} {front['times']} {days}".strip()
    normal = _SHOULD_BE.sub(r"turn on \1", normal)
    return _LIGHT_FROM.sub(r"turn on \1", normal)


def with_hours(parse: Parse) -> tuple[str, ...]:
    """Return the sentences with the hours that this one may mean: "at 7" in the morning, and in the evening."""
    first, second = parse.parts
    sentences = list[str]()
    for early in _hours_of(first.when):
        start = _at_hour(first, early)
        for late in _hours_of(second.when):
            end = _at_hour(second, late)
            # Two hours of one kind are of the same half of the day, as in "from 7 to 9".
            if early is None or late is None or _is_next_hour(start, end):
                sentences.append(sentence_of((start, end)))
    return tuple(sentences)


def sentence_of(parts: tuple[Parse, ...]) -> str:
    """Return a sentence that is parsed to these schedules."""
    return " and ".join(f"{part.word('what')} {format_when(part.when or When())}" for part in parts)


def _read_pair(left: str, right: str) -> tuple[Parse, Parse] | None:
    """Read two clauses, each with its own time. The second one may leave out what the first one says."""
    first_timed = split_when(left, bare_hour=True)
    second_timed = split_when(right, bare_hour=True)
    if first_timed is None or second_timed is None:
        return None
    first_what, first_when = first_timed
    second_what, second_when = second_timed
    if not _has_time(first_when) or not _has_time(second_when):
        return None
    first = english().parse(first_what)
    is_contrary = right.startswith("on ") and second_what.endswith("off")
    if first is None or first.kind == "schedule" or is_contrary:
        return None
    if _BEGINS.search(first_what) and first_when.delay_ms is not None:
        # "Turn it on after 5 s when the button is pressed": the rule waits, and not its installation.
        return None
    what = _second_what(first_what, first, second_what)
    if what is None:
        return None
    whens = _share_days(left, first_when, right, second_when)
    if whens is None:
        return None
    return _schedule(first_what, whens[0]), _schedule(what, whens[1])


def _second_what(first_what: str, first: Parse, second_what: str) -> str | None:
    """Return what the second clause does, in a whole sentence; None if it is not understood."""
    if not second_what:
        return first_what
    words = second_what.split()
    level = "on" if "on" in words else "off"
    if set(words) - {level} <= _SWITCH_WORDS and words.count(level) == 1:
        return _opposite(first, level, first_what)
    if _STOP.fullmatch(second_what):
        return _opposite(first, "off", first_what)
    second = english().parse(second_what)
    if second is None or second.kind == "schedule" or "it" in (second.word("thing"), second.word("app")):
        return None
    return second_what


def _opposite(first: Parse, level: str, first_what: str) -> str | None:
    """Return the sentence that switches the target of the first one, or that ends its program."""
    target = _target_words(first)
    if target is None:
        return None
    if first.kind in ("set_pin", "dim_pin"):
        return f"turn {level} {target}"
    if level == "on" or " and " in target:
        return None
    stopped = _STOPPED_BY_WORD.get(first_what.split()[0])
    if stopped is None:
        return f"stop everything on {target}" if target.startswith("pin ") else None
    return f"stop {stopped} {target}"


def _target_words(parse: Parse) -> str | None:
    pins: Sequence[int] = parse.pins
    if parse.kind == "rule":
        pins = switched_pins(parse.word("rule") or "")
    if pins:
        return " and ".join(f"pin {pin}" for pin in pins)
    if parse.word("thing") == "led":
        return "the led"
    return None


def _read_range(normal: str) -> tuple[Parse, Parse] | None:
    """Read "from 7 to 9 in the morning blink the led": it begins at the first time and ends at the second."""
    match = _RANGE.search(normal)
    if match is None:
        return None
    groups = list(match.groups())
    start_words = groups[:5] if any(groups[:5]) else groups[5:10]
    end_words = groups[10:]
    rest = f"{normal[: match.start()]} {normal[match.end() :]}".strip()
    named_part = _NAMED_PART.search(rest)
    days = When()
    timed = split_when(rest)
    if timed is not None:
        rest, days = timed
    if days.clock is not None or days.delay_ms is not None or days.hour is not None:
        return None
    rest = re.sub(r"\s+", " ", rest).strip(" ,")
    parse = english().parse(rest)
    is_dated = days.repeat is not None or days.date is not None
    if parse is None or parse.kind == "schedule" or _may_be_daily(parse, is_dated=is_dated):
        return None
    # That a pin stays off for a time does not say that it goes on after it.
    if parse.kind == "set_pin" and ("level_2" in parse.values or not parse.number("level")):
        return None
    end_what = _opposite(parse, "off", rest)
    shared_part = end_words[3] or end_words[4]
    if shared_part is None and named_part is not None:
        shared_part = named_part[1]
    end = _point(end_words, shared_part, is_dated=is_dated)
    may_be_late = _may_be_late(start_words[1], end)
    start = _point(start_words, shared_part, is_dated=is_dated and not may_be_late)
    # How a dimmed pin goes on after the end is not said.
    if end_what is None or parse.kind == "dim_pin":
        return None
    if start is None or end is None:
        return None
    start_when = replace(start, repeat=days.repeat, date=days.date)
    end_when = replace(end, repeat=_end_days(days.repeat, start, end), date=days.date)
    return _schedule(rest, start_when), _schedule(end_what, end_when)


def _end_days(repeat: str | None, start: When, end: When) -> str | None:
    """Return the days on which a range ends that begins on these: the days after, if it is over midnight."""
    days = _days_of(repeat or "")
    has_sun = is_sun_time(start.clock) or is_sun_time(end.clock)
    if len(days) == len(DAYS) or has_sun or (end.clock or "") >= (start.clock or ""):
        return repeat
    next_days = [day for number, day in enumerate(DAYS) if DAYS[number - 1] in days]
    return " and ".join(next_days)


def _point(words: list[str | None], shared_part: str | None, *, is_dated: bool) -> When | None:
    """Return one end of a range. Return None for an hour that its part of the day does not have."""
    clock, digits, sun, part, night = words
    if sun is not None:
        return When(clock=sun)
    if clock is not None:
        return When(clock=f"{clock[:2]}:{clock[2:]}")
    hour = int(digits or 0)
    part_of_day = part or night or shared_part
    if hour > 24:
        return None
    if part_of_day is not None:
        for possible in (hour, hour + 12):
            if possible in _HOURS[part_of_day]:
                return When(clock=f"{possible:02d}:00")
        if part_of_day == "night" and hour in _AFTER_MIDNIGHT:
            return When(clock=f"{hour:02d}:00")
        return None
    if is_dated or hour not in range(1, 13):
        return When(clock=f"{hour % 24:02d}:00")
    return When(hour=hour)


def _may_be_daily(parse: Parse, *, is_dated: bool) -> bool:
    """Return True for "when the door opens between 8 and 9 pm" without a day: it is asked."""
    return parse.kind == "rule" and not is_dated


def _may_be_late(hour: str | None, end: When | None) -> bool:
    """Return True for the 8 of "from 8 to 9 pm": it may be in the evening, too."""
    if hour is None or end is None:
        return False
    if end.clock is None or is_sun_time(end.clock):
        return False
    return int(hour) < 12 and int(hour) + 12 < int(end.clock[:2])


def _share_days(left: str, first: When, right: str, second: When) -> tuple[When, When] | None:
    """Give both times the days that only one clause names. Return None if that is unclear."""
    if first.delay_ms is not None or second.delay_ms is not None:
        if first.delay_ms is None or second.delay_ms is None or second.delay_ms <= first.delay_ms:
            return None
        return first, second
    has_first_days = bool(first.repeat or first.date)
    has_second_days = bool(second.repeat or second.date)
    if has_first_days == has_second_days:
        return first, second
    if has_first_days:
        return first, _on_days(second, first, left)
    if second.repeat is not None and _REPEAT_AT_END.search(right):
        return _on_days(first, second, right), second
    return None


def _on_days(when: When, other: When, clause: str) -> When:
    """Return the time with the days of the other one. "At 7 every evening" leaves open what "at 9" is."""
    hour = when.hour
    clock = when.clock
    if hour is not None and re.search(r"\b(?:morning|afternoon|evening|night|tonight)\b", clause) is None:
        clock = f"{hour:02d}:00"
        hour = None
    return replace(when, clock=clock, hour=hour, repeat=other.repeat, date=other.date)


def _in_order(first: Parse, second: Parse) -> Parse | None:
    """Return both schedules; the second of the same target comes after the first one."""
    parts = (first, second)
    start = first.when or When()
    end = second.when or When()
    if not _is_span(first, second) or start.clock is None or end.clock is None:
        return Parse("schedules", parts=parts)
    is_counted = start.repeat == end.repeat and re.fullmatch(r"\d+ days", start.repeat or "") is not None
    is_once = start.repeat is None and end.repeat is None and start.date == end.date
    if is_counted or is_once:
        return Parse("schedules", parts=(first, replace(second, when=replace(end, after=start.clock))))
    has_sun = is_sun_time(start.clock) or is_sun_time(end.clock)
    crosses_midnight = has_sun or end.clock < start.clock
    is_same_days = start.repeat == end.repeat and start.repeat != "daily"
    if is_same_days and crosses_midnight:
        # The end is on the day after, which these days may not have.
        return None
    return Parse("schedules", parts=parts)


def _is_span(first: Parse, second: Parse) -> bool:
    """Return True if the second schedule ends what the first one begins."""
    return _has_same_target(first, second) and first.values != second.values


def is_window(parse: Parse) -> bool:
    """Return True if the two schedules are from one time of day to another, as in "from 7 to 9"."""
    first, second = parse.parts
    start = first.when or When()
    return start.clock is not None and _is_span(first, second)


def _target_of(schedule: Parse) -> str | None:
    parse = english().parse(schedule.word("what") or "")
    if parse is None:
        return None
    return _target_words(parse)


def _has_same_target(first: Parse, second: Parse) -> bool:
    return first.values == second.values or _target_of(first) == _target_of(second)


def _is_same_time(first: Parse, second: Parse) -> bool:
    """Return True if both come at the same time of one day at least."""
    start = first.when or When()
    end = second.when or When()
    if (start.clock, start.hour, start.delay_ms) != (end.clock, end.hour, end.delay_ms):
        return False
    if start.date != end.date:
        return None in (start.date, end.date)
    if start.repeat is None or end.repeat is None:
        return True
    return bool(_days_of(start.repeat) & _days_of(end.repeat))


def _days_of(repeat: str) -> frozenset[str]:
    if repeat == "weekdays":
        return frozenset(DAYS[:5])
    if repeat == "weekends":
        return frozenset(DAYS[5:])
    return frozenset(DAYS).intersection(repeat.split(" and ")) or frozenset(DAYS)


def _schedule(what: str, when: When) -> Parse:
    return Parse("schedule", {"what": what}, when=when)


def _has_time(when: When) -> bool:
    return when.clock is not None or when.hour is not None or when.delay_ms is not None


def _complete(when: When | None) -> When:
    """Return the time with its hour as a clock, to be shown."""
    whole = when or When()
    if whole.hour is None:
        return whole
    return replace(whole, clock=f"{whole.hour}:00", hour=None)


def _hours_of(when: When | None) -> tuple[int | None, ...]:
    if when is None or when.hour is None:
        return (None,)
    return when.hour % 12, when.hour % 12 + 12


def _at_hour(schedule: Parse, hour: int | None) -> Parse:
    if hour is None:
        return schedule
    return replace(schedule, when=replace(schedule.when or When(), clock=f"{hour:02d}:00", hour=None))


def _is_next_hour(start: Parse, end: Parse) -> bool:
    """Return True if the end is less than twelve hours after the start."""
    return 0 < (_hour(end) - _hour(start)) % 24 < 12


def _hour(schedule: Parse) -> int:
    return int(((schedule.when or When()).clock or "0")[:2])


def hour_question(parse: Parse) -> Say | None:
    """Ask which of the possible hours are meant, or return None if both are clear."""
    first, second = parse.parts
    if _hours_of(first.when) == _hours_of(second.when) == (None,):
        return None
    sentences = with_hours(parse)
    text = f"Which do you mean: {number_sentences(sentences)}?"
    return Say(text, "ambiguous", "its number", suggested=sentences)
