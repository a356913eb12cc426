"""Sentences about what is done later: kept as schedules, listed, cancelled. It keeps no time, calls no tool itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from microclaw.models.likely import NOTHING_DONE
from microclaw.models.quantities import normalize_quantities
from microclaw.models.reply import Act, CannotDo, Decision, Say, Situation, failure
from microclaw.models.sentences import Reading, Sentences
from microclaw.models.times_of_day import SUN, When, split_when, when_text

EXAMPLES: Final = ("every weekday at 7 turn on pin 4", "what is scheduled", "cancel schedule 1")
KINDS: Final = frozenset({"schedule", "list_schedules", "cancel_schedule"})

_THINGS: Final = r"(?:schedules?|schedule entry|scheduled (?:tasks?|jobs?|things?|actions?)|reminders?|timers?|alarms?)"
_MAY_BE_APPS: Final = r"(?:timers?|alarms?)\b"  # "stop timer" is said of a program
_LIST: Final = re.compile(
    rf"(?:please )?(?:(?:list|show|show me|tell me|give me)(?: all)?(?: the| my)? {_THINGS}|{_THINGS}"
    r"|(?:what is|what's|whats|what have i|what do i have|is anything|is something|anything|show what is|list what is)"
    r"(?: been)? (?:scheduled|planned)(?: (?:today|for today|now|next|here|later))?"
    rf"|(?:what|which|are there any|do i have any)(?: of)?(?: the| my)? {_THINGS}"
    r"(?: (?:are there|do i have|are set|are active|are running|exist|do you have|have i(?: got)?))?)"
)
_CANCEL: Final = re.compile(
    r"(?:please )?(?:cancel|(?:remove|delete|stop|drop|forget|clear|end|kill|get rid of)"
    rf"(?! (?:the |my )?{_MAY_BE_APPS})) (?:(.*?) ?\b{_THINGS})\b ?(.*)"
)
_NOISE: Final = frozenset(
    re.findall(r"\w+", "the my a an all every of for that which at on to in with number no and is it runs one please")
)
_REMIND_IN: Final = re.compile(
    r"(?:please )?((?:remind|alert|notify|warn|wake|call) (?:me|us)) (?:in|after) (\d+) ms\b ?(.*)"
)
_POLITE: Final = re.compile(r"^(?:(?:please|can you|could you|would you) )+", re.I)
_TIME_WORDS: Final = 5  # of a time amid a sentence: "on 3 December at 14:00"
_REMINDER: Final = re.compile(r"(remind|wake|alert|notify|warn|call) (?:me|us)\b ?(.*)", re.S)


def read(text: str, sentences: Sentences) -> Reading | None:
    """What of it is said about schedules themselves, or names an hour that may be in the morning or in the evening."""
    said = normalize_quantities(text)
    if _LIST.fullmatch(said):
        return Reading("list_schedules", {})
    cancel = _CANCEL.fullmatch(said)
    if cancel is not None:
        return _cancelled(f"{cancel[1] or ''} {cancel[2]}".strip(), said)
    remind = _REMIND_IN.fullmatch(said)
    if remind is not None:
        return Reading("schedule", {"what": f"{remind[1]} {remind[3]}".strip(), "delay_ms": int(remind[2])})
    timed = split_when(said, bare_hour=True)
    if timed is None:
        return None
    asked = _POLITE.sub("", timed[0])
    if _REMINDER.match(asked):
        return Reading("schedule", {"what": asked} | _values(timed[1]))
    if timed[1].hour is None:
        return None
    whole = sentences.read(text)
    if whole is not None and whole.kind not in {"schedule", *NOTHING_DONE}:
        return None
    what, when = timed
    inner = sentences.read(what)
    if inner is None or inner.kind in KINDS | NOTHING_DONE:
        return None
    return Reading("schedule", {"what": what} | _values(when))


def decide(at: Situation, inner: Callable[[Reading], Decision], sentences: Sentences) -> Decision:
    """The next step of a sentence of one of KINDS. `inner` decides what is to be done then."""
    if at.found and not at.found[-1].ok:
        return failure(at.found[-1])
    match at.reading.kind:
        case "schedule":
            return _schedule(at, inner, sentences)
        case "list_schedules":
            return _list(at)
        case _:
            return _cancel(at)


def _cancelled(words: str, said: str) -> Reading:
    values: dict[str, int | str | bool] = {}
    clock = re.search(r"\bclock (\d\d)(\d\d)\b", words)
    number = re.search(rf"{_THINGS} (?:number |no |pin )?(\d{{1,6}})$", said)
    if clock is not None:
        values["clock"] = f"{clock[1]}:{clock[2]}"
        words = words.replace(clock[0], " ")
    if number is not None:
        values["number"] = int(number[1])
        words = re.sub(rf"\b(?:pin )?{number[1]}$", " ", words)
    if re.match(r"all\b|every\b", words) or (not words and re.search(r"s$", said)):
        values["all"] = True
    left = " ".join(word for word in words.split() if word not in _NOISE)
    return Reading("cancel_schedule", values | ({"words": left} if left else {}))


def _schedule(at: Situation, inner: Callable[[Reading], Decision], sentences: Sentences) -> Decision:
    if at.found:
        made = at.found[-1].fields
        warning = f" Careful: {made['warning']}." if made.get("warning") else ""
        return Say(f"Schedule {made.get('schedule')}: {made.get('what')}; next {made.get('next')}.{warning}")
    when = _when(at.reading)
    what = at.reading.word("what") or ""
    doing = _doing(at.said, what)
    if (question := _open_question(when, doing)) is not None:
        return question
    reminder = _REMINDER.match(what)
    if reminder is not None:
        doing = _reminder(doing)
    else:
        meant = sentences.read(what)
        if meant is None or meant.kind in NOTHING_DONE:
            return Say(
                "I do not understand what is to be done then.", "not_understood", "as in: turn on pin 4 at 22:00"
            )
        pin = at.reading.number("pin")  # answered when it was asked for
        if pin is not None:
            meant = dataclasses.replace(meant, values={**meant.values, "pin": pin})
            doing = f"{doing} on pin {pin}"
        try:
            decision = inner(meant)
        except CannotDo as exc:
            return exc.say
        if isinstance(decision, Say) and decision.code is not None:
            return decision
    said = when_text(when)
    return Act(
        "schedule-add", at.on_device(when=said, do=doing), f"schedule({said}: {doing})", "this host does it then"
    )


def _when(reading: Reading) -> When:
    return When(
        reading.word("clock"),
        reading.word("repeat"),
        reading.word("date"),
        reading.number("delay_ms"),
        hour=reading.number("hour"),
    )


def _values(when: When) -> dict[str, int | str | bool]:
    told = {
        "clock": when.clock,
        "repeat": when.repeat,
        "date": when.date,
        "delay_ms": when.delay_ms,
        "hour": when.hour,
    }
    return {name: value for name, value in told.items() if value is not None}


def _open_question(when: When, doing: str) -> Say | None:
    """What is to be asked before anything can be kept."""
    if when.clock in SUN:
        return Say(
            f"Nothing was done: I do not know when {when.clock} is where you are.",
            "not_possible",
            f"say a time: {doing} at 20:00",
        )
    if when.hour is not None:
        early, late = f"{when.hour:02d}:00", f"{(when.hour + 12) % 24:02d}:00"
        return Say(f"Is that {early} or {late}?", "ambiguous", f"{doing} at {early}")
    if when.clock is None and when.delay_ms is None:
        return Say("At what time?", "ambiguous", f"{doing} {when_text(when)} at 8:00")
    if when.repeat in ("week", "month", "year", "weekly", "monthly", "yearly"):
        return Say("On which day?", "ambiguous", f"{doing} every monday at {when.clock}")
    return None


def _doing(said: str, what: str) -> str:
    """The sentence in the person's own words, without its time; `what` where the time stands in several places."""
    words = _POLITE.sub("", said.strip().rstrip(".!?")).split()
    spans = [(0, count) for count in range(1, len(words))]
    spans += [(len(words) - count, count) for count in range(1, len(words))]
    spans += [(first, count) for count in range(1, _TIME_WORDS + 1) for first in range(1, len(words) - count)]
    for first, count in spans:
        text = " ".join((*words[:first], *words[first + count :]))
        if normalize_quantities(text) == what:
            return text
    return what


def _reminder(doing: str) -> str:
    """As the schedule's maker reads it."""
    found = _REMINDER.match(doing.lower())
    if found is None:
        return f"remind me: {doing}"
    rest = doing[found.start(2) :].strip()
    if found[1] in ("wake", "call"):
        return f"remind me to {found[1]} {rest}".strip() if rest else f"remind me: {found[1]}"
    return f"remind me {rest}" if rest else "remind me: it is time"


def _list(at: Situation) -> Decision:
    if not at.found:
        return Act("schedule-list", {}, "schedules()")
    listed = _schedules(at.found[-1].fields)
    if not listed:
        return Say("Nothing is scheduled.", next_step="as in: every weekday at 7 turn on pin 4")
    return Say("\n".join((f"{len(listed)} scheduled:", *(f"  {_line(one)}" for one in listed))))


def _cancel(at: Situation) -> Decision:
    if not at.found:
        return Act("schedule-list", {}, "cancel_schedule()")
    listed = _schedules(at.found[0].fields)
    removed = at.found[1:]
    matching = [one for one in listed if _matches(one, at.reading)]
    if removed and not (at.reading.values.get("confirmed") and len(removed) < len(matching)):
        gone = [one for one in matching if one["schedule"] in [found.fields.get("schedule") for found in removed]]
        return Say(f"Cancelled: {'; '.join(_line(one, next_due=False) for one in gone)}.")
    if not listed:
        return Say("Nothing is scheduled, so nothing was cancelled.", "unknown_name")
    if not matching:
        return Say(
            f"No schedule is like that. There is: {'; '.join(map(_line, listed))}.",
            "unknown_name",
            f"cancel schedule {listed[0]['schedule']}",
        )
    if len(matching) > 1 and not at.reading.values.get("confirmed"):
        if at.reading.values.get("all"):
            return Say(f"That cancels {'; '.join(map(_line, matching))}. Say yes to do it.", "confirm", "yes")
        return Say(
            f"Which one: {'; '.join(map(_line, matching))}?",
            "ambiguous",
            f"cancel schedule {matching[0]['schedule']}",
        )
    return Act("schedule-remove", {"schedule": matching[len(removed)]["schedule"]})


def _schedules(fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those that are not over."""
    return [one for one in fields.get("schedules", ()) if one.get("state") != "over"]


def _matches(one: Mapping[str, Any], reading: Reading) -> bool:
    number, clock, words = reading.number("number"), reading.word("clock"), reading.word("words")
    if number is not None:
        return bool(one["schedule"] == number)
    due = f"{one.get('when')} {one.get('next')}"
    if clock is not None and not re.search(rf"\b0?{re.escape(clock.removeprefix('0'))}\b", due):
        return False
    told = f"{normalize_quantities(str(one.get('what')))} {one.get('what')} {due}".lower()
    return all(re.search(rf"\b{re.escape(word)}", told) for word in (words or "").split())


def _line(one: Mapping[str, Any], *, next_due: bool = True) -> str:
    then = f"next {one['next']}" if one.get("next") else str(one.get("state"))
    text = f"{one['schedule']}: {one.get('when')}: {one.get('what')}"
    return f"{text} ({then})" if next_due else text
