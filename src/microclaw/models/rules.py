"""Sentences that ask for a rule: a sensor's value that switches a pin. Deploys nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microclaw.models.deploying import deploy, seconds, told, waiting
from microclaw.models.places import Quantity, board_of, place_of, sensor_of
from microclaw.models.reply import Act, Decision, Say, Situation, ask

DEFAULT_SWING_MILLI = 500
# What is driven: the quantity it moves, and whether it raises it.
_DRIVEN = {
    "heater": ("temperature", True),
    "cooler": ("temperature", False),
    "humidifier": ("humidity", True),
    "dehumidifier": ("humidity", False),
}


def decide(at: Situation) -> Decision:
    """Deploy the filled pattern, then say what the deployment's evidence is."""
    if at.found:
        return told(at.found[-1], once=False)
    return _RULES[at.reading.kind](at)


def _threshold(at: Situation) -> Act:
    place = place_of(at)
    name, _, address = _sensor(at)
    limit = _limit(at)
    if at.reading.number("level") == 0:
        raise ask(
            f"Off when {limit.shown}. And at any other value: shall pin {place.pin} be on then?",
            f"say it the other way round: turn on pin {place.pin} when the {name} is {limit.otherwise}",
        )
    return deploy(
        at,
        "threshold",
        {
            "PIN": place.pin,
            "QUANTITY": name,
            "ADDRESS": address,
            "LIMIT_MILLI": limit.milli,
            "ABOVE": int(limit.above),
            "ON": place.active_level,
        },
        f"when({limit.shown}) -> on(pin={place.pin})",
        waiting(at),
        place,
    )


def _threshold_pulse(at: Situation) -> Act:
    name, _, address = _sensor(at)
    place = place_of(at)
    limit = _limit(at)
    for_ms = at.reading.number("ms") or 0
    return deploy(
        at,
        "threshold_pulse",
        {
            "PIN": place.pin,
            "QUANTITY": name,
            "ADDRESS": address,
            "LIMIT_MILLI": limit.milli,
            "ABOVE": int(limit.above),
            "FOR_MS": for_ms,
            "ON": place.active_level,
        },
        f"when({limit.shown}) -> pulse(pin={place.pin}, for={seconds(for_ms)})",
        waiting(at),
        place,
    )


def _thermostat(at: Situation) -> Act:
    name, quantity, address = _sensor(at)
    place = place_of(at)
    milli = at.reading.number("milli")
    if milli is None:
        raise ask(f"At which {name}?", f"hold the temperature at 22 degrees with the heater on pin {place.pin}")
    _check_unit(at, name, quantity)
    _check_range(name, quantity, milli)
    device = at.reading.word("heats") or at.reading.word("usual") or ""
    moves, raises = _DRIVEN.get(device, ("", True))
    if moves != name:
        raise ask(
            f"What is on pin {place.pin}, something that raises the {name} or something that lowers it?",
            "hold the temperature at 22 degrees with the heater on pin 17 (or: the fan, the humidifier, ...)",
        )
    swing = at.reading.number("swing_milli")
    swing = DEFAULT_SWING_MILLI if swing is None else swing
    unit = quantity.shown_unit
    return deploy(
        at,
        "thermostat",
        {
            "PIN": place.pin,
            "QUANTITY": name,
            "ADDRESS": address,
            "SETPOINT_MILLI": milli,
            "HYSTERESIS_MILLI": swing,
            "HEATS": int(raises),
        },
        f"thermostat({name} {milli / 1000:g} {unit} +/- {swing / 1000:g}, {device} on pin={place.pin})",
        f"holding the {name} waits for it to change -> a program on the board",
        place,
    )


def _publish(at: Situation) -> Say:
    """Declined: where the build has MQTT there is no pattern for it yet, elsewhere nothing could run."""
    board = board_of(at)
    name = at.reading.word("quantity") or "temperature"
    why = (
        "microclaw has no ready program for it; a language model can write one"
        if "mqtt" in board.firmware.native_groups
        else f"the firmware build of {board.title} has no MQTT"
    )
    return Say(f"Publishing over MQTT is not possible here: {why}.", "not_possible", f"log the {name} every 60 seconds")


_RULES: Mapping[str, Callable[[Situation], Decision]] = {
    "threshold": _threshold,
    "threshold_pulse": _threshold_pulse,
    "thermostat": _thermostat,
    "publish": _publish,
}
KINDS = frozenset(_RULES)


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit in thousandths of the unit that the sensor tells; `shown` is the condition, `otherwise` its contrary."""

    milli: int
    above: bool
    shown: str
    otherwise: str


def _sensor(at: Situation) -> tuple[str, Quantity, int]:
    name = at.reading.word("quantity") or "temperature"
    return name, *sensor_of(at, name)


def _check_unit(at: Situation, name: str, quantity: Quantity) -> None:
    unit = at.reading.word("unit")
    if unit is not None and unit != quantity.said_unit:
        raise ask(
            f"{name.capitalize()} is not measured in {unit}. What limit do you mean?",
            f"say it in {quantity.shown_unit}",
        )


def _check_range(name: str, quantity: Quantity, milli: int) -> None:
    if not quantity.least <= milli / 1000 <= quantity.most:
        raise ask(
            f"The {quantity.sensor.upper()} tells {name} from {quantity.least:g} to {quantity.most:g} "
            f"{quantity.shown_unit}, not {milli / 1000:g}. What limit do you mean?",
            f"say it in {quantity.shown_unit}",
        )


def _limit(at: Situation) -> _Limit:
    name, quantity, _ = _sensor(at)
    _check_unit(at, name, quantity)
    milli = at.reading.number("milli")
    if milli is None:
        raise ask(f"At which {name}?", f"say it with a number, as in: when the {name} is above 28")
    above = at.reading.word("side") == "above"
    # A bare number and amps come in thousandths of the unit that is said; the sensor tells milliamps and milliwatts.
    if quantity.said_unit in ("amps", "watts") and at.reading.word("unit") is not None:
        milli *= 1000
    _check_range(name, quantity, milli)
    value = f"{milli / 1000:g} {quantity.shown_unit}"
    return _Limit(milli, above, f"{name} {'>' if above else '<'} {value}", f"{'below' if above else 'above'} {value}")
