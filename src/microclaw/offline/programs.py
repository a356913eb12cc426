"""Sentences that ask for a program: which pattern, its parameters, its name on the device. Deploys nothing itself.

A rule (a sensor's value that switches a pin) is a program too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from microclaw.boards.pins import check_pin
from microclaw.errors import PinRefused
from microclaw.offline.decision import CannotDo, Context, Decision, Say, ask
from microclaw.offline.deployment import (
    Deployment,
    PatternValues,
    deploy,
    free_name,
    paced,
    seconds,
    spoken,
)
from microclaw.offline.lights import LIGHTS
from microclaw.offline.paces import duty_of, exact_ms, pace_ms, square_wave
from microclaw.offline.parse import PIN_SLOTS
from microclaw.offline.pins import PinTarget, Quantity, board_of, pin_target, sensor_of

_PULSE_MS = 200
_TRAFFIC_EXAMPLE = "run a traffic light on pins 4, 5 and 6"
_SWING_MILLI = 500
_EACH = re.compile(r"(?i)\b(?:every|each)\b")
# What is driven: the quantity it moves, and whether it raises it.
_DRIVEN = {
    "heater": ("temperature", True),
    "cooler": ("temperature", False),
    "humidifier": ("humidity", True),
    "dehumidifier": ("humidity", False),
}


def _blink(at: Context) -> Deployment:
    target, wave = pin_target(at), square_wave(at)
    if wave.by_pwm:
        values: PatternValues = {"PIN": target.pin, "FREQUENCY_HZ": wave.hz}
        hz = round(wave.hz)
        return Deployment("fast_blink", values, f"blink {target.words} at {hz} Hz", target, sets=f"{hz:,} Hz")
    values = {**_pin_values(target), "HALF_PERIOD_MS": wave.half_ms}
    return Deployment("blink", values, f"blink {target.words} every {spoken(wave.half_ms)}", target)


def _blink_times(at: Context) -> Deployment:
    target, times, for_ms = pin_target(at), at.parse.number("times"), at.parse.number("for_ms")
    half_ms = square_wave(at, pwm=False).half_ms
    if (times or 0) > 1 and (each_ms := at.parse.number("ms")) and _EACH.search(at.said):
        even, counted = (f"{1000 * n / each_ms:.4g} Hz" for n in (times or 1, 1))
        raise ask(
            f"{times} times every {seconds(each_ms)} can be without an end, or only once. Which do you mean?",
            f"say: blink {target.words} at {even} (or: blink {target.words} {times} times at {counted})",
        )
    if for_ms is not None and (for_ms <= 0 or for_ms < 2 * half_ms):
        raise ask(
            f"One flash takes {seconds(2 * half_ms)}, longer than {seconds(for_ms)}. How often, and for how long?",
            f"blink {target.words} every 200 ms for {seconds(max(for_ms, 400))}",
        )
    if times is None:
        times = max(1, round((for_ms or 0) / (2 * half_ms))) if half_ms else 1
    rate = f" at {float(500 / half_ms):.5g} Hz" if half_ms > 0 else ""
    values: PatternValues = {**_pin_values(target), "HALF_PERIOD_MS": half_ms, "TIMES": times}
    return Deployment("blink_times", values, f"blink {target.words} {times} times{rate}", target)


def _tone(at: Context) -> Deployment:
    """A square wave that a buzzer or a loudspeaker makes heard, always by PWM; until it is stopped, or for a time."""
    target, for_ms = pin_target(at), at.parse.number("for_ms")
    if exact_ms(at.parse, "period_ms") is None:
        raise ask("How high a tone?", f"play a 440 Hz tone on {target.words} for 2 seconds")
    try:
        check_pin(board_of(at), target.pin, "pwm")
    except PinRefused as exc:
        raise ask(f"A tone is made by PWM, and {exc.message}.", exc.next_step) from exc
    wave = square_wave(at, loop=False)
    hz, name = round(wave.hz), free_name(at, "tone", target)
    values: PatternValues = {"PIN": target.pin, "FREQUENCY_HZ": wave.hz}
    pattern, words = "fast_blink", f"play a tone of {hz} Hz on {target.words}"
    if for_ms is not None:
        pattern, words = "pwm_pulse", f"{words} for {spoken(for_ms)}"
        values |= {"ON": target.active_level, "DUTY": 128, "FOR_MS": for_ms}
    return Deployment(pattern, values, words, target, name, sets=f"{hz:,} Hz")


def _fade(at: Context) -> Deployment:
    target = pin_target(at)
    return paced(at, "fade", target, _pin_values(target), f"fade {target.words}")


def _pulse(at: Context) -> Deployment:
    target, for_ms = pin_target(at), at.parse.number("ms")
    for_ms = _PULSE_MS if for_ms is None else for_ms
    values: PatternValues = {**_pin_values(target), "FOR_MS": for_ms}
    return Deployment("pulse", values, f"turn on {target.words} for {spoken(for_ms)}", target)


def _pwm_pulse(at: Context) -> Deployment:
    target, for_ms, milli = pin_target(at), at.parse.number("ms") or 0, at.parse.number("milli") or 0
    values: PatternValues = {**_pin_values(target), "DUTY": duty_of(at, target), "FOR_MS": for_ms}
    return Deployment("pwm_pulse", values, f"turn on {target.words} at {milli / 1000:g}% for {spoken(for_ms)}", target)


def _button(at: Context) -> Deployment:
    button, light = pin_target(at, "button_pin"), pin_target(at)
    if button.pin == light.pin:
        question = f"The button and the light cannot both be on pin {light.pin}. Which pin is the light on?"
        raise ask(question, "name it, as in: pin 4", "pin")
    values: PatternValues = {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level}
    words = f"turn on {light.words} when the button on pin {button.pin} is pressed"
    return Deployment("button_led", values, words, light)


def _read_every(at: Context) -> Deployment:
    name, every_ms = at.parse.word("quantity") or "temperature", pace_ms(at.parse, "read")
    _, address = sensor_of(at, name)
    values: PatternValues = {"QUANTITY": name, "ADDRESS": address, "EVERY_MS": every_ms}
    return Deployment("read_sensor", values, f"read the {name} every {spoken(every_ms)}", app_name=name)


def _traffic_light(at: Context) -> Deployment:
    lights = [pin_target(at, slot).pin for slot in PIN_SLOTS[:3] if at.parse.number(slot) is not None]
    if len(set(lights)) != 3 or at.parse.number("pin_4") is not None:
        question = (
            "A traffic light has three lights, each on a pin of its own. Which pins are red, yellow and green on?"
        )
        raise ask(question, f"name them in this order, as in: {_TRAFFIC_EXAMPLE}", "pins")
    red, yellow, green = lights
    values: PatternValues = {"RED_PIN": red, "YELLOW_PIN": yellow, "GREEN_PIN": green}
    return Deployment("traffic_light", values, f"run a traffic light on pins {red}, {yellow} and {green}")


def _threshold(at: Context) -> Deployment:
    """A pin that is on, or with "for so long" goes on once, beyond a limit."""
    (name, quantity, sensor, milli), target = _limit(at), pin_target(at)
    above, value = at.parse.word("side") == "above", f"{milli / 1000:g} {quantity.shown_unit}"
    side, otherwise = ("above", "below") if above else ("below", "above")
    if at.parse.number("level") == 0:
        raise ask(
            f"Off when {name} is {side} {value}. And at any other value: shall pin {target.pin} be on then?",
            f"say it the other way round: turn on pin {target.pin} when the {name} is {otherwise} {value}",
        )
    values: PatternValues = {
        **_pin_values(target), **sensor, "LIMIT_MILLI": milli, "ABOVE": int(above),
    }  # fmt: skip
    span = ""
    if at.parse.kind == "threshold_pulse":
        for_ms = at.parse.number("ms") or 0
        values, span = values | {"FOR_MS": for_ms}, f" for {spoken(for_ms)}"
    return Deployment(at.parse.kind, values, f"turn on {target.words}{span} when the {name} is {side} {value}", target)


def _thermostat(at: Context) -> Deployment:
    (name, quantity, sensor, milli), target = _limit(at), pin_target(at)
    driven = at.parse.word("heats") or at.parse.word("usual") or ""
    moves, raises = _DRIVEN.get(driven, ("", True))
    if moves != name:
        raise ask(
            f"What is on pin {target.pin}, something that raises the {name} or something that lowers it?",
            "hold the temperature at 22 degrees with the heater on pin 17 (or: the fan, the humidifier, ...)",
        )
    swing = at.parse.number("swing_milli")
    swing = _SWING_MILLI if swing is None else swing
    values: PatternValues = {"PIN": target.pin, **sensor, "SETPOINT_MILLI": milli}
    values |= {"HYSTERESIS_MILLI": swing, "HEATS": int(raises)}
    shown = f"{milli / 1000:g} {quantity.shown_unit} +/- {swing / 1000:g}"
    words = f"hold the {name} at {shown} with the {driven} on pin {target.pin}"
    return Deployment("thermostat", values, words, target)


def _publish(at: Context) -> Deployment:
    """Declined: where the build has MQTT there is no pattern for it yet, elsewhere nothing could run."""
    board = board_of(at)
    name = at.parse.word("quantity") or "temperature"
    why = (
        "microclaw has no ready program for it; a language model can write one"
        if "mqtt" in board.firmware.native_groups
        else f"the firmware build of {board.title} has no MQTT"
    )
    text = f"Publishing over MQTT is not possible here: {why}."
    raise CannotDo(Say(text, "not_possible", f"log the {name} every 60 seconds"))


_DEPLOYMENTS: Mapping[str, Callable[[Context], Deployment]] = {
    "blink": _blink,
    "fade": _fade,
    "button": _button,
    "blink_times": _blink_times,
    "tone": _tone,
    "traffic_light": _traffic_light,
    "read_sensor_every": _read_every,
    "pulse": _pulse,
    "pwm_pulse": _pwm_pulse,
    "threshold": _threshold,
    "threshold_pulse": _threshold,
    "thermostat": _thermostat,
    "publish": _publish,
    **LIGHTS,
}


def _decide(at: Context) -> Decision:
    return deploy(at, _DEPLOYMENTS[at.parse.kind](at))


PROGRAMS: Mapping[str, Callable[[Context], Decision]] = dict.fromkeys(_DEPLOYMENTS, _decide)


def _pin_values(target: PinTarget) -> PatternValues:
    return {"PIN": target.pin, "ON": target.active_level}


def _limit(at: Context) -> tuple[str, Quantity, PatternValues, int]:
    """A rule's quantity, its sensor's values, and the limit in thousandths of the unit that the sensor tells."""
    name, milli, unit = at.parse.word("quantity") or "temperature", at.parse.number("milli"), at.parse.word("unit")
    quantity, address = sensor_of(at, name)
    if unit is not None and unit != quantity.said_unit:
        question = f"{name.capitalize()} is not measured in {unit}. What limit do you mean?"
        raise ask(question, f"say it in {quantity.shown_unit}")
    if milli is None:
        raise ask(f"At which {name}?", f"say it with a number, as in: when the {name} is above 28")
    # A bare number and amps come in thousandths of the unit that is said; the sensor tells milliamps and milliwatts.
    milli *= 1000 if unit in ("amps", "watts") else 1
    if not quantity.least <= milli / 1000 <= quantity.most:
        raise ask(
            f"The {quantity.sensor.upper()} tells {name} from {quantity.least:g} to {quantity.most:g} "
            f"{quantity.shown_unit}, not {milli / 1000:g}. What limit do you mean?",
            f"say it in {quantity.shown_unit}",
        )
    return name, quantity, {"QUANTITY": name, "ADDRESS": address}, milli
