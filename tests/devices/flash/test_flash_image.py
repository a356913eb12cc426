"""Images are checked before anything is written: chip, size, every digest inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.devices.flash.images import whole_image

from microclaw.devices.flash.images import CHIPS, FlashImage, check_image, read_image
from microclaw.errors import ConfigError

MB = 1 << 20


def _image(folder: Path, data: bytes) -> FlashImage:
    path = folder / "image.bin"
    path.write_bytes(data)
    return read_image(path)


def test_a_whole_image_is_read(tmp_path: Path) -> None:
    image = _image(tmp_path, whole_image())
    assert (image.chip_id, image.start, image.needs_bytes, image.micropython) == (0, 0x1000, 2 * MB, (1, 26, 1))
    check_image(image, CHIPS["ESP32"], 4 * MB)
    assert _image(tmp_path, b"\xff" * 0x1000 + whole_image()).start == 0, "merged from address 0"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"<html>404</html>",
        lambda data: data[:0xF100],
        lambda data: data[:-40] + b"\1" + data[-39:],
        lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
        lambda data: data[:0x7005] + b"\1" + data[0x7006:],
        lambda data: data[0xF000:],
    ],
    ids=["a page", "cut", "its program", "its bootloader", "its table", "a program alone"],
)
def test_a_damaged_image_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ConfigError) as failed:
        _image(tmp_path, damage(whole_image()))
    assert failed.value.next_step


@given(st.binary(max_size=400), st.integers(0, 0x9000))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_an_image_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    data = whole_image(app_bytes=64)
    with contextlib.suppress(ConfigError):
        _image(tmp_path_factory.mktemp("fuzz"), data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize(
    ("data", "chip"),
    [
        (whole_image(9), "ESP32-C3"),
        (whole_image(5, version="v1.20.0"), "ESP32-C3"),
        (whole_image(9, vfs_end=16 * MB), "ESP32-S3"),
    ],
    ids=["another chip", "an old MicroPython", "partitions beyond the flash"],
)
def test_an_image_that_this_board_cannot_run_is_refused(tmp_path: Path, data: bytes, chip: str) -> None:
    with pytest.raises(ConfigError):
        check_image(_image(tmp_path, data), CHIPS[chip], 8 * MB)
