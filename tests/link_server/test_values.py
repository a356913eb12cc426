from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices.calls import (
    AdcRead,
    AdcReading,
    AppEntry,
    AppList,
    AppState,
    AppStates,
    Call,
    DeviceFacts,
    DeviceInfo,
    EdgeLog,
    EdgesRead,
    GpioGet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
)
from microclaw.errors import ProtocolError
from microclaw.events import Edge
from microclaw.link_server.transport import read_value
from microclaw.wire.link.values import Value

ANSWERS: list[tuple[Call[Any], Value, object]] = [
    (GpioGet(4), {"pin": 4, "level": 1, "later": [1]}, PinLevel(4, 1)),
    (AdcRead(1), {"pin": 1, "raw": 2048, "volts": 1}, AdcReading(1, 2048, 1.0)),
    (I2cScan(), {"addresses": [64, 118]}, I2cAddresses((64, 118))),
    (DeviceInfo(), {"name": "lamp", "heap": 5, "on": True, "raw": b"x", "list": []},
     DeviceFacts({"name": "lamp", "heap": 5, "on": True})),
    (AppList(), {"apps": [{"name": "a", "heap": 8192, "state": "running"}, {"name": "b"}]},
     (AppEntry("a", 8192), AppEntry("b", 0))),
    (AppStates(),
     {"apps": [{"name": "a", "state": "trapped", "error": "stack", "peak_heap": 7, "pins": [2]}]},
     (AppState("a", "trapped", "stack", 0, 7, 0, (2,)),)),
    (EdgesRead(), {"edges": [[0.5, 2, 1], [1, 2.0, 0.0]], "cursor": 2, "now_ms": 3},
     EdgeLog((Edge(0.5, 2, 1), Edge(1.0, 2, 0)), 2, 0, 3.0)),
]  # fmt: skip


OTHERS: list[tuple[Call[Any], list[Any]]] = [
    (GpioGet(4), [None, [], {"pin": 4}, *({"pin": 4, "level": level} for level in (True, 1.0, None))]),
    (AdcRead(1), [{"pin": 1, "raw": 1, "volts": "1"}, {"pin": 1, "raw": 1, "volts": False}]),
    (I2cScan(), [{"addresses": 5}, {"addresses": [True]}, {"addresses": ["64"]}]),
    (I2cRead("x"), [{"sensor": "x", "values": values} for values in ([1], {"a": "b"}, {"a": True})]),
    (I2cRead("x"), [{"sensor": b"x", "values": {}}]),
    (DeviceInfo(), ["text"]),
    (AppList(), [{}, {"apps": None}, {"apps": [5]}]),
    (AppStates(), [{"apps": [{"name": "a"}]}, {"apps": [{"name": "a", "state": "b", "pins": ["2"]}]}]),
    (EdgesRead(), [{"edges": [edge], "cursor": 1, "now_ms": 1} for edge in ([1, 2], [1, 2, "1"], [1, 2, None])]),
    (EdgesRead(), [{"edges": [], "cursor": 1.5, "now_ms": 1}, {"edges": [], "cursor": 1}]),
]


def test_an_answer_is_read_by_its_types_and_another_is_a_protocol_error_with_a_next_step() -> None:
    for call, value, answer in ANSWERS:
        assert read_value(call, value, "link:lamp") == answer
    for call, values in OTHERS:
        for value in values:
            with pytest.raises(ProtocolError) as caught:
                read_value(call, value, "link:lamp")
            assert caught.value.next_step, (call, value)
