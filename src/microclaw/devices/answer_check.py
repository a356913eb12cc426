"""Checks that an answer is about what was asked: the same pin, level, duty, sensor, and values that can be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import asdict

from microclaw.devices.calls import (
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatus,
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
    WifiNetworks,
    WifiSet,
    WifiTrial,
)
from microclaw.errors import DeviceLied
from microclaw.tables import read_table

MAX_ADC_RAW: Final = 0xFFFF  # 16 bits: MicroPython's read_u16; the ESP32's own converter has 12
MAX_ADC_VOLTS: Final = 5.5  # with a divider in front of the pin; the pin itself ends at 3.3 V
_DUTY_STEPS: Final = 2  # of 255: boards round to their own steps
_FREQUENCY_SHARE: Final = 0.1  # LEDC's dividers meet a frequency only about
_RANGES: Final = read_table(__package__, "ranges")
_QUANTITY: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")  # temperature_c; another name could be a sentence
_MAX_QUANTITIES: Final = 16
_FURTHEST: Final = 1e12  # of a quantity that is not in _RANGES
_HIGHEST_I2C: Final = 0x7F
_HIGHEST_PIN: Final = 255
_MAX_FACTS: Final = 128
_MAX_NETWORKS: Final = 64
_ROUNDING_MS: Final = 1.0
_TRIAL_STATES: Final = ("trying", "kept", "failed")


def check_answer(name: str, call: Call[Any], answer: object) -> None:
    """Raise DeviceLied, in words with what was asked and what came, for an answer about something else."""
    fault = _fault(call, answer)
    if fault is not None:
        if isinstance(call, GpioSet | GpioGet | AdcRead | PwmSet | I2cRead):
            shown = asdict(call)
        else:
            shown = {}
        asked = " ".join((call.method, *(f"{word} {value}" for word, value in shown.items())))
        raise lied(name, asked, fault)


def lied(name: str, asked: str, fault: str) -> DeviceLied:
    """`fault` is what was wrong, as the end of "and answered ..."."""
    return DeviceLied(
        f"{name} was asked for {asked} and answered {fault}: no proof, and what it did is unknown",
        next_step=f"look at the board itself; is it the firmware that you think? microclaw device show {name}",
    )


def _fault(call: Call[Any], answer: object) -> str | None:
    """The fault of the answer, as the end of "and answered ..."; None when there is none."""
    for subject in ("pin", "sensor", "ssid"):
        asked = getattr(call, subject, None)
        answered = getattr(answer, subject, None)
        if None not in (asked, answered) and answered != asked:
            if isinstance(answered, int):
                return f"about {subject} {answered}"
            return f"about another {subject}"
    match call, answer:
        case (GpioSet() | GpioGet(), PinLevel(level=level)):
            if level not in (0, 1) or (isinstance(call, GpioSet) and level != call.level):
                return f"level {level}"
        case (AdcRead(), AdcReading(raw=raw, volts=volts)):
            if not 0 <= raw <= MAX_ADC_RAW or not 0 <= volts <= MAX_ADC_VOLTS:
                return f"{raw} raw, {volts} V, which no pin has"
        case (PwmSet(duty=duty, frequency_hz=asked_hz), PwmState(duty=set_duty, frequency_hz=hz)):
            if abs(set_duty - duty) > _DUTY_STEPS or abs(hz - asked_hz) > asked_hz * _FREQUENCY_SHARE:
                return f"duty {set_duty} at {hz} Hz"
        case (I2cRead(), SensorReading(values=values)):
            return _values_fault(values)
        case (I2cScan(), I2cAddresses(addresses=addresses)):
            wrong_address = next((a for a in addresses if not 0 <= a <= _HIGHEST_I2C), None)
            if wrong_address is None:
                return None
            return f"the address {wrong_address}, which I2C has not"
        case (DeviceInfo() | DeviceStatus(), DeviceFacts(values=facts)):
            if len(facts) > _MAX_FACTS:
                return f"{len(facts)} facts, more than {_MAX_FACTS}"
            if any(isinstance(value, float) and not math.isfinite(value) for value in facts.values()):
                return "a fact that is no number"
        case (WifiSet(), WifiTrial(state=state)):
            return None if state in _TRIAL_STATES else "a state that is none"
        case (WifiList(), WifiNetworks(networks=networks, trial=trial)):
            if len(networks) > _MAX_NETWORKS:
                return f"{len(networks)} networks, more than {_MAX_NETWORKS}"
            return None if trial is None or trial.state in _TRIAL_STATES else "a state that is none"
        case (EdgesRead(), EdgeLog(edges=edges, now_ms=now_ms)):
            return _rows_fault([(edge.t_ms, edge.pin, edge.level) for edge in edges], 1, now_ms)
        case (PwmRead(), PwmLog(changes=changes)):
            return _rows_fault([(change.t_ms, change.pin, change.duty) for change in changes], 255)
        case _:
            pass
    return None


def _values_fault(values: Mapping[str, float]) -> str | None:
    """A sensor's quantities: few, named by one word, and with numbers that can be."""
    if len(values) > _MAX_QUANTITIES:
        return f"{len(values)} values, and no sensor has more than {_MAX_QUANTITIES}"
    for name, value in values.items():
        if not _QUANTITY.fullmatch(name):
            return "a value whose name is none (such as temperature_c)"
        least, most = _RANGES.get(name, (-_FURTHEST, _FURTHEST))
        if not least <= value <= most:
            return f"{name} = {value}, which cannot be"
    return None


def _rows_fault(rows: list[tuple[float, int, int]], highest: int, now_ms: float = math.inf) -> str | None:
    """Return the first row with a pin, a value or a time that cannot be, or None.

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
