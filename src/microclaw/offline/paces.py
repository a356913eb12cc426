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
# Per kind: milliseconds when no pace is said, for "slowly", for "fast".
_PACES: Final[Mapping[str, tuple[int, int, int]]] = {
    "blink": (500, 1000, 100),
    "fade": (2000, 5000, 500),
    "read": (10_000, 60_000, 1000),
    "rainbow": (5_000, 10_000, 2_500),
    "servo_sweep": (4_000, 8_000, 2_000),
}


def time_values(slot: str, time_ms: Fraction, others: Values) -> Values:
    """`others` with this time in a slot of a parse: in whole milliseconds, and beside it in nanoseconds if need be."""
    kept = {name: value for name, value in others.items() if name not in (slot, f"{slot}_ns")}
    kept[slot] = round(time_ms)
    return kept if time_ms.denominator == 1 else {**kept, f"{slot}_ns": round(time_ms * _NS)}


def without_pace(values: Values) -> Values:
    """The values of a parse without what says how fast."""
    return {name: value for name, value in values.items() if not re.fullmatch(r"(?:period_)?ms(?:_ns)?|speed", name)}


def exact_ms(parse: Parse, slot: str) -> Fraction | None:
    """The time in a slot, as it was said; None where there is none."""
    whole, exact_ns = parse.number(slot), parse.number(f"{slot}_ns")
    if exact_ns is not None:
        return Fraction(exact_ns, _NS)
    return None if whole is None else Fraction(whole)


def pace_ms(parse: Parse, kind: str) -> Fraction:
    """The time in the sentence, also 0 (which is refused later); else what "slowly", "fast" or nothing means."""
    for slot in ("ms", "period_ms"):
        time_ms = exact_ms(parse, slot)
        if time_ms is not None:
            return time_ms
    plain, slow, fast = _PACES[kind]
    return Fraction({"slow": slow, "fast": fast}.get(parse.word("speed") or "", plain))


def half_period_ms(parse: Parse) -> Fraction:
    """ "every half second" toggles each half second; "twice a second" and "2 Hz" are whole periods."""
    period_ms = exact_ms(parse, "period_ms")
    return period_ms / 2 if "ms" not in parse.values and period_ms is not None else pace_ms(parse, "blink")


class SquareWave(Struct, frozen=True):
    """On and off in turn, each for `half_ms` as it was asked for. `by_pwm`: too fast for a loop."""

    half_ms: Fraction
    by_pwm: bool = False

    @property
    def hz(self) -> Fraction:
        return 500 / self.half_ms


def square_wave(at: Context, *, pwm: bool = True, loop: bool = True) -> SquareWave:
    """The wave by which a program keeps the sentence's pace; asks with the nearest possible ones where none does.

    `pwm`: whether the pin can be given to PWM. `loop`: whether a loop will do. A pace of 0 is left to the pattern of a
    loop, which refuses it.
    """
    half = half_period_ms(at.parse)
    if loop and (half <= 0 or (round(half) >= FASTEST_LOOP_MS and _is_kept(half))):
        return SquareWave(half)
    if half <= 0:
        raise ask("With that rate nothing would ever change. How many Hz?", f"{LEAST_PWM_HZ} Hz to {MOST_PWM_HZ} Hz")
    wave = SquareWave(half, by_pwm=True)
    if pwm and LEAST_PWM_HZ <= round(wave.hz) <= MOST_PWM_HZ and _is_kept(wave.hz):
        return wave
    possible = [Fraction(500, ms) for ms in (floor(half), ceil(half)) if loop and ms >= FASTEST_LOOP_MS]
    possible += [Fraction(hz) for hz in (floor(wave.hz), ceil(wave.hz)) if pwm and LEAST_PWM_HZ <= hz <= MOST_PWM_HZ]
    end = (MOST_PWM_HZ if wave.hz > MOST_PWM_HZ else LEAST_PWM_HZ) if pwm else Fraction(500, FASTEST_LOOP_MS)
    nearest = min(possible or [Fraction(end)], key=lambda hz: abs(hz - wave.hz))
    raise ask(
        f"A program here cannot keep {float(wave.hz):.4g} Hz to within {float(KEPT):.0%}, so I did nothing.",
        f"the nearest rate is {float(nearest):.5g} Hz",
    )


def duty_of(at: Context, target: PinTarget, active_level: int = 1) -> int:
    """The duty, of 255, of the sentence's brightness; asks for one, or where the nearest is fully off or on."""
    milli, example = at.parse.number("milli"), f"dim {target.words} to 30%"
    if milli is None:
        raise ask("How bright?", example, "milli")
    if not 0 <= milli <= 100_000:
        raise ask(f"{milli / 1000:g}% is not between 0 and 100. How bright?", example, "milli")
    if 0 < milli < 100_000 and round(milli * 255 / 100_000) in (0, 255):
        raise ask(f"PWM has 255 steps, and {milli / 1000:g}% is none of them. How bright?", "0.4% to 99.6%", "milli")
    return round(Fraction(255 * (milli if active_level else 100_000 - milli), 100_000))


def _is_kept(wanted: Fraction) -> bool:
    """True if the nearest whole number is near enough, as a time and as a rate."""
    return abs(round(wanted) - wanted) <= KEPT * min(wanted, Fraction(round(wanted)))
