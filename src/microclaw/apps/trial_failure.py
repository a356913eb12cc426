"""The error of a trial that failed: each expectation with what was seen, the edges in short, the last lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from microclaw.apps.trial import Trial
from microclaw.apps.verdict import describe
from microclaw.errors import Diagnostic, ExpectationNotMet, TrialFailed
from microclaw.text import time_text

MAX_LOG_LINES: Final = 8
MAX_LINE_CHARS: Final = 160
MAX_PINS: Final = 8
MAX_SPANS: Final = 8  # of a pin; a pair that comes again and again is one
_ALIKE: Final = 0.05
_ALIKE_MS: Final = 2.0
_NUMBER: Final = re.compile(r"\d+")

Span: TypeAlias = tuple[int, float]
"""A level, and for how many ms a pin had it."""


def trial_error(trial: Trial) -> TrialFailed:
    """Build the error of a trial that is not ok."""
    kind = ExpectationNotMet if trial.expected and not trial.is_broken else TrialFailed
    return kind(trial.error or "the trial failed", next_step=trial.next_step, diagnostics=_diagnostics(trial))


def _diagnostics(trial: Trial) -> tuple[Diagnostic, ...]:
    """Return one for each line that is not met, then notes on what is met, on edges, and on printed lines."""
    found: list[Diagnostic] = []
    met: list[str] = []
    for result in trial.expected:
        line = result.asked
        if result.trial == "met":
            met.append(f"line {line.number} ({result.found})")
            continue
        text = f"{result.trial}: {result.found}"
        hint = result.next_step
        found.append(Diagnostic("error", text, "expectations", line.number, source_line=line.text, hint=hint))
    notes = {
        "met": "; ".join(met),
        "edges": edges_text(trial),
        "printed": "\n    ".join(_last_lines(trial)),
    }
    found += [Diagnostic("note", f"{what}: {text}", "trial") for what, text in notes.items() if text]
    return tuple(found)


def edges_text(trial: Trial) -> str:
    """Return the edges of each pin in short, then PWM and LEDs: "pin 5: low 1 s, high 0.5 s, low 0.5 s ×8"."""
    pins = dict.fromkeys(edge.pin for edge in trial.edges)
    tracks = [f"pin {pin}: {_spans_text(_spans(trial, pin))}" for pin in pins]
    lights = describe((), trial.pwm, trial.leds)
    return "; ".join(filter(None, (*tracks[:MAX_PINS], lights)))


def _spans(trial: Trial, pin: int) -> list[Span]:
    track = [*trial.track(pin), (trial.board_ms, 0)]
    spans = [(level, end_ms - begin_ms) for (begin_ms, level), (end_ms, _) in pairwise(track)]
    return [span for span in spans if span[1] > 0]


def _spans_text(spans: Sequence[Span]) -> str:
    """Return the spans as text; a pair that comes again at once stands there once, with its number."""
    parts: list[str] = []
    place = 0
    while place < len(spans) and len(parts) < MAX_SPANS:
        pair = spans[place : place + 2]
        count = 1
        while _is_alike(spans[place + 2 * count : place + 2 * count + 2], pair):
            count += 1
        if count > 1:
            parts.append(f"{', '.join(map(_span_text, pair))} ×{count}")
            place += 2 * count
        else:
            parts.append(_span_text(pair[0]))
            place += 1
    more = [] if place == len(spans) else ["..."]
    return ", ".join([*parts, *more])


def _span_text(span: Span) -> str:
    level, length_ms = span
    return f"{'high' if level else 'low'} {time_text(length_ms)}"


def _is_alike(pair: Sequence[Span], first: Sequence[Span]) -> bool:
    if len(pair) < 2:
        return False
    return all(
        abs(length_ms - first_ms) <= max(_ALIKE_MS, _ALIKE * first_ms)
        for (_, length_ms), (_, first_ms) in zip(pair, first, strict=True)
    )


def _last_lines(trial: Trial) -> list[str]:
    """Return the newest printed line of each kind, with its time: lines that differ in numbers alone are one kind."""
    newest = {_NUMBER.sub("0", line.text): line for line in trial.lines if line.app is not None}
    lines = sorted(newest.values(), key=lambda line: line.t_ms)
    return [f"{time_text(line.t_ms)} {line.text[:MAX_LINE_CHARS]}" for line in lines[-MAX_LOG_LINES:]]
