"""What a trial says of a pin that it moved by itself: the steps, the program's answer, and a press that counted twice.

It runs nothing (trial_run.py does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from microclaw.devices.registry.calls import LedChange, PwmChange
from microclaw.events import Edge
from microclaw.programs.proof.verdict import describe
from microclaw.text import count_text

PRESS_MS: Final = 300.0
# The time after a step, and if the pin has the other level in it: a clean press, then one that bounces.
STEPS: Final = ((PRESS_MS, 1), (PRESS_MS, 0), (5.0, 1), (5.0, 0), (PRESS_MS, 1), (PRESS_MS, 0))
_CLEAN_MS: Final = 2 * PRESS_MS


def probe_text(
    pin: int, edges: Sequence[Edge], pwm: Sequence[PwmChange], leds: Sequence[LedChange], line_count: int
) -> str:
    """Return what the program did when the pin was moved; times count from the first press."""
    texts = []
    if edges or pwm or leds:
        texts.append(describe(edges, pwm, leds))
    if line_count:
        texts.append(f"{count_text(line_count, 'line')} printed")
    answer = "; ".join(texts) or "nothing happened, so what it does with it is untried"
    return f"the trial pressed pin {pin} at 0 s, and at {_CLEAN_MS / 1000:g} s with bounce: {answer}"


def bounce_warning(pin: int, edges: Sequence[Edge]) -> str | None:
    """Return a warning if a press that bounces switches an output more often than a clean press, or None.

    Only an output that a clean press leaves at another level counts: one that follows the button bounces with it.
    """
    clean_counts = Counter(edge.pin for edge in edges if edge.t_ms < _CLEAN_MS)
    bouncing_counts = Counter(edge.pin for edge in edges if edge.t_ms >= _CLEAN_MS)
    for output, clean_count in sorted(clean_counts.items()):
        bouncing_count = bouncing_counts[output]
        is_switched = clean_count % 2 == 1
        if is_switched and bouncing_count > clean_count:
            return (
                f"one press of pin {pin} that bounces moves pin {output} {bouncing_count} times, a clean one "
                f"{clean_count}: wait some 20 ms after a change before the next one counts (debounce)"
            )
    return None
