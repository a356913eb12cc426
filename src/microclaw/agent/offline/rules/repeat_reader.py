"""Reads acts that are done again and again while a state lasts: what is done, how often, and what ends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from microclaw.agent.offline.rules.rule import Act, Blink, Condition, Morse, PinTrigger, Turn, Wait
from microclaw.agent.offline.rules.trigger_reader import read_states, read_trigger

BLINK_MS: Final = 500
"""A blinking pin without a period is on and off for this time."""
_PLAIN_BLINK: Final = re.compile(
    r"(?:blink|flash|toggle) (?P<place>(?:the )?(?:[a-z ]+? (?:on )?)?pin \d+|(?:the )?(?:onboard )?led)"
    r"(?: every (?P<half>[1-9]\d*) ms| period (?P<period>[1-9]\d*) ms)?"
)
_EVERY: Final = re.compile(r"(?P<rest>.+) every (?P<ms>[1-9]\d*) ms")
_EVERY_FIRST: Final = re.compile(r"every (?P<ms>[1-9]\d*) ms (?P<rest>.+)")
_END: Final = re.compile(r"(?P<rest>.+) (?P<word>until|while|as long as) (?P<state>.+)")
_STAYS: Final = re.compile(r"\b(?:stays|remains)\b")
ReadActs = Callable[[str], tuple[Act, ...] | None]


class Repeat(Struct, frozen=True):
    """Acts that are done again each `again_ms`."""

    acts: tuple[Act, ...]
    again_ms: int


class StateEnd(Struct, frozen=True):
    """The words of what ends the acts: a state that must last, or with `is_until` the event that ends it."""

    words: str
    is_until: bool


def read_repeat(text: str, read_acts: ReadActs) -> Repeat | None:
    """Read "blink pin 5", "beep pin 12 every 5 s". None for an act without an end, and for one that leaves a pin on."""
    blink = _PLAIN_BLINK.fullmatch(text)
    if blink is not None:
        half_ms = int(blink["half"] or BLINK_MS)
        if blink["period"] is not None:
            half_ms = int(blink["period"]) // 2
        acts = read_acts(f"blink {blink['place']} once")
        if acts is None or not isinstance(acts[0], Blink):
            return None
        return Repeat((Blink(acts[0].pin, 1, half_ms),), 2 * half_ms)
    every = _EVERY.fullmatch(text) or _EVERY_FIRST.fullmatch(text)
    if every is None:
        return None
    acts = read_acts(every["rest"])
    if acts is None or not all(_ends_off(act) for act in acts):
        return None
    return Repeat(acts, int(every["ms"]))


def cut_end(text: str) -> tuple[str, StateEnd] | None:
    """Cut "until it closes" or "while it stays open" off, or return None if the sentence has no such end."""
    match = _END.fullmatch(text)
    if match is None:
        return None
    return match["rest"], StateEnd(match["state"], match["word"] == "until")


def ends_state(end: StateEnd, state: Condition) -> bool:
    """Return True if the words mean that the state lasts no longer."""
    noun = state.state_words.partition(" is ")[0].partition(" sees ")[0]
    words = re.sub(r"^it\b", noun, end.words)
    if not end.is_until:
        return read_states(_STAYS.sub("is", words)) == state
    ending = read_trigger(words, is_state=False)
    if not isinstance(ending, PinTrigger) or not isinstance(state, PinTrigger):
        return False
    return (ending.pin, ending.level) == (state.pin, 1 - state.level)


def _ends_off(act: Act) -> bool:
    if isinstance(act, Turn):
        return act.to == "on" and act.for_ms > 0
    return isinstance(act, Blink | Morse | Wait)
