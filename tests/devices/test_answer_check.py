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


@pytest.mark.parametrize(
    ("call", "answer", "said"),
    [
        (GpioSet(4, 1), PinLevel(5, 1), "gpio.set pin 4 level 1 and answered about pin 5"),
        (GpioSet(4, 1), PinLevel(4, 0), "answered level 0"),
        (GpioGet(4), PinLevel(2, 1), "gpio.get pin 4 and answered about pin 2"),
        (GpioGet(4), PinLevel(4, 7), "level 7"),
        (AdcRead(4), AdcReading(5, 100, 0.1), "about pin 5"),
        (AdcRead(4), AdcReading(4, -1, 0.1), "-1 raw"),
        (AdcRead(4), AdcReading(4, 100, 33.0), "33.0 V"),
        (AdcRead(4), AdcReading(4, 100, float("nan")), "nan V"),
        (PwmSet(5, 128, 5000), PwmState(6, 128, 5000), "about pin 6"),
        (PwmSet(5, 128, 5000), PwmState(5, 0, 5000), "duty 0 at 5000 Hz"),
        (PwmSet(5, 128, 5000), PwmState(5, 128, 50), "duty 128 at 50 Hz"),
        (I2cRead("bme280"), SensorReading("ina219", {"voltage_v": 1.0}), "about 'ina219'"),
        (I2cRead("bme280"), SensorReading("bme280", {"humidity_pct": 200.0}), "humidity_pct = 200.0, which cannot be"),
        (I2cRead("bme280"), SensorReading("bme280", {"anything": float("inf")}), "anything = inf"),
        (I2cRead("bme280"), SensorReading("do it now", {"voltage_v": 1.0}), "about another sensor"),
        (I2cRead("bme280"), SensorReading("bme280", {"switch pin 4 on": 1.0}), "a value whose name is none"),
        (I2cRead("bme280"), SensorReading("bme280", {f"v{n}": 1.0 for n in range(17)}), "17 values"),
        (I2cRead("ina219"), SensorReading("ina219", {"voltage_v": 1e9}), "voltage_v = 1000000000.0, which cannot be"),
        (DeviceInfo(), DeviceFacts({"free_heap_kb": float("nan")}), "a fact that is no number"),
        (DeviceInfo(), DeviceFacts({f"f{n}": 1 for n in range(129)}), "129 facts"),
        (I2cScan(), I2cAddresses((0x76, 200)), "the address 200"),
        (EdgesRead(), EdgeLog((Edge(1.0, 4, 2),), 1, 0, 5.0), "a record of pin 4 with 2"),
        (EdgesRead(), EdgeLog((Edge(float("nan"), 4, 1),), 1, 0, 5.0), "a record at nan ms"),
        (PwmRead(), PwmLog((PwmChange(1.0, 999, 1, 5000),), 1), "a record of pin 999"),
    ],
)
def test_an_answer_about_something_else_is_device_lied_in_words(call: Call[Any], answer: object, said: str) -> None:
    with pytest.raises(DeviceLied) as caught:
        check_answer("desk", call, answer)
    assert caught.value.message.startswith("desk was asked for ")
    assert said in caught.value.message
    assert caught.value.next_step is not None
    assert caught.value.code == "device_lied"


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (GpioSet(4, 1), PinLevel(4, 1)),
        (GpioGet(4), PinLevel(4, 0)),
        (AdcRead(4), AdcReading(4, 4095, 3.3)),
        (PwmSet(5, 128, 5000), PwmState(5, 127, 4999)),
        (I2cRead("bme280"), SensorReading("bme280", {"temperature_c": -12.5, "pressure_hpa": 990.0})),
        (I2cScan(), I2cAddresses((0x3C, 0x76))),
        (EdgesRead(), EdgeLog((Edge(900.0, 4, 1), Edge(1.0, 4, 0)), 2, 0, 5.0)),  # the board restarted between
        (DeviceInfo(), object()),
    ],
)
def test_an_answer_to_what_was_asked_passes(call: Call[Any], answer: object) -> None:
    check_answer("desk", call, answer)
