"""Answers among lines, and literal lines of ESP32 and ESP32-S3 boot logs: JSON behind noise, resets, crashes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microclaw.devices.transports.serial_replies import BootWatch, find_reply, is_answer

OK = b'{"status":"ok","pin":4,"state":1}'


def test_an_answer_behind_nothing_a_prompt_or_garbage_is_read_and_anything_else_is_none() -> None:
    for before in (b"", b"  ", b"llmos> ", b">>> ", b"\x00\xff\xfe", b"ab\x80{cd\x81"):
        assert find_reply(before + OK) == {"status": "ok", "pin": 4, "state": 1}
    for line in (
        b"I (812) app: sent " + OK,
        OK + b" trailing",
        OK[:-1],
        OK[5:],
        b'{"action":"get_info"}',
        b'["status"]',
    ):
        assert find_reply(line) is None


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(line: bytes) -> None:
    reply = find_reply(line)
    assert reply is None or "status" in reply


ANSWERS: tuple[tuple[str, dict[str, object]], ...] = (
    ("set_gpio", {"status": "ok", "msg": "GPIO set"}),
    ("set_pwm", {"status": "ok", "msg": "PWM set"}),
    ("get_info", {"status": "ok", "msg": "hello", "device": "d", "firmware": "f", "uptime_ms": 1}),
    ("read_i2c", {"status": "ok", "voltage_v": 3.3}),
    ("custom_dance", {"status": "ok", "msg": "danced"}),
    ("set_gpio", {"status": "error", "msg": "Invalid pin number"}),
)
BOOT_LINES: tuple[dict[str, object], ...] = (
    {"status": "ok", "msg": "booting", "device": "d", "boot": 3},
    {"status": "ok", "msg": "bme280 found", "address": 118},
    {"status": "ok", "msg": "ready", "device": "d", "firmware": "f"},
)


def test_a_reply_that_says_what_it_is_about_is_the_answer_and_a_boot_line_answers_nothing() -> None:
    for action, reply in ANSWERS:
        assert is_answer(reply, action)
    for boot in BOOT_LINES:
        for action in ("set_gpio", "read_gpio", "set_pwm", "read_i2c", "get_status", "get_info"):
            assert not is_answer(boot, action)


def test_reset_lines_of_the_rom_are_starts_and_no_other_lines_are() -> None:
    watch = BootWatch()
    for line in (
        b"\xff\x00rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
        b"ESP-ROM:esp32s3-20210327",
        b"I (30) boot: ESP-IDF v5.3",
        b"rst:0x8 (TG1WDT_SYS_RST),boot:0x8 (SPI_FAST_FLASH_BOOT)",
    ):
        watch.hear(line)
    assert watch.restarts == 2
    for line, is_waiting in ((b"waiting for download", True), (b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI)", False)):
        watch.hear(line)
        assert watch.in_download_mode is is_waiting
