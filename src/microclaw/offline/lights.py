"""Sentences about addressable LEDs and about servos: which pattern, with which values. Deploys nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from microclaw.offline.decision import Context, ask
from microclaw.offline.deployment import Deployment, PatternValues, paced, spoken
from microclaw.offline.paces import half_period_ms
from microclaw.offline.parse import Parse
from microclaw.offline.pins import PinTarget, addressable_led, board_of, no_addressable_led, pin_target

_COLORS: Final[Mapping[str, tuple[int, int, int]]] = {
    "off": (0, 0, 0),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 180, 0),
    "orange": (255, 90, 0),
    "purple": (160, 0, 255),
    "cyan": (0, 255, 255),
    "white": (255, 255, 255),
}
"""firmware/fw/microclaw_devices.py has the same."""


def as_light(parse: Parse, at: Context) -> Parse:
    """The parse about a color, for a sentence about "the LED" that is addressable and that a program can light."""
    if parse.kind not in ("set_pin", "blink") or "pin_2" in parse.values or at.device is None:
        return parse
    if addressable_led(at) is None:
        return parse
    color = "white" if parse.kind == "blink" or parse.number("level") else "off"
    kind = "led_blink" if parse.kind == "blink" else "led_color"
    return replace(parse, kind=kind, values=parse.values | {"color": color})


def _led_color(at: Context) -> Deployment:
    target, color = _chain(at), at.parse.word("color") or "white"
    words = f"turn off {target.words}" if color == "off" else f"make {_spoken(target)} {color}"
    return Deployment("led_color", _values(target, color), words, target)


def _led_blink(at: Context) -> Deployment:
    target, color, half_ms = _chain(at), at.parse.word("color") or "white", half_period_ms(at.parse)
    values: PatternValues = {**_values(target, color), "HALF_PERIOD_MS": half_ms}
    return Deployment("led_blink", values, f"blink {_spoken(target)} {color} every {spoken(half_ms)}", target)


def _rainbow(at: Context) -> Deployment:
    target = _chain(at)
    return paced(at, "rainbow", target, {"PIN": target.pin}, f"show a rainbow on {_spoken(target)}")


def _servo(at: Context) -> Deployment:
    target, angle, milli = pin_target(at), at.parse.number("angle"), at.parse.number("milli")
    if angle is None:
        if milli is None or milli % 1000:
            raise ask("Which angle?", f"in whole degrees: move the servo on pin {target.pin} to 90 degrees")
        angle = milli // 1000
    words = f"move the servo on pin {target.pin} to {angle} degrees"
    return Deployment("servo", {"PIN": target.pin, "ANGLE": angle}, words, target)


def _servo_sweep(at: Context) -> Deployment:
    target = pin_target(at)
    return paced(at, "servo_sweep", target, {"PIN": target.pin}, f"sweep the servo on pin {target.pin}")


LIGHTS: Final[Mapping[str, Callable[[Context], Deployment]]] = {
    "led_color": _led_color,
    "led_blink": _led_blink,
    "rainbow": _rainbow,
    "servo": _servo,
    "servo_sweep": _servo_sweep,
}


def _chain(at: Context) -> PinTarget:
    """The pin that addressable LEDs are on: the one that is named, or that of the board's own LED."""
    pin = at.parse.number("pin")
    board = board_of(at)
    if at.device is None or "py" not in at.device.kinds or (pin is None and addressable_led(at) is None):
        raise no_addressable_led(at)
    is_own = board.led is not None and board.led.kind == "addressable" and pin in (None, board.led.pin)
    return PinTarget(board.led.pin, is_led=True) if is_own and board.led is not None else pin_target(at)


def _values(target: PinTarget, color: str) -> PatternValues:
    red, green, blue = _COLORS[color]
    return {"PIN": target.pin, "RED": red, "GREEN": green, "BLUE": blue}


def _spoken(target: PinTarget) -> str:
    return target.words if target.is_led else f"the LED on pin {target.pin}"
