"""Sentences whose program joins parts: which pattern, its values, and words that ask for exactly it.

A button, a potentiometer or a sensor acts on a light, a servo or a buzzer; a sensor is read again and again; a buzzer
plays, a stepper turns. A pin that a sentence does not name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.board_sensors import FIND_PROGRAMS, reading_pattern, sensor_of, wired_sensor
from microclaw.agent.offline.boards import PinTarget, pin_target
from microclaw.agent.offline.decision import PIN_SLOTS, Context, ask
from microclaw.agent.offline.pattern_values import Filled, PatternValues, pace_ms
from microclaw.hardware.parts.reader import Part, find_part

_MOTION_MS: Final = 10_000
_WATER_MS: Final = 5_000
_NOTE_MS: Final[Mapping[str, int]] = {"slow": 800, "": 400, "fast": 200}
_TURN_MILLI: Final = 360_000
"""A turn in thousandths of a degree."""
_TURN_ROUNDS: Final = 512
"""Rounds of four full steps for a turn of a 28BYJ-48."""
_TOLERANCE: Final = Fraction(1, 100)
_STEPPER: Final = "turn the stepper on pins 4, 5, 6 and 7 by 2 turns"
_SONAR: Final = "beep pin 6 when something is closer than 20 cm to the sensor on pins 5 and 18"


def fill_reading(context: Context) -> Filled:
    """Fill a program that reads a sensor again and again. Raises CannotDo if no wired part measures the quantity."""
    wired = wired_sensor(context)
    if wired is not None and wired.address is None:
        (pin,) = wired.pins.values()
        return _read_part(context, wired.facts, pin)
    sensor = sensor_of(context)
    every_ms = pace_ms(context.parse)
    values: PatternValues = {"QUANTITY": sensor.name, "ADDRESS": sensor.address, "EVERY_MS": every_ms}
    source = ""
    if context.parse.word("part") is not None:
        source = f" of the {sensor.part.name}"
    return "read_sensor", values, f"read the {sensor.name}{source} every {spoken_duration(every_ms)}"


def _read_named_part(context: Context) -> Filled:
    """Fill a program that reads the part that the sentence names, at the pin that it names or that it is wired to."""
    facts = find_part(context.parse.word("part") or "")
    is_wired = context.parse.number("pin") is None and wired_sensor(context) is not None
    if facts.i2c is not None or is_wired:
        return fill_reading(context)
    name = context.parse.word("quantity") or "temperature"
    if name not in facts.measures:
        measured = " and ".join(facts.measures)
        text = f"The {facts.name.upper()} measures {measured}, and not {name}."
        raise ask(text, f"log the {next(iter(facts.measures))} of the {facts.name} on pin 4 every 10 s")
    return _read_part(context, facts, pin_target(context).pin)


def _read_part(context: Context, facts: Part, pin: int) -> Filled:
    pattern = reading_pattern(facts)
    if pattern is None:
        text = f"No ready program reads the {facts.name.upper()}."
        raise ask(text, FIND_PROGRAMS, code="not_possible")
    name = context.parse.word("quantity") or "temperature"
    every_ms = pace_ms(context.parse)
    values: PatternValues = {"PIN": pin, "QUANTITY": name, "EVERY_MS": every_ms}
    return pattern, values, f"log the {name} of the {facts.name} on pin {pin} every {spoken_duration(every_ms)}"


def _toggle(context: Context) -> Filled:
    button = pin_target(context, "button_pin")
    light = pin_target(context)
    _check_apart(light, button)
    values: PatternValues = {"BUTTON_PIN": button.pin, "LED_PIN": light.pin, "ON": light.active_level}
    return "button_toggle", values, f"toggle {light.words} when the button on pin {button.pin} is pressed"


def _count_presses(context: Context) -> Filled:
    button = pin_target(context, "button_pin")
    return "button_counter", {"PIN": button.pin}, f"count the presses of the button on pin {button.pin}"


def _dimmer(context: Context) -> Filled:
    light = pin_target(context)
    dial = pin_target(context, "dial_pin")
    _check_apart(light, dial)
    values: PatternValues = {"POT_PIN": dial.pin, "LED_PIN": light.pin, "ON": light.active_level}
    return "dimmer", values, f"dim {light.words} with the potentiometer on pin {dial.pin}"


def _servo_dial(context: Context) -> Filled:
    servo = pin_target(context)
    dial = pin_target(context, "dial_pin")
    _check_apart(servo, dial)
    values: PatternValues = {"POT_PIN": dial.pin, "SERVO_PIN": servo.pin}
    return "servo_dial", values, f"turn the servo on pin {servo.pin} with the potentiometer on pin {dial.pin}"


def _motion_light(context: Context) -> Filled:
    light = pin_target(context)
    sensor = pin_target(context, "sensor_pin")
    _check_apart(light, sensor)
    hold_ms = context.parse.number("ms")
    if hold_ms is None:
        hold_ms = _MOTION_MS
    values: PatternValues = {
        "PIR_PIN": sensor.pin,
        "ALARM_PIN": light.pin,
        "HOLD_MS": hold_ms,
        "ON": light.active_level,
    }
    span = spoken_duration(hold_ms)
    words = f"turn on {light.words} for {span} when the motion sensor on pin {sensor.pin} sees somebody"
    return "motion_alarm", values, words


def _watering(context: Context) -> Filled:
    pump = pin_target(context)
    sensor = pin_target(context, "sensor_pin")
    _check_apart(pump, sensor)
    water_ms = context.parse.number("ms")
    if water_ms is None:
        water_ms = _WATER_MS
    values: PatternValues = {"SENSOR_PIN": sensor.pin, "PUMP_PIN": pump.pin, "WATER_MS": water_ms}
    words = f"turn on pin {pump.pin} for {spoken_duration(water_ms)} when the soil sensor on pin {sensor.pin} is dry"
    return "plant_watering", values, words


def _distance_alarm(context: Context) -> Filled:
    parse = context.parse
    buzzer = pin_target(context)
    trigger_pin = parse.number("trig_pin")
    echo_pin = parse.number("echo_pin")
    if trigger_pin is None or echo_pin is None:
        raise ask("Which two pins is the distance sensor on, trigger and echo?", f"as in: {_SONAR}")
    pins = (buzzer.pin, trigger_pin, echo_pin)
    if len(set(pins)) < len(pins):
        raise ask("The buzzer, the trigger and the echo are each on their own pin. Which are they?", f"as in: {_SONAR}")
    limit_cm = Fraction((parse.number("milli") or 0) * (parse.number("length") or 1), 1000)
    if limit_cm.denominator != 1:
        raise ask("How near, in whole centimetres?", f"as in: {_SONAR}")
    values: PatternValues = {
        "TRIG_PIN": trigger_pin,
        "ECHO_PIN": echo_pin,
        "BUZZER_PIN": buzzer.pin,
        "LIMIT_CM": int(limit_cm),
    }
    sensor = f"the sensor on pins {trigger_pin} and {echo_pin}"
    return "distance_alarm", values, f"beep pin {buzzer.pin} when something is closer than {limit_cm} cm to {sensor}"


def _melody(context: Context) -> Filled:
    buzzer = pin_target(context)
    speed = context.parse.word("speed") or ""
    words = f"play a melody on pin {buzzer.pin}"
    if speed:
        words += f" {speed}"
    return "melody", {"PIN": buzzer.pin, "NOTE_MS": _NOTE_MS[speed]}, words


def _stepper(context: Context) -> Filled:
    pins = [pin_target(context, slot).pin for slot in PIN_SLOTS if context.parse.number(slot) is not None]
    if len(pins) != 4 or len(set(pins)) != 4:
        raise ask("Which four pins are IN1 to IN4 of the stepper on?", f"in this order, as in: {_STEPPER}", "pins")
    milli = context.parse.number("milli") or 0
    turns = context.parse.number("turns")
    way = f"{milli / 1000:g} degrees"
    if turns is not None:
        milli = turns * _TURN_MILLI
        way = f"{turns} turns"
    exact_rounds = Fraction(abs(milli) * _TURN_ROUNDS, _TURN_MILLI)
    rounds = round(exact_rounds)
    if rounds == 0 or abs(rounds - exact_rounds) > _TOLERANCE * exact_rounds:
        raise ask(f"The motor moves in steps of 0.7 degrees. How far shall it turn, not {way}?", f"as in: {_STEPPER}")
    is_back = bool(context.parse.number("back")) != (milli < 0)
    values: PatternValues = {"ROUNDS": rounds, "BACK": int(is_back)}
    for number, pin in enumerate(pins, start=1):
        values[f"IN{number}_PIN"] = pin
    words = f"turn the stepper on pins {pins[0]}, {pins[1]}, {pins[2]} and {pins[3]} by {way.removeprefix('-')}"
    if is_back:
        words += " backwards"
    return "stepper", values, words


def _check_apart(load: PinTarget, other: PinTarget) -> None:
    """Raise CannotDo if both are on one pin."""
    if load.pin == other.pin:
        raise ask(f"Both cannot be on pin {load.pin}. Which pin is what it acts on at?", "name it, as in: pin 4", "pin")


PART_FILLERS: Final[Mapping[str, Callable[[Context], Filled]]] = {
    "toggle_button": _toggle,
    "count_presses": _count_presses,
    "dimmer": _dimmer,
    "servo_dial": _servo_dial,
    "motion_light": _motion_light,
    "watering": _watering,
    "distance_alarm": _distance_alarm,
    "melody": _melody,
    "stepper": _stepper,
    "read_part_every": _read_named_part,
}
"""The patterns of sentences about parts, by the kinds of the sentences."""
