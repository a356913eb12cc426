"""The values of a sentence whose label is known: its pins, times and limits, by its numbers. Reads no other words.

Every number has to be something that a sentence of this label takes, and none may be left over. What is missing is
left out of the values: those who act ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.models.numbers import Number

Values = dict[str, int | str | bool]
Kind = tuple[str, Values]

_MAX_PINS = 8
_NO_BLINK_MS = 3000
_UNITS: Final = ("degrees", "percent", "volts", "amps", "hpa", "watts")
_COLOUR: Final = re.compile(r"\b(?:(?P<red>red)|(?P<yellow>yellow|amber|orange)|(?P<green>green))\b")
_BY: Final = re.compile(
    r"\b(?:by|add|another|further|extra|plus|minus|less|more|knock|take|cut) (?:about |around |some )?$"
)
_MORE: Final = re.compile(
    r" (?:more|less|brighter|darker|dimmer|higher|lower|extra|off|down|up|of what|chance|probability|duty more)\b"
)
_PROGRAMS: Final = {"blink": "blink", "fade": "fade", "thermostat": "thermostat", "traffic": "traffic light"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a normalized sentence.

    `numbers`: each with its role (pin, button, limit, percent, times, pace, lasting, level, none), None where its unit
    says it all. `answers`: what else is asked of a sentence of this label, None for what is not said. `words`: what its
    known words mean.
    """

    said: str
    numbers: Sequence[tuple[Number, str | None]]
    answers: Mapping[str, str | None]
    words: frozenset[str] = frozenset()


def values_of(label: str, told: Told) -> Kind | None:
    """The kind and the values of a sentence of this label; None where a number has no place in it."""
    reader = _READERS.get(label)
    if reader is None:
        return None
    numbers = _Numbers(told)
    kind = reader(numbers)
    return kind if numbers.all_taken() else None


class _Numbers:
    """A sentence's numbers, each to be taken once."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self._left = list(told.numbers)

    def all_taken(self) -> bool:
        """Whether none is left but "once" as in "once it is warm"."""
        return all(
            number.unit == "times" and self.told.said.startswith("once", number.start) for number, _ in self._left
        )

    def take(self, *names: str) -> list[Number]:
        """The numbers of one of these roles, or units where the unit says it all; from now on taken."""
        found = [pair for pair in self._left if (pair[1] or pair[0].unit) in names]
        self._left = [pair for pair in self._left if pair not in found]
        return [number for number, _ in found]

    def target(self, most: int = 1) -> Values:
        """The pins, or that it is the LED; "several" for more pins than it takes."""
        named = self.take("pin")
        pins = list(dict.fromkeys(map(_whole, named)))
        self._left += [(number, "none") for number in named if not _is_pin(number)]
        if len(pins) > most:
            return {"several": True}
        values = _numbered(pins)
        if not pins and self.told.answers.get("thing") == "led":
            values["thing"] = "led"
        return values

    def pace(self) -> Values | None:
        """How fast, {} where it is not said; None where two times say it."""
        spans = [number for number, _ in self._left if number.unit == "ms"]
        if len(spans) == 2:  # so long on, so long off
            self._left = [pair for pair in self._left if pair[0] not in spans]
            alike = spans[0].value == spans[1].value and not self.take("every", "period")
            return {"ms": _whole(spans[0])} if alike else None
        times = self.take("every", "period", "pace")
        if len(times) > 1:
            return None
        if times:
            return {"period_ms" if times[0].unit == "period" else "ms": _whole(times[0])}
        speed = self.told.answers.get("speed")
        return {"speed": speed} if speed in ("fast", "slow") else {}

    def lasting(self) -> Values | None:
        """For how long, {} where it is not said; None for two times."""
        times = self.take("lasting")
        if len(times) > 1:
            return None
        return {"ms": _whole(times[0])} if times else {}

    def limit(self) -> Values | None:
        """The value to compare with, {} where it is not said; None for two."""
        found = self.take("limit", *_UNITS)
        if len(found) > 1:
            return None
        if not found:
            return {}
        number = found[0]
        return {"milli": round(_milli(number))} | ({"unit": number.unit} if number.unit in _UNITS else {})


def _set(level: int) -> Callable[[_Numbers], Kind | None]:
    def read(said: _Numbers) -> Kind | None:
        said.take("level")
        values = said.target(_MAX_PINS)
        return "set_pin", {"level": level, **values}

    return read


def _targeted(kind: str) -> Callable[[_Numbers], Kind | None]:
    def read(said: _Numbers) -> Kind | None:
        return kind, said.target()

    return read


def _plain(kind: str) -> Callable[[_Numbers], Kind | None]:
    return lambda _said: (kind, {})


def _dim(said: _Numbers) -> Kind | None:
    values, percents = said.target(), said.take("percent")
    text = said.told.said
    if any(_BY.search(text[: number.start]) or _MORE.match(text[number.end :]) for number in percents):
        return "dim_pin", values  # by so much: of what?
    shares = [_milli(number) for number in percents]
    shares += [n.value * 25_000 for n in said.take("quarters")]
    if not shares:
        shares = [share for word, share in (("half", 50_000), ("full", 100_000)) if word in said.told.words]
    if len(shares) > 1:
        return None
    return "dim_pin", values | ({"milli": round(shares[0])} if shares else {})


def _pulse(said: _Numbers) -> Kind | None:
    values, lasting = said.target(), said.lasting()
    return ("pulse", values | lasting) if lasting is not None else None


def _times(said: _Numbers) -> Kind | None:
    counts, values = said.take("times"), said.target()
    if len(counts) > 1:
        return None
    if counts:
        pace = said.pace()
        again_ms = (pace or {}).get("ms", (pace or {}).get("period_ms", 0))
        if counts[0].value > 1 and isinstance(again_ms, int) and again_ms >= _NO_BLINK_MS:
            return None  # so many at once, and again after a while: no program here does that
        return ("blink_times", {**values, **pace, "times": _whole(counts[0])}) if pace is not None else None
    lasting, pace = said.lasting(), said.pace()
    return ("blink_times", {**values, **pace, "for_ms": lasting["ms"]}) if lasting and pace is not None else None


def _blink(said: _Numbers) -> Kind | None:
    spans = [number.value for number, _ in said.told.numbers if number.unit == "ms"]
    if len(spans) == 1 and spans[0] >= _NO_BLINK_MS:
        return None  # "blink ten seconds": for so long, or so slowly?
    values, pace = said.target(), said.pace()
    return ("blink", values | pace) if pace is not None else None


def _fade(said: _Numbers) -> Kind | None:
    values, pace = said.target(), said.pace()
    return ("fade", values | pace) if pace is not None else None


def _rule(said: _Numbers) -> Kind | None:
    values, limit, lasting = said.target(), said.limit(), said.lasting()
    answers = said.told.answers
    quantity, side, level = answers.get("quantity"), answers.get("side"), answers.get("level")
    if limit is None or lasting is None or quantity is None or level is None:
        return None
    if limit and side is None:
        return None
    values |= {"quantity": quantity} | limit | ({"side": side} if limit and side is not None else {})
    if lasting:
        return ("threshold_pulse", values | lasting) if level == "1" else None
    return "threshold", values | ({"level": 0} if level == "0" else {})


def _thermostat(said: _Numbers) -> Kind | None:
    values, limit = said.target(), said.limit()
    quantity = said.told.answers.get("quantity")
    if limit is None or quantity is None:
        return None
    swing = said.take("swing")
    heats = [tag for tag in ("heater", "cooler", "humidifier", "dehumidifier") if tag in said.told.words]
    return "thermostat", (
        values
        | limit
        | {"quantity": quantity}
        | ({"swing_milli": _whole(swing[0])} if len(swing) == 1 else {})
        | ({"heats": heats[0]} if len(heats) == 1 else {})
    )


def _button(said: _Numbers) -> Kind | None:
    values, own = said.target(), said.take("button")
    if len(own) > 1:
        return None
    return "button", values | ({"button_pin": _whole(own[0])} if own else {})


def _traffic(said: _Numbers) -> Kind | None:
    """Red, yellow and green in this order, or as the colours beside the pins say."""
    pins = said.take("pin")
    if len(pins) not in (0, 3):
        return None
    named = [(match.start(), match.lastgroup or "") for match in _COLOUR.finditer(said.told.said)]
    if not named or not pins:
        return "traffic_light", _numbered(map(_whole, pins))
    order = sorted([*((at, colour) for at, colour in named), *((pin.start, "") for pin in pins)])
    colours = [colour for _, colour in named]
    together = [not colour for _, colour in order] in ([False] * 3 + [True] * 3, [True] * 3 + [False] * 3)
    in_turn = [not colour for _, colour in order] in ([False, True] * 3, [True, False] * 3)
    if sorted(colours) != ["green", "red", "yellow"] or not (together or in_turn):
        return None
    by_colour = dict(zip(colours, map(_whole, pins), strict=True))
    return "traffic_light", _numbered(by_colour[colour] for colour in ("red", "yellow", "green"))


def _log(said: _Numbers) -> Kind | None:
    pace, quantity = said.pace(), said.told.answers.get("quantity")
    if said.told.answers.get("quantity_2") is not None:
        return None  # a program logs one
    return ("read_sensor_every", {"quantity": quantity, **pace}) if pace is not None and quantity is not None else None


def _sensor(said: _Numbers) -> Kind | None:
    first, second = said.told.answers.get("quantity"), said.told.answers.get("quantity_2")
    if first is None:
        return None
    values: Values = {"quantity": first}
    if second not in (None, first):
        values["quantity_2"] = second or ""
    return "read_sensor", values


def _level(said: _Numbers) -> Kind | None:
    said.take("level")
    return "read_pin", said.target()


def _adc(said: _Numbers) -> Kind | None:
    pins = said.take("pin")
    return ("read_adc", _numbered(map(_whole, pins))) if len(pins) < 2 else None


def _stop(said: _Numbers) -> Kind | None:
    values, what = said.target(), said.told.answers.get("what")
    if "pin" in values or "several" in values:
        return "remove_on_pin", values
    if what == "all":
        return "remove_all", {}
    if what in _PROGRAMS:
        return "remove_app", {"app": _PROGRAMS[what]}
    return ("remove_on_pin", values) if values else ("remove_app", {"app": ""})


def _app(said: _Numbers) -> Kind | None:
    what = said.told.answers.get("what")
    return "app_status", {"app": _PROGRAMS.get(what or "", "")}


def _fact(said: _Numbers) -> Kind | None:
    match said.told.answers.get("field"):
        case None:
            return None
        case "info":
            return "device_info", {}
        case "firmware":
            return "device_info", {"field": "firmware"}
        case field:
            return "device_status", {"field": field}


_READERS: Final[Mapping[str, Callable[[_Numbers], Kind | None]]] = {
    "on": _set(1),
    "off": _set(0),
    "toggle": _targeted("toggle_pin"),
    "dim": _dim,
    "pulse": _pulse,
    "times": _times,
    "undo": _plain("undo"),
    "stop": _stop,
    "blink": _blink,
    "fade": _fade,
    "rule": _rule,
    "thermostat": _thermostat,
    "button": _button,
    "traffic": _traffic,
    "log": _log,
    "sensor": _sensor,
    "level": _level,
    "adc": _adc,
    "apps": _plain("list_apps"),
    "app": _app,
    "fact": _fact,
    "devices": _plain("list_devices"),
    "i2c": _plain("scan_i2c"),
    "pins": _targeted("pin_facts"),
}


def _milli(number: Number) -> float:
    """A value in thousandths, whether its unit was said or not."""
    return number.value * 1000 if number.unit in ("bare", "pin") else number.value


def _is_pin(number: Number) -> bool:
    value = number.value / 1000 if number.unit == "milli" else number.value
    return value >= 0 and value == int(value)


def _whole(number: Number) -> int:
    return int(number.value / 1000) if number.unit == "milli" else int(number.value)


def _numbered(pins: Iterable[int]) -> Values:
    return {"pin" if n == 0 else f"pin_{n + 1}": pin for n, pin in enumerate(pins)}
