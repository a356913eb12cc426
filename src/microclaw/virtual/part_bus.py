"""An I2C bus of the virtual board: the parts at one pair of pins. It knows no time (bus_time.py)."""

from __future__ import annotations

from microclaw.virtual.board import Board


class PartBus:
    """The I2C parts at one pair of pins, as a driver of the bus sees them."""

    def __init__(self, board: Board, pins: tuple[int, int] | None) -> None:
        """Create it; `pins` are SDA and SCL, or None if nothing is wired there."""
        self._board = board
        self._pins = pins

    def addresses(self) -> list[int]:
        """Return the 7-bit addresses that answer, lowest first."""
        with self._board.lock:
            return sorted(self._board.parts.on_bus(self._pins))

    def has_device(self, address: int) -> bool:
        """Return True if a part acknowledges that address."""
        with self._board.lock:
            return address in self._board.parts.on_bus(self._pins)

    def expect_transfer(self, address: int, ms: float) -> None:
        """Note that a transfer to a part is on the way, which takes so long."""
        with self._board.lock:
            device = self._board.parts.on_bus(self._pins).get(address)
            if device is not None:
                self._board.parts.expect_transfer(device, ms)

    def write(self, address: int, data: bytes) -> bool:
        """Send bytes to a part; return False if none acknowledges that address."""
        with self._board.lock:
            device = self._board.parts.on_bus(self._pins).get(address)
            if device is None:
                return False
            self._board.parts.transfer(device, lambda: device.write(data))
            return self.has_device(address)

    def read(self, address: int, size: int) -> bytes | None:
        """Read bytes from a part; return None if none acknowledges that address."""
        with self._board.lock:
            device = self._board.parts.on_bus(self._pins).get(address)
            if device is None or not self._board.parts.transfer(device, lambda: device.acknowledges_read):
                return None
            return self._board.parts.transfer(device, lambda: device.read(size))


def own_bus(board: Board) -> PartBus:
    """Return the bus at the board's own I2C pins; nothing answers on it if the board has none."""
    bus = board.profile.i2c
    if bus is None:
        return PartBus(board, None)
    return PartBus(board, (bus.sda, bus.scl))
