"""Proposes lines of expectations for what followed on stimuli; the record itself says later which of them are true."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct

from microclaw.events import Edge
from microclaw.hardware.parts.wiring import Wiring
from microclaw.hardware.screens.digits import UNREAD
from microclaw.hardware.screens.screen import Screen
from microclaw.programs.bench.recorded_stimuli import number_words, time_words
from microclaw.programs.proof.line_pattern import MAX_REPEATS
from microclaw.programs.proof.part_stimuli import pin_state_of
from microclaw.programs.proof.record import Record, by_pin

LIMITS_MS: Final = (20, 50, 100, 200, 500, 1_000, 2_000)
"""The times within which an effect follows, as people write them."""
EFFECT_MS: Final = 2_000.0
"""What comes later after a stimulus is no effect of it."""
SETTLED_MS: Final = 1_000.0
"""So long after a stimulus its effects are looked at, or earlier if the next one comes."""
STEADY_MS: Final = 80.0
"""What changes so close to the moment at which it is looked at is not settled."""
_LEAST_SETTLED_MS: Final = 100.0
_SAME_MOMENT_MS: Final = 20.0
_MOST_LENGTH_MS: Final = 5_000.0
_LENGTH_SHARE: Final = 0.05
_MAX_TEXT_CHARS: Final = 60
_DIGITS: Final = re.compile(r"\d+")
_SPECIAL: Final = re.compile(r"([\\.\[\](){}|*+?^$])")


class Proposal(Struct, frozen=True):
    """A line of expectations that may be true. `pins` are those of its effect, `at_ms` the time that it is about.

    `trigger` is the part of a line about a reaction; such a line is about all times.
    """

    text: str
    at_ms: float
    pins: frozenset[int] = frozenset()
    trigger: str | None = None


class Take(Struct, frozen=True, kw_only=True, dict=True):
    """What was recorded. `moments` are the times at which hands moved something."""

    record: Record
    wiring: Wiring
    moments: tuple[float, ...]

    @property
    def end_ms(self) -> float:
        return self.record.board_ms

    @cached_property
    def steps(self) -> list[tuple[float, float]]:
        """The times at which the effects of moments are settled, each with the first of these moments.

        A moment that is soon followed by another one has none of its own.
        """
        distinct: list[float] = []
        for moment_ms in self.moments:
            if not distinct or moment_ms - distinct[-1] > _SAME_MOMENT_MS:
                distinct.append(moment_ms)
        steps = []
        first_ms: float | None = None
        for moment_ms, next_ms in zip(distinct, [*distinct[1:], self.end_ms], strict=True):
            if first_ms is None:
                first_ms = moment_ms
            settled_ms = min(moment_ms + SETTLED_MS, (moment_ms + next_ms) / 2)
            settled_ms = round(settled_ms / 10) * 10.0
            if settled_ms - moment_ms >= _LEAST_SETTLED_MS:
                steps.append((first_ms, settled_ms))
                first_ms = None
        return steps

    def is_effect(self, t_ms: float) -> bool:
        """Return True if a moment was shortly before."""
        index = bisect_right(self.moments, t_ms)
        return index > 0 and t_ms - self.moments[index - 1] <= EFFECT_MS

    def has_own_life(self, times: Iterable[float]) -> bool:
        """Return True if some of these changes came without a stimulus, not counting the time before the first one."""
        for t_ms in times:
            if t_ms >= self.moments[0] and not self.is_effect(t_ms):
                return True
        return False


def propose_reactions(take: Take) -> list[Proposal]:
    """Return lines as "when btn1 is pressed: pin 42 falls within 50 ms" for each part with a pin of its own."""
    proposals: list[Proposal] = []
    for wired in take.wiring.parts:
        state = pin_state_of(wired)
        if state is None:
            continue
        name, level_state = state
        bursts = take.record.bursts.get(level_state.pin, ())
        for level in (level_state.level, 1 - level_state.level):
            head = f"when {wired.id} is {name}"
            if level != level_state.level:
                head = f"when {wired.id} is not {name}"
            triggers = [(first, last) for first, last, to_level in bursts if to_level == level]
            if triggers:
                proposals += _pin_reactions(take, wired.id, head, triggers)
                proposals += _line_reactions(take, wired.id, head, triggers)
    return proposals


def _pin_reactions(take: Take, part_id: str, head: str, triggers: Sequence[tuple[float, float]]) -> list[Proposal]:
    """Return lines about pins that move after each of the triggers."""
    proposals = []
    for pin, edges in by_pin(take.record.edges).items():
        levels = set()
        times = []
        delays = []
        for first_ms, last_ms in triggers:
            edge = _first_edge(edges, first_ms, last_ms + EFFECT_MS)
            if edge is None:
                break
            levels.add(edge.level)
            times.append(edge.t_ms)
            delays.append(edge.t_ms - last_ms)
        if len(times) < len(triggers):
            continue
        limit = time_words(_limit_ms(max(delays)))
        verb = "toggles"
        if levels == {0}:
            verb = "falls"
        elif levels == {1}:
            verb = "rises"
        text = f"{head}: pin {pin} {verb} within {limit}"
        pins = frozenset({pin})
        if len(levels) == 1:
            length_ms = _common_length_ms(edges, times)
            if length_ms is not None:
                proposals.append(Proposal(f"{text} for {time_words(length_ms)}", triggers[0][0], pins, part_id))
        proposals.append(Proposal(text, triggers[0][0], pins, part_id))
    return proposals


def _first_edge(edges: Sequence[Edge], after_ms: float, until_ms: float) -> Edge | None:
    for edge in edges:
        if after_ms < edge.t_ms <= until_ms:
            return edge
    return None


def _common_length_ms(edges: Sequence[Edge], begins_ms: Sequence[float]) -> float | None:
    """Return how long a pin stays after each of these edges until its next one, if it is always about the same."""
    times = [edge.t_ms for edge in edges]
    lengths = []
    for begin_ms in begins_ms:
        index = bisect_right(times, begin_ms)
        if index == len(times):
            return None
        lengths.append(times[index] - begin_ms)
    mean_ms = sum(lengths) / len(lengths)
    allowed_ms = max(_LENGTH_SHARE * mean_ms, 2.0)
    is_same = max(lengths) - min(lengths) <= allowed_ms
    if is_same and LIMITS_MS[0] <= mean_ms <= _MOST_LENGTH_MS:
        return mean_ms
    return None


def _line_reactions(take: Take, part_id: str, head: str, triggers: Sequence[tuple[float, float]]) -> list[Proposal]:
    """Return lines about what is printed after each of the triggers; numbers in it may differ."""
    common: dict[str, float] | None = None
    for first_ms, last_ms in triggers:
        patterns: dict[str, float] = {}
        for t_ms, text in take.record.printed[0]:
            if first_ms <= t_ms <= last_ms + EFFECT_MS:
                pattern = _pattern_of(text)
                if pattern is not None:
                    patterns.setdefault(pattern, t_ms - last_ms)
        if common is None:
            common = patterns
        else:
            common = _slower_of_both(common, patterns)
    proposals = []
    for pattern, delay_ms in (common or {}).items():
        text = f'{head}: log ~ "{pattern}" within {time_words(_limit_ms(delay_ms))}'
        proposals.append(Proposal(text, triggers[0][0], trigger=part_id))
    return proposals


def _slower_of_both(delays_ms: Mapping[str, float], others_ms: Mapping[str, float]) -> dict[str, float]:
    """Return the patterns that both have, each with its longer delay."""
    slower = {}
    for pattern, delay_ms in delays_ms.items():
        if pattern in others_ms:
            slower[pattern] = max(delay_ms, others_ms[pattern])
    return slower


def propose_states(take: Take) -> list[Proposal]:
    """Return lines about what pins, parts and displays are and show after each stimulus, where it changed."""
    proposals: list[Proposal] = []
    for moment_ms, settled_ms in take.steps:
        shown_pins: set[int] = set()
        for proposal in _shown_states(take, moment_ms, settled_ms):
            shown_pins |= proposal.pins
            proposals.append(proposal)
        for proposal in (*_pwm_states(take, moment_ms, settled_ms), *_pin_states(take, moment_ms, settled_ms)):
            if not proposal.pins & shown_pins:
                proposals.append(proposal)
        proposals += _screen_states(take, moment_ms, settled_ms)
        proposals += _printed_lines(take, moment_ms, settled_ms)
    return proposals


def _is_settled(take: Take, times: Sequence[float], moment_ms: float, settled_ms: float) -> bool:
    """Return True if there was a change after the moment, none when it is looked at, and none of its own accord."""
    has_changed = False
    for t_ms in times:
        if abs(t_ms - settled_ms) <= STEADY_MS:
            return False
        if moment_ms <= t_ms <= settled_ms:
            has_changed = True
    return has_changed and not take.has_own_life(times)


def _settled_value(
    take: Take, changes: Iterable[tuple[float, float]], moment_ms: float, settled_ms: float
) -> float | None:
    """Return the value of the last change until it is settled; None if it is not, as `_is_settled` says.

    A change is its time and the new value.
    """
    value = None
    times = []
    for t_ms, number in changes:
        times.append(t_ms)
        if t_ms <= settled_ms:
            value = number
    if _is_settled(take, times, moment_ms, settled_ms):
        return value
    return None


def _shown_states(take: Take, moment_ms: float, settled_ms: float) -> list[Proposal]:
    """Return lines as "servo1: angle 90 deg at 3 s"."""
    proposals = []
    for wired in take.wiring.parts:
        for name, value in wired.facts.shows.items():
            rows = [row for row in take.record.shown_by(wired.id, name) if row[0] > 0]
            last = _settled_value(take, rows, moment_ms, settled_ms)
            if last is None:
                continue
            unit = f" {value.unit}" if value.unit else ""
            text = f"{wired.id}: {name} {number_words(last)}{unit} at {time_words(settled_ms)}"
            proposals.append(Proposal(text, settled_ms, frozenset(wired.pins.values())))
    return proposals


def _pwm_states(take: Take, moment_ms: float, settled_ms: float) -> list[Proposal]:
    proposals = []
    for pin, changes in by_pin(take.record.pwm).items():
        duty = _settled_value(take, [(change.t_ms, change.duty) for change in changes], moment_ms, settled_ms)
        if duty is not None:
            text = f"pwm {pin}: {number_words(round(duty / 2.55, 1))} % at {time_words(settled_ms)}"
            proposals.append(Proposal(text, settled_ms, frozenset({pin})))
    return proposals


def _pin_states(take: Take, moment_ms: float, settled_ms: float) -> list[Proposal]:
    proposals = []
    for pin, edges in by_pin(take.record.edges).items():
        level = _settled_value(take, [(edge.t_ms, edge.level) for edge in edges], moment_ms, settled_ms)
        if level is not None:
            word = "high" if level else "low"
            text = f"pin {pin}: {word} at {time_words(settled_ms)}"
            proposals.append(Proposal(text, settled_ms, frozenset({pin})))
    return proposals


def _screen_states(take: Take, moment_ms: float, settled_ms: float) -> list[Proposal]:
    """Return lines as 'screen oled1: "Presses 2" at 3 s' for each text that was not there before the moment."""
    proposals = []
    for part_id in dict.fromkeys(shown.part for shown in take.record.screens):
        if not _has_drawn(take, part_id, moment_ms, settled_ms):
            continue
        texts = _texts_at(take, part_id, settled_ms)
        for text in texts - _texts_at(take, part_id, moment_ms):
            times = _times_of(take, part_id, text)
            if not take.has_own_life(times) and _is_drawable(text):
                line = f'screen {part_id}: "{text}" at {time_words(settled_ms)}'
                proposals.append(Proposal(line, settled_ms))
    return proposals


def _has_drawn(take: Take, part_id: str, moment_ms: float, settled_ms: float) -> bool:
    """Return True if a display got a picture from the moment on, and not only at the start."""
    for shown in take.record.screens:
        is_drawn = shown.t_ms > 0 and moment_ms <= shown.t_ms <= settled_ms
        if is_drawn and shown.part == part_id:
            return True
    return False


def _texts_at(take: Take, part_id: str, t_ms: float) -> set[str]:
    """Return the pieces of text that a display shows at a time."""
    screen: Screen | None = None
    for shown in take.record.screens:
        if shown.part == part_id and shown.t_ms <= t_ms:
            screen = shown.screen
    return _texts_on(take, screen)


def _texts_on(take: Take, screen: Screen | None) -> set[str]:
    if screen is None:
        return set()
    reading = take.record.screen_reader.read(screen)
    if reading is None:
        return set()
    texts = set()
    for line in reading.lines:
        texts.add(line.text.strip())
    return texts


def _times_of(take: Take, part_id: str, text: str) -> list[float]:
    """Return the moments at which a text comes to a display or leaves it."""
    times = []
    was_there = False
    for shown in take.record.screens:
        if shown.part != part_id:
            continue
        is_there = text in _texts_on(take, shown.screen)
        if is_there != was_there and shown.t_ms > 0:
            times.append(shown.t_ms)
        was_there = is_there
    return times


def _is_drawable(text: str) -> bool:
    has_other_signs = '"' in text or "\\" in text or UNREAD in text
    return 0 < len(text) <= _MAX_TEXT_CHARS and not has_other_signs


def _printed_lines(take: Take, moment_ms: float, settled_ms: float) -> list[Proposal]:
    """Return lines about texts that are printed for the first time after a moment."""
    earlier = {text for t_ms, text in take.record.printed[0] if t_ms < moment_ms}
    for t_ms, text in take.record.printed[0]:
        if not moment_ms <= t_ms <= settled_ms or text in earlier:
            continue
        pattern = _escaped(text)
        if pattern is not None:
            line = f'log ~ "{pattern}" within {time_words(math.ceil((t_ms + SETTLED_MS) / 100) * 100)}'
            return [Proposal(line, t_ms)]
    return []


def _escaped(text: str) -> str | None:
    """Return the pattern of a printed text, or None if a line of expectations cannot have it."""
    text = text.strip()
    is_short = 0 < len(text) <= _MAX_TEXT_CHARS
    if not is_short or '"' in text or not text.isprintable():
        return None
    return _SPECIAL.sub(r"\\\1", text)


def _pattern_of(text: str) -> str | None:
    """Return the pattern of a printed text with any numbers in the place of its own."""
    escaped = _escaped(text)
    if escaped is None or len(_DIGITS.findall(escaped)) > MAX_REPEATS:
        return escaped
    return _DIGITS.sub(r"\\d+", escaped)


def _limit_ms(delay_ms: float) -> float:
    """Return the next usual limit above a delay, with room for a slower run."""
    for limit_ms in LIMITS_MS:
        if 1.5 * delay_ms + 5 <= limit_ms:
            return float(limit_ms)
    return 1.5 * EFFECT_MS
