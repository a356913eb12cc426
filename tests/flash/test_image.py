"""Images are checked before anything is written: chip, size, every digest inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flash.images import whole_image

from microclaw.errors import ConfigError
from microclaw.flash.chips import CHIPS
from microclaw.flash.image import check_image, read_image

MB = 1 << 20


def test_a_whole_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ESP32_GENERIC.bin"
    path.write_bytes(whole_image())
    image = read_image(path)
    assert (image.chip_id, image.start, image.needs_bytes, image.micropython) == (0, 0x1000, 2 * MB, (1, 26, 1))
    check_image(image, CHIPS["ESP32"], 4 * MB)


def test_an_image_merged_from_address_0_is_read(tmp_path: Path) -> None:
    path = tmp_path / "merged.bin"
    path.write_bytes(b"\xff" * 0x1000 + whole_image())
    assert read_image(path).start == 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"<html>404</html>", "is no image for an ESP32"),
        (lambda data: b"", "is no image for an ESP32"),
        (lambda data: data[:0xF100], "ends within its program"),
        (lambda data: data[:-40] + b"\1" + data[-39:], "the checksum of its program is wrong|the SHA-256"),
        (lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:], "the checksum of its bootloader is wrong"),
        (lambda data: data[:0x7005] + b"\1" + data[0x7006:], "the MD5 of its partition table is wrong"),
        (lambda data: data[0xF000:], "has no partition table: it is a program alone"),
    ],
)
def test_a_damaged_image_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(damage(whole_image()))
    with pytest.raises(ConfigError, match=said) as failed:
        read_image(path)
    assert failed.value.next_step


@given(st.binary(max_size=400), st.integers(0, 0x9000))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_an_image_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "any.bin"
    data = whole_image(app_bytes=64)
    path.write_bytes(data[:at] + noise + data[at + len(noise) :])
    with contextlib.suppress(ConfigError):
        read_image(path)


def test_the_wrong_chip_an_old_micropython_and_another_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(whole_image(9))
    with pytest.raises(ConfigError, match="is for the ESP32-S3, and this board has an ESP32-C3"):
        check_image(read_image(path), CHIPS["ESP32-C3"], 8 * MB)
    path.write_bytes(whole_image(5, version="v1.20.0"))
    with pytest.raises(ConfigError, match=r"MicroPython 1\.20\.0, too old"):
        check_image(read_image(path), CHIPS["ESP32-C3"], 8 * MB)
    path.write_bytes(whole_image(5, version="hello"))
    with pytest.raises(ConfigError, match="is no MicroPython"):
        check_image(read_image(path), CHIPS["ESP32-C3"], 8 * MB)
    check_image(read_image(path), CHIPS["ESP32-C3"], 8 * MB, wants_micropython=False)


def test_an_image_whose_partitions_end_beyond_the_flash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(whole_image(9, vfs_end=16 * MB))
    with pytest.raises(ConfigError, match="needs 16 MB of flash, and this board has 8 MB"):
        check_image(read_image(path), CHIPS["ESP32-S3"], 8 * MB)


def test_the_stock_image_goes_by_chip_and_psram() -> None:
    assert CHIPS["ESP32-S3"].stock_image(8 * MB).startswith("ESP32_GENERIC_S3-SPIRAM_OCT-")
    assert CHIPS["ESP32-S3"].stock_image(2 * MB).startswith("ESP32_GENERIC_S3-2")
    assert CHIPS["ESP32"].stock_image(0).startswith("ESP32_GENERIC-2")
    assert all(chip.profiles() for chip in CHIPS.values())
