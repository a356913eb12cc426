"""Makes lines of expectations of what hands did: values that parts were given, with their times. Reads no board."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from microclaw.hardware.parts.reader import Part, Stimulus, quantities
from microclaw.hardware.parts.wiring import Wiring
from microclaw.wire.board_replies import ShownRow

DRAG_MS: Final = 250.0
"""A knob that is turned comes as many values: of those closer together than this, one is kept, and the last."""
LEAST_HOLD_MS: Final = 10.0
_WORD: Final = re.compile(r"[a-z_]\w*")


class RecordedStimulus(Struct, frozen=True):
    """A line of expectations that does again what hands did at `at_ms`, until `until_ms` if it ends by itself."""

    at_ms: float
    until_ms: float
    text: str


class _Press(Struct, frozen=True):
    """A verb that has begun, and goes on until its value is set back."""

    at_ms: float
    verb: str
    facts: Stimulus
    key: str


def recorded_stimuli(moves: Sequence[ShownRow], wiring: Wiring, end_ms: float) -> list[RecordedStimulus]:
    """Return the lines for the values that parts were given, in the order of their times.

    A verb that was not over at the end lasts until then. Parts that are not wired are left out.
    """
    stimuli: list[RecordedStimulus] = []
    presses: dict[tuple[str, str], _Press] = {}
    for row in _without_drags(moves):
        wired = wiring.find(row.part)
        if wired is None:
            continue
        place = (row.part, row.name)
        press = presses.get(place)
        if press is not None and row.value == press.facts.back:
            stimuli.append(_ended(row.part, presses.pop(place), row.t_ms))
        elif press is None:
            begun = _begun_press(row, wired.facts.stimuli)
            if begun is not None:
                presses[place] = begun
            else:
                stimuli += _value_line(row, wired.facts)
    for (part_id, _), press in presses.items():
        stimuli.append(_ended(part_id, press, end_ms))
    stimuli.sort(key=lambda stimulus: stimulus.at_ms)
    return stimuli


def time_words(ms: float) -> str:
    """Write a time as expectations have it, to 10 ms: "1.63 s", "190 ms"."""
    tens = round(ms / 10) * 10
    if tens < 1000:
        return f"{tens} ms"
    return f"{tens / 1000:g} s"


def number_words(number: float) -> str:
    """Write a number as expectations have it, without an exponent."""
    text = f"{number:.3f}".rstrip("0").rstrip(".")
    if text == "-0":
        return "0"
    return text


def _without_drags(moves: Sequence[ShownRow]) -> list[ShownRow]:
    """Return the moves; of many values of one knob one after the other, only some and the last."""
    rows_of: dict[tuple[str, str], list[ShownRow]] = {}
    for row in moves:
        rows_of.setdefault((row.part, row.name), []).append(row)
    kept: list[ShownRow] = []
    for rows in rows_of.values():
        kept_ms = -DRAG_MS
        next_times_ms = [row.t_ms for row in rows[1:]]
        for row, next_ms in zip(rows, [*next_times_ms, math.inf], strict=True):
            is_followed = next_ms - row.t_ms < DRAG_MS
            is_switch = row.value in (0, 1)
            if is_switch or not is_followed or row.t_ms - kept_ms >= DRAG_MS:
                kept.append(row)
                kept_ms = row.t_ms
    kept.sort(key=lambda row: row.t_ms)
    return kept


def _begun_press(row: ShownRow, verbs: Mapping[str, Stimulus]) -> _Press | None:
    """Return the verb that sets this value and sets it back later, or None."""
    for verb, stimulus in verbs.items():
        is_key = stimulus.argument == "key"
        is_its_value = is_key or stimulus.sets == row.name
        if not is_its_value or stimulus.back is None or stimulus.to != row.value:
            continue
        key = ""
        if is_key:
            key = row.name
        return _Press(row.t_ms, verb, stimulus, key)
    return None


def _ended(part_id: str, press: _Press, end_ms: float) -> RecordedStimulus:
    argument = ""
    if press.key:
        argument = f' "{press.key}"'
    hold_ms = max(end_ms - press.at_ms, LEAST_HOLD_MS)
    text = f"{press.verb} {part_id}{argument} at {time_words(press.at_ms)} for {time_words(hold_ms)}"
    return RecordedStimulus(press.at_ms, press.at_ms + hold_ms, text)


def _value_line(row: ShownRow, facts: Part) -> list[RecordedStimulus]:
    """Return the line that sets the value; none if no line can have its name."""
    at = time_words(row.t_ms)
    for verb, stimulus in facts.stimuli.items():
        if stimulus.argument == "number" and stimulus.sets == row.name:
            text = f"{verb} {row.part} by {number_words(row.value)} at {at}"
            return [RecordedStimulus(row.t_ms, row.t_ms, text)]
    if not _WORD.fullmatch(row.name):
        return []
    values = {**facts.measures, **facts.inputs}
    settable = [name for name, allowed in values.items() if not allowed.follows]
    subject = f"{row.part}.{row.name}"
    if settable == [row.name]:
        subject = row.part
    unit = values[row.name].unit
    if row.name in quantities():
        unit = quantities()[row.name].unit
    number = number_words(row.value)
    if unit:
        number = f"{number} {unit}"
    return [RecordedStimulus(row.t_ms, row.t_ms, f"{subject} = {number} at {at}")]
