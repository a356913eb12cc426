"""Answers among lines, and literal lines of ESP32 and ESP32-S3 boot logs: JSON behind noise, resets, crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.transports.serial_replies import BootWatch, is_answer, reply_in

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


@pytest.mark.parametrize("action", ["set_gpio", "read_gpio", "set_pwm", "read_i2c", "get_status", "get_info"])
def test_boot_line_answers_nothing(action: str) -> None:
    for boot in (
        {"status": "ok", "msg": "booting", "device": "d", "boot": 3},
        {"status": "ok", "msg": "bme280 found", "address": 118},
        {"status": "ok", "msg": "ready", "device": "d", "firmware": "f"},
    ):
        assert not is_answer(boot, action)


ESP32 = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"
S3_WATCHDOG = b"rst:0x8 (TG1WDT_SYS_RST),boot:0x8 (SPI_FAST_FLASH_BOOT)"
S3_DOWNLOAD = b"rst:0x15 (USB_UART_CHIP_RESET),boot:0x0 (DOWNLOAD(USB/UART0))"


def heard(*lines: bytes) -> BootWatch:
    watch = BootWatch()
    for line in lines:
        watch.hear(line)
    return watch


def test_reset_lines_of_the_rom_are_starts_and_no_other_lines_are() -> None:
    watch = heard(b"\xff\x00" + ESP32, b"ESP-ROM:esp32s3-20210327", b"I (30) boot: ESP-IDF v5.3", b"", S3_WATCHDOG)
    assert (watch.restarts, watch.why()) == (2, " (TG1WDT_SYS_RST)")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was", "crashed: LoadProhibited"),
        (b"Brownout detector was triggered", "supply is too weak: Brownout detector was triggered"),
        (b"abort() was called at PC 0x4008 on core 0", "it crashed: abort() was called"),
    ],
)
def test_cause_of_a_crash_is_kept_with_the_reset(line: bytes, why: str) -> None:
    assert why in heard(line, ESP32).why()


def test_download_mode_is_noticed_and_ends_with_the_next_start() -> None:
    watch = heard(S3_DOWNLOAD, b"waiting for download")
    assert watch.in_download_mode
    watch.hear(ESP32)
    assert not watch.in_download_mode
