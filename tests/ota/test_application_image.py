"""Application images that the tests build themselves: whole ones, and each way to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flash.images import one_image, program, whole_image

from microclaw.ota.application_image import CHIP_IDS, ImageError, read_application

GOOD = program(9, "sensor-node", "1.4.0")


def fault(data: bytes, chip: str = "esp32s3", slot_bytes: int | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        read_application(data, chip=chip, slot_bytes=slot_bytes)
    assert caught.value.next_step
    return caught.value.fault


@pytest.mark.parametrize(("chip", "number"), CHIP_IDS.items())
def test_an_application_tells_its_project_and_version(chip: str, number: int) -> None:
    found = read_application(program(number, "sensor-node", "1.4.0"), chip=chip)
    assert (found.chip, found.project, found.version) == (chip, "sensor-node", "1.4.0")


def test_each_fault_is_its_own() -> None:
    assert fault(GOOD, "esp32c3") == "wrong_chip"
    assert fault(GOOD, slot_bytes=len(GOOD) - 1) == "too_large"
    assert fault(GOOD + b"\xff" * 4_096) == "not_alone"
    assert fault(whole_image(9)) in ("no_application", "not_alone")
    assert fault(one_image(9, b"bootloader" * 100)) == "no_application"
    assert fault(b"MZ" + bytes(500)) == "no_application"
    assert fault(b"") == "no_application"
    assert fault(GOOD[:-32]) == "damaged"
    assert fault(GOOD[:4_000]) == "cut"
    read_application(GOOD, chip="esp32s3", slot_bytes=len(GOOD))


@given(at=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_always_found(at: int, bit: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= 1 << bit
    assert fault(bytes(data)) in ("no_application", "cut", "damaged", "wrong_chip", "not_alone")


def test_a_cut_image_is_refused_at_every_length() -> None:
    for size in range(0, len(GOOD), 61):
        assert fault(GOOD[:size]) in ("no_application", "cut", "damaged")
