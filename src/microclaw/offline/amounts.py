"""Words for more and less of the last act: "faster", "half as fast", "a bit brighter". They become whole numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from microclaw.offline.decision import Say
from microclaw.offline.last_act import LastAct
from microclaw.offline.paces import half_period_ms, pace_ms, time_values, without_pace
from microclaw.offline.parse import Parse

_IT: Final = r"(?:it|that|this|them|both|all of them|those)"
_PACE: Final = re.compile(
    rf"(?:(?:and|now|make|let|blink|flash|fade|do|go|run|speed|read|log|slow|have|it|that|this|please) )*"
    r"(?:(?P<amount>a (?:bit|little)|slightly|much|a lot|way|far|even|still) )?(?P<way>faster|quicker|slower)"
    rf"|(?:make {_IT} |blink |flash |fade |go )?(?:(?P<twice>twice|half|\d+ times) as )(?P<as>fast|quick|slow)"
    rf"|(?:at )?(?P<speed>double|twice|half|halve)(?: the)? speed|(?P<up>speed up|speed {_IT} up)"
    rf"|(?P<down>slow down|slow {_IT} down)"
)
_LIGHT: Final = re.compile(
    rf"(?:(?:and|now|make|let|dim|turn|have|it|that|this|by) )*(?:(?P<amount>a (?:bit|little)|slightly|much|a lot|way|"
    r"far|even|still) )?(?:(?P<percent>\d+) milli percent )?(?P<way>brighter|darker|dimmer|less bright)"
    r"(?: by (?P<by>\d+) milli percent)?"
    rf"|turn (?:{_IT} (?P<turn>up|down)|(?P<turned>up|down) {_IT})(?: (?:a (?:bit|little)))?"
    rf"|(?:make {_IT} )?(?P<twice>twice|half|\d+ times) as (?P<as>bright|dark|dim)"
)
_AMOUNTS: Final = {"a bit": 1.5, "a little": 1.5, "slightly": 1.25, "much": 4.0, "a lot": 4.0, "way": 4.0, "far": 4.0}
_STEPS_MILLI: Final = {"a bit": 10_000, "a little": 10_000, "slightly": 5_000, "much": 40_000, "a lot": 40_000}


def with_amount(said: str, act: LastAct) -> Parse | Say | None:
    """The last act with its pace or brightness changed, or why that cannot be; None for any other sentence.

    "Faster" is twice as fast, "a bit" half of that; "brighter" is 20 % of full brightness more, "a bit" 10 %.
    """
    if len(act.pins) == 1 or act.is_on_led:
        said = re.sub(rf"\b{act.target}\b", "it", said)  # "blink pin 2 faster" of what blinks there
    if pace := _PACE.fullmatch(said):
        return _paced(act, pace)
    light = _LIGHT.fullmatch(said)
    return _lighter(act, light) if light is not None else None


def _paced(act: LastAct, said: re.Match[str]) -> Parse | Say:
    factor = _pace_factor(said)
    match act.kind:
        case "blink" | "blink_times" | "led_blink":
            now_ms = half_period_ms(act.parse)
        case "fade":
            now_ms = pace_ms(act.parse, "fade")
        case "rainbow" | "servo_sweep":
            now_ms = pace_ms(act.parse, act.kind)
        case "read_sensor_every":
            now_ms = pace_ms(act.parse, "read")
        case _:
            hint = f"blink {_pin_of(act)} every second"
            return Say(f"{act.named} has no speed, so nothing was done.", "ambiguous", hint)
    return replace(act.parse, values=time_values("ms", now_ms / Fraction(factor), without_pace(act.parse.values)))


def _pin_of(act: LastAct) -> str:
    """The act's own pin for a hint; where it has none or several, what is to be filled in."""
    return act.target if len(act.pins) == 1 or act.is_on_led else "pin NUMBER"


def _pace_factor(said: re.Match[str]) -> float:
    if said["twice"]:
        many = {"twice": 2.0, "half": 0.5}.get(said["twice"]) or float(said["twice"].split(" ")[0])
        return many if said["as"] != "slow" else 1 / many
    if said["speed"]:
        return 0.5 if said["speed"].startswith("hal") else 2.0
    factor = _AMOUNTS.get(said["amount"] or "", 2.0)
    return 1 / factor if said["way"] == "slower" or said["down"] else factor


def _lighter(act: LastAct, said: re.Match[str]) -> Parse | Say:
    if act.kind == "set_pin" and act.done and len(act.pins) < 2:
        return Parse("dim_pin", act.target_values)  # it asks how bright
    milli = act.parse.number("milli")
    if act.kind != "dim_pin" or milli is None:
        return Say(f"{act.named} has no brightness, so nothing was done.", "ambiguous", f"dim {_pin_of(act)} to 30%")
    if said["twice"]:
        many = {"twice": 2.0, "half": 0.5}.get(said["twice"]) or float(said["twice"].split(" ")[0])
        wanted = milli * (many if said["as"] == "bright" else 1 / many)
    else:
        step = int(said["percent"] or said["by"] or _STEPS_MILLI.get(said["amount"] or "", 20_000))
        more = said["way"] == "brighter" or "up" in (said["turn"], said["turned"])
        wanted = milli + (step if more else -step)
    reached = round(min(100_000, max(0, wanted)))
    if reached == milli:
        return Say(f"{act.target.capitalize()} is at {milli / 1000:g}% already.")
    return replace(act.parse, values=act.parse.values | {"milli": reached})
