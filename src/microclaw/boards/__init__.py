"""Boards as data, with the sources of each fact. Talks to no board."""

from microclaw.boards.firmware import FirmwareDescription, parse_firmware
from microclaw.boards.profile import BoardProfile, Firmware, I2cBus, Led, Pin, PinUse
from microclaw.boards.reader import board_ids, load_board

__all__ = [
    "BoardProfile",
    "Firmware",
    "FirmwareDescription",
    "I2cBus",
    "Led",
    "Pin",
    "PinUse",
    "board_ids",
    "load_board",
    "parse_firmware",
]
