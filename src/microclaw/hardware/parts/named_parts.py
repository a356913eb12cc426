"""Lines of a wiring that people write or say: "lamp=led pin=5", and names of pins ("the fish tank light is on pin 4").

A name says which part it is by its last words ("light" is an LED). If no part has these words, the name stands for a
generic part: anything that the pin switches or reads.
"""

from __future__ import annotations

import difflib
import functools
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import ConfigError, PinClaimed, UnknownName
from microclaw.hardware.boards.pins import refusal
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.part_ids import check_part_id, free_id
from microclaw.hardware.parts.reader import Part, PartPin, parts
from microclaw.hardware.parts.wiring import (
    NEEDED_USE,
    WiredPart,
    Wiring,
    checked_label,
    make_part,
    part_roles,
    read_wiring,
    wiring_tables,
)
from microclaw.hardware.parts.wiring_check import check_wiring

MAX_LINE_CHARS: Final = 500
LINE_EXAMPLE: Final = 'lamp=led pin=5 active=low label="fish tank light"'
_STEP: Final = f"as in: {LINE_EXAMPLE}"
_QUOTES: Final = "'\" "
_BETWEEN_WORDS: Final = re.compile(r"[\s=:,]+")
_PIN_WORDS: Final = ("pin", "gpio", "io")
_FILLERS: Final = ("", "on", "at", "to", "is", "the", "a", "an")
_TEXT_KEYS: Final = ("part", "label", "active")
_NUMBER: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?|0x[0-9a-f]{1,4}", re.IGNORECASE)


class SwitchedPin(Struct, frozen=True):
    """A pin that switches a part on and off. `active_level` turns it on."""

    part_id: str
    gpio: int
    active_level: int
    label: str | None = None


class NamedPin(Struct, frozen=True):
    """A name in lower case that a pin has; `device` in lower case too, None if the person did not say it."""

    name: str
    pin: int
    device: str | None = None


def parse_part_lines(lines: Sequence[str]) -> Wiring:
    """Read parts from lines as LINE_EXAMPLE. Raises ConfigError or UnknownName; two lines of one part are refused."""
    tables: dict[str, dict[str, Any]] = {}
    for line in lines:
        part_id, table = _checked_line(line)
        if part_id in tables:
            raise ConfigError(f"{part_id[:40]} has two lines", next_step="give each part its own id")
        tables[part_id] = table
    return read_wiring(tables)


def parse_part_line(text: str) -> WiredPart:
    """Read one part from a line as LINE_EXAMPLE. Raises ConfigError or UnknownName."""
    return parse_part_lines([text]).parts[0]


def part_line(part: WiredPart) -> str:
    """Return the line of a part that `parse_part_line` reads."""
    table = wiring_tables(Wiring((part,)))[part.id]
    words = [f"{part.id}={table.pop('part')}"]
    for key, value in table.items():
        text = str(value)
        if key == "address":
            text = f"0x{value:02x}"
        words.append(f"{key}={shlex.quote(text)}")
    return " ".join(words)


def with_part(wiring: Wiring, part: WiredPart) -> Wiring:
    """Return the wiring with this part; a part with the same id is replaced in its place."""
    changed = {other.id: other for other in wiring.parts}
    changed[part.id] = part
    return replace(wiring, parts=tuple(changed.values()), unread=_unread_without(wiring, [part.id]))


def without_part(wiring: Wiring, part_id: str) -> Wiring:
    """Return the wiring without this part. Raises UnknownName if it has no such part."""
    rest = _without(wiring, [part_id])
    if rest != wiring:
        return rest
    ids = [*(part.id for part in wiring.parts), *wiring.unread]
    near = difflib.get_close_matches(part_id, ids, n=1)
    if near:
        step = f"did you mean {near[0]}?"
    else:
        step = f"parts: {', '.join(ids) or 'none'}"
    raise UnknownName(f"no part {part_id[:40]!r} in the wiring", next_step=step)


def joined_wiring(wiring: Wiring, other: Wiring, board: BoardProfile) -> Wiring:
    """Return the wiring with the parts of another record of this board that do not contradict it."""
    wiring = replace(wiring, unread={**other.unread, **wiring.unread})
    for part in other.parts:
        joined = replace(wiring, parts=(*wiring.parts, part))
        try:
            check_wiring(joined, board)
        except ConfigError:
            continue
        wiring = joined
    return wiring


def name_pin(wiring: Wiring, board: BoardProfile, name: str, gpio: int, *, device: str) -> Wiring:
    """Return the wiring in which the part on a pin has this name. `device` is the board's name, for an error.

    A part of that name moves to the pin. A part that is there already gets the name, if the name can mean such a part.
    Raises PinClaimed if the pin has another part, and ConfigError for what the board cannot have.
    """
    same = wiring.called(name)
    if same is not None:
        part_id = same.id
    else:
        part_id = free_id(name, {part.id for part in wiring.parts} | wiring.unread.keys())
    checked_label(part_id, name)
    if same is not None and gpio in same.pins.values():
        return _checked(with_part(wiring, replace(same, label=name)), board)
    if same is not None and len(same.pins) != 1:
        step = f"say another name, or: microclaw device wiring {device} --add"
        raise ConfigError(f"{part_id} is a {same.part}, which has not just one pin", next_step=step)
    kind = _kind_of_name(name, board, gpio)
    present = wiring.on_pin(gpio)
    if same is None and len(present) == 1 and _may_be_called(present[0], gpio, name, kind):
        renamed = replace(present[0], id=part_id, label=name)
        return _checked(_exchanged(wiring, present[0], renamed), board)
    if same is not None:
        (role,) = same.pins
        part = replace(same, pins={role: gpio}, label=name)
    else:
        (pin,) = needed_pins(kind)
        part = make_part(part_id, kind.name, pins={pin.role: gpio}, label=name)
    if present:
        raise _occupied_error(present, part, gpio, device)
    rest = _without(wiring, [part_id])
    return _checked(replace(rest, parts=(*rest.parts, part)), board)


def _may_be_called(part: WiredPart, gpio: int, name: str, kind: Part) -> bool:
    """Return True if this name, which means this kind, can be of the part on a pin.

    A name without words of a kind ("the pump") means what a pin switches, never what drives the pin itself.
    """
    if not kind.generic:
        return kind.name == part.part
    is_of_input = kind.kind == "input" and _matched_length(kind, _plain_words(name)) > 0
    uses = {pin.use for pin in part_roles(part.facts).values() if part.pins.get(pin.role) == gpio}
    if is_of_input:
        return uses.isdisjoint(("output", "pwm"))
    return uses.isdisjoint(("input", "adc"))


def _occupied_error(present: Sequence[WiredPart], part: WiredPart, gpio: int, device: str) -> PinClaimed:
    """Return the error for a part that should come to a pin with other parts, with the command that replaces them."""
    texts = [f"{other.id} ({other.part})" for other in present]
    removals = [f"--remove {other.id}" for other in present]
    step = f"replace it: microclaw device wiring {device} {' '.join(removals)} --add {shlex.quote(part_line(part))}"
    return PinClaimed(f"pin {gpio} of {device} has {', '.join(texts)}", next_step=step)


def _exchanged(wiring: Wiring, part: WiredPart, other: WiredPart) -> Wiring:
    """Return the wiring with another part in the place of this one."""
    rest = list(wiring.parts)
    rest[rest.index(part)] = other
    return replace(wiring, parts=tuple(rest))


def switched_pins(wiring: Wiring) -> tuple[SwitchedPin, ...]:
    """Return the pins that switch a part on and off, in the order of the wiring."""
    pins = []
    for part in wiring.parts:
        for pin in part.facts.pins:
            if pin.use == "output" and pin.polarity and pin.role in part.pins:
                pins.append(SwitchedPin(part.id, part.pins[pin.role], part.active_level, part.label))
    return tuple(pins)


def inputs_on(wiring: Wiring, gpio: int) -> tuple[WiredPart, ...]:
    """Return the parts that drive that GPIO themselves: a program must not drive it, too."""
    drivers = []
    for part in wiring.on_pin(gpio):
        for pin in part.facts.pins:
            is_driver = pin.use in ("input", "adc") and not pin.passive
            if is_driver and part.pins.get(pin.role) == gpio:
                drivers.append(part)
    return tuple(drivers)


def _kind_of_name(name: str, board: BoardProfile, gpio: int) -> Part:
    """Return the part that a name means on this pin: by its longest last words, else a generic part."""
    kinds = [part for part in parts().values() if len(needed_pins(part)) == 1 and part.i2c is None]
    best = part_of_words(name, [part for part in kinds if _fits(part, board, gpio)])
    if best is not None:
        return best
    generic = [part for part in kinds if part.generic]
    # What a person names is more often switched than read.
    generic.sort(key=lambda part: part.kind != "actuator")
    return next((part for part in generic if _fits(part, board, gpio)), generic[0])


def _plain_words(name: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", name.lower()))


def part_of_words(name: str, kinds: Iterable[Part]) -> Part | None:
    """Return the part in whose words a name ends, of several the one with the longest; None if there is none."""
    text = _plain_words(name)
    best: Part | None = None
    longest = 0
    # Generic parts are last: a part with the same words is chosen before them.
    for part in sorted(kinds, key=lambda part: part.generic):
        length = _matched_length(part, text)
        if length > longest:
            best = part
            longest = length
    return best


def _matched_length(part: Part, text: str) -> int:
    match = _ending(part.words.get("en", "")).search(text)
    if match is None:
        return 0
    return len(match["words"])


@functools.cache
def _ending(words: str) -> re.Pattern[str]:
    """Return the pattern of a text that ends in these words of a part: "[push] button", "(led|light)"."""
    if not words:
        return re.compile(r"(?!)(?P<words>)")
    pattern = re.sub(r"\[([^\]]*)\] ", r"(?:\1 )?", words)
    pattern = re.sub(r" \[([^\]]*)\]", r"(?: \1)?", pattern)
    return re.compile(rf"(?:^|\s)(?P<words>{pattern.replace('-', ' ')})$")


def needed_pins(part: Part) -> list[PartPin]:
    """Return the pins that must be wired, on I2C if the part can be."""
    return [pin for pin in part.pins if not (pin.optional or pin.instead_of_i2c)]


def _fits(part: Part, board: BoardProfile, gpio: int) -> bool:
    (pin,) = needed_pins(part)
    return refusal(board, gpio, NEEDED_USE[pin.use]) is None


def _without(wiring: Wiring, part_ids: Iterable[str]) -> Wiring:
    ids = set(part_ids)
    parts_left = tuple(part for part in wiring.parts if part.id not in ids)
    return replace(wiring, parts=parts_left, unread=_unread_without(wiring, ids))


def _unread_without(wiring: Wiring, part_ids: Collection[str]) -> Mapping[str, Any]:
    return {part_id: table for part_id, table in wiring.unread.items() if part_id not in part_ids}


def _checked(wiring: Wiring, board: BoardProfile) -> Wiring:
    check_wiring(wiring, board)
    return wiring


def _checked_line(text: str) -> tuple[str, dict[str, Any]]:
    """Return what `_parse_line` returns. Raises ConfigError with the right form of a line, if its words tell it."""
    try:
        part_id, table = _parse_line(text)
        read_wiring({part_id: table})
    except (ConfigError, UnknownName) as exc:
        meant_line = _meant_line(text)
        if meant_line is None:
            raise
        raise ConfigError(f"no line of a part: {text[:80]!r}", next_step=f"did you mean: {meant_line}") from exc
    return part_id, table


def _meant_line(text: str) -> str | None:
    """Return the line for the words of "lamp led pin 5" or "pin=5 lamp=led"; None if they do not tell it."""
    words = _BETWEEN_WORDS.split(text.lower())
    kind = next((word for word in words if word in parts()), None)
    if kind is None or len(text) > MAX_LINE_CHARS:
        return None
    words.remove(kind)
    roles = {role: role for role in part_roles(parts()[kind])}
    needed = needed_pins(parts()[kind])
    if len(needed) == 1:
        roles |= dict.fromkeys(_PIN_WORDS, needed[0].role)
    values: list[str] = []
    names: list[str] = []
    role = None
    for word in words:
        if role is not None:
            values.append(f"{role}={word}")
            role = None
        elif word in roles:
            role = roles[word]
        elif word.isdecimal() and len(needed) == 1:
            values.append(f"{needed[0].role}={word}")
        elif word not in _FILLERS:
            names.append(word)
    if role is not None or len(names) > 1:
        return None
    part_id = names[0] if names else f"{kind}1"
    line = " ".join([f"{part_id}={kind}", *values])
    try:
        read_wiring(dict([_parse_line(line)]))
    except (ConfigError, UnknownName):
        return None
    return line


def _parse_line(text: str) -> tuple[str, dict[str, Any]]:
    """Return the id of a line's part and its table, as `read_wiring` takes it. Raises ConfigError."""
    if len(text) > MAX_LINE_CHARS:
        raise ConfigError(f"a part's line has at most {MAX_LINE_CHARS} characters", next_step=_STEP)
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise ConfigError(f"no line of a part: {text[:80]!r}: {exc}", next_step=_STEP) from exc
    table: dict[str, Any] = {}
    part_id = ""
    for position, word in enumerate(words):
        key, equals, value = word.partition("=")
        if position == 0 and "=" in text:
            # All before the first sign, as an id with a space is no word. Capital letters are taken as small ones.
            check_part_id(text.partition("=")[0].strip(_QUOTES).lower())
        if not equals or not key or not value:
            raise ConfigError(f"{word[:40]!r} is no KEY=VALUE", next_step=_STEP)
        if position == 0:
            part_id = key
            key = "part"
        if key in table:
            raise ConfigError(f"{part_id[:40]}: {key[:40]} is given twice", next_step=_STEP)
        table[key] = _value(key, value)
    if not words:
        raise ConfigError("a part's line is empty", next_step=_STEP)
    return part_id, table


def _value(key: str, text: str) -> str | int | float:
    """Return a value of a line: a number, unless the key has words."""
    if key in _TEXT_KEYS or not _NUMBER.fullmatch(text):
        return text
    if text.lower().startswith("0x"):
        return int(text, 16)
    if text.lstrip("-").isdigit():
        return int(text)
    return float(text)
