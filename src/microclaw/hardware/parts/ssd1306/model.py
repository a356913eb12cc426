"""An SSD1306 at register level, on I2C."""

from __future__ import annotations

from microclaw.hardware.parts.oled_controller import OledController
from microclaw.hardware.parts.ssd1306_commands import Ssd1306


class Model(Ssd1306, OledController):
    """Solomon Systech SSD1306 rev 1.1: section 8.1.5 (I2C)."""
