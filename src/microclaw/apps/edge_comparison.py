"""Compares what a board counted with what the trial had: the same, different, or too little to tell. No IO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct, structs

from microclaw.apps.verdict import seconds
from microclaw.devices.calls import PwmChange
from microclaw.events import Edge, Evidence
from microclaw.pin_track import TOLERANCE
from microclaw.text import format_duration

SLACK_MS: Final = 25.0
"""On a busy host the virtual board may be this late, whatever the time between edges."""
UNEVEN_EDGES: Final = 2
"""So many edges of a pin may come unevenly at its start: an interpreter loads its modules then."""
SETTLED_EDGES: Final = UNEVEN_EDGES + 5
"""Edges of a pin after which its rhythm tells more than its start: two periods behind it."""
MOMENT_MS: Final = 5.0
"""Edges so near to each other are one moment: a start, not a rhythm."""
SHORT_MS: Final = 1.0
INVERTED: Final = "each level is the other one: the program toggles the pin, which had the other level before"
_SET_FIRST: Final = (
    "let the program set the level that it begins with, as led.value(0) or gpio_set(led, 0); then deploy it again"
)
_TRIAL_JITTER_MS: Final = 2.0
_TOGETHER_MS: Final = 100.0
"""How far the first edges of two pins may be off against each other, beside the trial."""


class Agreement(Struct, frozen=True):
    """The comparison of the edges seen with the expected ones, and the difference in words.

    `first` is the expected edge that the first one seen is. `is_sure` is False where too few came to tell whether they
    are the expected edges, or these with every level inverted.
    """

    agrees: bool
    difference: str | None = None
    first: int = 0
    is_sure: bool = True


class Verification(Struct, frozen=True):
    """`dead` says why the program does nothing although the firmware took it, with the next step; else None.

    `agrees` is False when the board's records differ from the trial, or could not be read; `next_step` says what to do.
    `pins` are those whose counted edges were as in the trial.
    """

    evidence: Evidence
    agrees: bool
    dead: tuple[str, str] | None = None
    next_step: str | None = None
    pins: frozenset[int] = frozenset()


def counted(text: str, edges: Sequence[Edge] = (), *, agrees: bool, pins: Sequence[int] = ()) -> Verification:
    evidence = Evidence("counted", f"counted on the board: {text}", tuple(edges))
    return Verification(evidence, agrees, pins=frozenset(pins))


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin, as many as both have: the same levels, each at the same time after the first.

    The pin may have had the first level before: then that edge is not seen. Where the program toggles it instead, every
    level is inverted: that is the expected rhythm only where all its gaps are alike.
    """
    if not seen:
        return Agreement(False, "no edge where the trial had some")
    first = int(expected[0].level != seen[0].level)
    wanted = expected[first:]
    if not wanted:
        return Agreement(False, f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}")
    difference = _difference(wanted, seen)
    if not first or len(seen) < 2 or _difference(expected, seen) is not None:
        return Agreement(difference is None, difference, first)
    if difference is not None:
        return Agreement(False, INVERTED)
    gaps = [after.t_ms - before.t_ms for before, after in pairwise(expected)]
    even = len(gaps) > 1 and max(gaps) - min(gaps) <= max(_TRIAL_JITTER_MS, TOLERANCE * max(gaps))
    return Agreement(True, first=first, is_sure=even)  # an even rhythm is itself with every level inverted


def compare_settled(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """As `compare`; where the start was uneven, the last edges count, two periods at least; `difference` says what was.

    Gaps below a millisecond are told, not judged: a board's own work is a part of them that the trial does not know.
    """
    whole = compare(expected, seen)
    count = min(len(expected), len(seen)) - 1
    if count >= UNEVEN_EDGES:
        want_ms, got_ms = span_ms(expected[: count + 1]) / count, span_ms(seen[: count + 1]) / count
        if want_ms < SHORT_MS and got_ms < SHORT_MS:
            return Agreement(True, f"{seconds(got_ms)} between edges on average, in the trial {seconds(want_ms)}")
    if whole.agrees or len(seen) < SETTLED_EDGES:
        return whole
    wanted = expected[int(expected[0].level != seen[0].level) :]
    for uneven in range(UNEVEN_EDGES, min(len(wanted), len(seen)) - SETTLED_EDGES + UNEVEN_EDGES + 1):
        if _difference(wanted[uneven:], seen[uneven:]) is None:
            text = f"uneven at first: {whole.difference}; then as in the trial"
            return Agreement(True, text, len(expected) - len(wanted))
    return whole


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
    agreeing: list[int] = []
    agrees, is_sure = True, True
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
        agrees = agrees and agreement.agrees
        is_sure = is_sure and (agreement.is_sure or len(found) < 2)
        agreeing += [pin] if agreement.agrees else []
    text = "; ".join(texts)
    if agrees and offsets and max(offsets) - min(offsets) > _TOGETHER_MS:
        apart = seconds(max(offsets) - min(offsets))
        return counted(f"{text} (pins are {apart} off against each other)", edges, agrees=False)
    later = any(span_ms(wanted) > MOMENT_MS for wanted in expected.values())
    of_one_moment = all(span_ms(found) <= MOMENT_MS for found in seen.values() if found)
    if agrees and (not edges or not is_sure or (later and of_one_moment)):
        return Verification(Evidence("accepted", f"accepted only: {text}; that is the start alone", tuple(edges)), True)
    answer = counted(text, edges, agrees=agrees, pins=agreeing)
    return structs.replace(answer, next_step=_SET_FIRST) if INVERTED in text else answer


def pwm_states(changes: Sequence[PwmChange]) -> list[PwmChange]:
    """Return the changes without those that leave the signal as it is: off is off at any frequency."""
    states: list[PwmChange] = []
    for change in changes:
        before = states[-1] if states else None
        is_off = before is not None and before.duty == change.duty == 0
        if not is_off:
            states.append(change)
    return states


def compare_pwm(wanted: Sequence[PwmChange], seen: Sequence[PwmChange]) -> Verification:
    """Compare the first changes that a board noted on a pin with the duties and frequencies of the trial's."""
    # A pin that had the first duty already shows no change to it; a timer's divider gives nearly the frequency.
    start = next((i for i, change in enumerate(wanted) if change.duty == seen[0].duty), 0)
    pairs = list(zip(seen, wanted[start:], strict=False))
    agrees = all(change.duty == tried.duty for change, tried in pairs)
    other = [
        tried
        for change, tried in pairs
        if tried.duty and abs(change.frequency_hz - tried.frequency_hz) > max(1.0, 0.01 * tried.frequency_hz)
    ]
    heard = next((change for change, _ in pairs if change.duty), seen[0])
    duties = ", ".join(str(change.duty) for change, _ in pairs)
    text = f"PWM on pin {wanted[0].pin} at {heard.frequency_hz:,} Hz, duty {duties} of 255"
    if len(seen) > 1:
        text += f" within {seconds(seen[len(pairs) - 1].t_ms - seen[0].t_ms)}"
    if not agrees:
        text += f" (in the trial {', '.join(str(change.duty) for change in wanted)})"
    if other:
        text += f" (in the trial {other[0].frequency_hz:,} Hz)"
    return counted(text, agrees=agrees and not other)


def _pin_text(expected: Sequence[Edge], seen: Sequence[Edge], difference: str | None, *, alone: bool) -> str:
    start = "first edge" if alone else f"pin {seen[0].pin}"
    text = f"{start} after {seen[0].t_ms / 1000:.2f} s"
    if len(seen) > 1:
        text += f", next {seconds(seen[1].t_ms - seen[0].t_ms)} later"
    elif len(expected) > 1:
        text += f", the next is due {seconds(expected[1].t_ms - expected[0].t_ms)} later"
    return f"{text} ({difference})" if difference else text


def _difference(wanted: Sequence[Edge], seen: Sequence[Edge]) -> str | None:
    """The first gap that differs, as many as both have; levels are not looked at."""
    for (before, after), (was, now) in zip(pairwise(wanted), pairwise(seen), strict=False):
        want_ms, got_ms = after.t_ms - wanted[0].t_ms, now.t_ms - seen[0].t_ms
        if abs(got_ms - want_ms) > max(TOLERANCE * want_ms, SLACK_MS):
            gap, want_gap = now.t_ms - was.t_ms, after.t_ms - before.t_ms
            return f"{seconds(gap)} between edges, in the trial {seconds(want_gap)}"
    return None


def span_ms(edges: Sequence[Edge]) -> float:
    return edges[-1].t_ms - edges[0].t_ms
