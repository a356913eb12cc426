"""Compares what a board counted with what the trial had: the same, different, or too little to tell. No IO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Final

from msgspec import Struct, structs

from microclaw.devices.registry.calls import PwmChange
from microclaw.events import Edge, Evidence
from microclaw.programs.proof.expectation_result import ExpectationResult
from microclaw.programs.proof.pin_track import TOLERANCE, Rhythm, rhythms
from microclaw.programs.proof.verdict import seconds
from microclaw.text import format_duration

SLACK_MS: Final = 25.0
"""On a busy host the virtual board may be this late, whatever the time between edges."""
STEADY_GAPS: Final = 4
"""Gaps in a row as in the trial, two periods, that excuse the late ones before them."""
STEADY_MS: Final = SLACK_MS / TOLERANCE
"""A shorter stretch does not tell a rhythm from one that is a tenth off: its slack is a larger share of it."""
MOMENT_MS: Final = 5.0
"""Edges so near to each other are one moment: a start, not a rhythm."""
SHORT_MS: Final = 1.0
INVERTED: Final = "each level is the other one: the program toggles the pin, which had the other level before"
_SET_FIRST: Final = (
    "let the program set the level that it begins with, as led.value(0) or gpio_set(led, 0); then deploy it again"
)
_TRIAL_JITTER_MS: Final = 2.0
_STAMP_MS: Final = 1.0
"""Boards round their times to whole milliseconds."""
_TOGETHER_MS: Final = 100.0
"""How far edges of two pins may be off against each other, beside the trial."""


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
    `pins` are those whose counted edges were as in the trial. `expected` says what became of each expectation.
    """

    evidence: Evidence
    agrees: bool
    dead: tuple[str, str] | None = None
    next_step: str | None = None
    pins: frozenset[int] = frozenset()
    expected: tuple[ExpectationResult, ...] = ()


def counted(text: str, edges: Sequence[Edge] = (), *, agrees: bool, pins: Sequence[int] = ()) -> Verification:
    evidence = Evidence("counted", f"counted on the board: {text}", tuple(edges))
    return Verification(evidence, agrees, pins=frozenset(pins))


class PinLag(Struct, frozen=True):
    """The lateness of a pin's first and last edge against the trial, and when the last one was due there."""

    rhythm: Rhythm
    first_ms: float
    last_ms: float
    last_due_ms: float


def compare(expected: Sequence[Edge], seen: Sequence[Edge]) -> Agreement:
    """Compare the edges of one pin, as many as both have: the same levels, each at the same time after the first.

    Late edges are excused by steady ones after them; `difference` then says what was late. The pin may have had the
    first level before: then that edge is not seen. Where the program toggles it instead, every level is inverted: that
    is the expected rhythm only where all its gaps are alike. Gaps below a millisecond are told, not judged: a board's
    own work is a part of them that the trial does not know.
    """
    if not seen:
        return Agreement(agrees=False, difference="no edge where the trial had some")
    short_gaps = _short_gaps_text(expected, seen)
    if short_gaps is not None:
        return Agreement(agrees=True, difference=short_gaps)
    first = int(expected[0].level != seen[0].level)
    if not expected[first:]:
        return Agreement(
            agrees=False, difference=f"the first edge goes to {seen[0].level}, in the trial to {expected[0].level}"
        )
    needed_gaps = min(STEADY_GAPS, max(1, (len(expected) - 1) // 2))
    wanted = _continued(expected, len(seen) + first)
    agreement = _compare_times(wanted[first:], seen, needed_gaps)
    if not first or len(seen) < 2 or not _compare_times(wanted, seen, needed_gaps).agrees:
        return structs.replace(agreement, first=first)
    if not agreement.agrees:
        return Agreement(agrees=False, difference=INVERTED)
    # An even rhythm is itself with every level inverted.
    return structs.replace(agreement, first=first, is_sure=_is_even(_gaps_ms(expected)))


def compare_edges(
    expected: Mapping[int, Sequence[Edge]],
    seen: Mapping[int, Sequence[Edge]],
    waited_ms: float,
    before: Mapping[int, int],
) -> Verification:
    """Compare pin by pin; the first pin that differs is the answer. Edges of one moment alone prove nothing later.

    `before` has the levels of pins without an edge: a pin that had its first level shows none until its second is due.
    """
    edges = _in_order(seen)
    texts: list[str] = []
    lags: list[PinLag] = []
    agreements: dict[int, Agreement] = {}
    for pin, wanted in expected.items():
        pin_edges = seen[pin]
        if pin_edges:
            agreement = compare(wanted, pin_edges)
            texts.append(_pin_text(wanted, pin_edges, agreement.difference, alone=len(expected) == 1))
            lags.append(_lag(wanted, pin_edges, agreement.first))
            agreements[pin] = agreement
        elif before.get(pin) == wanted[0].level and _are_due_later(wanted[1:], waited_ms):
            level = "high" if before[pin] else "low"
            texts.append(f"pin {pin} is {level}, as it was before")
        else:
            waited = format_duration(waited_ms, decimals=2)
            text = f"no edge on pin {pin} in {waited}; the trial had one after {seconds(wanted[0].t_ms)}"
            return counted(text, edges, agrees=False)
    return _verification("; ".join(texts), edges, agreements, lags, is_start=_is_start(expected, seen))


def _in_order(edges_by_pin: Mapping[int, Sequence[Edge]]) -> list[Edge]:
    """Return the edges of all pins by time; edges of one moment in the order of their pins."""
    edges: list[Edge] = []
    for pin_edges in edges_by_pin.values():
        edges += pin_edges
    edges.sort(key=lambda edge: edge.t_ms)
    return edges


def _are_due_later(edges: Sequence[Edge], waited_ms: float) -> bool:
    """Return True if none of these edges had to come yet."""
    for edge in edges:
        latest_ms = edge.t_ms + max(SLACK_MS, TOLERANCE * edge.t_ms)
        if latest_ms <= waited_ms:
            return False
    return True


def _verification(
    text: str, edges: Sequence[Edge], agreements: Mapping[int, Agreement], lags: Sequence[PinLag], *, is_start: bool
) -> Verification:
    """Return the answer for all pins, whose edges are `edges`."""
    agreeing = [pin for pin, agreement in agreements.items() if agreement.agrees]
    agrees = len(agreeing) == len(agreements)
    apart_ms = max((_apart_ms(lag, other) for lag, other in combinations(lags, 2)), default=0.0)
    if agrees and apart_ms > 0:
        return counted(f"{text} (pins are {seconds(apart_ms)} off against each other)", edges, agrees=False)
    is_sure = bool(edges) and not is_start and _are_sure(agreements, edges)
    if agrees and not is_sure:
        text = f"accepted only: {text}; only the start was seen, so the rest is not checked"
        return Verification(Evidence("accepted", text, tuple(edges)), agrees=True)
    answer = counted(text, edges, agrees=agrees, pins=agreeing)
    if INVERTED in text:
        return structs.replace(answer, next_step=_SET_FIRST)
    return answer


def _are_sure(agreements: Mapping[int, Agreement], edges: Sequence[Edge]) -> bool:
    """Return False if a pin with two edges and more may have every level inverted."""
    counts = Counter(edge.pin for edge in edges)
    for pin, agreement in agreements.items():
        if not agreement.is_sure and counts[pin] >= 2:
            return False
    return True


def _is_start(expected: Mapping[int, Sequence[Edge]], seen: Mapping[int, Sequence[Edge]]) -> bool:
    """Return True if only edges of one moment came, and the trial had others later."""
    for pin_edges in seen.values():
        if pin_edges and span_ms(pin_edges) > MOMENT_MS:
            return False
    spans_ms = map(span_ms, expected.values())
    return max(spans_ms, default=0.0) > MOMENT_MS


def pwm_states(changes: Sequence[PwmChange]) -> list[PwmChange]:
    """Return the changes without those that leave the signal as it is: off is off at any frequency."""
    states: list[PwmChange] = []
    for change in changes:
        stays_off = bool(states) and states[-1].duty == change.duty == 0
        if not stays_off:
            states.append(change)
    return states


def compare_pwm(wanted: Sequence[PwmChange], seen: Sequence[PwmChange]) -> Verification:
    """Compare the first changes that a board noted on a pin with the duties and frequencies of the trial's."""
    start = _start_of(wanted, seen[0].duty)
    pairs = list(zip(seen, wanted[start:], strict=False))
    compared = seen[: len(pairs)]
    frequency_hz = _frequency_of(compared, seen[0].frequency_hz)
    text = f"PWM on pin {wanted[0].pin} at {frequency_hz:,} Hz, duty {_duties_text(compared)} of 255"
    if len(seen) > 1:
        text += f" within {seconds(compared[-1].t_ms - seen[0].t_ms)}"
    has_duties = all(change.duty == tried.duty for change, tried in pairs)
    if not has_duties:
        text += f" (in the trial {_duties_text(wanted)})"
    other = _other_frequency(pairs)
    if other is not None:
        text += f" (in the trial {other:,} Hz)"
    return counted(text, agrees=has_duties and other is None)


def _duties_text(changes: Sequence[PwmChange]) -> str:
    return ", ".join(str(change.duty) for change in changes)


def _start_of(wanted: Sequence[PwmChange], duty: int) -> int:
    """Return the number of the first change to this duty: a pin that had the first duty already shows no change."""
    for index, change in enumerate(wanted):
        if change.duty == duty:
            return index
    return 0


def _frequency_of(changes: Sequence[PwmChange], default_hz: int) -> int:
    """Return the frequency of the first change that is not off."""
    for change in changes:
        if change.duty:
            return change.frequency_hz
    return default_hz


def _other_frequency(pairs: Sequence[tuple[PwmChange, PwmChange]]) -> int | None:
    """Return the trial's first frequency that the board does not have. A timer's divider gives nearly the frequency."""
    for change, tried in pairs:
        slack_hz = max(1.0, 0.01 * tried.frequency_hz)
        if tried.duty and abs(change.frequency_hz - tried.frequency_hz) > slack_hz:
            return tried.frequency_hz
    return None


def _pin_text(expected: Sequence[Edge], seen: Sequence[Edge], difference: str | None, *, alone: bool) -> str:
    if alone:
        start = "first edge"
    else:
        start = f"pin {seen[0].pin}"
    text = f"{start} after {seen[0].t_ms / 1000:.2f} s"
    if len(seen) > 1:
        text += f", next {seconds(seen[1].t_ms - seen[0].t_ms)} later"
    elif len(expected) > 1:
        text += f", and the next is due {seconds(expected[1].t_ms - expected[0].t_ms)} later"
    if difference:
        return f"{text} ({difference})"
    return text


def _short_gaps_text(expected: Sequence[Edge], seen: Sequence[Edge]) -> str | None:
    """Return the mean gaps in words if those of both are below a millisecond."""
    count = min(len(expected), len(seen)) - 1
    if count < 2:
        return None
    want_ms = span_ms(expected[: count + 1]) / count
    got_ms = span_ms(seen[: count + 1]) / count
    if max(want_ms, got_ms) >= SHORT_MS:
        return None
    return f"{seconds(got_ms)} between edges on average, in the trial {seconds(want_ms)}"


def _continued(expected: Sequence[Edge], count: int) -> Sequence[Edge]:
    """Return up to so many edges, beyond the trial's end where its gaps repeat: a late board is watched for longer."""
    gaps = _gaps_ms(expected)
    size = _size_of_repetition(gaps)
    if size is None:
        return expected
    edges = list(expected)
    while len(edges) < count:
        last = edges[-1]
        gap_ms = gaps[(len(edges) - 1) % size]
        edges.append(Edge(last.t_ms + gap_ms, last.pin, 1 - last.level))
    return edges


def _gaps_ms(edges: Sequence[Edge]) -> list[float]:
    return [after.t_ms - before.t_ms for before, after in pairwise(edges)]


def _is_even(gaps_ms: Sequence[float]) -> bool:
    """Return True if two gaps and more are all alike."""
    if len(gaps_ms) < 2:
        return False
    longest_ms = max(gaps_ms)
    return longest_ms - min(gaps_ms) <= max(_TRIAL_JITTER_MS, TOLERANCE * longest_ms)


def _size_of_repetition(gaps: Sequence[float]) -> int | None:
    """Return the number of gaps after which they repeat, or None."""
    for size in range(1, len(gaps) // 2 + 1):
        if _repeat(gaps, size):
            return size
    return None


def _repeat(gaps: Sequence[float], size: int) -> bool:
    return all(abs(gap - before) <= _TRIAL_JITTER_MS for before, gap in zip(gaps, gaps[size:], strict=False))


def _compare_times(wanted: Sequence[Edge], seen: Sequence[Edge], needed_gaps: int) -> Agreement:
    """Compare the times alone, as many as both have; so many gaps in a row excuse late ones before them."""
    difference = _difference(wanted, seen)
    if difference is None:
        return Agreement(agrees=True)
    start = _steady_from(wanted, seen)
    if start is None:
        return Agreement(agrees=False, difference=difference)
    steady = wanted[start : len(seen)]
    is_long = len(steady) > needed_gaps and span_ms(steady) >= min(STEADY_MS, span_ms(wanted) / 2)
    if not is_long:
        return Agreement(agrees=False, difference=difference)
    return Agreement(agrees=True, difference=f"uneven at first: {difference}; then as in the trial")


def _steady_from(wanted: Sequence[Edge], seen: Sequence[Edge]) -> int | None:
    """Return where the last stretch of edges as in the trial begins; None if an edge came too early.

    A program that sleeps is late for good when its board was held up. One with a timer makes up for it, which is no
    edge too early; before the first gap as in the trial by any time, as the first edge may itself have been late.
    """
    start = 0
    owed_ms = 0.0
    has_begun = False
    for index in range(1, min(len(wanted), len(seen))):
        want_ms = wanted[index].t_ms - wanted[start].t_ms
        late_ms = seen[index].t_ms - seen[start].t_ms - want_ms
        slack_ms = _slack_ms(want_ms)
        if abs(late_ms) <= slack_ms:
            has_begun = True
            continue
        if has_begun and late_ms < -slack_ms - owed_ms:
            return None
        owed_ms = max(0.0, owed_ms + late_ms)
        start = index
    return start


def _difference(wanted: Sequence[Edge], seen: Sequence[Edge]) -> str | None:
    """Return the first gap that differs, in words, as many as both have; levels are not looked at."""
    for (before, after), (was, now) in zip(pairwise(wanted), pairwise(seen), strict=False):
        want_ms = after.t_ms - wanted[0].t_ms
        got_ms = now.t_ms - seen[0].t_ms
        if abs(got_ms - want_ms) > _slack_ms(want_ms):
            gap_ms = now.t_ms - was.t_ms
            want_gap_ms = after.t_ms - before.t_ms
            return f"{seconds(gap_ms)} between edges, in the trial {seconds(want_gap_ms)}"
    return None


def _slack_ms(want_ms: float) -> float:
    """Return by how much a time may differ from that of the trial."""
    return max(TOLERANCE * want_ms + _STAMP_MS, SLACK_MS)


def _lag(expected: Sequence[Edge], seen: Sequence[Edge], first: int) -> PinLag:
    wanted = _continued(expected, len(seen) + first)
    last = min(len(wanted) - first, len(seen)) - 1
    return PinLag(
        rhythm=rhythms(expected)[0],
        first_ms=seen[0].t_ms - wanted[first].t_ms,
        last_ms=seen[last].t_ms - wanted[first + last].t_ms,
        last_due_ms=wanted[first + last].t_ms,
    )


def _apart_ms(one: PinLag, other: PinLag) -> float:
    """Return how far two pins are off against each other, 0 if they are not.

    A board that was held up between their first edges is judged by the last ones. Pins whose periods differ are those
    of two tasks: each is late by itself.
    """
    period_s = max(one.rhythm.period_s, other.rhythm.period_s)
    is_known = min(one.rhythm.count, other.rhythm.count) > 2
    if is_known and abs(one.rhythm.period_s - other.rhythm.period_s) > TOLERANCE * period_s:
        return 0.0
    first_ms = abs(one.first_ms - other.first_ms)
    last_ms = abs(one.last_ms - other.last_ms)
    first_slack_ms = _TOGETHER_MS + TOLERANCE * abs(one.rhythm.first_ms - other.rhythm.first_ms)
    last_slack_ms = _TOGETHER_MS + TOLERANCE * abs(one.last_due_ms - other.last_due_ms)
    if first_ms <= first_slack_ms or last_ms <= last_slack_ms:
        return 0.0
    return last_ms


def span_ms(edges: Sequence[Edge]) -> float:
    return edges[-1].t_ms - edges[0].t_ms
