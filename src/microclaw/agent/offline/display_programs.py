"""Sentences about a display: which pattern draws on the wired display, its values, and words that ask for exactly it.

What a display cannot show is refused. A display that is not recorded is asked for; its pins are never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.board_sensors import BoardSensor, sensor_of, wired_sensor
from microclaw.agent.offline.boards import board_of, device_of, pin_target
from microclaw.agent.offline.decision import Act, Context, ask
from microclaw.agent.offline.display_sentences import displays_of, find_displays
from microclaw.agent.offline.pattern_values import Filled, PatternValues, pace_ms
from microclaw.agent.offline.recorded_parts import part_of_slot, record_step, recorded_pins
from microclaw.errors import ConfigError
from microclaw.hardware.parts.named_parts import part_line
from microclaw.hardware.parts.reader import Part, find_part, parts, parts_measuring, quantities
from microclaw.hardware.parts.wiring import WiredPart, bus_pins
from microclaw.programs.patterns.displays import parse_display, shows_only_numbers, size_in_characters
from microclaw.programs.patterns.library import MAX_SHOWN_CHARS, pattern_names

_NUMBER: Final = re.compile(r"-?\d+(?:[.,:]\d+)?")
_UNITS: Final = str.maketrans({"°": "", "µ": "u", "²": "2", "³": "3", "Ω": "Ohm"})


def _display_of(context: Context) -> WiredPart:
    """Return the wired display that the sentence means, with the pins of its bus. Raises CannotDo."""
    device = device_of(context)
    words = context.parse.word("display") or "display"
    displays = find_displays(device, words)
    all_ids = ", ".join(part.id for part in displays_of(device))
    if not all_ids:
        example = next(part for part in parts().values() if part.kind == "display" and part.i2c is not None)
        step = f"{record_step(device, 'display1', example)} (docs/reference/parts.md)"
        raise ask(f"Which display is wired to {device.name}? None is recorded, so I did nothing.", step)
    if not displays:
        raise ask(f"{device.name} has no {words} that is recorded; it has {all_ids}.", f"end with: on {all_ids}")
    if len(displays) > 1:
        ids = [part.id for part in displays]
        text = context.parse.word("text")
        sentences = tuple(f"show '{text}' on {display_id}" for display_id in ids)
        if text is None:
            sentences = ()
        raise ask(f"Which display: {' or '.join(ids)}?", f"say it, as in: on {ids[0]}", suggested=sentences)
    part = displays[0]
    bus = bus_pins(part, board_of(context))
    if part.address is not None and bus is not None:
        part = replace(part, pins={**part.pins, "sda": bus[0], "scl": bus[1]})
    try:
        return parse_display(part_line(part))
    except ConfigError as exc:
        raise ask(f"{exc.message[0].upper()}{exc.message[1:]}.", exc.next_step, code="not_possible") from exc


def _on(context: Context, display: WiredPart) -> str:
    """Return the words for the display: its id if there are several."""
    if len(displays_of(device_of(context))) > 1:
        return f"on {display.id}"
    return "on the display"


def _text(context: Context) -> Filled:
    display = _display_of(context)
    text = _checked_text(context, display)
    columns, rows = size_in_characters(display)
    shown = f'"{text}" {_on(context, display)}'
    if not _fits(text, columns, rows):
        step = f"scroll {shown.replace(' on ', ' across ', 1)}"
        if shows_only_numbers(display):
            step = f"a number of up to {columns} digits"
        raise ask(f"{display.id} has {rows} x {columns} characters, too few for this text.", step, code="not_possible")
    return "show_text", {"DISPLAY": part_line(display), "TEXT": text}, f"show {shown}"


def _scroll(context: Context) -> Filled:
    display = _display_of(context)
    text = _checked_text(context, display)
    words = f'scroll "{text}" across {_on(context, display).removeprefix("on ")}'
    return "scroll_text", {"DISPLAY": part_line(display), "TEXT": text}, words


def _checked_text(context: Context, display: WiredPart) -> str:
    """Return the text to show. Raises CannotDo if the display has no such characters."""
    unclear = context.parse.word("unclear")
    if unclear is not None:
        step = f"show '{unclear}' {_on(context, display)}"
        raise ask(
            "That may be an order or a question, so I did nothing. Is it the text to show?",
            f"put it in quotes: {step}",
            suggested=(step,),
        )
    text = (context.parse.word("text") or "").strip()
    if shows_only_numbers(display) and not _NUMBER.fullmatch(text):
        question = f"{display.id} ({display.part}) shows numbers and a clock, and no letters, so I did nothing."
        raise ask(question, f"show 42 {_on(context, display)}", code="not_possible")
    allowed = text.isascii() and text.isprintable() and '"' not in text and "\\" not in text
    if not allowed or not text or len(text) > MAX_SHOWN_CHARS:
        question = f'A text has 1 to {MAX_SHOWN_CHARS} letters, digits and signs of ASCII, without " and \\.'
        raise ask(question, f"show 'Hello' {_on(context, display)}", code="not_possible")
    return text


def _fits(text: str, columns: int, rows: int) -> bool:
    """Return True if the words of the text fit into the lines of a display."""
    row_count = 1
    length = 0
    for word in text.split():
        if len(word) > columns:
            return False
        if length and length + 1 + len(word) > columns:
            row_count += 1
            length = 0
        length += len(word) + bool(length)
    return row_count <= rows


def _clear(context: Context) -> Filled:
    display = _display_of(context)
    words = f"clear {_on(context, display).removeprefix('on ')}"
    return "clear_display", {"DISPLAY": part_line(display)}, words


def _presses(context: Context) -> Filled:
    display = _display_of(context)
    if context.parse.number("button_pin") is None and not recorded_pins(context, "button_pin"):
        recording = record_step(device_of(context), "btn1", part_of_slot(context, "button_pin"))
        step = f"name it, as in: pin 4; or {recording}"
        raise ask("Which pin is the button on? None is recorded.", step, "button_pin")
    button = pin_target(context, "button_pin")
    for part in device_of(context).record.on_pin(button.pin):
        if part.part == "button" and part.active == "high":
            raise ask(f"{part.label or part.id} makes its pin high when it is pressed, and this program waits for low.")
    words = f"count the presses of the button on pin {button.pin} {_on(context, display)}"
    return "display_counter", {"DISPLAY": part_line(display), "BUTTON_PIN": button.pin}, words


def _distance(context: Context) -> Filled:
    display = _display_of(context)
    trigger_pin = context.parse.number("trig_pin")
    echo_pin = context.parse.number("echo_pin")
    if trigger_pin is None or echo_pin is None:
        (sonar, *_) = parts_measuring("distance")
        step = record_step(device_of(context), "sonar1", sonar)
        raise ask("Which two pins is the distance sensor on, trigger and echo? None is recorded.", step)
    words = f"show the distance to the sensor on pins {trigger_pin} and {echo_pin} {_on(context, display)}"
    values: PatternValues = {"DISPLAY": part_line(display), "TRIG_PIN": trigger_pin, "ECHO_PIN": echo_pin}
    return "display_distance", values, words


def _sensor(context: Context) -> Filled:
    """Fill a program that shows one or two quantities of one sensor."""
    display = _display_of(context)
    parse = context.parse
    name = parse.word("quantity") or "temperature"
    second = parse.word("second")
    if second is not None and shows_only_numbers(display):
        text = f"{display.id} ({display.part}) shows one number, not {name} and {second}."
        raise ask(text, f"show the {name} {_on(context, display)}", code="not_possible")
    every_ms = pace_ms(parse)
    shown = f"show the {_spoken(name)}"
    if second is not None:
        shown += f" and the {_spoken(second)}"
    ending = f"{_on(context, display)} every {spoken_duration(every_ms)}"
    wired = wired_sensor(context)
    pin_sensor = _sensor_on_pin(context, wired)
    if pin_sensor is not None:
        if second is not None and {name, second} != {"temperature", "humidity"}:
            raise ask(f"The {pin_sensor.part.upper()} measures temperature and humidity.", f"{shown} {ending}")
        values: PatternValues = {"DISPLAY": part_line(display), "PIN": pin_sensor.pin, "QUANTITY": name}
        values["EVERY_MS"] = every_ms
        values["TWO"] = int(second is not None)
        return f"display_{pin_sensor.part}", values, f"{shown} of the {pin_sensor.words} {ending}"
    _check_recorded(context, wired)
    sensor = sensor_of(context)
    values = {"DISPLAY": part_line(display), "QUANTITY": name, "UNIT": _unit(name), "ADDRESS": sensor.address}
    values["EVERY_MS"] = every_ms
    if second is not None:
        _check_second(sensor, second)
        values |= {"TWO": 1, "SECOND": second, "SECOND_UNIT": _unit(second)}
    return "display_sensor", values, f"{shown} {ending}"


class _PinSensor(NamedTuple):
    """A sensor on one pin, which a pattern of its own reads."""

    part: str
    pin: int
    words: str


def _sensor_on_pin(context: Context, wired: WiredPart | None) -> _PinSensor | None:
    """Return the sensor on the pin that the sentence names, else the wired one; None if it needs no own pattern.

    Raises CannotDo if no pattern reads the named part on a pin.
    """
    name = context.parse.word("part")
    if name is None or context.parse.number("pin") is None:
        if wired is None or f"display_{wired.part}" not in pattern_names():
            return None
        (wired_pin,) = wired.pins.values()
        return _PinSensor(wired.part, wired_pin, wired.part)
    facts = find_part(name)
    quantity = context.parse.word("quantity") or "temperature"
    if facts.i2c is not None:
        text = f"The {name.upper()} is on the I2C bus, not on one pin."
        raise ask(text, f"show the {_spoken(quantity)} of the {name} on the display")
    pin = pin_target(context).pin
    words = f"{name} on pin {pin}"
    _check_measured(facts, quantity, words)
    if f"display_{name}" not in pattern_names():
        text = f"No ready program shows what a {name.upper()} measures on a display."
        raise ask(text, f"log the {_spoken(quantity)} of the {words} every 10 s", code="not_possible")
    return _PinSensor(name, pin, words)


def _check_recorded(context: Context, wired: WiredPart | None) -> None:
    """Raise CannotDo, with how to record it, if the sentence names a sensor on pins of its own that is not recorded."""
    name = context.parse.word("part")
    if wired is not None or name is None:
        return
    facts = find_part(name)
    if facts.i2c is not None:
        return
    quantity = context.parse.word("quantity") or "temperature"
    _check_measured(facts, quantity, name)
    device = device_of(context)
    text = f"Which pin is the {name.upper()} on? {device.name} has none that is recorded, so I did nothing."
    raise ask(text, record_step(device, f"{name.rstrip('0123456789')}1", facts))


def _check_measured(facts: Part, quantity: str, words: str) -> None:
    """Raise CannotDo if the part does not measure the quantity; `words` name the part, and its pin if it is said."""
    if quantity in facts.measures:
        return
    measured = " and ".join(map(_spoken, facts.measures))
    text = f"The {facts.name.upper()} measures {measured}, and not {_spoken(quantity)}."
    raise ask(text, f"show the {_spoken(next(iter(facts.measures)))} of the {words} on the display")


def _check_second(sensor: BoardSensor, second: str) -> None:
    """Raise CannotDo if the sensor of the first quantity does not measure the second one."""
    if second not in sensor.part.measures:
        text = f"The {sensor.title} measures no {_spoken(second)}. A program here shows the values of one sensor."
        raise ask(text, f"show the {sensor.spoken_name} on the display", code="not_possible")


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _unit(name: str) -> str:
    """Return the unit of a quantity in signs that each display has."""
    return quantities()[name].unit.translate(_UNITS) or " "


def needs_time(context: Context) -> Act | None:
    """Return the call that asks for the time here, if the sentence's program needs it and it is not known yet."""
    parse = context.parse
    if parse.kind != "display_time" or context.results or _clock_of(context) is not None:
        return None
    # A question about the display comes before the call.
    display = _display_of(context)
    if "py" not in device_of(context).kinds:
        return None
    return Act("time", {}, f"show the time {_on(context, display)}")


def _time(context: Context) -> Filled:
    """Fill a clock: of a clock chip, of the firmware that knows the time, or of the time since the start."""
    display = _display_of(context)
    values: PatternValues = {"DISPLAY": part_line(display)}
    words = f"show the time {_on(context, display)}"
    clock = _clock_of(context)
    bus = bus_pins(clock, board_of(context)) if clock is not None else None
    if clock is not None and bus is not None:
        values |= {"CLOCK": clock.part, "CLOCK_SDA": bus[0], "CLOCK_SCL": bus[1]}
        return "display_rtc", values, words
    for result in context.results:
        if result.tool == "time":
            values["OFFSET_MIN"] = _offset_min(str(result.fields.get("now")))
            return "display_clock", values, words
    return "display_uptime", values, words


def _clock_of(context: Context) -> WiredPart | None:
    """Return the clock chip that is wired to the board, or None."""
    for part in device_of(context).wiring.parts:
        if part.facts.kind == "clock":
            return part
    return None


def _offset_min(now: str) -> int:
    """Return how many minutes a time with its zone ("2026-11-23T07:00:00+01:00") is later than UTC."""
    offset = datetime.fromisoformat(now).utcoffset()
    if offset is None:
        return 0
    return round(offset.total_seconds() / 60)


def display_app(context: Context, app_name: str, display_line: str) -> str:
    """Return the name of the program on a display: only one draws on each, so a new one replaces the one before."""
    part_id = display_line.partition("=")[0]
    if len(displays_of(device_of(context))) > 1:
        return f"{app_name}-{part_id}"
    return app_name


NOTES: Final[Mapping[str, str]] = {
    "display_uptime": "It shows the time since its start: the board has no time of day. A wired clock would have it.",
    "display_clock": "The host sets the board's clock. The program keeps today's difference to UTC.",
    "display_rtc": "It shows the time to which the clock chip was set.",
}
"""What a person should know about what a program shows, by its pattern."""
DISPLAY_FILLERS: Final[Mapping[str, Callable[[Context], Filled]]] = {
    "display_text": _text,
    "display_scroll": _scroll,
    "display_clear": _clear,
    "display_presses": _presses,
    "display_distance": _distance,
    "display_sensor": _sensor,
    "display_time": _time,
}
"""The patterns of sentences about displays, by the kinds of the sentences."""
