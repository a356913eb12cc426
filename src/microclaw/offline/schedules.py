"""Sentences about schedules: made, listed, cancelled. It keeps no time, calls no tool itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import SUN, When, open_question, spoken, when_text
from microclaw.offline.apps import IT
from microclaw.offline.decision import Act, Context, Decider, Decision, Say
from microclaw.offline.sentences import REMINDER, english

_AT_THE_END: Final = re.compile(r"\S in \d+ ms\b(?! from)")
_LISTING, _REMOVING = "schedule-list", "schedule-remove"


def decide_schedule(at: Context, inner: Decider) -> Decision:
    """Add the schedule. `inner` decides whether its sentence can be done."""
    if at.results and at.results[-1].tool == "schedule-add":
        made = at.results[-1].fields
        told = f"Schedule {made.get('schedule')}: {made.get('what')}; next {made.get('next')}."
        return Say(told + (f" Careful: {made['warning']}." if made.get("warning") else ""))
    when, what = at.parse.when or When(), at.parse.word("what") or ""
    if when.delay_ms is not None and when.delay_ms <= 0:
        step = f"leave the time out to do it now, or say: {what} in 10 seconds"
        return Say("That time is not ahead, so I did nothing.", "ambiguous", step)
    typed = {word.lower(): word for word in at.said.split()}
    doing = " ".join(typed.get(word, word) for word in what.split())  # a reminder's names keep their capitals
    if (question := open_question(when)) is not None:
        code = "not_possible" if when.clock in SUN else "ambiguous"
        return Say(question[0], code, f"{doing} {question[1]}")
    if (reminder := REMINDER.match(what)) is not None:
        doing = doing if what != reminder[0] else "remind me: it is time"
    else:
        if (meant := english().parse(what)) is None:
            return Say("I do not understand what is to be done then.", "not_understood", "turn on pin 4 at 22:00")
        meant = structs.replace(meant, values=meant.values | {n: v for n, v in at.parse.values.items() if n == "pin"})
        is_paced = meant.kind in english().paces.keys() - {"read_sensor_every"} | {"pulse"} or what.startswith("fade ")
        if when.delay_ms and is_paced and _AT_THE_END.search(normalize_quantities(at.said)):
            time = spoken(when.delay_ms or 0)
            text = f'"In {time}" can be how long it takes, or a wait before it begins, so I did nothing.'
            return Say(text, "ambiguous", f"to wait say: in {time} {doing}")
        decision = inner(structs.replace(at, parse=meant))
        if isinstance(decision, Say) and decision.code is not None:
            return decision
        is_it = meant.kind == "remove_app" and meant.word("app") in IT  # resolved now, not when it is due
        if is_it and isinstance(decision, Act) and not decision.words:
            return decision
        if isinstance(decision, Act) and decision.words and meant.kind != "remove_on_pin":
            doing = decision.words
    values = {name: value for name, value in structs.asdict(when).items() if value}
    shown = when_text(when)
    words = f"{doing} {shown}" if when.delay_ms is None else f"{shown} {doing}"  # "fade in 3 s" has two readings
    return Act("schedule-add", at.on_device(when=values, do=doing), words)


def _of_schedules(at: Context) -> Decision:
    """List those that are not over, or cancel one or all of them."""
    if not at.results:
        return Act(_LISTING, {})
    listed = [one for one in at.results[0].fields.get("schedules", ()) if one.get("state") != "over"]
    if at.parse.kind == "list_schedules" and listed:
        return Say("\n".join((f"{len(listed)} scheduled:", *(f"  {_line(one)}" for one in listed))))
    if at.parse.kind == "list_schedules":
        return Say("Nothing is scheduled.", next_step="as in: every weekday at 7 turn on pin 4")
    number = at.parse.number("number")
    meant = [one for one in listed if number in (None, one["schedule"])]
    removed = [found.fields.get("removed") for found in at.results if found.tool == _REMOVING]
    if removed and not (at.parse.confirmed and len(removed) < len(meant)):
        return Say(f"Cancelled: {'; '.join(_line(one) for one in meant if one['schedule'] in removed)}.")
    if not meant:
        there = f"There is: {'; '.join(map(_line, listed))}" if listed else "Nothing is scheduled"
        step = f"cancel schedule {listed[0]['schedule']}" if listed else "undo reverts the last change of a board"
        return Say(f"{there}, so nothing was cancelled.", "unknown_name", step)
    shown = "; ".join(map(_line, meant))
    if not at.parse.values.get("all") and (number is None or at.parse.when):
        return Say(f"Which one is to go now: {shown}?", "ambiguous", f"cancel schedule {meant[0]['schedule']}")
    if number is None and not at.parse.confirmed:
        numbers = ", ".join(str(one["schedule"]) for one in meant)
        return Say(f"That cancels now {shown}. Say yes to do it.", "confirm", f"yes, cancel {numbers}", "confirmed")
    number = meant[len(removed)]["schedule"]
    return Act(_REMOVING, {"schedule": number}, f"cancel schedule {number}")


SCHEDULES: Final = dict.fromkeys(("list_schedules", "cancel_schedule"), _of_schedules)


def _line(one: Mapping[str, Any]) -> str:
    then = f"next {one['next']}" if one.get("next") else str(one.get("state"))
    return f"{one['schedule']}: {one.get('when')}: {one.get('what')} ({then})"
