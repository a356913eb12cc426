"""Sentences that no board answers: the time of day, what was done before, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from microclaw.offline.decision import Act, Context, Decision, Say
from microclaw.offline.last_act import LastAct
from microclaw.offline.parse import Parse

_REFUSALS: Final = {
    "destroys": ("I do not erase or overwrite what a board starts from.", "remove programs with: stop NAME"),
    "protection": ("I do not switch off what protects the board.", "remove a program that it stops with: stop NAME"),
    "damages": ("I do not do that: it can damage the board or what is wired to it.", "which pins are free"),
    "people": (
        "I do not do that: mains voltage is dangerous to people and destroys the board.",
        "let someone qualified wire a relay module, then: turn on the relay on pin 4",
    ),
}
_GREETING: Final = Say(
    "I am microclaw: I act on the boards of this host and put programs on them.", next_step="what can you do"
)
_LATER: Final = Say(
    "Changing a board's firmware, starting a program again, and plots are no sentences that I know without a model.",
    "not_possible",
    "microclaw flash; microclaw app start NAME; microclaw device show NAME --plot",
)
_LAST: Final = re.compile(r"\s*(?:just now|last|before that|right now|just|)\s*")


def past_of(parse: Parse, act: LastAct | None) -> Say:
    """Tell the past without a model: the last act of this conversation, and nothing else."""
    if act is not None and act.done and _LAST.fullmatch(parse.word("when") or ""):
        return Say(f'The last thing that I did here was: "{act.said.strip()}".', next_step="undo")
    return Say(
        "I cannot tell that: without a model I know only what was done last in this conversation, and what is now.",
        "not_possible",
        "what was changed on devices, and when: microclaw app changes; what runs now: what is running",
    )


def _clock(at: Context) -> Decision:
    if at.results:
        fields = at.results[-1].fields
        now = datetime.fromisoformat(str(fields.get("now")))
        return Say(f"It is {now:%H:%M} on {fields.get('weekday')}, {now:%Y-%m-%d} ({fields.get('zone')}).")
    if at.parse.word("place") is not None:
        return Say("I know only the time of this host.", "not_possible", "what time is it")
    return Act("time", {})


def _all_pins(at: Context) -> Decision:
    if at.parse.number("level"):
        text = "I turn on one pin at a time, so I did nothing: all at once can damage what is wired to them."
        return Say(text, "refused", "say which, as in: turn on pin 4")
    text = "I turn off one pin at a time, so I did nothing; “stop everything” stops the programs."
    return Say(text, "ambiguous", "stop everything; or: turn off pin 4")


def _pin_named(at: Context) -> Decision:
    where = f" of {at.parse.word('where')}" if at.parse.word("where") else ""
    return Say(f"You told me that the {at.parse.word('name')} is on pin {at.parse.number('pin')}{where}.")


def _refuse(at: Context) -> Decision:
    why, instead = _REFUSALS[at.parse.word("reason") or "destroys"]
    return Say(why, "refused", instead)


QUESTIONS: Final[Mapping[str, Callable[[Context], Decision]]] = {
    "clock": _clock,
    "all_pins": _all_pins,
    "pin_named": _pin_named,
    "greeting": lambda _at: _GREETING,
    "later": lambda _at: _LATER,
    "unsafe": _refuse,
}
