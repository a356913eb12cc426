"""The pace in a sentence, and what a program can keep of it. It acts on nothing.

A rate has its exact period (300 Hz is no 3 ms), and a program gets only what it keeps within KEPT of what was said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Final

from msgspec import Struct

from microclaw.offline.decision import Context, Parse, Values, ask
from microclaw.offline.pins import PinTarget

KEPT: Final = Fraction(1, 100)
"""A program's time may differ by so much of the time that was asked for."""
FASTEST_LOOP_MS: Final = 10
"""A loop that changes a pin more often than this loses time with each change; PWM does not."""
LEAST_PWM_HZ: Final = 10
MOST_PWM_HZ: Final = 9_000
"""Of both kinds of programs: boards/ and docs/wasmachine.md have the limits of each."""
_NS: Final = 1_000_000
_BLINKS: Final = ("blink", "blink_times", "led_blink")
PACES: Final[Mapping[str, tuple[int, int, int]]] = {
    **dict.fromkeys(_BLINKS, (500, 1000, 100)),
    "fade": (2000, 5000, 500),
    "read_sensor_every": (10_000, 60_000, 1000),
    "rainbow": (5_000, 10_000, 2_500),
    "servo_sweep": (4_000, 8_000, 2_000),
}
"""By kind: milliseconds when no pace is said, for "slowly", for "fast"."""


def without_pace(values: Values) -> Values:
    """The values of a parse without what says how fast."""
    return {name: value for name, value in values.items() if not re.fullmatch(r"(?:period_)?ms(?:_ns)?|speed", name)}


def with_pace(values: Values, time_ms: Fraction) -> Values:
    """The values with this time instead: in whole milliseconds, and beside it in nanoseconds if need be."""
    exact = {} if time_ms.denominator == 1 else {"ms_ns": round(time_ms * _NS)}
    return without_pace(values) | {"ms": round(time_ms)} | exact


def pace_ms(parse: Parse, kind: str) -> Fraction:
    """The time in the sentence, also 0 (which is refused later); else what "slowly", "fast" or nothing means.

    Of a blink it is half a period: "every half second" toggles each half second, "2 Hz" are whole periods.
    """
    for slot in ("ms", "period_ms"):
        whole, exact_ns = parse.number(slot), parse.number(f"{slot}_ns")
        if whole is not None or exact_ns is not None:
            time_ms = Fraction(whole or 0) if exact_ns is None else Fraction(exact_ns, _NS)
            return time_ms / 2 if slot == "period_ms" and kind in _BLINKS else time_ms
    plain, slow, fast = PACES[kind]
    return Fraction({"slow": slow, "fast": fast}.get(parse.word("speed") or "", plain))


class SquareWave(Struct, frozen=True):
    """On and off in turn, each for `half_ms` as it was asked for. `by_pwm`: too fast for a loop."""

    half_ms: Fraction
    by_pwm: bool = False

    @property
    def hz(self) -> Fraction:
        return 500 / self.half_ms


def square_wave(at: Context, *, pwm: bool = True) -> SquareWave:
    """The wave by which a program keeps the sentence's pace; asks with the nearest possible ones where none does.

    `pwm`: whether PWM will do. A pace of 0 is left to the pattern of a loop, which refuses it.
    """
    half = pace_ms(at.parse, "blink")
    if half <= 0 or (round(half) >= FASTEST_LOOP_MS and _is_kept(half)):
        return SquareWave(half)
    wave = SquareWave(half, by_pwm=True)
    if pwm and LEAST_PWM_HZ <= round(wave.hz) <= MOST_PWM_HZ and _is_kept(wave.hz):
        return wave
    possible = [Fraction(500, ms) for ms in (floor(half), ceil(half)) if ms >= FASTEST_LOOP_MS]
    possible += [Fraction(hz) for hz in (floor(wave.hz), ceil(wave.hz)) if pwm and LEAST_PWM_HZ <= hz <= MOST_PWM_HZ]
    most = Fraction(MOST_PWM_HZ if pwm else 500 // FASTEST_LOOP_MS)
    nearest = min(possible or [most], key=lambda hz: abs(hz - wave.hz))
    raise ask(
        f"A program here cannot keep {float(wave.hz):.4g} Hz to within {float(KEPT):.0%}, so I did nothing.",
        f"the nearest rate is {float(nearest):.5g} Hz",
    )


def duty_of(at: Context, target: PinTarget) -> int:
    """The duty, of 255, of the sentence's brightness; asks for one, or where the nearest is fully off or on."""
    milli, example = at.parse.number("milli"), f"dim {target.words} to 30%"
    if milli is None:
        raise ask("How bright?", example, "milli")
    if not 0 <= milli <= 100_000:
        raise ask(f"{milli / 1000:g}% is not between 0 and 100. How bright?", example, "milli")
    if 0 < milli < 100_000 and round(milli * 255 / 100_000) in (0, 255):
        raise ask(f"PWM has 255 steps, and {milli / 1000:g}% is none of them. How bright?", "0.4% to 99.6%", "milli")
    return round(Fraction(255 * (milli if target.active_level else 100_000 - milli), 100_000))


def _is_kept(wanted: Fraction) -> bool:
    """True if the nearest whole number is near enough, as a time and as a rate."""
    return abs(round(wanted) - wanted) <= KEPT * min(wanted, Fraction(round(wanted)))
