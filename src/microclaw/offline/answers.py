"""Sentences that no board answers: the time of day, what was done before, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Final
from zoneinfo import available_timezones

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
    "Changing a board's firmware, and starting a program again, are not sentences that I know without a model.",
    "not_possible",
    "microclaw flash; microclaw app start NAME",
)
_PLOT: Final = Say(
    "A plot needs a model, which writes the code that draws it; there is none here, so I did nothing.",
    "not_possible",
    "microclaw setup; without a model: microclaw device show NAME temperature --csv data.csv, then "
    "microclaw task run plot.py --with data.csv --keep plot.png",
)
_LAST: Final = re.compile(r"\s*(?:just now|last|before that|right now|just|)\s*")
# What has a number of its own and is no pin: the command that tells of it.
_COMMANDS: Final[Mapping[str, str]] = {
    "task": "task list {n}",
    "schedule": "schedule list {n}",
    "person": "person list",
    "user": "person list",
    "member": "person list",
    "guest": "person list",
    "token": "person tokens",
    "secret": "task secrets",
    "approval": "approval list",
    "rollout": "firmware rollouts {n}",
    "session": "memory sessions",
    "change": "app undo {n}",
    "backup": "backup --help",
    "subagent": "task subagents",
    "alarm": "doctor",
    "crash": "logs --crashes",
}
_NUMBERED: Final = re.compile(
    rf"(?i)(?P<before>.*?)\b(?P<thing>{'|'.join(_COMMANDS)})s? (?:(?:number|no\.?|nr\.?|id) )?#?(?P<n>\d+)\b(?![.:]\d)"
    r"(?! ?(?:ms|s|secs?|mins?|h|hours?|minutes?|seconds?|times?|x|percent|degrees?|volts?)\b| ?[%°])",
    re.S,
)
_NO_ORDER: Final = re.compile(r"(?i)\s*(?:please )?(?:remind|remember|note|tell|notify|alert|wake|warn|say)\b")


def no_pin(text: str) -> Say | None:
    """The command for what has a number and is no pin ("stop task 12"); None for any other sentence."""
    found = _NUMBERED.match(text)
    if found is None or _NO_ORDER.match(text) or (found["thing"].lower() == "change" and not found["before"].strip()):
        return None  # "change 5 to high"
    thing, number = found["thing"].lower(), found["n"]
    text = f"{thing.capitalize()} {number} is no pin and no program, so I did nothing."
    return Say(text, "ambiguous", f"microclaw {_COMMANDS[thing].format(n=number)}")


def past_of(parse: Parse, act: LastAct | None) -> Say:
    """What is known of the past without a model: the last act of this conversation, and nothing else."""
    if act is not None and act.done and _LAST.fullmatch(parse.word("when") or ""):
        return Say(f'The last thing that I did here was: "{act.said.strip()}".', next_step="undo")
    return Say(
        "I cannot tell that: without a model I know only what was done last in this conversation, and what is now.",
        "not_possible",
        "what was changed on devices, and when: microclaw app changes; what runs now: what is running",
    )


def _clock(at: Context) -> Decision:
    place = at.parse.word("place")
    if at.results:
        fields = at.results[-1].fields
        now = datetime.fromisoformat(str(fields.get("now")))
        where = f" in {fields.get('zone')}" if place else f" ({fields.get('zone')})"
        return Say(f"It is {now:%H:%M} on {fields.get('weekday')}, {now:%Y-%m-%d}{where}.")
    if place is None:
        return Act("time", {}, "time()")
    zone = _zones().get(place.replace(" ", "_").lower())
    if zone is None:
        return Say(
            f"I know no time zone of the name {place!r}, so I cannot tell the time there.",
            "unknown_name",
            "name a large city of that zone, as in: what time is it in Berlin",
        )
    return Act("time", {"timezone": zone}, f"time(zone={zone})")


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
    "later": lambda at: _PLOT if at.parse.word("what") else _LATER,
    "unsafe": _refuse,
}


@cache
def _zones() -> Mapping[str, str]:
    """Every time zone by its whole name and by its city, in lower case; a city of two zones is left out."""
    names = sorted(available_timezones())
    cities: dict[str, list[str]] = {}
    for name in names:
        cities.setdefault(name.rsplit("/", 1)[-1].lower(), []).append(name)
    return {city: found[0] for city, found in cities.items() if len(found) == 1} | {n.lower(): n for n in names}
