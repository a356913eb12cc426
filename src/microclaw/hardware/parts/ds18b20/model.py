"""A DS18B20: its ROM code and its scratchpad."""

from __future__ import annotations

import hashlib
from typing import Final

from microclaw.hardware.parts.models import OneWireDevice

FAMILY: Final = 0x28
_STEPS_PER_DEGREE: Final = 16


class Model(OneWireDevice):
    """With 12 bits, as at power on. Each part has a ROM code of its own, by its id."""

    @property
    def rom(self) -> bytes:
        serial = hashlib.sha256(self.wired.id.encode()).digest()[:6]
        code = bytes([FAMILY]) + serial
        return code + bytes([_crc8(code)])

    def message(self) -> bytes:
        """Return the 9 bytes of the scratchpad: temperature, alarm bounds, configuration, reserved ones, CRC."""
        raw = round(self.values["temperature"] * _STEPS_PER_DEGREE)
        scratchpad = raw.to_bytes(2, "little", signed=True) + bytes.fromhex("4b467fff0c10")
        return scratchpad + bytes([_crc8(scratchpad)])


def _crc8(data: bytes) -> int:
    """Return the CRC of Maxim's 1-Wire: X^8 + X^5 + X^4 + 1, the lowest bit first (application note 27)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            is_odd = crc & 1
            crc >>= 1
            if is_odd:
                crc ^= 0x8C
    return crc
