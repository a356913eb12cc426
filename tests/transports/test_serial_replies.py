"""Answers among lines: JSON behind noise, boot lines, logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.transports.serial_replies import is_answer, reply_in

OK = b'{"status":"ok","pin":4,"state":1}'


@pytest.mark.parametrize("before", [b"", b"  ", b"llmos> ", b">>> ", b"\x00\xff\xfe", b"ab\x80{cd\x81"])
def test_answer_behind_nothing_a_prompt_or_garbage_is_read(before: bytes) -> None:
    assert reply_in(before + OK) == {"status": "ok", "pin": 4, "state": 1}


@pytest.mark.parametrize(
    "line", [b"I (812) app: sent " + OK, OK + b" trailing", OK[:-1], OK[5:], b'{"action":"get_info"}', b'["status"]']
)
def test_anything_else_is_no_answer(line: bytes) -> None:
    assert reply_in(line) is None


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(line: bytes) -> None:
    reply = reply_in(line)
    assert reply is None or "status" in reply


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("set_gpio", {"status": "ok", "msg": "GPIO set"}),
        ("set_gpio", {"status": "ok", "msg": "done", "pin": 4}),
        ("set_pwm", {"status": "ok", "msg": "PWM set"}),
        ("get_info", {"status": "ok", "msg": "hello", "device": "d", "firmware": "f", "uptime_ms": 1}),
        ("read_i2c", {"status": "ok", "voltage_v": 3.3}),
        ("custom_dance", {"status": "ok", "msg": "danced"}),
        ("set_gpio", {"status": "error", "msg": "Invalid pin number"}),
    ],
)
def test_reply_that_says_what_it_is_about_is_the_answer(action: str, reply: dict[str, object]) -> None:
    assert is_answer(reply, action)


@pytest.mark.parametrize(
    "action", ["set_gpio", "read_gpio", "read_adc", "set_pwm", "read_i2c", "get_status", "get_info"]
)
@pytest.mark.parametrize(
    "boot",
    [
        {"status": "ok", "msg": "booting", "device": "d", "boot": 3},
        {"status": "ok", "msg": "bme280 found", "address": 118},
        {"status": "ok", "msg": "ready", "device": "d", "firmware": "f"},
    ],
)
def test_boot_line_answers_nothing(action: str, boot: dict[str, object]) -> None:
    assert not is_answer(boot, action)
