"""Application images that the tests build themselves: whole ones, and each way to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices.flash.images import one_image, program, whole_image

from microclaw.devices.ota.bundle import CHIP_IDS, PayloadError, read_application

GOOD = program(9, "sensor-node", "1.4.0")


def refused(data: bytes, chip: str = "esp32s3") -> None:
    with pytest.raises(PayloadError) as caught:
        read_application(data, chip=chip)
    assert caught.value.next_step


@pytest.mark.parametrize(("chip", "number"), CHIP_IDS.items())
def test_an_application_tells_its_project_and_version(chip: str, number: int) -> None:
    found = read_application(program(number, "sensor-node", "1.4.0"), chip=chip)
    assert (found.project, found.version) == ("sensor-node", "1.4.0")


def test_what_no_slot_of_the_chip_could_start_is_refused() -> None:
    refused(GOOD, "esp32c3")
    for data in (GOOD + b"\xff" * 4_096, whole_image(9), one_image(9, b"bootloader" * 100), b"MZ" + bytes(500)):
        refused(data)
    for size in range(0, len(GOOD), 61):
        refused(GOOD[:size])


@given(at=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_always_found(at: int, bit: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= 1 << bit
    refused(bytes(data))
