"""Sentences about schedules: made, listed, cancelled. It keeps no time, calls no tool itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import SUN, When, open_question, when_text
from microclaw.offline.apps import program_order
from microclaw.offline.decision import Act, Context, Decision, Say
from microclaw.offline.parse import Parse
from microclaw.offline.programs import seconds
from microclaw.offline.sentences import Sentences

EXAMPLES: Final = ("every weekday at 7 turn on pin 4",)

_UNNAMED: Final = frozenset({None, "", "it", "that", "this", "them"})  # of a program
ENDLESS: Final = frozenset({"blink", "fade", "rainbow", "servo_sweep", "led_blink"})
"""The kinds that go on until they are stopped, each with a pace."""
_PACE_SLOTS: Final = frozenset({"ms", "period_ms", "period_ms_ns", "for_ms"})
_AT_THE_END: Final = re.compile(r"\S in \d+ ms\b(?! from)")
_POLITE: Final = re.compile(r"^(?:(?:please|can you|could you|would you) )+", re.I)
_TIME_WORDS: Final = 5  # of a time amid a sentence: "on 3 December at 14:00"
_REMINDER: Final = re.compile(r"remind (?:me|us)\b ?(.*)", re.S)


def decide_schedule(at: Context, sentences: Sentences, inner: Callable[[Context], Decision]) -> Decision:
    """Add the schedule. `inner` decides whether its sentence can be done."""
    if at.results and at.results[-1].tool == "schedule-add":
        made = at.results[-1].fields
        warning = f" Careful: {made['warning']}." if made.get("warning") else ""
        kept = sentences.parse(str(made.get("what")))
        goes_on = " It then goes on until it is stopped." if kept is not None and kept.kind in ENDLESS else ""
        told = f"Schedule {made.get('schedule')}: {made.get('what')}; next {made.get('next')}."
        return Say(f"{told}{goes_on}{warning}")
    when = at.parse.when or When()
    if when.delay_ms is not None and when.delay_ms <= 0:
        text = f"{when_text(when).capitalize()} is {'now' if when.delay_ms == 0 else 'in the past'}, so I did nothing."
        return Say(
            text,
            "ambiguous",
            f"leave the time out to do it now, or say: {_doing(at.said, at.parse.word('what') or '')} in 10 seconds",
        )
    what = at.parse.word("what") or ""
    doing = _doing(at.said, what)
    question = open_question(when)
    if question is not None:
        code = "not_possible" if when.clock in SUN else "ambiguous"
        return Say(question[0], code, f"{doing} {question[1]}")
    if _REMINDER.match(what):
        doing = _reminder(doing)
    else:
        board = at.device if at.named else None
        order = program_order(what, at.device_context, board) if "app" in at.parse.values else None
        meant = order or sentences.parse(what)
        if not isinstance(meant, Parse):
            text = "I do not understand what is to be done then."
            return Say(text, "not_understood", "as in: turn on pin 4 at 22:00")
        pin = at.parse.number("pin")  # answered when it was asked for
        if pin is not None:
            meant = structs.replace(meant, values={**meant.values, "pin": pin})
            doing = f"{doing} on pin {pin}"
        if (unclear := _pace_or_delay(at.said, doing, meant, when)) is not None:
            return unclear
        decision = inner(structs.replace(at, parse=meant))
        if isinstance(decision, Say) and decision.code is not None:
            return decision
        if meant.kind == "remove_app" and meant.word("app") in _UNNAMED:  # "it" is resolved now, not when it is due
            if isinstance(decision, Act) and decision.tool not in ("uninstall-wasm-app", "switch-program"):
                return decision
            doing = decision.words if isinstance(decision, Act) else doing
        elif meant.loose and isinstance(decision, Act) and decision.words:
            doing = decision.words  # what the person says yes to is what is kept
    arguments = at.on_device(
        when={name: value for name, value in structs.asdict(when).items() if value and name != "notify"}, do=doing
    )
    shown = when_text(when)
    words = f"{doing} {shown}" if when.delay_ms is None else f"{shown} {doing}"  # "fade in 3 s" has two readings
    return Act("schedule-add", arguments, words)


def _pace_or_delay(said: str, doing: str, meant: Parse, when: When) -> Say | None:
    """The question about "fade pin 5 in 3 seconds", which can be its pace or a wait; None where only one is meant."""
    if not when.delay_ms or _AT_THE_END.search(normalize_quantities(said)) is None:
        return None
    time, times = seconds(when.delay_ms), meant.number("times")
    if meant.kind == "dim_pin" and "fade" in doing:
        now = doing  # a fade to a level is no program
    elif meant.kind not in ENDLESS | {"blink_times", "pulse"} or _PACE_SLOTS & meant.values.keys():
        return None
    elif meant.kind == "pulse":
        now = f"{doing} for {time}"
    else:
        now = f"{doing} {f'at {1000 * times / when.delay_ms:.4g} Hz' if times else f'every {time}'}"
    text = f'"In {time}" can be how long it takes, or a wait before it begins, so I did nothing. Which do you mean?'
    return Say(text, "ambiguous", f"say: {now} (or: in {time} {doing})")


def _doing(said: str, what: str) -> str:
    """The person's sentence without its time; `what` if the time is in several parts of it."""
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
    """A reminder in the form that schedules read."""
    found = _REMINDER.match(doing.lower())
    if found is None:
        return f"remind me: {doing}"
    rest = doing[found.start(1) :].strip()
    return f"remind me {rest}" if rest else "remind me: it is time"


def _list(at: Context) -> Decision:
    if not at.results:
        return Act("schedule-list", {})
    listed = _schedules(at.results[-1].fields)
    if not listed:
        return Say("Nothing is scheduled.", next_step="as in: every weekday at 7 turn on pin 4")
    return Say("\n".join((f"{len(listed)} scheduled:", *(f"  {_line(one)}" for one in listed))))


def _cancel(at: Context) -> Decision:
    if not at.results:
        return Act("schedule-list", {})
    listed = _schedules(at.results[0].fields)
    removed = at.results[1:]
    matching = [one for one in listed if _matches(one, at.parse)]
    if removed and not (at.parse.confirmed and len(removed) < len(matching)):
        gone = [one for one in matching if one["schedule"] in [found.fields.get("schedule") for found in removed]]
        return Say(f"Cancelled: {'; '.join(_line(one, next_due=False) for one in gone)}.")
    if not listed:
        step = "undo reverts the last change of a board"
        return Say("Nothing is scheduled, so nothing was cancelled.", "unknown_name", step)
    if not matching:
        return Say(
            f"No schedule is like that. There is: {'; '.join(map(_line, listed))}.",
            "unknown_name",
            f"cancel schedule {listed[0]['schedule']}",
        )
    if (len(matching) > 1 or at.parse.word("words") or at.parse.when) and not at.parse.confirmed:
        now = " now, not at the time that you said," if at.parse.when else ""
        if at.parse.values.get("all"):
            text = f"That cancels{now} {'; '.join(map(_line, matching))}. Say yes to do it."
            numbers = ", ".join(str(one["schedule"]) for one in matching)
            return Say(text, "confirm", f"yes, cancel schedules {numbers}", "confirmed")
        return Say(
            f"Which one{now and ' is to go' + now.rstrip(',')}: {'; '.join(map(_line, matching))}?",
            "ambiguous",
            f"cancel schedule {matching[0]['schedule']}",
        )
    number = matching[len(removed)]["schedule"]
    return Act("schedule-remove", {"schedule": number}, f"cancel schedule {number}")


SCHEDULES: Final[Mapping[str, Callable[[Context], Decision]]] = {"list_schedules": _list, "cancel_schedule": _cancel}


def _schedules(fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The schedules that are not over."""
    return [one for one in fields.get("schedules", ()) if one.get("state") != "over"]


def _matches(one: Mapping[str, Any], parse: Parse) -> bool:
    """True if it is the one that is named, where one is."""
    return parse.number("number") in (None, one["schedule"])


def _line(one: Mapping[str, Any], *, next_due: bool = True) -> str:
    then = f"next {one['next']}" if one.get("next") else str(one.get("state"))
    text = f"{one['schedule']}: {one.get('when')}: {one.get('what')}"
    return f"{text} ({then})" if next_due else text
