"""How long transfers on the buses take, and how long a writer waits for a UART."""

from __future__ import annotations

import pytest

from microclaw.virtual.bus_time import UartQueue, i2c_transfer_ms, spi_transfer_ms, uart_byte_ms


@pytest.mark.parametrize(
    ("byte_count", "clock_hz", "has_stop", "ms"),
    [
        (0, 100_000, True, 0.11),
        (1, 100_000, True, 0.20),
        (1, 400_000, False, 0.0475),
        (1026, 100_000, True, 92.45),
        (1026, 400_000, True, 23.1125),
    ],
)
def test_i2c_takes_nine_bits_a_byte_with_start_and_stop(
    byte_count: int, clock_hz: int, has_stop: bool, ms: float
) -> None:
    assert i2c_transfer_ms(byte_count, clock_hz, has_stop=has_stop) == pytest.approx(ms)


def test_spi_takes_eight_bits_a_byte_and_a_uart_ten() -> None:
    assert spi_transfer_ms(1000, 1_000_000) == 8.0
    assert uart_byte_ms(9_600) == pytest.approx(1.0417, abs=1e-4)


def test_a_writer_waits_only_for_the_bytes_that_have_no_room() -> None:
    queue = UartQueue()
    assert queue.send(100, 1.0, 128, 0.0) == 0.0
    assert queue.send(100, 1.0, 128, 0.0) == 72.0
    assert queue.left_ms(72.0) == 128.0
    assert queue.left_ms(500.0) == 0.0
    assert queue.send(130, 1.0, 128, 500.0) == 2.0
