"""What boards are, as data with its sources; nothing here talks to one."""

from microclaw.boards.profile import BoardProfile, Firmware, I2cBus, Led, Pin, PinUse
from microclaw.boards.reader import board_ids, load_board

__all__ = ["BoardProfile", "Firmware", "I2cBus", "Led", "Pin", "PinUse", "board_ids", "load_board"]
