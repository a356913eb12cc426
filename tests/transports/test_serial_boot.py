"""The boot of a board on its port: literal lines of ESP32 and ESP32-S3 boot logs."""

from __future__ import annotations

import pytest

from microclaw.transports.serial_replies import BootWatch

ESP32 = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"
S3_WATCHDOG = b"rst:0x8 (TG1WDT_SYS_RST),boot:0x8 (SPI_FAST_FLASH_BOOT)"
S3_DOWNLOAD = b"rst:0x15 (USB_UART_CHIP_RESET),boot:0x0 (DOWNLOAD(USB/UART0))"


def heard(*lines: bytes) -> BootWatch:
    watch = BootWatch()
    for line in lines:
        watch.hear(line)
    return watch


@pytest.mark.parametrize("line", [ESP32, S3_WATCHDOG, b"\xff\x00" + ESP32])
def test_reset_line_of_the_rom_counts_as_a_start(line: bytes) -> None:
    assert BootWatch().hear(line)


@pytest.mark.parametrize(
    "line", [b"ESP-ROM:esp32s3-20210327", b"I (345) main_task: Calling app_main()", b"load:0x3fce3820,len:0x105c", b""]
)
def test_other_boot_lines_do_not(line: bytes) -> None:
    assert not BootWatch().hear(line)


def test_starts_are_counted_with_the_last_reason() -> None:
    watch = heard(ESP32, b"I (30) boot: ESP-IDF v5.3", S3_WATCHDOG)
    assert (watch.restarts, watch.why()) == (2, " (TG1WDT_SYS_RST)")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
            "crashed: LoadProhibited",
        ),
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
