from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.conftest import read_page

from microclaw.devices.registry.calls import AdcReading, PinLevel, PwmState
from microclaw.errors import CallRejected, NotSupported, ProtocolError
from microclaw.wire import jsonline
from microclaw.wire.jsonline import LineDecoder, encode_line, parse_object

INA219 = {"voltage_v": 5.02, "current_ma": 120.5, "power_mw": 605.0}


def drain(decoder: LineDecoder) -> list[bytes]:
    lines = []
    while (line := decoder.next_line()) is not None:
        lines.append(line)
    return lines


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: b"\n" not in b and not b.endswith(b"\r"))),
       st.integers(1, 9))  # fmt: skip
def test_lines_survive_any_chunking(lines: list[bytes], chunk: int) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    decoder = LineDecoder()
    got: list[bytes] = []
    for i in range(0, len(stream), chunk):
        decoder.receive(stream[i : i + chunk])
        got += drain(decoder)
    assert got == lines


def test_a_line_over_the_limit_is_refused_once_and_thrown_away() -> None:
    decoder = LineDecoder(max_line_bytes=4)
    decoder.receive(b"\r\n\nok\r\n12345")  # empty lines and carriage returns are no content
    assert decoder.next_line() == b"ok"
    with pytest.raises(ProtocolError):
        decoder.next_line()
    decoder.receive(b"6789" * 100)
    assert decoder.next_line() is None
    assert len(decoder.buffer) == 0
    decoder.receive(b"90\nnext\n12345\nok\n")
    assert decoder.next_line() == b"next"
    with pytest.raises(ProtocolError):  # one that came whole, too
        decoder.next_line()
    assert drain(decoder) == [b"ok"]
    decoder.receive(b"abc")
    assert (decoder.take_partial(), decoder.next_line()) == (b"abc", None)


NO_OBJECTS = (
    b"", b"[]", b"1", b"{", b"{}x", b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":41e999}', b"\xff{}", b"[" * 100_000,
    b'{"a":' + b"9" * 5000 + b"}",
)  # fmt: skip


def test_a_line_that_is_no_object_is_refused_and_encoded_ones_are_compact() -> None:
    for line in NO_OBJECTS:
        with pytest.raises(ProtocolError):
            parse_object(line)
    line = encode_line({"action": "custom_say", "text": "grüß\n"})
    assert line == '{"action":"custom_say","text":"grüß\\n"}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        encode_line({"value": float("nan")})


REQUESTS: dict[str, dict[str, object]] = {
    "get_info": {"action": "get_info"},
    "set_gpio": {"action": "set_gpio", "pin": 2, "state": 1},
    "read_gpio": {"action": "read_gpio", "pin": 4},
    "read_adc": {"action": "read_adc", "pin": 1},
    "set_pwm": {"action": "set_pwm", **jsonline.pwm_fields(5, 128, 5000)},
    "read_i2c": {"action": "read_i2c", "sensor": "ina219"},
    "read_i2c-c": {"action": "read_i2c", "sensor": "ina219"},
    "read_sensors": {"action": "read_sensors"},
    "get_status": {"action": "get_status"},
    "set_gpio-c": {"action": "set_gpio", "pin": 2, "state": 1},
    "unknown": {"action": "custom_i2c_scan"},
    "refused": {"action": "read_gpio", "pin": 99},
}


def test_requests_and_answers_of_the_page_are_those_that_are_sent_and_understood() -> None:
    exchanges = {name: text.splitlines() for name, text in read_page("jsonline.md", "exchange").items()}
    sent = {name: encode_line(request).decode() for name, request in REQUESTS.items()}
    assert {name: f"{request.removeprefix('> ')}\n" for name, (request, _) in exchanges.items()} == sent
    answer = {name: parse_object(line.removeprefix("< ").encode()) for name, (_, line) in exchanges.items()}
    assert jsonline.info_reply(answer["get_info"])["free_heap_kb"] == 281
    for name, asked, read in (
        ("set_gpio", {"pin": 2, "level": 1}, PinLevel(2, 1)),
        ("set_gpio-c", {"pin": 2, "level": 1}, PinLevel(2, 1)),
        ("read_gpio", {"pin": 4}, PinLevel(4, 0)),
        ("read_adc", {"pin": 1}, AdcReading(1, 2048, 1.65)),
        ("set_pwm", {"pin": 5, "duty": 1, "frequency_hz": 1}, PwmState(5, 128, 5000)),
    ):
        assert jsonline.values_reply(answer[name], asked, type(read)) == read
    told = ok(pin=2.0, state=True, chip_id=2**60)
    assert jsonline.values_reply(told, {"pin": 2, "level": 1}, PinLevel) == PinLevel(2, 1)
    assert jsonline.sensor_reply(answer["read_i2c"]) == jsonline.sensor_reply(answer["read_i2c-c"]) == INA219
    assert list(jsonline.sensors_reply(answer["read_sensors"])) == ["ina219", "system"]
    assert jsonline.info_reply(answer["get_status"]) == {"connected": True, "sensors_active": "ina219", "gpio_2": 1}
    with pytest.raises(NotSupported):
        jsonline.raise_for_error(answer["unknown"])
    with pytest.raises(CallRejected):
        jsonline.raise_for_error(answer["refused"])


ERRORS = (
    "JSON parse error", "Missing action", "Invalid pin number", "State must be 0 or 1", "Invalid ADC pin",
    "Pin number required", "Duty cycle must be 0-255", "Unknown sensor", "Sensor not found", "I2C communication failed",
)  # fmt: skip


def ok(**fields: object) -> dict[str, object]:
    return {"status": "ok", **fields}


WRONG: tuple[tuple[Callable[[Any], object], tuple[object, ...]], ...] = (
    (jsonline.raise_for_error, ({}, {"status": "fine"}, {"status": 1}, {"boot": True})),
    (lambda state: jsonline.values_reply(ok(pin=2, state=state), {}, PinLevel), (None, "1", 0.5, [])),
    (lambda n: jsonline.values_reply(ok(pin=1, value=n, voltage=1.0), {}, AdcReading), (None, "1", True, 1.5)),
    (lambda n: jsonline.values_reply(ok(pin=1, value=1, voltage=n), {}, AdcReading), ("1", 10**400)),
    (lambda data: jsonline.sensor_reply(ok(data=data)), (5, {}, {"note": "x"})),
)


def test_errors_say_what_to_do_and_a_reply_of_another_kind_or_thing_is_refused() -> None:
    for text in ERRORS:
        with pytest.raises(CallRejected) as caught:
            jsonline.raise_for_error({"status": "error", "msg": f"{text}: details"})
        assert caught.value.next_step is not None
    for read, values in WRONG:
        for value in values:
            with pytest.raises(ProtocolError):
                read(value)
