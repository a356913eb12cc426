"""The error of a trial that failed: each expectation with what was seen, the edges in short, the last lines."""

from __future__ import annotations

import re
from typing import Final

from microclaw.errors import Diagnostic, ExpectationNotMet, TrialFailed
from microclaw.programs.proof.pin_track import spans_text
from microclaw.programs.proof.screen_pictures import picture_texts
from microclaw.programs.proof.trial import Trial
from microclaw.programs.proof.verdict import describe
from microclaw.text import time_text

MAX_LOG_LINES: Final = 8
MAX_LINE_CHARS: Final = 160
MAX_PINS: Final = 8
_NUMBER: Final = re.compile(r"\d+")


def trial_error(trial: Trial) -> TrialFailed:
    """Build the error of a trial that is not ok."""
    kind = TrialFailed
    if trial.expected and not trial.is_broken:
        kind = ExpectationNotMet
    return kind(
        trial.error or "the trial failed",
        next_step=trial.next_step,
        diagnostics=_diagnostics(trial),
        screens=trial.pictures,
    )


def _diagnostics(trial: Trial) -> tuple[Diagnostic, ...]:
    """Return one for each line that is not met, then notes on what is met, on edges, and on printed lines."""
    diagnostics: list[Diagnostic] = []
    met: list[str] = []
    for result in trial.expected:
        line = result.asked
        if result.trial == "met":
            met.append(f"line {line.number} ({result.found})")
            continue
        text = f"{result.trial}: {result.found}"
        hint = result.next_step
        diagnostics.append(Diagnostic("error", text, "expectations", line.number, source_line=line.text, hint=hint))
    notes = {
        "met": "; ".join(met),
        "edges": _edges_text(trial),
        "shown": "; ".join(picture_texts(trial.screens)),
        "printed": "\n    ".join(_last_lines(trial)),
    }
    for subject, text in notes.items():
        if text:
            diagnostics.append(Diagnostic("note", f"{subject}: {text}", "trial"))
    return tuple(diagnostics)


def _edges_text(trial: Trial) -> str:
    """Return the edges of each pin in short, then PWM and LEDs."""
    pins = list(dict.fromkeys(edge.pin for edge in trial.edges))[:MAX_PINS]
    texts = []
    for pin in pins:
        texts.append(f"pin {pin}: {spans_text(trial.track(pin), trial.board_ms)}")
    other_text = describe((), trial.pwm, trial.leds)
    if other_text:
        texts.append(other_text)
    return "; ".join(texts)


def _last_lines(trial: Trial) -> list[str]:
    """Return the newest printed line of each kind, with its time: lines that differ in numbers alone are one kind."""
    newest = {_NUMBER.sub("0", line.text): line for line in trial.lines if line.app is not None}
    lines = sorted(newest.values(), key=lambda line: line.t_ms)
    return [f"{time_text(line.t_ms)} {line.text[:MAX_LINE_CHARS]}" for line in lines[-MAX_LOG_LINES:]]
