"""The JSON line's device side: every action, every error by its prefix, and lines that are none."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.virtual.board import Board
from microclaw.virtual.ports.serial import MAX_LINE_BYTES, SerialConsole, SerialLines
from microclaw.virtual.virtual_clock import VirtualClock


@pytest.fixture
def board() -> Board:
    return Board(load_board("virtual"), VirtualClock(), name="bench-board")


@pytest.fixture
def console(board: Board) -> SerialConsole:
    return SerialConsole(board, lambda: 280 * 1024 - 8192)


def ask(console: SerialConsole, **request: object) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(console.answer(json.dumps(request).encode()))
    return reply


def test_set_pwm_takes_both_dialects_names(board: Board, console: SerialConsole) -> None:
    reply = ask(console, action="set_pwm", pin=5, duty_cycle=128, frequency=1000)
    assert reply == {"status": "ok", "msg": "PWM set", "pin": 5, "duty_cycle": 128, "frequency": 1000}
    ask(console, action="set_pwm", pin=5, duty=64, freq=2000)
    ask(console, action="set_pwm", pin=5, duty=0)
    changes = [(c.duty, c.frequency_hz) for c in board.pwm_changes().records]
    assert changes == [(128, 1000), (64, 2000), (0, 5000)]


@pytest.mark.parametrize(
    ("request_", "prefix"),
    [
        ({}, "Missing action"),
        ({"action": "fly"}, "Unknown action"),
        ({"action": "set_gpio", "pin": 99, "state": 1}, "Invalid pin number"),
        ({"action": "set_gpio", "pin": 2, "state": 2}, "State must be 0 or 1"),
        ({"action": "read_gpio", "pin": 22}, "Invalid pin number"),
        ({"action": "read_adc", "pin": 40}, "Invalid ADC pin"),
        ({"action": "set_pwm", "duty": 1}, "Pin number required"),
        ({"action": "set_pwm", "pin": 5, "duty_cycle": 256}, "Duty cycle must be 0-255"),
        ({"action": "set_pwm", "pin": 5, "duty": 1, "freq": 0}, "Invalid frequency"),
        ({"action": "set_pwm", "pin": 5, "duty": 1, "freq": 9}, "PWM of 9 Hz"),  # an S3 begins at 10
        ({"action": "read_i2c", "sensor": "sht31"}, "Unknown sensor"),
    ],
)
def test_error_starts_with_the_firmwares_words(
    console: SerialConsole, request_: dict[str, object], prefix: str
) -> None:
    reply = ask(console, **request_)
    assert reply["status"] == "error"
    assert reply["msg"].startswith(prefix)


@pytest.mark.parametrize(
    "no_object", [b"{", b"\xff\xfe", b"[1]", b'{"action":NaN}', b"[" * 900, b"x" * 2 * MAX_LINE_BYTES]
)
def test_lines_come_in_any_pieces_and_one_that_is_no_object_keeps_none_from_its_answer(
    console: SerialConsole, no_object: bytes
) -> None:
    stream = no_object + b'\r\n\n{"action":"read_gpio","pin":5}\n'
    whole = SerialLines(console).receive(stream)
    lines = SerialLines(console)
    assert b"".join(lines.receive(stream[i : i + 1]) for i in range(len(stream))) == whole
    first, second = (json.loads(line) for line in whole.splitlines())
    assert first["msg"].startswith("JSON parse error")
    assert second["pin"] == 5


def test_incomplete_line_is_parsed_after_silence(console: SerialConsole) -> None:
    lines = SerialLines(console)
    assert lines.receive(b'{"action":"read_gpio","pin":4}') == b""
    assert lines.waiting
    assert json.loads(lines.silence())["pin"] == 4
    assert not lines.waiting


def test_random_lines_always_get_one_reply(board: Board, console: SerialConsole) -> None:
    rng = random.Random(3)
    seeds = [json.dumps({"action": a, "pin": 4, "state": 1, "duty": 3, "sensor": "bme280"}) for a in ACTIONS]
    lines = SerialLines(console)
    for _ in range(2_000):
        line = bytearray(rng.choice(seeds).encode() if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 50)))
        for _ in range(rng.randrange(3)):
            line[rng.randrange(len(line))] = rng.randrange(256)
        text = bytes(line).replace(b"\n", b" ").strip()
        replies = lines.receive(text + b"\n").splitlines()
        assert len(replies) == (1 if text else 0)
        assert all(json.loads(reply)["status"] in ("ok", "error") for reply in replies)


ACTIONS = (
    "get_info",
    "get_status",
    "set_gpio",
    "read_gpio",
    "read_adc",
    "set_pwm",
    "read_i2c",
    "read_sensors",
    "custom_i2c_scan",
)
