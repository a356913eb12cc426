"""Names that a person gave to pins: read from remembered lines ("the fan is on pin 11"), put into sentences as pins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import DeviceContext, KnownDevice, NamedPin

_WORDS: Final = r"(?P<name>[a-z][a-z0-9'-]*(?: [a-z0-9'-]+){0,3}?)"
_WORD: Final = r"(?P<word>[a-z][a-z0-9'-]*)"  # without an article: "stop whatever is on pin 5" names nothing
_PIN: Final = r"pin (?P<pin>\d{1,3})(?: (?:of|on) (?:the )?(?:device |board )?(?P<device>[\w-]+))?"
_TOLD: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:(?:the|my|our|a|an) {_WORDS}|{_WORD}) (?:is|are|sits|hangs) (?:now )?"
        rf"(?:(?:connected|attached|wired|hooked up|plugged) )?(?:on|at|to|in|into) (?:the )?{_PIN}",
        rf"{_PIN} is (?:the|my|our) {_WORDS}",
        rf"call {_PIN} (?:the |my |our )?{_WORDS}",
    )
)
_NO_NAME: Final = frozenset(
    re.findall(
        r"\w+",
        "it that this these those there he she they what which where who how when whenever if nothing something "
        "everything anything whatever whoever one pin pins free is are not and or but no i you we on off turn switch",
    )
)
_APPENDED: Final = re.compile(r"\b(?:button|switch|key|sensor)$")  # what they are matters beside their pin
_WITH: Final = re.compile(r"\b(?:with|using|by|via|through|and) (?:the |my |our )?$")
_HAS_PIN: Final = r"(?! (?:(?:is|are) )?(?:on|at) (?:the )?(?:gpio |io )?(?:pin )?#?\d| (?:pin|gpio) ?\d)"


def told_name(said: str) -> NamedPin | None:
    """The name and pin that a sentence tells; None for a question and every other sentence."""
    if said.rstrip().endswith("?"):
        return None
    text = normalize_quantities(said.lstrip("- "))
    found = next((match for pattern in _TOLD if (match := pattern.fullmatch(text)) is not None), None)
    name = (found.groupdict().get("name") or found["word"]) if found is not None else ""
    if found is None or not _NO_NAME.isdisjoint(name.split()):
        return None
    return NamedPin(name, int(found["pin"]), found["device"])


def named_pins(lines: Iterable[str], device: str | None = None) -> tuple[NamedPin, ...]:
    """The names in remembered lines, the newest last; `device` is the one that the lines are about, if they are."""
    told = (told_name(line) for line in lines)
    return tuple(NamedPin(one.name, one.pin, one.device or device) for one in told if one is not None)


def names_to_pins(text: str, known: DeviceContext, named: KnownDevice | None) -> tuple[str, KnownDevice | None]:
    """The sentence with the pins of its names, and the device that they are on if a name says it."""
    device = named or known.meant
    # Of one name what was told last; rather of this device, and rather of none than of another.
    here = device.name.lower() if device is not None else ""
    rank = {here: 2, None: 1}
    meant = {one.name: one for one in sorted(known.names, key=lambda one: rank.get(one.device, 0))}
    for one in sorted(meant.values(), key=lambda one: -len(one.name)):
        there = next((d for d in known.devices if d.name.lower() == one.device), device)
        if there is None or any(app.name.lower() == one.name for app in there.apps):
            continue
        pattern = re.compile(rf"(?i)(?<![\w-])((?:the|my|our) )?{re.escape(one.name)}(?![\w-]){_HAS_PIN}")
        pinned = pattern.sub(lambda match, one=one: _pinned(match, one), text)  # type: ignore[misc]
        if pinned != text:
            text, named, device = pinned, there if one.device else named, there
    return text, named


def _pinned(match: re.Match[str], one: NamedPin) -> str:
    before = match.string[: match.start()]
    keeps = _APPENDED.search(one.name) or (_WITH.search(before) and not before.rstrip().lower().endswith("and"))
    return f"{match[0]} on pin {one.pin}" if keeps else f"pin {one.pin}"
