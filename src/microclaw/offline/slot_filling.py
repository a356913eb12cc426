"""The values of a sentence with a known label: its pins, times and limits, from its numbers. It reads few other words.

Every number must fit the label, and none may be left over. Missing values are left out: the dialogue asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from microclaw.language.numbers import Number, TaggedText
from microclaw.offline.parse import Values

Kind = tuple[str, Values]

_MAX_PINS = 8
_LONGEST_BLINK_PACE_MS = 3000
_UNITS: Final = ("degrees", "percent", "volts", "amps", "hpa", "watts")
_COLOUR: Final = re.compile(r"\b(?:(?P<red>red)|(?P<yellow>yellow|amber|orange)|(?P<green>green))\b")
_RELATIVE_BEFORE: Final = re.compile(
    r"\b(?:by|add|another|further|extra|plus|minus|less|more|knock|take|cut) (?:about |around |some )?$"
)
_RELATIVE_AFTER: Final = re.compile(
    r" (?:more|less|brighter|darker|dimmer|higher|lower|extra|off|down|up|of what|chance|probability|duty more)\b"
)
_LEVELS: Final = {"on": 1, "high": 1, "up": 1, "off": 0, "low": 0, "down": 0}
_SAYS_NOTHING: Final = frozenset(
    re.findall(
        r"\w+",
        "a turn switch set put drive pull make bring take the and then also to but please pls both pin pins gpio now i "
        "want you can could would like after that afterwards finally first next should must shall be go goes is are ok",
    )
)
_TOKEN: Final = re.compile(r"[a-z']+|\S")
_PROGRAMS: Final = {"blink": "blink", "fade": "fade", "thermostat": "thermostat", "traffic": "traffic light"}


@dataclass(frozen=True, slots=True)
class SlotInput:
    """A normalized sentence.

    `numbers`: each with its role (pin, button, limit, percent, times, pace, lasting, level, none), None if the unit is
    enough. `answers`: the classifiers' answers, None if the sentence does not say. `words`: the meanings of its words.
    """

    text: str
    numbers: Sequence[tuple[Number, str | None]]
    answers: Mapping[str, str | None]
    words: frozenset[str] = frozenset()


def values_of(label: str, given: SlotInput) -> Kind | None:
    """The kind and the values of a sentence with this label; None when a number does not fit."""
    if label not in _READERS:
        return None
    numbers = _Numbers(given)
    try:
        kind = _READERS[label](numbers)
    except _Misfit:
        return None
    return kind if numbers.all_taken() else None


class _Misfit(Exception):
    """A number or an answer that does not fit the label, or that is missing."""


def levels_of(said: TaggedText) -> Kind | None:
    """The pins of a sentence with several levels, each with its level; None for any other sentence."""
    at = 0
    items: list[int | str] = []  # pins, and words for levels
    for number in said.numbers:
        if number.unit not in ("pin", "bare") or number.value != int(number.value) or number.value < 0:
            return None
        items += [*_TOKEN.findall(said.text[at : number.start]), int(number.value)]
        at = number.end
    items += _TOKEN.findall(said.text[at:])
    parts = [item for item in items if isinstance(item, int) or (item not in _SAYS_NOTHING and item not in ",;.")]
    if said.stray or said.asks or any(isinstance(part, str) and part not in _LEVELS for part in parts):
        return None
    return _in_turn(parts) or _in_turn(parts[::-1], backwards=True)


def _in_turn(parts: list[int | str], *, backwards: bool = False) -> Kind | None:
    """Pins and levels, if each level follows its pins."""
    pairs: list[tuple[int, int]] = []
    waiting: list[int] = []
    for part in parts:
        if isinstance(part, int):
            waiting.append(part)
            continue
        if not waiting:
            return None
        pairs += [(pin, _LEVELS[part]) for pin in waiting]
        waiting = []
    levels = {level for _, level in pairs}
    pins = [pin for pin, _ in pairs]
    if waiting or len(levels) < 2 or len(set(pins)) < len(pins) or len(pins) > _MAX_PINS:
        return None
    values: Values = {}
    for n, (pin, level) in enumerate(reversed(pairs) if backwards else pairs, start=1):
        values |= {"pin" if n == 1 else f"pin_{n}": pin, "level" if n == 1 else f"level_{n}": level}
    return "set_pin", values


class _Numbers:
    """The numbers of a sentence; each can be taken once."""

    def __init__(self, given: SlotInput) -> None:
        self.given = given
        self._left = list(given.numbers)

    def all_taken(self) -> bool:
        """Whether no number is left, except the "once" of "once it is warm"."""
        return all(
            number.unit == "times" and self.given.text.startswith("once", number.start) for number, _ in self._left
        )

    def take(self, *names: str) -> list[Number]:
        """Take and return the numbers with one of these roles or units."""
        found = [pair for pair in self._left if (pair[1] or pair[0].unit) in names]
        self._left = [pair for pair in self._left if pair not in found]
        return [number for number, _ in found]

    def target(self, most: int = 1) -> Values:
        """The pins, or the LED; "several" for more than `most` pins."""
        named = self.take("pin")
        pins = list(dict.fromkeys(map(_whole, named)))
        self._left += [(number, "none") for number in named if not _is_pin(number)]
        if len(pins) > most:
            return {"several": True}
        values = _numbered(pins)
        if not pins and self.given.answers.get("thing") == "led":
            values["thing"] = "led"
        return values

    def pace(self) -> Values:
        """How fast; {} when not said."""
        spans = [number for number, _ in self._left if number.unit == "ms"]
        if len(spans) == 2:  # so long on, so long off
            self._left = [pair for pair in self._left if pair[0] not in spans]
            if spans[0].value != spans[1].value or self.take("every", "period"):
                raise _Misfit
            return {"ms": _whole(spans[0])}
        time = self.one("every", "period", "pace")
        if time is not None:
            return {"period_ms" if time.unit == "period" else "ms": _whole(time)}
        speed = self.given.answers.get("speed")
        return {"speed": speed} if speed in ("fast", "slow") else {}

    def lasting(self, name: str = "ms") -> Values:
        """For how long; {} when not said."""
        time = self.one("lasting")
        return {name: _whole(time)} if time is not None else {}

    def limit(self) -> Values:
        """The value to compare with; {} when not said."""
        number = self.one("limit", *_UNITS)
        if number is None:
            return {}
        return {"milli": round(_milli(number))} | ({"unit": number.unit} if number.unit in _UNITS else {})

    def one(self, *names: str) -> Number | None:
        """Take the number with one of these roles, if there is one; two do not fit."""
        found = self.take(*names)
        if len(found) > 1:
            raise _Misfit
        return found[0] if found else None

    def answer(self, name: str) -> str:
        """A classifier's answer that the label needs."""
        answer = self.given.answers.get(name)
        if answer is None:
            raise _Misfit
        return answer


def _set(numbers: _Numbers, level: int) -> Kind:
    numbers.take("level")
    return "set_pin", {"level": level, **numbers.target(_MAX_PINS)}


def _dim(numbers: _Numbers) -> Kind:
    values, percents = numbers.target(), numbers.take("percent")
    text = numbers.given.text
    if any(_RELATIVE_BEFORE.search(text[: n.start]) or _RELATIVE_AFTER.match(text[n.end :]) for n in percents):
        return "dim_pin", values  # "dim it by 20 percent" names no brightness
    shares = [_milli(number) for number in percents]
    shares += [n.value * 25_000 for n in numbers.take("quarters")]
    if not shares:
        shares = [share for word, share in (("half", 50_000), ("full", 100_000)) if word in numbers.given.words]
    if len(shares) > 1:
        raise _Misfit
    return "dim_pin", values | ({"milli": round(shares[0])} if shares else {})


def _times(numbers: _Numbers) -> Kind:
    count, values = numbers.one("times"), numbers.target()
    if count is not None:
        return "blink_times", {**values, **numbers.pace(), "times": _whole(count)}
    lasting = numbers.lasting("for_ms")
    if not lasting:
        raise _Misfit
    return "blink_times", {**values, **numbers.pace(), **lasting}


def _blink(numbers: _Numbers) -> Kind:
    spans = [number.value for number, _ in numbers.given.numbers if number.unit == "ms"]
    if len(spans) == 1 and spans[0] >= _LONGEST_BLINK_PACE_MS:
        raise _Misfit  # "blink ten seconds": for so long, or so slowly?
    return "blink", numbers.target() | numbers.pace()


def _rule(numbers: _Numbers) -> Kind:
    values, limit, lasting = numbers.target(), numbers.limit(), numbers.lasting()
    values |= {"quantity": numbers.answer("quantity")} | limit | ({"side": numbers.answer("side")} if limit else {})
    if numbers.answer("level") == "1":
        return ("threshold_pulse", values | lasting) if lasting else ("threshold", values)
    if lasting:
        raise _Misfit
    return "threshold", values | {"level": 0}


def _thermostat(numbers: _Numbers) -> Kind:
    values = numbers.target() | numbers.limit() | {"quantity": numbers.answer("quantity")}
    swing = numbers.one("swing")
    if swing is not None:
        values["swing_milli"] = _whole(swing)
    heats = [tag for tag in ("heater", "cooler", "humidifier", "dehumidifier") if tag in numbers.given.words]
    return "thermostat", values | ({"heats": heats[0]} if len(heats) == 1 else {})


def _button(numbers: _Numbers) -> Kind:
    values, own = numbers.target(), numbers.one("button")
    return "button", values | ({"button_pin": _whole(own)} if own is not None else {})


def _traffic(numbers: _Numbers) -> Kind:
    """Red, yellow and green in this order, or in the order of colours beside the pins."""
    pins = numbers.take("pin")
    if len(pins) not in (0, 3):
        raise _Misfit
    named = [(match.start(), match.lastgroup or "") for match in _COLOUR.finditer(numbers.given.text)]
    if not named or not pins:
        return "traffic_light", _numbered(map(_whole, pins))
    order = sorted([*named, *((pin.start, "") for pin in pins)])
    colours = [colour for _, colour in named]
    together = [not colour for _, colour in order] in ([False] * 3 + [True] * 3, [True] * 3 + [False] * 3)
    in_turn = [not colour for _, colour in order] in ([False, True] * 3, [True, False] * 3)
    if sorted(colours) != ["green", "red", "yellow"] or not (together or in_turn):
        raise _Misfit
    by_colour = dict(zip(colours, map(_whole, pins), strict=True))
    return "traffic_light", _numbered(by_colour[colour] for colour in ("red", "yellow", "green"))


def _log(numbers: _Numbers) -> Kind:
    if numbers.given.answers.get("quantity_2") is not None:
        raise _Misfit  # a program logs one
    return "read_sensor_every", {"quantity": numbers.answer("quantity"), **numbers.pace()}


def _sensor(numbers: _Numbers) -> Kind:
    first, second = numbers.answer("quantity"), numbers.given.answers.get("quantity_2")
    values: Values = {"quantity": first}
    if second and second != first:
        values["quantity_2"] = second
    return "read_sensor", values


def _level(numbers: _Numbers) -> Kind:
    numbers.take("level")
    return "read_pin", numbers.target()


def _adc(numbers: _Numbers) -> Kind:
    pin = numbers.one("pin")
    return "read_adc", {"pin": _whole(pin)} if pin is not None else {}


def _stop(numbers: _Numbers) -> Kind:
    values, what = numbers.target(), numbers.given.answers.get("what") or ""
    if not {"pin", "several"} & values.keys():
        if what == "all":
            return "remove_all", {}
        if what in _PROGRAMS or not values:
            return "remove_app", {"app": _PROGRAMS.get(what, "")}
    return "remove_on_pin", values


def _fact(numbers: _Numbers) -> Kind:
    field = numbers.answer("field")
    if field in ("info", "firmware"):
        return "device_info", {"field": field} if field == "firmware" else {}
    return "device_status", {"field": field}


_READERS: Final[Mapping[str, Callable[[_Numbers], Kind]]] = {
    "on": partial(_set, level=1),
    "off": partial(_set, level=0),
    "toggle": lambda numbers: ("toggle_pin", numbers.target()),
    "dim": _dim,
    "pulse": lambda numbers: ("pulse", numbers.target() | numbers.lasting()),
    "times": _times,
    "undo": lambda _: ("undo", {}),
    "stop": _stop,
    "blink": _blink,
    "fade": lambda numbers: ("fade", numbers.target() | numbers.pace()),
    "rule": _rule,
    "thermostat": _thermostat,
    "button": _button,
    "traffic": _traffic,
    "log": _log,
    "sensor": _sensor,
    "level": _level,
    "adc": _adc,
    "apps": lambda _: ("list_apps", {}),
    "app": lambda numbers: ("app_status", {"app": _PROGRAMS.get(numbers.given.answers.get("what") or "", "")}),
    "fact": _fact,
    "devices": lambda _: ("list_devices", {}),
    "i2c": lambda _: ("scan_i2c", {}),
    "pins": lambda numbers: ("pin_facts", numbers.target()),
}


def _milli(number: Number) -> float:
    """A value in thousandths, with or without a unit."""
    return number.value * 1000 if number.unit in ("bare", "pin") else number.value


def _is_pin(number: Number) -> bool:
    value = number.value / 1000 if number.unit == "milli" else number.value
    return value >= 0 and value == int(value)


def _whole(number: Number) -> int:
    return int(number.value / 1000) if number.unit == "milli" else int(number.value)


def _numbered(pins: Iterable[int]) -> Values:
    return {"pin" if n == 0 else f"pin_{n + 1}": pin for n, pin in enumerate(pins)}
