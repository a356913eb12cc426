"""The parts that are recorded for a sentence's device: pins that the sentence leaves out, and names of parts in it.

"Turn on the lamp when there is motion" needs no pin of the motion sensor if just one is recorded. "The knob turns the
arm" is read as "the potentiometer on pin 1 turns the servo on pin 14". It parses nothing and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.pin_names import spoken_names
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.decision import Context, Parse, Values
from microclaw.agent.offline.sentences import english
from microclaw.hardware.parts.part_ids import free_id
from microclaw.hardware.parts.reader import Part, find_part
from microclaw.hardware.parts.wiring import WiredPart, Wiring
from microclaw.text import plural

_BEEPS: Final = re.compile(r"\b(?:beep|buzz)\b")
_SWITCHING: Final = frozenset(
    {"set_pin", "toggle_pin", "dim_pin", "blink", "blink_times", "fade", "pulse", "button", "toggle_button", "dimmer"}
    | {"threshold", "threshold_pulse", "thermostat", "motion_light"}
)


def with_recorded_pins(context: Context) -> Context:
    """Return the sentence with the pins of recorded parts in the slots that it leaves out.

    A part that is recorded more than once is left to the question for its pin.
    """
    device = context.device
    parse = context.parse
    needed = english().part_pins.get(parse.kind, {})
    if device is None or not needed:
        return context
    if parse.kind == "pulse" and not _BEEPS.search(context.sentence.lower()):
        return context
    values: Values = {}
    for part, roles in needed.items():
        values |= _pins_of(device.wiring.of_part(part), roles, parse)
    if not values:
        return context
    return replace(context, parse=replace(parse, values=parse.values | values))


def recorded_pins(context: Context, slot: str) -> list[WiredPart]:
    """Return the recorded parts that may be meant at a slot of the sentence."""
    device = context.device
    if device is None:
        return []
    for part, roles in english().part_pins.get(context.parse.kind, {}).items():
        if slot in roles:
            return list(device.wiring.of_part(part))
    return []


def part_of_slot(context: Context, slot: str) -> Part:
    """Return the kind of part that a slot of this sentence is about. Raises LookupError if the intent names none."""
    for part, roles in english().part_pins[context.parse.kind].items():
        if slot in roles:
            return find_part(part)
    raise LookupError(slot)


def record_step(device: KnownDevice, part_id: str, facts: Part) -> str:
    """Return the command that records a part: 'microclaw device wiring desk --add "lamp1=led pin=PIN"'.

    It has an id that the device has not yet. A part on I2C needs no pins.
    """
    taken = [part.id for part in device.wiring.parts]
    words = [f"{free_id(part_id, taken)}={facts.name}"]
    for pin in facts.pins:
        if facts.i2c is None and not pin.optional:
            words.append(f"{pin.role}=PIN")
    return f'record it: microclaw device wiring {device.name} --add "{" ".join(words)}"'


def fits_wiring(parse: Parse, wiring: Wiring) -> bool:
    """Return False if the sentence takes a wired part for another kind, or switches what no level switches."""
    for part, roles in english().part_pins.get(parse.kind, {}).items():
        for slot, role in roles.items():
            pin = parse.number(slot)
            if pin is not None and not _has_only(wiring, pin, part, role):
                return False
    if parse.kind not in _SWITCHING:
        return True
    for pin in parse.pins:
        for wired in wiring.on_pin(pin):
            if not _is_switched(wired, pin):
                return False
    return True


def _has_only(wiring: Wiring, pin: int, kind: str, role: str) -> bool:
    """Return True if a pin has no part, or a part of this kind at this role; a generic part can be of any kind."""
    for part in wiring.on_pin(pin):
        if not part.facts.generic and (part.part != kind or part.pins.get(role) != pin):
            return False
    return True


def _is_switched(part: WiredPart, gpio: int) -> bool:
    for pin in part.facts.pins:
        if part.pins.get(pin.role) == gpio:
            return pin.polarity and pin.use in ("output", "pwm")
    return False


def _pins_of(parts: tuple[WiredPart, ...], roles: Mapping[str, str], parse: Parse) -> Values:
    """Return the pins of the only part for the slots, or none if the sentence names a pin or thing in one of them."""
    is_named = "pin" in roles and "thing" in parse.values
    if len(parts) != 1 or is_named or not roles.keys().isdisjoint(parse.values):
        return {}
    pins = parts[0].pins
    return {slot: pins[role] for slot, role in roles.items() if role in pins}


def with_part_names(text: str, device: KnownDevice | None) -> str:
    """Return the sentence with kinds and pins of recorded parts in the place of their names."""
    if device is None:
        return text
    for name, words in _words_by_name(device.record):
        text = re.sub(rf"(?i)(?<![\w-])(?:(?:the|my|our) )?{re.escape(name)}(?![\w-])", words, text)
    return text


def recorded_sentences(device: KnownDevice | None) -> Iterator[str]:
    """Yield sentences that fit what is recorded, with the names of the parts."""
    if device is None:
        return
    names = {}
    for part in reversed(device.record.parts):
        part_names = spoken_names(part)
        if part_names:
            names[part.part] = part_names[-1]
        if part.facts.kind == "display":
            names["display"] = "display"
    for sentence in english().recorded:
        holes = re.findall(r"\{(\w+)\}", sentence)
        if holes and names.keys() >= set(holes):
            yield _with_articles(sentence, names)


def _with_articles(sentence: str, names: Mapping[str, str]) -> str:
    """Return the sentence with names of parts; a name with a number ("btn1") has no article."""
    words = {}
    for part, name in names.items():
        words[part] = name if name[-1].isdigit() else f"the {name}"
    return sentence.format_map(words)


def _words_by_name(record: Wiring) -> list[tuple[str, str]]:
    """Return the words of each name, long names first, so that "pump" is not found in "fish pump"."""
    rows = []
    for part in record.parts:
        for name in spoken_names(part):
            rows.append((name, _words_of(part)))
    rows.sort(key=lambda row: -len(row[0]))
    return rows


def _words_of(part: WiredPart) -> str:
    """Return the words with which a template names this part: its kind and its pins."""
    pins = list(part.pins.values())
    is_switched = any(pin.polarity and pin.use in ("output", "pwm") for pin in part.facts.pins)
    if is_switched and len(pins) == 1:
        return f"pin {pins[0]}"
    noun = f"the {_noun(part.facts)}"
    if part.address is not None or not pins:
        return noun
    return f"{noun} on {plural('pin', pins)}"


def _noun(facts: Part) -> str:
    """Return the first of the words that people use for a kind of part: "potentiometer"."""
    words = facts.words.get("en", facts.name)
    without_options = re.sub(r"\[[^\]]*\]", "", words)
    return without_options.strip(" ()").split("|")[0]
