"""Sentences about hands on recorded parts: "press btn1 twice", "set the knob to 70 %". It calls no tool.

Only names and kinds of recorded parts that have the verb or the value are read; every other sentence is left to the
other templates. The parts of a real board are moved by hand, as the tools answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from microclaw.agent.language.pin_names import spoken_names
from microclaw.agent.language.times import spoken_duration
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.decision import (
    Act,
    Context,
    Decider,
    Decision,
    Parse,
    Say,
    number_sentences,
)
from microclaw.agent.offline.sentences import english
from microclaw.hardware.parts.reader import ValueRange, quantities
from microclaw.hardware.parts.wiring import WiredPart

_MAX_SUGGESTED: Final = 3
_OPENINGS: Final[Mapping[str, str]] = {"door": "window", "window": "door"}
"""What has a door contact, and what a contact of the other name is not at."""
_SPOKEN_UNITS: Final[Mapping[str, str]] = {"%": "percent"}
_IN_THOUSANDTHS: Final = frozenset({"mA", "mW"})


class _PartMatch(Struct, frozen=True):
    """A part that a sentence can mean, with the call that does it. `is_sure`: nothing else has such a name."""

    device: KnownDevice
    part: WiredPart
    tool: str
    arguments: Mapping[str, Any]
    words: str
    is_sure: bool


def parse_hand_sentence(text: str, device_context: DeviceContext, device: KnownDevice | None) -> Parse | None:
    """Parse a sentence about hands on a part. Return None for any other one, and if no recorded part can be meant."""
    devices = _devices(device_context, device)
    words = _part_words(devices)
    if not words:
        return None
    parse = english().on_part(text, words)
    if parse is None or not _matches(parse, device_context, devices):
        return None
    return parse


def _devices(device_context: DeviceContext, device: KnownDevice | None) -> Sequence[KnownDevice]:
    if device is not None:
        return (device,)
    return device_context.devices


def _part_words(devices: Sequence[KnownDevice]) -> dict[str, str]:
    """Return the words for recorded parts, as templates, each with what it stands for.

    Names are before further words, and kinds are last.
    """
    words: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for device in devices:
        for part in device.wiring.parts:
            for name in _names_of(part):
                words[name] = name
            kind_words = part.facts.words.get("en")
            if kind_words is not None:
                kinds[kind_words] = part.part
    if words:
        for word in english().part_words:
            words[word] = word
    return words | kinds


def _names_of(part: WiredPart) -> set[str]:
    return {*spoken_names(part), part.id}


def _has_kind(part: WiredPart, kind: str) -> bool:
    """Return True if a part is of this kind; a door's contact must not have the name of a window."""
    if part.part not in english().part_words.get(kind, (kind,)):
        return False
    if kind not in _OPENINGS:
        return True
    names = " ".join(_names_of(part))
    return kind in names or _OPENINGS[kind] not in names


def _matches(parse: Parse, device_context: DeviceContext, devices: Sequence[KnownDevice]) -> list[_PartMatch]:
    """Return the parts that a sentence can mean: those of this name, else those of this kind, that can do it."""
    words = parse.word("part") or ""
    named: list[_PartMatch] = []
    of_kind: list[_PartMatch] = []
    has_other = False
    for device in devices:
        for part in device.wiring.parts:
            is_named = words in _names_of(part)
            if not is_named and not _has_kind(part, words):
                continue
            if not _is_on_pin(part, parse.number("pin")):
                continue
            is_sure = not _is_name_of_other_pin(words, device_context, device, part)
            match = _match_part(parse, device, part, is_sure=is_sure)
            if match is None:
                has_other = has_other or is_named
            elif is_named:
                named.append(match)
            else:
                of_kind.append(match)
    if named:
        return named
    if has_other:
        return [_unsure(match) for match in of_kind]
    return of_kind


def _unsure(match: _PartMatch) -> _PartMatch:
    return _PartMatch(match.device, match.part, match.tool, match.arguments, match.words, is_sure=False)


def _is_on_pin(part: WiredPart, pin: int | None) -> bool:
    return pin is None or pin in part.pins.values()


def _is_name_of_other_pin(words: str, device_context: DeviceContext, device: KnownDevice, part: WiredPart) -> bool:
    """Return True if a remembered fact gives this name to a pin that the part does not have."""
    for named in device_context.names:
        is_here = named.device in (None, device.name.lower())
        if is_here and named.name == words and named.pin not in part.pins.values():
            return True
    return False


def _match_part(parse: Parse, device: KnownDevice, part: WiredPart, *, is_sure: bool) -> _PartMatch | None:
    """Return the call for this part, or None if it has no such verb or value."""
    if parse.kind == "do_verb":
        call = _verb_call(parse, part)
    else:
        call = _value_call(parse, part)
    if call is None:
        return None
    return _PartMatch(device, part, call.tool, call.arguments, call.words, is_sure)


def _verb_call(parse: Parse, part: WiredPart) -> Act | None:
    verb = parse.word("verb") or ""
    stimulus = part.facts.stimuli.get(verb)
    if stimulus is None:
        return None
    key = parse.word("key")
    count = parse.number("argument")
    needs_key = stimulus.argument == "key"
    needs_number = stimulus.argument == "number"
    if needs_key != (key is not None) or needs_number != (count is not None):
        return None
    arguments: dict[str, Any] = {"part": part.id, "verb": verb}
    words = f"{verb} {part.id}"
    if key is not None:
        arguments["argument"] = key.upper()
        words = f"{verb} {_spoken_key(key)} on {part.id}"
    if count is not None:
        if parse.number("back"):
            count = -count
        arguments["argument"] = str(count)
        words = f"{verb} {part.id} by {count}"
    hold_ms = parse.number("ms")
    if hold_ms is not None:
        arguments["for"] = f"{hold_ms}ms"
        words += f" for {spoken_duration(hold_ms)}"
    times = parse.number("times")
    if times is not None and times != 1:
        arguments["times"] = times
        words += f" {times} times"
    return Act("press", arguments, words)


def _spoken_key(key: str) -> str:
    if key == "*":
        return "star"
    return key.upper()


def _value_call(parse: Parse, part: WiredPart) -> Act | None:
    """Return the call that sets the only value of a part that fits the name and the unit of the sentence."""
    name = parse.word("quantity") or parse.word("input")
    unit = parse.word("unit") or parse.word("plain_unit")
    number = float(parse.number("whole") or 0)
    milli = parse.number("milli")
    if milli is not None:
        number = milli / 1000
    if name is None and unit is None and number in (0, 1):
        # "Set btn1 to 1" is the level of its pin.
        return None
    relative = set()
    for stimulus in part.facts.stimuli.values():
        if stimulus.argument == "number":
            relative.add(stimulus.sets)
    fitting = []
    for value_name, allowed in {**part.facts.measures, **part.facts.inputs}.items():
        if value_name not in relative and _fits_value(value_name, allowed, name, unit):
            fitting.append(value_name)
    if len(fitting) != 1:
        return None
    value_name = fitting[0]
    own_unit = _unit_of(value_name, part)
    shown = f"{number:g}"
    if unit is not None:
        shown = f"{number:g} {unit}"
    if unit is not None and own_unit in _IN_THOUSANDTHS:
        number *= 1000
    words = f"set the {value_name.replace('_', ' ')} of {part.id} to {shown}"
    return Act("set-sensor", {"part": part.id, "values": {value_name: number}}, words)


def _fits_value(value_name: str, allowed: ValueRange, name: str | None, unit: str | None) -> bool:
    """Return True if a sentence with this name and unit, or without, can mean a value that hands set."""
    is_yes_or_no = (allowed.least, allowed.most) == (0, 1)
    if allowed.follows or is_yes_or_no or name not in (None, value_name):
        return False
    own_unit = allowed.unit
    spoken_unit = _SPOKEN_UNITS.get(own_unit, own_unit)
    quantity = quantities().get(value_name)
    if quantity is not None:
        own_unit = quantity.unit
        spoken_unit = quantity.spoken_unit
    return unit in (None, own_unit, spoken_unit)


def _unit_of(value_name: str, part: WiredPart) -> str:
    quantity = quantities().get(value_name)
    if quantity is not None:
        return quantity.unit
    return part.facts.inputs[value_name].unit


def _move_part(context: Context) -> Decision:
    """Do what the sentence says with its only part, or ask which part it means."""
    devices = _devices(context.device_context, context.device)
    matches = _matches(context.parse, context.device_context, devices)
    if len(matches) == 1 and matches[0].is_sure:
        match = matches[0]
        if context.results:
            return Say(f"Done on {context.results[-1].device}: {match.words}.")
        return Act(match.tool, {**match.arguments, **_device_argument(context, match)}, match.words)
    sentences = []
    for match in matches[:_MAX_SUGGESTED]:
        sentence = match.words
        if context.device is None or context.named_device is not None:
            sentence = f"{sentence} on {match.device.name}"
        sentences.append(sentence)
    text = f"Which part? I did nothing. Did you mean: {number_sentences(sentences)}?"
    return Say(text, "ambiguous", f"say its id, as in: {sentences[0]}", suggested=tuple(sentences))


def _device_argument(context: Context, match: _PartMatch) -> dict[str, str]:
    """Return the device if the sentence names it, or if it has the only part of several devices."""
    if context.named_device is not None or context.device is None:
        return {"device": match.device.name}
    return {}


HANDS: Final[Mapping[str, Decider]] = {"do_verb": _move_part, "set_value": _move_part}
