"""Names of pins: those that a sentence states ("the fan is on pin 11"), and those of the parts on a device.

Later sentences are read with the pin in place of the name (agent/offline/memory.py). This module stores nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.hardware.parts.named_parts import NamedPin
from microclaw.hardware.parts.wiring import WiredPart, Wiring

_WORDS: Final = r"(?P<name>[a-z][a-z0-9'-]*(?: [a-z0-9'-]+){0,3}?)"
# A name without an article is one word: "stop whatever is on pin 5" names nothing.
_WORD: Final = r"(?P<word>[a-z][a-z0-9'-]*)"
_PIN: Final = r"pin (?P<pin>\d{1,3})(?: (?:of|on) (?:the )?(?:device |board )?(?P<device>[\w-]+))?"
_PIN_NAMES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:(?:the|my|our|a|an) {_WORDS}|{_WORD}) (?:is|are|sits|hangs) (?:now )?"
        rf"(?:(?:connected|attached|wired|hooked up|plugged) )?(?:on|at|to|in|into) (?:the )?{_PIN}",
        rf"{_PIN} is (?:the|my|our) {_WORDS}",
        rf"call {_PIN} (?:the |my |our )?{_WORDS}",
    )
)
_BOARD: Final = re.compile(r" \(on (?P<device>[\w-]+)\)$")
"""The board that agent/knowledge/tools.py adds to a fact about a pin."""
_NAME: Final = re.compile(_WORDS)
_NO_NAME: Final = frozenset(
    re.findall(
        r"\w+",
        "it that this these those there he she they what which where who how when whenever if nothing something "
        "everything anything whatever whoever one pin pins free is are not and or but no i you we on off turn switch",
    )
)


def parse_pin_name(sentence: str) -> NamedPin | None:
    """Return the name and pin that a sentence states, or None for a question and every other sentence."""
    if sentence.rstrip().endswith("?"):
        return None
    board = _BOARD.search(sentence)
    text = normalize_quantities(_BOARD.sub("", sentence).lstrip("- "))
    match = _match_first(_PIN_NAMES, text)
    if match is None:
        return None
    name = match.groupdict().get("name") or match["word"]
    if not _NO_NAME.isdisjoint(name.split()):
        return None
    device = match["device"]
    if board is not None:
        device = board["device"].lower()
    return NamedPin(name, int(match["pin"]), device)


def _match_first(patterns: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """Return the match of the first pattern that fits the whole text, or None."""
    for pattern in patterns:
        match = pattern.fullmatch(text)
        if match is not None:
            return match
    return None


def named_pins(lines: Iterable[str], device: str | None = None) -> tuple[NamedPin, ...]:
    """Return the names in remembered lines, the newest last. `device`: the device that the lines are about."""
    pins = list[NamedPin]()
    for line in lines:
        pin = parse_pin_name(line)
        if pin is not None:
            pins.append(NamedPin(pin.name, pin.pin, pin.device or device))
    return tuple(pins)


def wired_names(record: Wiring, device: str) -> tuple[NamedPin, ...]:
    """Return the names of the pins of a device's recorded parts: what a person calls a part, and its id.

    A part with several pins has no name of one pin; what no level switches or shows has only a person's name.
    """
    names = list[NamedPin]()
    for part in record.parts:
        if len(part.pins) != 1:
            continue
        (gpio,) = part.pins.values()
        has_level = any(pin.polarity for pin in part.facts.pins)
        for name in spoken_names(part, with_id=has_level):
            names.append(NamedPin(name, gpio, device.lower()))
    return tuple(dict.fromkeys(names))


def spoken_names(part: WiredPart, *, with_id: bool = True) -> list[str]:
    """Return the names of a part as a sentence has them: its id in words, then what a person calls it."""
    texts = list[str]()
    if with_id:
        texts.append(re.sub(r"[-_]+", " ", part.id))
    if part.label is not None:
        texts.append(part.label)
    names = list[str]()
    for text in texts:
        name = normalize_quantities(text)
        if _NAME.fullmatch(name) and _NO_NAME.isdisjoint(name.split()):
            names.append(name)
    return names
