"""Sentences that ask for a program: which pattern, its values, its name on the device, and the answer after it.

The colors of an addressable LED are programs, too. A time that no program can keep to within _TOLERANCE is refused.
part_programs.py has the programs that join parts, threshold_programs.py those of a sensor's value that switches a pin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

from msgspec.structs import replace

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.boards import PinTarget, addressable_led, board_of, device_of, pin_target
from microclaw.agent.offline.decision import (
    PIN_SLOTS,
    Act,
    CannotDo,
    Context,
    Decision,
    Parse,
    Say,
    ToolFields,
    ask,
    capitalize,
)
from microclaw.agent.offline.display_programs import DISPLAY_FILLERS, NOTES, display_app, needs_time
from microclaw.agent.offline.full_board import last_place, make_room, replaced_text
from microclaw.agent.offline.part_programs import PART_FILLERS, fill_reading
from microclaw.agent.offline.pattern_values import Filled, PatternValues, pace_ms
from microclaw.agent.offline.ready_programs import INSTALL, fill_ready_program
from microclaw.agent.offline.sentences import english
from microclaw.agent.offline.threshold_programs import THRESHOLD_FILLERS
from microclaw.errors import ConfigError
from microclaw.events import ProgramKind
from microclaw.hardware.parts.named_parts import inputs_on, part_line
from microclaw.hardware.parts.wiring import Wiring
from microclaw.programs.patterns.displays import PYTHON_BOARDS, display_kinds, parse_display
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import Pattern, fill, pattern_kinds
from microclaw.programs.patterns.recorded_ids import with_recorded_ids

_TRIED_BEFORE: Final = "soak 0 s\nuptime 1 min\n"
"""Each pattern was tried for minutes and across the wrap of millis() by tests/programs/patterns."""
_DONE_ONCE: Final = frozenset({"blink_times", "pulse", "melody", "stepper"})
"""Patterns that do something once. Their programs end by themselves, and the board does not begin them again."""
_LEAVES_STATE: Final = frozenset({"led_color", "show_text", "clear_display"})
"""Patterns whose programs end by themselves and leave a state, which a restart of the board brings back."""
_LOAD_PINS: Final = ("PIN", "LED_PIN", "ALARM_PIN", "SERVO_PIN", "BUZZER_PIN", "PUMP_PIN")
_EACH: Final = re.compile(r"(?i)\b(?:every|each)\b")
_TOLERANCE: Final = Fraction(1, 100)
"""The share of the requested time by which a program's time may differ from it."""
_FASTEST_LOOP_MS: Final = 10
"""A loop that changes a pin more often than this loses time with each change; PWM does not."""
_LEAST_PWM_HZ: Final = 10
_MOST_PWM_HZ: Final = 9_000
"""A rate that both kinds of programs can have: boards/ and docs/wasmachine.md have the limits of each."""


def _blink(context: Context) -> Filled:
    target = pin_target(context)
    half_ms, is_fast = _square_wave(context)
    if is_fast:
        words = f"blink {target.words} at {round(500 / half_ms)} Hz"
        return "fast_blink", {"PIN": target.pin, "FREQUENCY_HZ": 500 / half_ms}, words
    values = _pin(target) | {"HALF_PERIOD_MS": half_ms}
    return "blink", values, f"blink {target.words} every {spoken_duration(half_ms)}"


def _blink_times(context: Context) -> Filled:
    target = pin_target(context)
    times = context.parse.number("times")
    for_ms = context.parse.number("for_ms")
    half_ms, _ = _square_wave(context, pwm=False)
    each_ms = context.parse.number("ms") if _EACH.search(context.sentence) else None
    if times is not None and times > 1 and each_ms:
        raise _ask_about_end(target, times, each_ms)
    if for_ms is not None and not 0 < for_ms >= 2 * half_ms:
        raise ask("One flash takes longer. How often, and for how long?", f"blink {target.words} every 200 ms for 1 s")
    if times is None:
        times = 1
        if half_ms:
            times = max(1, round((for_ms or 0) / (2 * half_ms)))
    rate = ""
    if half_ms > 0:
        rate = f" at {float(500 / half_ms):.5g} Hz"
    values = _pin(target) | {"HALF_PERIOD_MS": half_ms, "TIMES": times}
    return "blink_times", values, f"blink {target.words} {times} times{rate}"


def _ask_about_end(target: PinTarget, times: int, each_ms: int) -> CannotDo:
    """Ask what "3 times every second" means: three flashes each second without an end, or only three flashes."""
    endless = f"blink {target.words} at {1000 * times / each_ms:.4g} Hz"
    counted = f"blink {target.words} {times} times at {1000 / each_ms:.4g} Hz"
    question = f"{times} times every {spoken_duration(each_ms)}: only once, or without an end?"
    return ask(question, f"say: {endless} (or: {counted})", suggested=(counted, endless))


def _square_wave(context: Context, *, pwm: bool = True) -> tuple[Fraction, bool]:
    """Return half the period of the sentence's pace, in ms, and True if only PWM can keep it.

    `pwm`: the program may use PWM. A pace of 0 is left to the pattern of a loop, which refuses it. Raises CannotDo
    with the nearest possible rate if no program can keep the pace.
    """
    half_ms = pace_ms(context.parse)
    is_slow = round(half_ms) >= _FASTEST_LOOP_MS and _is_kept(half_ms)
    if half_ms <= 0 or is_slow:
        return half_ms, False
    rate_hz = 500 / half_ms
    if pwm and _is_pwm_rate(round(rate_hz)) and _is_kept(rate_hz):
        return half_ms, True
    nearest_hz = _nearest_rate(half_ms, pwm=pwm)
    text = f"A program here cannot keep {float(rate_hz):.4g} Hz to within {float(_TOLERANCE):.0%}, so I did nothing."
    raise ask(text, f"the nearest rate is {float(nearest_hz):.5g} Hz")


def _nearest_rate(half_ms: Fraction, *, pwm: bool) -> Fraction:
    """Return the nearest rate in Hz that a program can keep: one of a loop, or of PWM if that is allowed."""
    rate_hz = 500 / half_ms
    rates_hz = list[Fraction]()
    for whole_ms in (floor(half_ms), ceil(half_ms)):
        if whole_ms >= _FASTEST_LOOP_MS:
            rates_hz.append(Fraction(500, whole_ms))
    if pwm:
        for whole_hz in (floor(rate_hz), ceil(rate_hz)):
            if _is_pwm_rate(whole_hz):
                rates_hz.append(Fraction(whole_hz))
    if not rates_hz:
        most_hz = _MOST_PWM_HZ if pwm else 500 // _FASTEST_LOOP_MS
        rates_hz.append(Fraction(most_hz))
    return min(rates_hz, key=lambda possible_hz: abs(possible_hz - rate_hz))


def _is_pwm_rate(rate_hz: int) -> bool:
    return _LEAST_PWM_HZ <= rate_hz <= _MOST_PWM_HZ


def _is_kept(exact: Fraction) -> bool:
    """Return True if the nearest whole number is near enough, as a time and as a rate."""
    whole = Fraction(round(exact))
    return abs(whole - exact) <= _TOLERANCE * min(exact, whole)


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
    check_pressed_low(context, button.pin)
    values: PatternValues = {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level}
    return "button_led", values, f"turn on {light.words} when the button on pin {button.pin} is pressed"


def check_pressed_low(context: Context, pin: int) -> None:
    """Raise CannotDo if the button that is recorded at a pin makes it high."""
    for part in device_of(context).record.on_pin(pin):
        if part.active == "high" and inputs_on(Wiring((part,)), pin):
            text = f"The {part.label or part.id} makes its pin high when it is pressed, and this program waits for low"
            raise ask(f"{text}.", f"if it does not: microclaw device wiring NAME --add '{part_line(part)}'")


def _traffic_light(context: Context) -> Filled:
    lights = [pin_target(context, slot).pin for slot in PIN_SLOTS if context.parse.number(slot) is not None]
    if len(set(lights)) != 3 or len(lights) != 3:
        question = "A traffic light has three lights, each on its own pin. Which pins are red, yellow and green on?"
        raise ask(question, "name them in this order, as in: run a traffic light on pins 4, 5 and 6", "pins")
    red, yellow, green = lights
    values: PatternValues = {"RED_PIN": red, "YELLOW_PIN": yellow, "GREEN_PIN": green}
    return "traffic_light", values, f"run a traffic light on pins {red}, {yellow} and {green}"


def as_light(parse: Parse, context: Context) -> Parse:
    """Return a parse about a color if "the LED" of the sentence is addressable; otherwise the parse as it is."""
    is_light = parse.kind in ("set_pin", "blink") and "pin_2" not in parse.values
    if not is_light or addressable_led(context) is None:
        return parse
    kind = "led_color"
    color = "white"
    if parse.kind == "blink":
        kind = "led_blink"
    elif not parse.number("level"):
        color = "off"
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
        values["PERIOD_MS"] = time_ms
        return kind, values, f"show a rainbow on {light} every {spoken_duration(time_ms)}"
    red, green, blue = english().colors[color]
    values |= {"RED": red, "GREEN": green, "BLUE": blue}
    if kind == "led_blink":
        values["HALF_PERIOD_MS"] = time_ms
        return kind, values, f"blink {light} {color} every {spoken_duration(time_ms)}"
    if color == "off":
        return kind, values, f"turn off {target.words}"
    return kind, values, f"make {light} {color}"


def _chain(context: Context) -> PinTarget:
    """Return the pin of the addressable LEDs: the pin of the board's own LED, or the pin that the sentence names."""
    board = board_of(context)
    if context.device is None or "py" not in context.device.kinds:
        text = f"The firmware of {board.title} cannot drive an addressable LED, which colors need."
        raise ask(text, f"a board with our MicroPython firmware can: {PYTHON_BOARDS}", code="not_possible")
    led_pin = addressable_led(context)
    if led_pin is not None:
        return PinTarget(led_pin, is_led=True)
    if context.parse.number("pin") is None:
        step = f"name it, as in: make the LED on pin {board.usable_pins('output')[0]} red"
        raise ask(f"{board.title} has no LED of more colors. Which pin are your addressable LEDs on?", step, "pin")
    return pin_target(context)


def _pin(target: PinTarget) -> PatternValues:
    return {"PIN": target.pin, "ON": target.active_level}


_FILLERS: Final[Mapping[str, Callable[[Context], Filled]]] = {
    "blink": _blink,
    "button": _button,
    "blink_times": _blink_times,
    "traffic_light": _traffic_light,
    "read_sensor_every": fill_reading,
    **PART_FILLERS,
    **DISPLAY_FILLERS,
    INSTALL: fill_ready_program,
    **dict.fromkeys(("fade", "servo_sweep", "pulse", "servo"), _on_pin),
    **THRESHOLD_FILLERS,
    **dict.fromkeys(("led_color", "led_blink", "rainbow"), _led),
}


def _decide(context: Context) -> Decision:
    """Call the tool that installs the filled pattern, then answer. Raises CannotDo if a value is not allowed."""
    time_call = needs_time(context)
    if time_call is not None:
        return time_call
    pattern, exact_values, words = _FILLERS[context.parse.kind](context)
    if context.results and context.results[-1].tool == "deploy-wasm-app":
        notes = [NOTES[pattern]] if pattern in NOTES else []
        is_done_once = pattern in _DONE_ONCE
        leaves_state = pattern in _LEAVES_STATE
        return answer_installed(context, notes, ends=is_done_once or leaves_state, runs_again=leaves_state)
    # Raises CannotDo, with the question which device, if there are several.
    board_of(context)
    exact: dict[str, Fraction] = {}
    values: dict[str, Value] = {}
    for name, value in exact_values.items():
        if isinstance(value, Fraction):
            exact[name] = value
            values[name] = round(value)
        else:
            values[name] = value
    kind = _choose_kind(context, pattern, values)
    try:
        program = fill(pattern, values, kind=kind, asked=exact)
    except ConfigError as exc:
        raise ask(exc.message, exc.next_step) from exc
    app_name = program.app_name
    if pattern == "read_sensor":
        app_name = str(values["QUANTITY"])
    if "DISPLAY" in values:
        app_name = display_app(context, app_name, str(values["DISPLAY"]))
    name = context.parse.replaces or _free_name(context, app_name, _load_pin(values))
    room_call = make_room(context, name, words)
    if room_call is not None:
        return room_call
    arguments = _deploy_arguments(context, program, name)
    return Act("deploy-wasm-app", arguments, words, f"{program.origin}   (a pattern: no model wrote this)")


def _deploy_arguments(context: Context, program: Pattern, name: str) -> dict[str, Any]:
    arguments = context.on_device(appName=name, sourceCode=program.source)
    if program.expect:
        expect = with_recorded_ids(program.expect, device_of(context).wiring)
        arguments["expect"] = f"{expect}{_TRIED_BEFORE}"
    if program.name in _DONE_ONCE:
        arguments["autostart"] = False
    return arguments


def answer_installed(context: Context, notes: Iterable[str], *, ends: bool, runs_again: bool = False) -> Say:
    """Return the answer after the installation, with what it says of the board's places.

    `notes` are sentences about the program, said if it runs. `ends`: it ends by itself. `runs_again`: and a restart of
    the board begins it again.
    """
    result = context.results[-1]
    answer = _answer_deployment(result, ends=ends, runs_again=runs_again)
    text = answer.text
    if answer.code is None:
        text = " ".join([text, *notes])
    if result.fields.get("warning"):
        text += f" Careful: {result.fields['warning']}."
    return replace(answer, text=f"{text}{replaced_text(context)}{last_place(context, result)}")


PROGRAMS: Final = dict.fromkeys(_FILLERS, _decide)


def _choose_kind(context: Context, pattern: str, values: Mapping[str, Value]) -> ProgramKind:
    """Return the first kind of program of the device that the pattern has, or the device's first kind."""
    kinds = context.device.kinds if context.device else ("wasm",)
    possible_kinds = pattern_kinds(pattern)
    if "DISPLAY" in values:
        drawing_kinds = display_kinds(parse_display(str(values["DISPLAY"])))
        possible_kinds = tuple(kind for kind in possible_kinds if kind in drawing_kinds)
    for kind in kinds:
        if kind in possible_kinds:
            return kind
    return kinds[0]


def _load_pin(values: Mapping[str, Value]) -> Value | None:
    """Return the pin of the load that a program switches, or None if it has none, or several."""
    for name in _LOAD_PINS:
        if name in values:
            return values[name]
    return None


def _free_name(context: Context, name: str, pin: Value | None) -> str:
    """Return the name of the program, with its pin if the program of this name works on another pin."""
    if context.device is None or pin is None:
        return name
    for app in context.device.apps:
        if app.name == name and pin not in app.pins:
            return f"{name}-{pin}"
    return name


def _answer_deployment(result: ToolFields, *, ends: bool, runs_again: bool) -> Say:
    """Return the answer after the deployment, which claims no more than its evidence."""
    name = result.fields.get("appName", "the program")
    device = result.device
    kind, proof = result.proof
    if result.fields.get("verified", False) is False:
        step = f"stop {name}"
        if kind == "accepted":
            step = f"ask again: is {name} running"
        return Say(f"{name} is on {device}, but not verified: {proof}.", "not_verified", step)
    end = ""
    way = " by itself"
    if ends:
        end = " It ends by itself."
        way = ""
    if runs_again:
        end = " It ends by itself, and runs again when the board restarts."
    if kind != "accepted":
        return Say(f"{name} runs on {device}{way}. {capitalize(proof)}.{end}")
    detail = "it lists it, and offers no read-back of what a program does"
    if ":" in proof and "no read-back" not in proof:
        detail = proof
    return Say(f"{device} took {name}. {capitalize(detail)}.{end}")
