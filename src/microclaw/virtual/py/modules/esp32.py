"""`esp32` on the simulated board: heap facts and the temperature. Programs are refused the rest."""

import _board

HEAP_DATA = 4
HEAP_EXEC = 1
WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
__getattr__ = _board.absent("esp32", "PCNT RMT")


def idf_heap_info(capabilities):
    """(total, free, largest block, least ever free) of each region: one, as on an ESP32 with its Wi-Fi up."""
    return [(180000, 96000, 94200, 93000)]


def mcu_temperature():
    return 42


def raw_temperature():
    return 108
