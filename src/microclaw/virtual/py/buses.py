"""I2C, SPI, UART and the one-wire sensors as the esp32 port drives them; nothing is wired to SPI and UART."""

from __future__ import annotations

from typing import Final

from microclaw.errors import UnknownName
from microclaw.virtual.board import Board
from microclaw.virtual.py.drivers import ENODEV, ETIMEDOUT, Calls, DriverError, Json, hex_bytes, size_of
from microclaw.virtual.wiring import uart_count

DHT11: Final = 11
DS18B20_ROM: Final = "28ff641e0f6c0b3d"
_CONVERT: Final = "convert"


class Buses(Calls):
    """A bus is wired to the board's sensors when it has the pins of the board profile; on others nothing answers."""

    def __init__(self, board: Board) -> None:
        self._board = board

    # I2C

    def call_i2c_open(self, scl: int, sda: int) -> Json:
        """Check that the sensors are on these pins; every other call names the result as the bus."""
        if not self._board.has_pin(scl) or not self._board.has_pin(sda) or scl == sda:
            raise DriverError("ValueError", "invalid pin")
        bus = self._board.profile.i2c
        return bus is not None and (bus.sda, bus.scl) == (sda, scl)

    def call_i2c_scan(self, wired: bool) -> Json:
        return self._board.i2c_addresses() if wired else []

    def call_i2c_read(self, wired: bool, address: int, size: int) -> Json:
        data = self._board.i2c_read(address, size_of(size)) if wired else None
        if data is None:
            raise DriverError("OSError", ENODEV)
        return data.hex()

    def call_i2c_write(self, wired: bool, address: int, data: str) -> Json:
        if not (wired and self._board.i2c_write(address, hex_bytes(data))):
            raise DriverError("OSError", ENODEV)
        return None

    # SPI

    def call_spi_open(self, bus: int, *pins: int | None) -> Json:
        if bus not in self._board.spi_hosts:
            raise DriverError("ValueError", f"SPI({bus}) doesn't exist")
        if any(pin is not None and not self._board.has_pin(pin) for pin in pins):
            raise DriverError("ValueError", "invalid pin")
        self._board.claim(f"spi{bus}", "py")  # MicroPython sets a bus up again without asking
        return None

    def call_spi_close(self, bus: int) -> Json:
        self._board.release(f"spi{bus}")
        return None

    def call_spi_exchange(self, _bus: int, data: str) -> Json:
        return bytes(len(hex_bytes(data))).hex()

    # UART

    def call_uart_open(self, port: int, *_pins: int | None) -> Json:
        if type(port) is not int or not 0 <= port < uart_count(self._board.profile.chip):
            raise DriverError("ValueError", f"UART({port}) doesn't exist")
        return None

    def call_uart_any(self, _port: int) -> Json:
        return 0

    def call_uart_write(self, _port: int, _data: str) -> Json:
        return None

    # One-wire sensors: the bench wires one where a program looks for it, with the values of the board's BME280.

    def call_dht(self, pin: int, kind: int) -> Json:
        """The five bytes of a DHT11 or DHT22, checksum last."""
        values = self._climate(pin)
        humidity, temperature = values["humidity_pct"], values["temperature_c"]
        if kind == DHT11:
            row = [round(humidity), 0, max(0, round(temperature)), 0]
        else:
            wet, warm = round(humidity * 10), round(abs(temperature) * 10)
            row = [wet >> 8, wet & 255, warm >> 8 | (128 if temperature < 0 else 0), warm & 255]
        return bytes([*row, sum(row) & 255]).hex()

    def call_onewire(self, pin: int, what: str) -> Json:
        if what == _CONVERT:
            return round(self._climate(pin)["temperature_c"] * 16) / 16
        try:
            self._climate(pin)
        except DriverError:
            return []
        return [DS18B20_ROM]

    def _climate(self, pin: int) -> dict[str, float]:
        if not self._board.has_pin(pin):
            raise DriverError("ValueError", "invalid pin")
        try:
            return self._board.sensor_values("bme280")
        except UnknownName:
            raise DriverError("OSError", ETIMEDOUT) from None
