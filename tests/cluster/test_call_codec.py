"""Calls, answers and errors between hosts: what is read back is what was written, and nothing else is read."""

from __future__ import annotations

import msgspec
import pytest
from microclaw.cluster.pieces import MAX_MESSAGE, PIECE, Pieces, cut

from microclaw.cluster.call_codec import (
    ERRORS,
    call_of,
    encode_error,
    encode_request,
    encode_value,
    read_answer,
    read_request,
)
from microclaw.devices.calls import (
    AppInstall,
    AppList,
    AppReply,
    AppRequest,
    AppRuns,
    AppState,
    AppStates,
    AppStop,
    Call,
    DeviceFacts,
    DeviceInfo,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cScan,
    LogLine,
    LogPage,
    LogsRead,
    PinLevel,
    WifiSet,
    WifiTrial,
)
from microclaw.errors import (
    DeviceError,
    MicroclawError,
    ProtocolError,
)
from microclaw.events import Edge

# [link id, method, seconds left, fields by name]: msgpack as its specification has it.
GPIO_SET = b"\x94\xa3d-1\xa8gpio.set\xcb\x40\x04\x00\x00\x00\x00\x00\x00\x82\xa3pin\x04\xa5level\x01"  # 2.5 s


def test_a_request_as_bytes() -> None:
    assert encode_request("d-1", GpioSet(4, 1), 2.5) == GPIO_SET
    request = read_request(GPIO_SET)
    assert (request.link_id, request.left_s, call_of(request)) == ("d-1", 2.5, GpioSet(4, 1))


@pytest.mark.parametrize(
    "call",
    [
        AppInstall("blink", bytes(range(256)), kind="py", every_ms=5),
        AppRequest("blink", "/x", {"a": 1, "b": 2.5, "c": True, "d": "é"}),
        WifiSet("net", None, later=True),
        EdgesRead(2**52),
        I2cScan(),
    ],
)
def test_a_call_comes_as_it_went(call: Call[object]) -> None:
    assert call_of(read_request(encode_request("d-1", call, 1.0))) == call


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (GpioGet(4), PinLevel(4, 1)),
        (AppStop("x"), None),
        (I2cScan(), I2cAddresses((60, 118))),
        (DeviceInfo(), DeviceFacts({"a": 1, "b": 2.5, "c": True, "d": "x"})),
        (AppStates(), (AppState("a", "running", None, 1, 2, 3, (4,), AppRuns(1, 2, 3, 4)),)),
        (AppRequest("a", "/", {}), AppReply(69, {"b": b"\x00", "s": "x", "n": 1})),
        (EdgesRead(0), EdgeLog((Edge(0.5, 4, 1), Edge(1.0, 4, 0)), 2, 0, 9.0)),
        (LogsRead(0), LogPage((LogLine(1.5, None, "on", 7),), 1, 0)),
        (WifiSet("net"), WifiTrial("net", "trying", None, 30)),
    ],
)
def test_an_answer_comes_as_it_went(call: Call[object], value: object) -> None:
    answer, read = read_answer(encode_value("east", 7, value), call)
    assert (answer.host, answer.fence, read) == ("east", 7, value)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_of_the_table_comes_as_its_class(name: str) -> None:
    error = ERRORS[name]("lamp: é", next_step="look", foreign=True)
    with pytest.raises(MicroclawError) as caught:
        read_answer(encode_error("east", 7, error), AppList())
    read = caught.value
    assert type(read) is ERRORS[name]
    assert (read.message, read.next_step, read.foreign) == ("lamp: é", "look", True)


def test_a_class_that_a_host_names_and_the_table_has_not_is_a_device_error() -> None:
    told = msgspec.msgpack.encode(["east", 0, None, ["SystemExit", "x", None, False]])
    with pytest.raises(DeviceError) as caught:
        read_answer(told, AppList())
    assert type(caught.value) is DeviceError


def _request(method: str, left_s: object, fields: object) -> bytes:
    return msgspec.msgpack.encode(["d-1", method, left_s, fields])


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        msgspec.msgpack.encode({"link_id": "d-1"}),
        _request("gpio.set", 0.0, {}),
        _request("gpio.set", -1.0, {}),
        _request("gpio.set", 1e9, {}),
        _request("gpio.set", float("nan"), {}),
        _request("system.exit", 1.0, {}),
        _request("gpio.set", 1.0, {"pin": 4}),
        _request("gpio.set", 1.0, {"pin": "4", "level": 1}),
        _request("gpio.set", 1.0, {"pin": 4, "level": 1, "for_ms": 5}),
        _request("gpio.set", 1.0, [4, 1]),
        b"\x94\xa3d-1\xa8gpio.set\x01" + b"\x91" * 200_000 + b"\x90",
    ],
)
def test_what_is_no_call_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        call_of(read_request(data))


def test_an_answer_of_another_call_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read_answer(encode_value("east", 0, DeviceFacts({})), GpioGet(4))


def test_calls_and_answers_of_another_form_are_refused_in_words() -> None:
    request = msgspec.msgpack.decode(encode_request("d-1", GpioGet(4), 1.0))
    answer = msgspec.msgpack.decode(encode_value("h", 1, None))
    with pytest.raises(ProtocolError):
        read_request(msgspec.msgpack.encode([*request, 2]))
    with pytest.raises(ProtocolError):
        read_answer(msgspec.msgpack.encode([*answer[:3], None, 2]), GpioGet(4))
