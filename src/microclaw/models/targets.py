"""The pin or the thing that a set of meanings is about, and the pace that it says. Reads no text."""

from __future__ import annotations

from microclaw.models.asked import Values
from microclaw.models.frames import THINGS, Bag

TARGET = ("pin", "place", "near", *THINGS)
PACE = ("every", "period", "fast", "slow")


def target(bag: Bag, values: Values) -> Values | None:
    """The values with the one pin or thing that is meant; None for several pins. Either of two is none."""
    if len(bag.pins) > 1:
        return values if bag.has("or") else None
    if any(bag.pins or part.numbers for part in bag.all("or")):
        return values
    if bag.pins:
        values["pin"] = bag.pins[0]
    thing = thing_of(bag)
    if thing is not None:
        values["thing"] = thing
    return values


def thing_of(bag: Bag) -> str | None:
    """The board's own LED is in no room: a light of the kitchen hangs on a pin."""
    return "load" if bag.thing == "led" and bag.has("place", "near") else bag.thing


def pace_of(bag: Bag) -> Values | None:
    """The pace that is said, {} for none; None where it is said twice."""
    if len(bag.all(*PACE)) > 1:
        return None
    every, period = bag.number("every"), bag.number("period")
    if every is not None:
        return {"ms": every}
    if period is not None:
        return {"period_ms": period}
    return {"speed": "fast"} if bag.has("fast") else {"speed": "slow"} if bag.has("slow") else {}
