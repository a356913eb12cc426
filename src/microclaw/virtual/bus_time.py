"""Board time that transfers on a bus take: bits over the clock, as on the wires. Knows no devices and no programs."""

from __future__ import annotations

from typing import Final

I2C_BYTE_BITS: Final = 9
"""Eight of data, and the acknowledgement (I2C specification UM10204, 3.1.5)."""
SPI_BYTE_BITS: Final = 8
UART_FIFO_BYTES: Final = 128
"""SOC_UART_FIFO_LEN of every chip: what a port takes without a driver's buffer."""
CONSOLE_BAUD: Final = 115_200
"""ESP-IDF's, for a port that nobody set up (CONFIG_ESP_CONSOLE_UART_BAUDRATE)."""


def i2c_transfer_ms(byte_count: int, clock_hz: int, *, has_stop: bool = True) -> float:
    """Return the time of a start, the address and these bytes, and a stop; a repeated start comes without that."""
    bits = 1 + I2C_BYTE_BITS * (1 + byte_count)
    if has_stop:
        bits += 1
    return bits * 1000 / clock_hz


def spi_transfer_ms(byte_count: int, clock_hz: int) -> float:
    return byte_count * SPI_BYTE_BITS * 1000 / clock_hz


def uart_byte_ms(baudrate: int, bits: int = 10) -> float:
    """Return the time of a byte: `bits` with start and stop."""
    return bits * 1000 / baudrate


class UartQueue:
    """The bytes that a UART port has still to send. Times in ms of the board; the caller waits."""

    def __init__(self) -> None:
        self._sent_ms = 0.0

    def send(self, byte_count: int, byte_ms: float, room_bytes: int, now_ms: float) -> float:
        """Queue bytes; return how long the writer waits until all of them have room."""
        self._sent_ms = max(self._sent_ms, now_ms) + byte_count * byte_ms
        return max(0.0, self._sent_ms - now_ms - room_bytes * byte_ms)

    def left_ms(self, now_ms: float) -> float:
        """Return the time until the last byte is sent."""
        return max(0.0, self._sent_ms - now_ms)
