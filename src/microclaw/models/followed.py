"""What is to follow a button or a sensor: the kind and its values, of a set of meanings. Reads no text."""

from __future__ import annotations

from microclaw.models.asked import Kind, Values, asks
from microclaw.models.frames import Bag
from microclaw.models.targets import TARGET, target

_HEATS = ("heater", "cooler", "humidifier", "dehumidifier")


def button(bag: Bag) -> Kind | None:
    """A button that lights or switches what it is held for."""
    if not bag.has("button") or asks(bag) or len(bag.all("when")) > 1:
        return None
    parts = list(bag.parts)
    switches = bool(parts) and "button" in next(
        (p.tags for p in parts if p.tags != {"filler"}), ()
    )  # "button 4 turns on ..."
    if not (switches or bag.has("press") or bag.says("use", "with", "using", "follow")):
        return None
    at = next(n for n, part in enumerate(parts) if "button" in part.tags)
    after = [part for part in parts[at + 1 :] if "filler" not in part.tags]
    own = [after[0]] if after and after[0].tags == {"pin"} and len(after[0].numbers) == 1 else []
    rest = bag.without([*own, *bag.all("button", "press", "when")])
    if not rest.only("on", "set", "alert", *TARGET) or rest.has("off"):
        return None
    values = target(rest, {})
    if values is None or not (rest.has("on", "alert") or rest.says("switch", "drive", "turn")):
        return None
    return "button", values | ({"button_pin": own[0].numbers[0]} if own else {})


def rule(bag: Bag) -> Kind | None:
    """A pin that follows a sensor: on, off, or on for a moment."""
    limits = bag.all("degrees", "percent", "limit")
    said_when = bag.has("when") or (limits and bag.has("above", "below", "warmer", "colder") and not bag.has("hold"))
    if not said_when or bag.has("button") or len(limits) > 1 or len(bag.all("when")) > 1:
        return None
    quantities = bag.quantities
    if not quantities and (bag.has("warmer", "colder", "too", "degrees")):
        quantities = ["temperature"]
    allowed = ("when", "above", "below", "warmer", "colder", "too", "degrees", "percent", "limit", "on", "off", "set")
    measures = tuple(f"q:{name}" for name in quantities)
    if len(quantities) != 1 or not bag.only(*allowed, *measures, "alert", "for", "ms", "pulse", *TARGET):
        return None
    values = target(bag, {"quantity": quantities[0]})
    above, below = bag.has("above", "warmer"), bag.has("below", "colder")
    if values is None or (above and below) or (bag.has("on") and bag.has("off")):
        return None
    if limits:
        if not (above or below):
            return None
        values["milli"] = limits[0].numbers[0]
        unit = limits[0].text.split(" ")[-1]
        values |= {"unit": unit} if unit != "milli" else {}
        values["side"] = "above" if above else "below"
    return _rule_action(bag, values)


def _rule_action(bag: Bag, values: Values) -> Kind | None:
    for_ms = bag.number("for") if bag.has("for") else bag.number("ms")
    if bag.has("for", "ms"):
        if for_ms is None or bag.has("off") or not bag.has("on", "pulse", "set"):
            return None
        return "threshold_pulse", values | {"ms": for_ms}
    if bag.has("pulse"):
        return None
    if bag.has("off"):
        return "threshold", values | {"level": 0}
    does = bag.has("on", "alert") or bag.says("start", "run", "power", "something", "do something", "work", "works")
    return ("threshold", values) if does else None


def thermostat(bag: Bag) -> Kind | None:
    if not bag.has("hold") or bag.has("when"):
        return None
    allowed = ("hold", "set", "degrees", "percent", "limit", "q:temperature", "q:humidity", "on", *TARGET)
    if not bag.only(*allowed) or len(bag.all("degrees", "percent", "limit")) > 1 or len(bag.quantities) > 1:
        return None
    warm = bag.has("degrees") or "temperature" in bag.quantities or bag.has("thermostat")
    quantity = bag.quantities[0] if bag.quantities else "temperature"
    if not warm and quantity == "temperature":
        return None
    values = target(bag, {"quantity": quantity})
    heats = [tag for tag in _HEATS if bag.has(tag)]
    if values is None or len(heats) > 1:
        return None
    number = bag.all("degrees", "percent", "limit")
    if number:
        values["milli"] = number[0].numbers[0]
        unit = number[0].text.split(" ")[-1]
        values |= {"unit": unit} if unit != "milli" else {}
    if heats:
        values["heats"] = heats[0]
    if bag.has("thermostat"):
        values["usual"] = "heater"
    return "thermostat", values


def unbounded(bag: Bag) -> Kind | None:
    """ "React to the temperature", "turn the heat up": at which value, and with what, is still to be asked for."""
    if bag.has("react") and len(bag.quantities) == 1 and not bag.has("stop"):
        values = target(bag, {"quantity": bag.quantities[0]})
        named = bag.only("react", "set", "on", "when", f"q:{bag.quantities[0]}", "too", *TARGET)
        return ("threshold", values) if named and values is not None else None
    if bag.has("climate") and bag.only("climate", "set", "hold", "on", "dim", "alert", "q:temperature", *TARGET):
        values = target(bag, {"quantity": "temperature", "usual": "heater"})
        return ("thermostat", values) if values is not None else None
    return None
