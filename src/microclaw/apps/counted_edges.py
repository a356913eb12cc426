"""What a board's counted edges and PWM changes say beside the trial's: the same, different, or too few to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from microclaw.apps.edge_comparison import INVERTED, SLACK_MS, compare_settled, span
from microclaw.apps.verdict import seconds
from microclaw.devices.calls import PwmChange
from microclaw.events import Edge, Evidence
from microclaw.pin_track import TOLERANCE
from microclaw.text import format_duration

EXPECTED_EDGES = 2
MOMENT_MS = 5.0
"""Edges so near to each other are one moment: a start, not a rhythm."""
_TOGETHER_MS = 100.0
"""How far the first edges of two pins may be off against each other, beside the trial."""
_OPENING_MS = 1.0
_SET_FIRST = (
    "let the program set the level that it begins with, as led.value(0) or gpio_set(led, 0); then deploy it again"
)


@dataclass(frozen=True, slots=True)
class Verification:
    """`dead` says why the program does nothing although the firmware took it, with the next step; else None.

    `agrees` is False when the board's records differ from the trial, or could not be read; `next_step` says what to do.
    `pins` are those whose counted edges were as in the trial.
    """

    evidence: Evidence
    agrees: bool
    dead: tuple[str, str] | None = None
    next_step: str | None = None
    pins: frozenset[int] = frozenset()


def without_opening(seen: list[Edge], expected: Sequence[Edge]) -> list[Edge]:
    """Without the edge that opening a pin makes: its output still holds the level that a former program left there."""
    quick = any(after.t_ms - edge.t_ms <= _OPENING_MS for edge, after in pairwise(expected))
    return seen[1:] if len(seen) > 1 and seen[1].t_ms - seen[0].t_ms <= _OPENING_MS and not quick else seen


def counted(text: str, edges: Sequence[Edge] = (), *, agrees: bool, pins: Sequence[int] = ()) -> Verification:
    return Verification(
        Evidence("counted", f"counted on the board: {text}", tuple(edges)), agrees, pins=frozenset(pins)
    )


def compare_edges(
    expected: Mapping[int, Sequence[Edge]],
    seen: Mapping[int, Sequence[Edge]],
    waited_ms: float,
    before: Mapping[int, int],
) -> Verification:
    """Pin by pin; the first pin that differs is the answer. Edges of one moment alone are no proof of what follows.

    `before`: levels of pins without an edge. Who had its first level before shows none until the second one is due.
    """
    edges = sorted((edge for found in seen.values() for edge in found), key=lambda edge: edge.t_ms)
    texts: list[str] = []
    offsets: list[float] = []
    agreeing = []
    difference, is_sure = False, True
    for pin, wanted in expected.items():
        found = seen[pin]
        due_later = all(edge.t_ms + max(SLACK_MS, TOLERANCE * edge.t_ms) > waited_ms for edge in wanted[1:])
        if not found and due_later and before.get(pin) == wanted[0].level:
            texts.append(f"pin {pin} is {'high' if before[pin] else 'low'}, as it was before")
            continue
        if not found:
            waited = format_duration(waited_ms, decimals=2)
            text = f"no edge on pin {pin} in {waited}; the trial had one after {seconds(wanted[0].t_ms)}"
            return counted(text, edges, agrees=False)
        agreement = compare_settled(wanted, found)
        texts.append(_pin_text(wanted, found, agreement.difference, alone=len(expected) == 1))
        offsets.append(found[0].t_ms - wanted[agreement.first].t_ms)
        difference = difference or not agreement.agrees
        is_sure = is_sure and (agreement.is_sure or len(found) < EXPECTED_EDGES)
        if agreement.agrees:
            agreeing.append(pin)
    if not difference and offsets and max(offsets) - min(offsets) > _TOGETHER_MS:
        apart = seconds(max(offsets) - min(offsets))
        return counted(f"{'; '.join(texts)} (pins are {apart} off against each other)", edges, agrees=False)
    later = any(span(wanted) > MOMENT_MS for wanted in expected.values())
    of_one_moment = all(span(found) <= MOMENT_MS for found in seen.values() if found)
    if not difference and (not edges or not is_sure or (later and of_one_moment)):
        text = f"accepted only: {'; '.join(texts)}; that is the start alone"
        return Verification(Evidence("accepted", text, tuple(edges)), True)
    answer = counted("; ".join(texts), edges, agrees=not difference, pins=agreeing)
    return replace(answer, next_step=_SET_FIRST) if any(INVERTED in text for text in texts) else answer


def _pin_text(expected: Sequence[Edge], seen: Sequence[Edge], difference: str | None, *, alone: bool) -> str:
    start = "first edge" if alone else f"pin {seen[0].pin}"
    text = f"{start} after {seen[0].t_ms / 1000:.2f} s"
    if len(seen) > 1:
        text += f", next {seconds(seen[1].t_ms - seen[0].t_ms)} later"
    elif len(expected) > 1:
        text += f", the next is due {seconds(expected[1].t_ms - expected[0].t_ms)} later"
    return f"{text} ({difference})" if difference else text


def compare_pwm(wanted: Sequence[PwmChange], seen: Sequence[PwmChange]) -> Verification:
    """Whether the first changes that a board noted on a pin have the duties and frequencies of the trial's."""
    pin = wanted[0].pin
    # A pin that had the first duty already shows no change to it.
    start = next((i for i, change in enumerate(wanted) if change.duty == seen[0].duty), 0)
    pairs = list(zip(seen, wanted[start:], strict=False))
    duties = [change.duty for change, _ in pairs]
    agrees = all(change.duty == tried.duty for change, tried in pairs)
    other = [tried for change, tried in pairs if tried.duty and not _is_near(change.frequency_hz, tried.frequency_hz)]
    heard = next((change for change, _ in pairs if change.duty), seen[0])
    text = f"PWM on pin {pin} at {heard.frequency_hz:,} Hz, duty {', '.join(map(str, duties))} of 255"
    if len(seen) > 1:
        text += f" within {seconds(seen[len(duties) - 1].t_ms - seen[0].t_ms)}"
    if not agrees:
        text += f" (in the trial {', '.join(str(change.duty) for change in wanted)})"
    if other:
        text += f" (in the trial {other[0].frequency_hz:,} Hz)"
    return counted(text, agrees=agrees and not other)


def _is_near(frequency_hz: int, wanted_hz: int) -> bool:
    """A timer's divider gives nearly the frequency that was asked for."""
    return abs(frequency_hz - wanted_hz) <= max(1.0, 0.01 * wanted_hz)
