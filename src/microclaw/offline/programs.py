"""Sentences that ask for a program: which pattern, its values, its name on the device, and the answer after it.

A rule (a sensor's value that switches a pin) is a program too, and so are the colors of an addressable LED. A rate has
its exact period (300 Hz is not 3 ms), and a program gets only a time that it keeps to within _KEPT of the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Final, TypeAlias

from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.language.times import spoken_duration
from microclaw.offline.boards import PinTarget, addressable_led, board_of, pin_target, sensor_of
from microclaw.offline.decision import PIN_SLOTS, Act, Context, Decision, Parse, Say, ToolFields, Values, ask, capital
from microclaw.offline.sentences import english
from microclaw.patterns.expected import Value
from microclaw.patterns.library import fill, pattern_kinds

PatternValues: TypeAlias = dict[str, Value | Fraction]

_TRIED_BEFORE: Final = "soak 0 s\nuptime 1 min\n"
"""A pattern itself was tried for minutes and across the wrap of millis() (tests/patterns): a sentence need not wait."""
_ENDING: Final = frozenset({"led_color", "blink_times", "pulse"})  # programs that end by themselves
_PULSE_MS: Final = (200, 200, 200)
_SWING_MILLI: Final = 500
_EACH: Final = re.compile(r"(?i)\b(?:every|each)\b")
_RAISES: Final = {"heater": "temperature", "humidifier": "humidity"}
_LOWERS: Final = {"cooler": "temperature", "dehumidifier": "humidity"}
_KEPT: Final = Fraction(1, 100)
"""A program's time may differ by so much of the time that was asked for."""
_FASTEST_LOOP_MS: Final = 10
"""A loop that changes a pin more often than this loses time with each change; PWM does not."""
_LEAST_PWM_HZ: Final = 10
_MOST_PWM_HZ: Final = 9_000
"""Of both kinds of programs: boards/ and docs/wasmachine.md have the limits of each."""
NS: Final = 1_000_000
_BLINKS: Final = ("blink", "blink_times", "led_blink")


Filled: TypeAlias = tuple[str, PatternValues, str]
"""A pattern, its values, and words that ask for exactly it.

A value that is a fraction is what was asked for: the program gets the nearest whole number, the trial is held against
the fraction.
"""


def without_pace(values: Values) -> Values:
    """Return the values of a parse without its pace."""
    return {name: value for name, value in values.items() if not re.fullmatch(r"(?:period_)?ms(?:_ns)?|speed", name)}


def pace_ms(parse: Parse) -> Fraction:
    """Return the time in the sentence, also 0 (refused later); else the time of "slowly", "fast" or no such word.

    Of a blink it is half a period: "every half second" toggles each half second, "2 Hz" are whole periods.
    """
    for slot in ("ms", "period_ms"):
        whole = parse.number(slot)
        exact_ns = parse.number(f"{slot}_ns")
        if whole is not None or exact_ns is not None:
            if exact_ns is None:
                time_ms = Fraction(whole or 0)
            else:
                time_ms = Fraction(exact_ns, NS)
            if slot == "period_ms" and parse.kind in _BLINKS:
                return time_ms / 2
            return time_ms
    return Fraction(english().paces.get(parse.kind, _PULSE_MS)[("", "slow", "fast").index(parse.word("speed") or "")])


def _blink(context: Context) -> Filled:
    target = pin_target(context)
    half_ms, is_fast = _square_wave(context)
    if is_fast:
        words = f"blink {target.words} at {round(500 / half_ms)} Hz"
        return "fast_blink", {"PIN": target.pin, "FREQUENCY_HZ": 500 / half_ms}, words
    return "blink", _pin(target) | {"HALF_PERIOD_MS": half_ms}, f"blink {target.words} every {spoken_duration(half_ms)}"


def _blink_times(context: Context) -> Filled:
    target = pin_target(context)
    times = context.parse.number("times")
    for_ms = context.parse.number("for_ms")
    half_ms, _ = _square_wave(context, pwm=False)
    each_ms = context.parse.number("ms")
    if (times or 0) > 1 and each_ms and _EACH.search(context.said):
        even, counted = (f"{1000 * n / each_ms:.4g} Hz" for n in (times or 1, 1))
        step = f"say: blink {target.words} at {even} (or: blink {target.words} {times} times at {counted})"
        raise ask(f"{times} times every {spoken_duration(each_ms)}: without an end, or only once?", step)
    if for_ms is not None and not 0 < for_ms >= 2 * half_ms:
        raise ask("One flash takes longer. How often, and for how long?", f"blink {target.words} every 200 ms for 1 s")
    if times is None:
        if half_ms:
            times = max(1, round((for_ms or 0) / (2 * half_ms)))
        else:
            times = 1
    if half_ms > 0:
        rate = f" at {float(500 / half_ms):.5g} Hz"
    else:
        rate = ""
    values = _pin(target) | {"HALF_PERIOD_MS": half_ms, "TIMES": times}
    return "blink_times", values, f"blink {target.words} {times} times{rate}"


def _square_wave(context: Context, *, pwm: bool = True) -> tuple[Fraction, bool]:
    """Half the period of the sentence's pace, and True if only PWM can keep it; asks with the nearest rate if none can.

    `pwm`: whether PWM will do. A pace of 0 is left to the pattern of a loop, which refuses it.
    """
    half = pace_ms(context.parse)
    if half <= 0 or (round(half) >= _FASTEST_LOOP_MS and _is_kept(half)):
        return half, False
    hz = 500 / half
    if pwm and _LEAST_PWM_HZ <= round(hz) <= _MOST_PWM_HZ and _is_kept(hz):
        return half, True
    possible = [Fraction(500, ms) for ms in (floor(half), ceil(half)) if ms >= _FASTEST_LOOP_MS]
    possible += [Fraction(rate) for rate in (floor(hz), ceil(hz)) if pwm and _LEAST_PWM_HZ <= rate <= _MOST_PWM_HZ]
    most = Fraction(_MOST_PWM_HZ if pwm else 500 // _FASTEST_LOOP_MS)
    nearest = min(possible or [most], key=lambda rate: abs(rate - hz))
    text = f"A program here cannot keep {float(hz):.4g} Hz to within {float(_KEPT):.0%}, so I did nothing."
    raise ask(text, f"the nearest rate is {float(nearest):.5g} Hz")


def _is_kept(wanted: Fraction) -> bool:
    """Return True if the nearest whole number is near enough, as a time and as a rate."""
    return abs(round(wanted) - wanted) <= _KEPT * min(wanted, Fraction(round(wanted)))


def _on_pin(context: Context) -> Filled:
    """Fill a program for one pin: its light, its servo, or a pulse."""
    target = pin_target(context)
    kind = context.parse.kind
    time_ms = pace_ms(context.parse)
    servo = f"the servo on pin {target.pin}"
    span = spoken_duration(time_ms)
    match kind:
        case "fade":
            return kind, _pin(target) | {"PERIOD_MS": time_ms}, f"fade {target.words} every {span}"
        case "pulse":
            return kind, _pin(target) | {"FOR_MS": time_ms}, f"turn on {target.words} for {span}"
        case "servo_sweep":
            return kind, {"PIN": target.pin, "PERIOD_MS": time_ms}, f"sweep {servo} every {span}"
    angle = context.parse.number("angle")
    milli = context.parse.number("milli") or 0
    if angle is None and milli % 1000:
        raise ask("Which angle?", f"in whole degrees: move {servo} to 90 degrees")
    if angle is None:
        angle = milli // 1000
    return kind, {"PIN": target.pin, "ANGLE": angle}, f"move {servo} to {angle} degrees"


def _button(context: Context) -> Filled:
    button = pin_target(context, "button_pin")
    light = pin_target(context)
    if button.pin == light.pin:
        question = f"The button and the light cannot both be on pin {light.pin}. Which pin is the light on?"
        raise ask(question, "name it, as in: pin 4", "pin")
    values: PatternValues = {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level}
    return "button_led", values, f"turn on {light.words} when the button on pin {button.pin} is pressed"


def _read_every(context: Context) -> Filled:
    name, _, address = sensor_of(context)
    every_ms = pace_ms(context.parse)
    values: PatternValues = {"QUANTITY": name, "ADDRESS": address, "EVERY_MS": every_ms}
    return "read_sensor", values, f"read the {name} every {spoken_duration(every_ms)}"


def _traffic_light(context: Context) -> Filled:
    lights = [pin_target(context, slot).pin for slot in PIN_SLOTS if context.parse.number(slot) is not None]
    if len(set(lights)) != 3 or len(lights) != 3:
        question = "A traffic light has three lights, each on its own pin. Which pins are red, yellow and green on?"
        raise ask(question, "name them in this order, as in: run a traffic light on pins 4, 5 and 6", "pins")
    values = dict(zip(("RED_PIN", "YELLOW_PIN", "GREEN_PIN"), lights, strict=True))
    return "traffic_light", {**values}, "run a traffic light on pins {}, {} and {}".format(*lights)


def _rule(context: Context) -> Filled:
    """Fill a rule: a sensor's value that switches a pin, or that is held at a setpoint."""
    name, quantity, address = sensor_of(context)
    parse = context.parse
    unit = parse.word("unit")
    # A bare number and amps come in thousandths of the unit that is said; the sensor tells milliamps and milliwatts.
    milli = (parse.number("milli") or 0) * (1000 if unit in ("amps", "watts") else 1)
    is_of_it = unit in (None, quantity.said_unit) and parse.number("milli") is not None
    if not is_of_it or not quantity.least <= milli / 1000 <= quantity.most:
        span = f"from {quantity.least:g} to {quantity.most:g} {quantity.shown_unit}"
        text = f"At which {name}? The {quantity.sensor.upper()} tells it {span}."
        raise ask(text, f"say it with its number, as in: when the {name} is above 28")
    target = pin_target(context)
    value = f"{milli / 1000:g} {quantity.shown_unit}"
    values: PatternValues = {"PIN": target.pin, "QUANTITY": name, "ADDRESS": address}
    if parse.kind == "thermostat":
        driven = parse.word("heats") or parse.word("usual") or ""
        if (_RAISES | _LOWERS).get(driven) != name:
            step = "hold the temperature at 22 degrees with the heater on pin 17 (or: the fan, the humidifier, ...)"
            raise ask(f"What is on pin {target.pin}, something that raises the {name} or that lowers it?", step)
        swing = int(parse.values.get("swing_milli", _SWING_MILLI))
        values |= {"SETPOINT_MILLI": milli, "HYSTERESIS_MILLI": swing, "HEATS": int(driven in _RAISES)}
        shown = f"{value} +/- {swing / 1000:g}"
        return "thermostat", values, f"hold the {name} at {shown} with the {driven} on pin {target.pin}"
    side = parse.word("side") or "above"
    if parse.number("level") == 0:
        other_side = "below" if side == "above" else "above"
        otherwise = f"{other_side} {value}"
        text = f"Off when {name} is {side} {value}. And at any other value: shall pin {target.pin} be on then?"
        raise ask(text, f"the other way round: turn on pin {target.pin} when the {name} is {otherwise}")
    values |= {"LIMIT_MILLI": milli, "ABOVE": int(side == "above"), "ON": target.active_level}
    span = ""
    if parse.kind == "threshold_pulse":
        values["FOR_MS"] = for_ms = parse.number("ms") or 0
        span = f" for {spoken_duration(for_ms)}"
    return parse.kind, values, f"turn on {target.words}{span} when the {name} is {side} {value}"


def as_light(parse: Parse, context: Context) -> Parse:
    """Return a parse about a color if "the LED" of the sentence is addressable; otherwise the parse as it is."""
    is_light = parse.kind in ("set_pin", "blink") and "pin_2" not in parse.values
    if not is_light or addressable_led(context) is None:
        return parse
    color = "white" if parse.kind == "blink" or parse.number("level") else "off"
    kind = "led_blink" if parse.kind == "blink" else "led_color"
    return replace(parse, kind=kind, values=parse.values | {"color": color})


def _led(context: Context) -> Filled:
    """Fill a program for addressable LEDs: a steady or blinking color, or a rainbow."""
    target = _chain(context)
    kind = context.parse.kind
    color = context.parse.word("color") or "white"
    if target.is_led:
        light = target.words
    else:
        light = f"the LED on pin {target.pin}"
    time_ms = pace_ms(context.parse)
    values: PatternValues = {"PIN": target.pin}
    if kind == "rainbow":
        return kind, values | {"PERIOD_MS": time_ms}, f"show a rainbow on {light} every {spoken_duration(time_ms)}"
    values |= dict(zip(("RED", "GREEN", "BLUE"), english().colors[color], strict=True))
    if kind == "led_blink":
        return kind, values | {"HALF_PERIOD_MS": time_ms}, f"blink {light} {color} every {spoken_duration(time_ms)}"
    return kind, values, f"turn off {target.words}" if color == "off" else f"make {light} {color}"


def _chain(context: Context) -> PinTarget:
    """Return the pin of the addressable LEDs: the pin of the board's own LED, or the pin that the sentence names."""
    board = board_of(context)
    if context.device is None or "py" not in context.device.kinds:
        text = f"The firmware of {board.title} cannot drive an addressable LED (WS2812), which colors need."
        raise ask(text, "a board with our MicroPython firmware can: microclaw flash", code="not_possible")
    own = addressable_led(context)
    if own is not None:
        return PinTarget(own, is_led=True)
    if context.parse.number("pin") is None:
        step = f"name it, as in: make the LED on pin {board.free_pins('output')[0]} red"
        raise ask(f"{board.title} has no LED of more colors. Which pin is yours (WS2812) on?", step, "pin")
    return pin_target(context)


def _pin(target: PinTarget) -> PatternValues:
    return {"PIN": target.pin, "ON": target.active_level}


_FILLED: Final[Mapping[str, Callable[[Context], Filled]]] = {
    "blink": _blink,
    "button": _button,
    "blink_times": _blink_times,
    "traffic_light": _traffic_light,
    "read_sensor_every": _read_every,
    **dict.fromkeys(("fade", "servo_sweep", "pulse", "servo"), _on_pin),
    **dict.fromkeys(("threshold", "threshold_pulse", "thermostat"), _rule),
    **dict.fromkeys(("led_color", "led_blink", "rainbow"), _led),
}


def _decide(context: Context) -> Decision:
    """Call the tool that installs the filled pattern, then answer. Raises CannotDo if a value is not allowed."""
    pattern, wanted, words = _FILLED[context.parse.kind](context)
    if context.results:
        return _deployed(context.results[-1], once=pattern in _ENDING)
    board_of(context)
    kinds = context.device.kinds if context.device else ("wasm",)
    possible_kinds = pattern_kinds(pattern)
    kind = next((kind for kind in kinds if kind in possible_kinds), kinds[0])
    exact: dict[str, Fraction] = {}
    values: dict[str, Value] = {}
    for name, value in wanted.items():
        if isinstance(value, Fraction):
            exact[name] = value
            values[name] = round(value)
        else:
            values[name] = value
    try:
        program = fill(pattern, values, kind=kind, asked=exact)
    except ConfigError as exc:
        raise ask(exc.message, exc.next_step) from exc
    if pattern == "read_sensor":
        stem = str(values["QUANTITY"])
    else:
        stem = program.app_name
    pin = values.get("PIN", values.get("LED_PIN"))
    if context.device:
        there = next((app for app in context.device.apps if app.name == stem), None)
    else:
        there = None
    is_taken = pin is not None and there is not None and pin not in there.pins  # it works on another pin
    name = context.parse.replaces or (f"{stem}-{pin}" if is_taken else stem)
    arguments = context.on_device(appName=name, sourceCode=program.source)
    if program.expect:
        arguments["expect"] = f"{program.expect}{_TRIED_BEFORE}"
    return Act("deploy-wasm-app", arguments, words, f"{program.origin}   (a pattern: no model wrote this)")


PROGRAMS: Final = dict.fromkeys(_FILLED, _decide)


def _deployed(result: ToolFields, *, once: bool) -> Say:
    """Return the answer after the deployment, which claims no more than its evidence."""
    name = result.fields.get("appName", "the program")
    device = result.device
    kind, proof = result.proof
    ends = ""
    if once:
        ends = " It ends by itself, and runs again when the board restarts."
    if result.fields.get("verified", False) is False:
        if kind == "accepted":
            step = f"ask again: is {name} running"
        else:
            step = f"stop {name}"
        return Say(f"{name} is on {device}, but not verified: {proof}.", "not_verified", step)
    if kind != "accepted":
        how = "" if once else " by itself"
        return Say(f"{name} runs on {device}{how}. {capital(proof)}.{ends}")
    has_detail = ":" in proof and "no read-back" not in proof
    detail = proof if has_detail else "it lists it, and offers no read-back of what a program does"
    return Say(f"{device} took {name}. {capital(detail)}.{ends}")
