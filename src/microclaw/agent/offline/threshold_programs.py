"""Sentences about a value that switches a pin: which pattern, its values, and words that ask for exactly it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.board_sensors import BoardSensor, sensor_of
from microclaw.agent.offline.boards import PinTarget, pin_target
from microclaw.agent.offline.decision import CannotDo, Context, Parse, ask
from microclaw.agent.offline.pattern_values import Filled, PatternValues

_SWING_MILLI: Final = 500
_RAISES: Final = {"heater": "temperature", "humidifier": "humidity"}
_LOWERS: Final = {"cooler": "temperature", "dehumidifier": "humidity"}


def _thermostat(context: Context) -> Filled:
    """Fill a program that holds a sensor's value at a setpoint."""
    parse = context.parse
    sensor = sensor_of(context)
    name = sensor.name
    milli = _milli_of(parse, sensor)
    target = pin_target(context)
    driven = _driven_thing(parse, name, target)
    swing_milli = int(parse.values.get("swing_milli", _SWING_MILLI))
    values: PatternValues = {
        "PIN": target.pin,
        "QUANTITY": name,
        "ADDRESS": sensor.address,
        "SETPOINT_MILLI": milli,
        "HYSTERESIS_MILLI": swing_milli,
        "HEATS": int(driven in _RAISES),
    }
    setpoint = f"{milli / 1000:g} {sensor.quantity.unit} +/- {swing_milli / 1000:g}"
    return "thermostat", values, f"hold the {sensor.spoken_name} at {setpoint} with the {driven} on pin {target.pin}"


def _threshold(context: Context) -> Filled:
    """Fill a program whose pin is on while a sensor's value is beyond a limit, or for a time when it comes there."""
    parse = context.parse
    sensor = sensor_of(context)
    milli = _milli_of(parse, sensor)
    target = pin_target(context)
    value = f"{milli / 1000:g} {sensor.quantity.unit}"
    side = parse.word("side") or "above"
    if parse.number("level") == 0:
        raise _ask_when_on(target, sensor, side, value)
    if parse.number("keeps"):
        _check_keeper(parse, sensor.name, target)
    values: PatternValues = {
        "PIN": target.pin,
        "QUANTITY": sensor.name,
        "ADDRESS": sensor.address,
        "LIMIT_MILLI": milli,
        "ABOVE": int(side == "above"),
        "ON": target.active_level,
    }
    span = ""
    end = ""
    if parse.number("back_milli") is not None:
        back_milli = _back_milli(parse, sensor, milli)
        values["HYSTERESIS_MILLI"] = abs(milli - back_milli)
        end = f" and off again when it is {parse.word('back_side')} {back_milli / 1000:g} {sensor.quantity.unit}"
    if parse.kind == "threshold_pulse":
        for_ms = parse.number("ms") or 0
        values["FOR_MS"] = for_ms
        span = f" for {spoken_duration(for_ms)}"
    return parse.kind, values, f"turn on {target.words}{span} when the {sensor.spoken_name} is {side} {value}{end}"


def _ask_when_on(target: PinTarget, sensor: BoardSensor, side: str, value: str) -> CannotDo:
    """Ask what a pin is at other values, if the sentence says only when it is off."""
    name = sensor.spoken_name
    other_side = "below" if side == "above" else "above"
    text = f"Off when {name} is {side} {value}. And at any other value: shall pin {target.pin} be on then?"
    other_way = f"turn on pin {target.pin} when the {name} is {other_side} {value}"
    return ask(text, f"the other way round: {other_way}", suggested=(other_way,))


def _back_milli(parse: Parse, sensor: BoardSensor, milli: int) -> int:
    """Return the value at which the pin goes off again. Raises CannotDo if that is beyond the first limit."""
    values = parse.values | {"milli": int(parse.values["back_milli"])}
    if "back_unit" in parse.values:
        values["unit"] = parse.values["back_unit"]
    back_milli = _milli_of(replace(parse, values=values), sensor)
    is_above = parse.word("side") == "above"
    is_on_other_side = is_above == (back_milli < milli)
    if parse.word("side") == parse.word("back_side") or not is_on_other_side:
        text = "On and off exclude each other only if off is on the other side of the limit. At which values?"
        raise ask(
            text, f"as in: turn on pin 5 when the {sensor.spoken_name} is above 28 and off again when it is below 26"
        )
    return back_milli


def _check_keeper(parse: Parse, name: str, target: PinTarget) -> None:
    """Raise CannotDo if what is on the pin does not bring the quantity back. A fan also dries the air."""
    driven = parse.word("heats") or ""
    changes = _LOWERS if parse.word("side") == "above" else _RAISES
    is_fan = driven == "cooler" and changes is _LOWERS and name == "humidity"
    if changes.get(driven) != name and not is_fan:
        _driven_thing(replace(parse, values={}), name, target)


def _milli_of(parse: Parse, sensor: BoardSensor) -> int:
    """Return the number of the rule in thousandths of the shown unit. Raises CannotDo if the sensor has no such value.

    A bare number and amps come in thousandths of the unit that is said; the sensor reports milliamps and milliwatts.
    """
    unit = parse.word("unit")
    milli = parse.number("milli")
    if milli is not None and unit in ("amps", "watts"):
        milli *= 1000
    is_right_unit = unit in (None, sensor.quantity.spoken_unit)
    least = sensor.range.least
    most = sensor.range.most
    if milli is not None and is_right_unit and least <= milli / 1000 <= most:
        return milli
    range_text = f"from {least:g} to {most:g} {sensor.quantity.unit}"
    text = f"At which {sensor.spoken_name}? The {sensor.title} measures {range_text}."
    raise ask(text, f"say it with its number, as in: when the {sensor.spoken_name} is above 28")


def _driven_thing(parse: Parse, name: str, target: PinTarget) -> str:
    """Return what is on the pin: a heater, a cooler, ... Raises CannotDo if it does not change this quantity."""
    driven = parse.word("heats") or parse.word("usual") or ""
    if (_RAISES | _LOWERS).get(driven) == name:
        return driven
    step = "hold the temperature at 22 degrees with the heater on pin 17 (or: the fan, the humidifier, ...)"
    raise ask(f"What is on pin {target.pin}, something that raises the {name} or that lowers it?", step)


THRESHOLD_FILLERS: Final[Mapping[str, Callable[[Context], Filled]]] = {
    "thermostat": _thermostat,
    "threshold": _threshold,
    "threshold_pulse": _threshold,
}
"""The patterns of sentences about a sensor's value, by the kinds of the sentences."""
