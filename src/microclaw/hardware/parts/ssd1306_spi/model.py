"""An SSD1306 at register level, on SPI with four wires."""

from __future__ import annotations

from microclaw.hardware.parts.models import SpiDevice
from microclaw.hardware.parts.ssd1306_commands import Ssd1306


class Model(Ssd1306, SpiDevice):
    """Solomon Systech SSD1306 rev 1.1: sections 8.1.3 (D/C says what a byte is) and 8.9 (reset)."""

    def edge(self, role: str, level: int) -> None:
        if role == "rst" and not level:
            ram = self.ram
            was_lit = self.is_lit
            self.reset()
            self.ram = ram
            if was_lit:
                self.bench.screen_changed()
        super().edge(role, level)

    def transfer(self, data: bytes) -> bytes:
        """Take bytes of the picture, or of commands. Nothing is read from it."""
        pins = self.wired.pins
        is_held = "rst" in pins and not self.bench.level(pins["rst"])
        if not is_held:
            is_picture = bool(self.bench.level(pins["dc"]))
            for byte in data:
                if is_picture:
                    self.store(byte)
                else:
                    self.take_command(byte)
            self.finish()
        return bytes(len(data))
