"""Answers "turn everything off" and "turn off all the lights" with a question that names the pins.

What is on is known from the changes that were done. What is wired or has a name counts too, whatever its level is. A
pin of a running program is left to that program. This module acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from microclaw.agent.language.times import When, format_when
from microclaw.agent.offline.boards import device_of
from microclaw.agent.offline.decision import PIN_SLOTS, Context, Decider, Decision, Say, capitalize
from microclaw.agent.offline.questions import next_read, pins_left_on, running_programs
from microclaw.hardware.parts.named_parts import part_of_words, switched_pins
from microclaw.hardware.parts.reader import parts

ALL_OFF: Final = "all_off"
_IS_LIGHT: Final = re.compile(r"\b(?:led|light|lamp|bulb|lantern|spotlight)s?\b")
_KIND_OF_LIGHT: Final = "led"


def ask_all_off(context: Context, when: When | None = None) -> Decision:
    """Ask if these pins should be switched off, now or at a time; a yes chooses the sentence that does it."""
    device_of(context)
    call = next_read(context, "query-wasm-apps", "list-changes")
    if call is not None:
        return call
    driven = _driven_pins(context)
    pins = dict[int, str]()
    for pin, reason in sorted(_pins_to_switch(context).items()):
        if pin not in driven:
            pins[pin] = reason
    rest = _others(context, driven)
    if not pins:
        thing = "light" if context.parse.number("lights") else "output"
        text = f"I know no {thing} that is on: no change left one on, and none is recorded.{rest}"
        return Say(text, "ambiguous", "name the pins, as in: turn off pin 4 and pin 6")
    if len(pins) > len(PIN_SLOTS):
        text = f"That would be {len(pins)} pins, {_list(pins)}: more than one sentence switches.{rest}"
        return Say(text, "ambiguous", f"name up to {len(PIN_SLOTS)} of them, as in: turn off pin 4 and pin 6")
    order = f"turn off {' and '.join(f'pin {pin}' for pin in pins)}"
    sentence = _sentence(context, order, when)
    question = f"Turn off {_list(pins)}?"
    if when is not None:
        question = f"{capitalize(format_when(when))} turn off {_list(pins)}? What is switched on later is not in it."
    return Say(f"{question}{rest}", "confirm", f"yes, or say: {sentence}", suggested=(sentence,))


def _sentence(context: Context, order: str, when: When | None) -> str:
    sentence = order
    if when is not None:
        sentence = f"{order} {format_when(when)}"
        if when.delay_ms is not None:
            sentence = f"{format_when(when)} {order}"
    if context.named_device is None:
        return sentence
    return f"{sentence} on {context.named_device.name}"


def _list(pins: Mapping[int, str]) -> str:
    return ", ".join(f"pin {pin} ({reason})" for pin, reason in pins.items())


def _pins_to_switch(context: Context) -> dict[int, str]:
    """Return the pins that the sentence may mean, each with why."""
    named = _named_outputs(context)
    left_on = dict[int, str]()
    for pin, change in pins_left_on(context).items():
        left_on[pin] = named.get(pin, f"left on by change {change['change_id']}")
    led_pin = _led_that_low_lights(context)
    if led_pin is not None:
        left_on.pop(led_pin, None)
    if not context.parse.number("lights"):
        return left_on | named
    lights = {pin: name for pin, name in named.items() if _IS_LIGHT.search(name.lower())}
    if lights:
        return lights
    # Nobody said what hangs at these pins: it may be the lights.
    return {pin: reason for pin, reason in left_on.items() if pin not in named}


def _named_outputs(context: Context) -> dict[int, str]:
    """Return the pins with a recorded part that a level switches, or with a remembered name of such a thing."""
    device = device_of(context)
    names = dict[int, str]()
    for name in context.device_context.names:
        is_here = name.device in (None, device.name.lower())
        kind = part_of_words(name.name, parts().values())
        is_output = kind is None or kind.kind == "actuator"
        if is_here and is_output and not device.wiring.on_pin(name.pin):
            names[name.pin] = name.name
    kinds = {part.id: part.part for part in device.record.parts}
    for switched in switched_pins(device.record):
        label = switched.label or switched.part_id
        if kinds[switched.part_id] == _KIND_OF_LIGHT and not _IS_LIGHT.search(label.lower()):
            label = f"{label}, a light"
        names[switched.gpio] = label
    return names


def _driven_pins(context: Context) -> dict[int, str]:
    """Return the pins of the programs that run, each with its program."""
    driven = dict[int, str]()
    for row in running_programs(context):
        driven |= dict.fromkeys(row.get("pins") or (), str(row.get("name")))
    return driven


def _others(context: Context, driven: Mapping[int, str]) -> str:
    """Return sentences about what stays as it is: programs, and an LED that low lights."""
    text = ""
    if driven:
        programs = ", ".join(f"{name} (pin {pin})" for pin, name in driven.items())
        text += f" Programs go on: {programs}; to end them say: stop everything."
    if _led_that_low_lights(context) is not None:
        text += " The LED is not in it; say: turn off the led."
    return text


def _led_that_low_lights(context: Context) -> int | None:
    led = device_of(context).board.led
    if led is None or led.kind != "simple" or led.active_level:
        return None
    return led.pin


EVERYTHING_OFF: Final[Mapping[str, Decider]] = {ALL_OFF: ask_all_off}
