"""A filled pattern as a call of the deploy tool, and the answer after it. It chooses no pattern and calls no tool."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.offline.decision import Act, Context, Decision, Result, Say, ask, capital
from microclaw.offline.paces import pace_ms
from microclaw.offline.pins import PinTarget, board_of
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill, pattern_kinds

PatternValues: TypeAlias = dict[str, Value | Fraction]
_TRIED_BEFORE = "soak 0 s\nuptime 1 min\n"
"""A pattern itself was tried for minutes and across the wrap of millis() (tests/patterns): a sentence need not wait."""
_ENDING = frozenset({"led_color", "blink_times", "pulse", "pwm_pulse"})  # programs that end by themselves


def seconds(ms: int | Fraction) -> str:
    """500 -> "0.5 s", 7_200_000 -> "2 h"."""
    if ms >= 3_600_000 and ms % 3_600_000 == 0:
        return f"{ms // 3_600_000} h"
    if ms >= 120_000 and ms % 60_000 == 0:
        return f"{ms // 60_000} min"
    return f"{float(ms) / 1000:g} s"


def spoken(ms: int | Fraction) -> str:
    """As people say it: 500 -> "500 ms", 2000 -> "2 s". What a program does: in whole milliseconds."""
    return seconds(round(ms)) if ms >= 1000 else f"{round(ms)} ms"


class Deployment(Struct, frozen=True):
    """A pattern with its values, and `words` that ask for exactly it.

    A value that is a fraction is what was asked for: the program gets the nearest whole number, the trial is held
    against the fraction.
    `target` is the pin that a second program of this pattern is named by.
    `sets` is what the answer names also where no board can show it: "440 Hz".
    """

    pattern: str
    values: PatternValues
    words: str
    target: PinTarget | None = None
    app_name: str | None = None
    sets: str = ""


def deploy(at: Context, wanted: Deployment) -> Decision:
    """The call that puts the filled pattern on the device, then the answer. Asks when a value is not allowed."""
    if at.results:
        said = _deployed(at.results[-1], once=wanted.pattern in _ENDING)
        return said if wanted.sets in said.text else replace(said, text=f"{said.text} It is set to {wanted.sets}.")
    board_of(at)
    kinds = at.device.kinds if at.device else ("wasm",)
    kind = next((one for one in kinds if one in pattern_kinds(wanted.pattern)), kinds[0])
    asked = {name: value for name, value in wanted.values.items() if isinstance(value, Fraction)}
    values = {name: round(v) if isinstance(v, Fraction) else v for name, v in wanted.values.items()}
    try:
        program = fill(wanted.pattern, values, kind=kind, asked=asked)
    except ConfigError as exc:
        raise ask(exc.message, exc.next_step) from exc
    name = at.parse.replaces or wanted.app_name or free_name(at, program.app_name, wanted.target)
    arguments = at.on_device(appName=name, sourceCode=program.source)
    if program.expect:
        arguments = {**arguments, "expect": f"{program.expect}{_TRIED_BEFORE}"}
    origin = f"{program.origin}   (a pattern: no model wrote this)"
    return Act("deploy-wasm-app", arguments, wanted.words, origin)


def paced(at: Context, pattern: str, target: PinTarget, values: PatternValues, words: str) -> Deployment:
    """One that goes on forever, each time as long as was asked for."""
    period_ms = pace_ms(at.parse, pattern)
    return Deployment(pattern, {**values, "PERIOD_MS": period_ms}, f"{words} every {spoken(period_ms)}", target)


def free_name(at: Context, stem: str, target: PinTarget | None) -> str:
    """The pattern's own name, with the pin added when that name already works on another pin."""
    apps = {app.name: app for app in at.device.apps} if at.device else {}
    taken = apps.get(stem)
    if target is None or taken is None or target.pin in taken.pins:
        return stem
    return f"{stem}-{target.pin}"


def _deployed(result: Result, *, once: bool) -> Say:
    """The answer after the deployment: never more than its evidence says."""
    name, device = result.fields.get("appName", "the program"), result.device
    kind, proof = result.proof
    verified = result.fields.get("verified", False)
    ends = " It ends by itself, and runs again when the board restarts." if once else ""
    if kind == "accepted" and verified and ":" in proof and "no read-back" not in proof:
        return Say(f"{device} took {name}. {capital(proof)}.{ends}")
    if kind == "accepted" and verified:
        return Say(
            f"{device} took {name} and lists it. The board offers no read-back of what a program does, so whether it "
            f"works cannot be seen from here.{ends}"
        )
    if kind == "accepted":
        return Say(f"{name} is not verified on {device}: {proof}.", "not_verified", f"ask again: is {name} running")
    if not verified:
        return Say(f"{name} is on {device}, but not verified: {proof}.", "not_verified", f"stop {name}")
    runs = (
        f"{name} runs on {device}, ends by itself, and runs again when the board restarts, until: stop {name}"
        if once
        else f"{name} runs on {device} by itself"
    )
    return Say(f"{runs}. {capital(proof)}.")
