"""Reads a correction of the schedule that was just made: "no, at 8", "I meant every day", "make it 10 seconds".

The corrected schedule takes the place of the wrong one (dialogue.py). This module schedules nothing.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.times import When, split_when, spoken_duration
from microclaw.agent.offline.decision import Parse, ask
from microclaw.agent.offline.dialogue_state import LastAct
from microclaw.agent.offline.schedule_answers import INSTEAD_OF
from microclaw.agent.offline.sentences import REMINDER, english

_LEAD: Final = re.compile(
    r"^(?:(?:no|nope|sorry|oops|wait|actually|rather|only|it should be|that should be"
    r"|i (?:mean|meant|want|wanted|said)(?: it| that)?|(?:make|do) (?:it|that)|change (?:it|that) to) )+"
)
_TAIL: Final = re.compile(r" (?:instead|rather|please)$")
_SPAN: Final = re.compile(r"\bfor \d+ ms\b")
_NEW_SPAN: Final = re.compile(r"(?:for )?(\d+) ms")
_PIN: Final = re.compile(r"\bpin \d+")
_NEW_PIN: Final = re.compile(r"(?:on |at |with )?(pin \d+)")


def correct_schedule(normal: str, act: LastAct) -> Parse | None:
    """Return the schedule with another time, duration or pin. Return None if the sentence is no such correction.

    Raises CannotDo if the corrected schedule is not understood.
    """
    without_lead = _LEAD.sub("", normal, count=1)
    rest = _TAIL.sub("", without_lead)
    what = act.parse.word("what")
    if rest == normal or what is None or act.parse.when is None:
        return None
    timed = split_when(rest, bare_hour=True)
    is_time = timed is not None and not timed[0] and timed[1] != When()
    if timed is not None and is_time:
        return _instead(act, what, _other_time(act.parse.when, timed[1]))
    span = _NEW_SPAN.fullmatch(rest)
    if span is not None:
        return _with_span(act, what, int(span[1]))
    pin = _NEW_PIN.fullmatch(rest)
    if pin is not None and len(_PIN.findall(what)) == 1:
        return _instead(act, _PIN.sub(pin[1], what), act.parse.when)
    whole = english().parse(rest)
    if whole is None or whole.kind != "schedule" or normal.startswith("only "):
        return None
    return replace(whole, values=whole.values | {INSTEAD_OF: act.schedule})


def _with_span(act: LastAct, what: str, ms: int) -> Parse | None:
    """Return the schedule with another duration of its act, or with another delay."""
    when = act.parse.when or When()
    has_span = len(_SPAN.findall(what)) == 1
    if has_span and when.delay_ms is None:
        return _instead(act, _SPAN.sub(f"for {spoken_duration(ms)}", what), when)
    if when.delay_ms is not None and not has_span:
        return _instead(act, what, When(delay_ms=ms))
    return None


def _other_time(when: When, new: When) -> When:
    """Return the time with what the correction names. An hour alone is in the same half of the day as before."""
    if new.delay_ms is not None:
        return new
    clock = new.clock or when.clock
    if new.hour is not None:
        hour = new.hour % 12
        if _is_late(when.clock):
            hour += 12
        clock = f"{hour:02d}:00"
    if new.repeat is None and new.date is None:
        return When(clock=clock, repeat=when.repeat, date=when.date)
    return When(clock=clock, repeat=new.repeat, date=new.date)


def _is_late(clock: str | None) -> bool:
    """Return True for a time in the second half of the day."""
    if clock is None:
        return False
    return "12" <= clock[:2] < "24" or "sunset" in clock or "dusk" in clock


def _instead(act: LastAct, what: str, when: When) -> Parse:
    if english().parse(what) is None and REMINDER.match(what) is None:
        raise ask(f"I do not know what that means for {act.named}, so nothing was done.", "say the whole sentence")
    values = act.parse.values | {"what": what, INSTEAD_OF: act.schedule}
    return replace(act.parse, values=values, when=when)
