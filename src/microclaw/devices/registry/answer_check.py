"""Checks that an answer fits its call: the same pin, level, duty or sensor, and values that are possible."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from msgspec.structs import asdict

from microclaw.devices.registry.calls import (
    AdcRead,
    AdcReading,
    BoardNetworks,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatusRead,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmLog,
    PwmRead,
    PwmSet,
    PwmState,
    SensorReading,
    WifiList,
    WifiSet,
    WifiTrial,
)
from microclaw.errors import DeviceLied
from microclaw.hardware.parts.reader import quantities

# 16 bits: MicroPython's read_u16. The ESP32's own converter has 12.
MAX_ADC_RAW: Final = 0xFFFF
# With a divider in front of the pin; the pin itself ends at 3.3 V.
MAX_ADC_VOLTS: Final = 5.5
# Of 255: boards round to their own steps.
_DUTY_STEPS: Final = 2
# LEDC's dividers meet a frequency only approximately.
_FREQUENCY_SHARE: Final = 0.1
# As in temperature_c; a longer or freer name could be a sentence for a model.
_QUANTITY: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_QUANTITIES: Final = 16
# The limit of a value that no part here measures.
_FURTHEST: Final = 1e12
_HIGHEST_I2C: Final = 0x7F
_HIGHEST_PIN: Final = 255
_MAX_FACTS: Final = 128
_MAX_NETWORKS: Final = 64
_ROUNDING_MS: Final = 1.0
_TRIAL_STATES: Final = ("trying", "kept", "failed")


def check_answer(name: str, call: Call[Any], answer: object) -> None:
    """Raise DeviceLied, with the call and the answer in its words, if the answer does not fit the call."""
    fault = _find_fault(call, answer)
    if fault is None:
        return
    words = [call.method]
    # Only these calls are short and without secrets.
    if isinstance(call, GpioSet | GpioGet | AdcRead | PwmSet | I2cRead):
        words += (f"{field} {value}" for field, value in asdict(call).items())
    raise contradiction(name, " ".join(words), fault)


def contradiction(name: str, asked: str, fault: str) -> DeviceLied:
    """Build the error for an impossible answer; `fault` is the end of "and answered ..."."""
    return DeviceLied(
        f"{name} was asked for {asked} and answered {fault}: no proof, and the effect is unknown",
        next_step=f"look at the board itself; is it the firmware that you think? microclaw device show {name}",
    )


def _find_fault(call: Call[Any], answer: object) -> str | None:
    """Return the fault of the answer as the end of "and answered ...", or None."""
    return _subject_fault(call, answer) or _pin_fault(call, answer) or _list_fault(call, answer)


def _subject_fault(call: Call[Any], answer: object) -> str | None:
    """Return a fault if the answer is about another pin, sensor or network than the call."""
    for subject in ("pin", "sensor", "ssid"):
        expected = getattr(call, subject, None)
        actual = getattr(answer, subject, None)
        if None in (expected, actual) or actual == expected:
            continue
        # A text is not repeated: the device chose it.
        if isinstance(actual, int):
            return f"about {subject} {actual}"
        return f"about another {subject}"
    return None


def _pin_fault(call: Call[Any], answer: object) -> str | None:
    """Return the fault of a value at a pin or of a sensor's values, or None."""
    match call, answer:
        case (GpioSet() | GpioGet(), PinLevel(level=level)):
            if level not in (0, 1) or (isinstance(call, GpioSet) and level != call.level):
                return f"level {level}"
        case (AdcRead(), AdcReading(raw=raw, volts=volts)):
            if not 0 <= raw <= MAX_ADC_RAW or not 0 <= volts <= MAX_ADC_VOLTS:
                return f"{raw} raw, {volts} V, which no pin has"
        case (PwmSet(), PwmState()):
            hz_off = abs(answer.frequency_hz - call.frequency_hz)
            if abs(answer.duty - call.duty) > _DUTY_STEPS or hz_off > call.frequency_hz * _FREQUENCY_SHARE:
                return f"duty {answer.duty} at {answer.frequency_hz} Hz"
        case (I2cRead(), SensorReading(values=values)):
            return _values_fault(values)
        case _:
            pass
    return None


def _list_fault(call: Call[Any], answer: object) -> str | None:
    """Return the fault of an answer that is a list, of facts or of a Wi-Fi trial, or None."""
    match call, answer:
        case (I2cScan(), I2cAddresses(addresses=addresses)):
            return _addresses_fault(addresses)
        case (DeviceInfo() | DeviceStatusRead(), DeviceFacts(values=facts)):
            return _facts_fault(facts)
        case (WifiSet(), WifiTrial() as trial):
            return _trial_fault(trial)
        case (WifiList(), BoardNetworks(networks=networks)):
            if len(networks) > _MAX_NETWORKS:
                return f"{len(networks)} networks, more than {_MAX_NETWORKS}"
            return _trial_fault(answer.trial)
        case (EdgesRead(), EdgeLog(edges=edges, now_ms=now_ms)):
            return _rows_fault([(edge.t_ms, edge.pin, edge.level) for edge in edges], 1, now_ms)
        case (PwmRead(), PwmLog(changes=changes)):
            return _rows_fault([(change.t_ms, change.pin, change.duty) for change in changes], 255)
        case _:
            return None


def _addresses_fault(addresses: Iterable[int]) -> str | None:
    for address in addresses:
        if not 0 <= address <= _HIGHEST_I2C:
            return f"the address {address}, which I2C does not have"
    return None


def _facts_fault(facts: Mapping[str, object]) -> str | None:
    if len(facts) > _MAX_FACTS:
        return f"{len(facts)} facts, more than {_MAX_FACTS}"
    if any(isinstance(value, float) and not math.isfinite(value) for value in facts.values()):
        return "a fact that is not a number"
    return None


def _trial_fault(trial: WifiTrial | None) -> str | None:
    if trial is None or trial.state in _TRIAL_STATES:
        return None
    return "an unknown state"


def _values_fault(values: Mapping[str, float]) -> str | None:
    """Return a fault unless the quantities are few, named by one word each, and possible."""
    if len(values) > _MAX_QUANTITIES:
        return f"{len(values)} values, and no sensor has more than {_MAX_QUANTITIES}"
    for name, value in values.items():
        if not _QUANTITY.fullmatch(name):
            return "a value with an invalid name (valid: temperature_c)"
        least, most = _possible_values().get(name, (-_FURTHEST, _FURTHEST))
        if not least <= value <= most:
            return f"{name} = {value}, which is impossible"
    return None


@cache
def _possible_values() -> Mapping[str, tuple[float, float]]:
    """Return the least and the most that a reading can be, by its field."""
    return {quantity.reading: quantity.possible for quantity in quantities().values()}


def _rows_fault(rows: list[tuple[float, int, int]], highest: int, now_ms: float = math.inf) -> str | None:
    """Return the first row with an impossible pin, value or time, or None.

    `now_ms` is the board's clock at the answer. The times begin again if the board restarted.
    """
    for t_ms, pin, value in rows:
        if not 0 <= pin <= _HIGHEST_PIN or not 0 <= value <= highest:
            return f"a record of pin {pin} with {value}"
        if not 0 <= t_ms < math.inf:
            return f"a record at {t_ms:g} ms"
        if not t_ms <= now_ms + _ROUNDING_MS:
            return f"a change of pin {pin} at {t_ms:g} ms, and its clock is at {now_ms:g} ms"
    return None
