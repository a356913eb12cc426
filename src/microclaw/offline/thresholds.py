"""Sentences that ask for a rule: a sensor's value that switches a pin. Deploys nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microclaw.offline.decision import Context, Decision, Say, ask
from microclaw.offline.deployment import Deployment, deploy, seconds, spoken, waiting
from microclaw.offline.pins import Quantity, board_of, pin_target, sensor_of
from microclaw.patterns.library import Value

DEFAULT_SWING_MILLI = 500
# What is driven: the quantity it moves, and whether it raises it.
_DRIVEN = {
    "heater": ("temperature", True),
    "cooler": ("temperature", False),
    "humidifier": ("humidity", True),
    "dehumidifier": ("humidity", False),
}


def _threshold(at: Context) -> Decision:
    """A pin that is on, or with "for so long" goes on once, beyond a limit."""
    pulse = at.parse.kind == "threshold_pulse"
    name, _, address = _sensor(at)
    target = pin_target(at)
    limit = _limit(at)
    if at.parse.number("level") == 0:
        raise ask(
            f"Off when {limit.shown}. And at any other value: shall pin {target.pin} be on then?",
            f"say it the other way round: turn on pin {target.pin} when the {name} is {limit.otherwise}",
        )
    for_ms = at.parse.number("ms") or 0
    values: dict[str, Value] = {
        "PIN": target.pin,
        "QUANTITY": name,
        "ADDRESS": address,
        "LIMIT_MILLI": limit.milli,
        "ABOVE": int(limit.above),
        "ON": target.active_level,
    }
    if pulse:
        values["FOR_MS"] = for_ms
    does = f"pulse(pin={target.pin}, for={seconds(for_ms)})" if pulse else f"on(pin={target.pin})"
    wanted = Deployment(
        at.parse.kind,
        values,
        f"when({limit.shown}) -> {does}",
        waiting(at),
        f"turn on {target.words}{f' for {spoken(for_ms)}' if pulse else ''} when the {name} is {limit.words}",
        target,
    )
    return deploy(at, wanted)


def _thermostat(at: Context) -> Decision:
    name, quantity, address = _sensor(at)
    target = pin_target(at)
    milli = at.parse.number("milli")
    if milli is None:
        raise ask(f"At which {name}?", f"hold the temperature at 22 degrees with the heater on pin {target.pin}")
    _check_unit(at, name, quantity)
    _check_range(name, quantity, milli)
    driven = at.parse.word("heats") or at.parse.word("usual") or ""
    moves, raises = _DRIVEN.get(driven, ("", True))
    if moves != name:
        raise ask(
            f"What is on pin {target.pin}, something that raises the {name} or something that lowers it?",
            "hold the temperature at 22 degrees with the heater on pin 17 (or: the fan, the humidifier, ...)",
        )
    swing = at.parse.number("swing_milli")
    swing = DEFAULT_SWING_MILLI if swing is None else swing
    value = f"{milli / 1000:g} {quantity.shown_unit}"
    wanted = Deployment(
        "thermostat",
        {
            "PIN": target.pin,
            "QUANTITY": name,
            "ADDRESS": address,
            "SETPOINT_MILLI": milli,
            "HYSTERESIS_MILLI": swing,
            "HEATS": int(raises),
        },
        f"thermostat({name} {value} +/- {swing / 1000:g}, {driven} on pin={target.pin})",
        f"holding the {name} waits for it to change -> a program on the board",
        f"hold the {name} at {value} +/- {swing / 1000:g} with the {driven} on pin {target.pin}",
        target,
    )
    return deploy(at, wanted)


def _publish(at: Context) -> Decision:
    """Declined: where the build has MQTT there is no pattern for it yet, elsewhere nothing could run."""
    board = board_of(at)
    name = at.parse.word("quantity") or "temperature"
    why = (
        "microclaw has no ready program for it; a language model can write one"
        if "mqtt" in board.firmware.native_groups
        else f"the firmware build of {board.title} has no MQTT"
    )
    return Say(f"Publishing over MQTT is not possible here: {why}.", "not_possible", f"log the {name} every 60 seconds")


RULES: Mapping[str, Callable[[Context], Decision]] = {
    "threshold": _threshold,
    "threshold_pulse": _threshold,
    "thermostat": _thermostat,
    "publish": _publish,
}


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit in thousandths of the unit that the sensor tells.

    `shown` is the condition as a formula, `words` in words, `otherwise` its contrary.
    """

    milli: int
    above: bool
    shown: str
    words: str
    otherwise: str


def _sensor(at: Context) -> tuple[str, Quantity, int]:
    name = at.parse.word("quantity") or "temperature"
    return name, *sensor_of(at, name)


def _check_unit(at: Context, name: str, quantity: Quantity) -> None:
    unit = at.parse.word("unit")
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


def _limit(at: Context) -> _Limit:
    name, quantity, _ = _sensor(at)
    _check_unit(at, name, quantity)
    milli = at.parse.number("milli")
    if milli is None:
        raise ask(f"At which {name}?", f"say it with a number, as in: when the {name} is above 28")
    above = at.parse.word("side") == "above"
    # A bare number and amps come in thousandths of the unit that is said; the sensor tells milliamps and milliwatts.
    if quantity.said_unit in ("amps", "watts") and at.parse.word("unit") is not None:
        milli *= 1000
    _check_range(name, quantity, milli)
    value = f"{milli / 1000:g} {quantity.shown_unit}"
    side, otherwise = ("above", "below") if above else ("below", "above")
    return _Limit(milli, above, f"{name} {'>' if above else '<'} {value}", f"{side} {value}", f"{otherwise} {value}")
