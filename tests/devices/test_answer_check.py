"""Answers about something else than was asked are no evidence."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices.answer_check import check_answer
from microclaw.devices.calls import (
    AdcRead,
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmChange,
    PwmLog,
    PwmRead,
    PwmSet,
    PwmState,
    SensorReading,
)
from microclaw.errors import DeviceLied
from microclaw.events import Edge

LIES: tuple[tuple[Call[Any], object], ...] = (
    (GpioSet(4, 1), PinLevel(5, 1)),
    (GpioGet(4), PinLevel(4, 7)),
    (AdcRead(4), AdcReading(5, 100, 0.1)),
    (AdcRead(4), AdcReading(4, 100, 33.0)),
    (PwmSet(5, 128, 5000), PwmState(5, 128, 50)),
    (I2cRead("bme280"), SensorReading("ina219", {"voltage_v": 1.0})),
    (I2cRead("bme280"), SensorReading("bme280", {"humidity_pct": 200.0})),
    (I2cRead("bme280"), SensorReading("bme280", {"switch pin 4 on": 1.0})),
    (I2cRead("bme280"), SensorReading("bme280", {f"v{n}": 1.0 for n in range(17)})),
    (DeviceInfo(), DeviceFacts({"free_heap_kb": float("nan")})),
    (I2cScan(), I2cAddresses((0x76, 200))),
    (EdgesRead(), EdgeLog((Edge(float("nan"), 4, 1),), 1, 0, 5.0)),
    (PwmRead(), PwmLog((PwmChange(1.0, 999, 1, 5000),), 1)),
)
TRUE: tuple[tuple[Call[Any], object], ...] = (
    (AdcRead(4), AdcReading(4, 4095, 3.3)),
    (PwmSet(5, 128, 5000), PwmState(5, 127, 4999)),
    (I2cRead("bme280"), SensorReading("bme280", {"temperature_c": -12.5, "pressure_hpa": 990.0})),
    (EdgesRead(), EdgeLog((Edge(900.0, 4, 1), Edge(1.0, 4, 0)), 2, 0, 5.0)),  # the board restarted between
)


def test_an_answer_about_something_else_is_device_lied_and_one_to_what_was_asked_passes() -> None:
    for call, answer in LIES:
        with pytest.raises(DeviceLied) as caught:
            check_answer("desk", call, answer)
        assert caught.value.next_step is not None
    for call, answer in TRUE:
        check_answer("desk", call, answer)
