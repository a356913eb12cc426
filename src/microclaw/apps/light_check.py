"""Compares expectations of addressable LEDs and of servos with what was recorded. Runs nothing."""

from __future__ import annotations

from itertools import pairwise

from microclaw.apps.colors import Color, Rgb, color_text
from microclaw.apps.expectations import LedAt, LedPhase, LedWithin, ServoAt
from microclaw.apps.observation import Finding, Observation
from microclaw.text import time_text

SERVO_HZ = (40, 400)
"""What servos take as a rate of pulses: 50 Hz the usual ones, up to 333 Hz the digital ones."""


def is_lit(asked: Color, index: int | None, colors: tuple[Rgb, ...]) -> bool:
    """Whether that LED, or each of the chain, has the color. One that was sent nothing is off."""
    if index is None:
        return all(map(asked.matches, colors or ((0, 0, 0),)))
    return asked.matches(colors[index] if index < len(colors) else (0, 0, 0))


def check_led(asked: LedAt | LedWithin, seen: Observation) -> Finding:
    fault = missing_leds(asked, seen)
    if fault is not None:
        return Finding("not met", fault)
    if isinstance(asked, LedAt):
        now = seen.colors_at(asked.pin, asked.at_ms)
        return Finding("met" if is_lit(asked.color, asked.index, now) else "not met", f"{shown(now, asked.index)} then")
    first = next((start for start, _ in lit_spans(asked, seen)), None)
    if first is None:
        return Finding("not met", f"LED never {asked.color.text}")
    return Finding("met" if first <= asked.within_ms else "not met", f"{asked.color.text} at {time_text(first)}")


def check_servo_at(asked: ServoAt, seen: Observation) -> Finding:
    pulses = seen.pulses(asked.pin)
    if not pulses:
        return Finding("not met", f"pin {asked.pin} has no PWM")
    pulse_us, hz = next(((us, hz) for t, us, hz in reversed(pulses) if t <= asked.at_ms), (0.0, 50))
    text = f"pulses of {pulse_us:.0f} us then" if pulse_us else "no pulses then"
    if pulse_us and not SERVO_HZ[0] <= hz <= SERVO_HZ[1]:
        return Finding("not met", f"{text}, but {hz} times a second: a servo takes 50")
    right = any(abs(pulse_us - wanted) <= asked.slack_us for wanted in asked.pulses_us)
    return Finding("met" if right else "not met", text)


def shown(colors: tuple[Rgb, ...], index: int | None) -> str:
    """ "red", "red, off, blue"; a long chain of one color is told once."""
    some = colors if index is None else colors[index : index + 1]
    names = [color_text(color) for color in some] or ["off"]
    return names[0] if len(set(names)) == 1 else ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def missing_leds(asked: LedAt | LedWithin | LedPhase, seen: Observation) -> str | None:
    chains = [change.colors for change in seen.leds if change.pin == asked.pin]
    if not chains:
        return f"LEDs on pin {asked.pin} were sent nothing"
    longest = max(map(len, chains))
    if asked.index is not None and asked.index >= longest:
        return f"the chain on pin {asked.pin} has {longest} LEDs, from 0"
    return None


def lit_spans(asked: LedWithin | LedPhase, seen: Observation) -> list[tuple[float, float]]:
    """From when until when it had the color; the same color sent again does not end it."""
    changes = [(c.t_ms, is_lit(asked.color, asked.index, c.colors)) for c in seen.leds if c.pin == asked.pin]
    points = [(0.0, is_lit(asked.color, asked.index, ())), *changes]
    points = [points[0], *(after for before, after in pairwise(points) if before[1] != after[1])]
    return [
        (start, end) for (start, is_on), (end, _) in pairwise([*points, (seen.end_ms, False)]) if is_on and end > start
    ]
