"""The three functions of the firmware's libm group: sinf, cosf and pow."""

from __future__ import annotations

import math

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.process import Process


def _sinf(_process: Process, x: float) -> float:
    return math.sin(x) if math.isfinite(x) else math.nan


def _cosf(_process: Process, x: float) -> float:
    return math.cos(x) if math.isfinite(x) else math.nan


def _pow(_process: Process, x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        # A negative number to a broken power is NaN; 0 to a negative one is infinite.
        if x != 0:
            return math.nan
        return math.copysign(math.inf, x) if y % 2 == 1 else math.inf


HANDLERS: dict[str, Handler] = {"sinf": _sinf, "cosf": _cosf, "pow": _pow}
