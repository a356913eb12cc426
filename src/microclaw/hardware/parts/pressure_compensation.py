"""The formulas by which two of Bosch's sensors make temperatures and pressures of raw values, and the way back.

They are the integer formulas of the datasheets (BST-BME280-DS002 section 4.2.3, BST-BMP280-DS001 section 3.11.3): both
chips have the same.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import pack
from typing import Final

T: Final = (27504, 26435, -1000)
"""dig_T1 to dig_T3 of the virtual chips: the example of the datasheet."""
P: Final = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
"""dig_P1 to dig_P9."""
CALIBRATION: Final = pack("<Hhh", *T) + pack("<Hhhhhhhhh", *P)
"""Registers 0x88 to 0x9F."""
_RAW_20: Final = range((1 << 20) - 1)


def raw_temperature(celsius: float) -> int:
    """Return the raw value that the formula turns into this temperature."""
    wanted = round(celsius * 100)
    return bisect_left(_RAW_20, wanted, key=lambda raw: compensate_temperature(raw)[0])


def raw_pressure(hpa: float, fine: int) -> int:
    """Return the raw value that the formula turns into this pressure; pressure falls as its raw value rises."""
    wanted = round(hpa * 25600)
    return bisect_left(_RAW_20, -wanted, key=lambda raw: -compensate_pressure(raw, fine))


def compensate_temperature(raw: int) -> tuple[int, int]:
    """Return hundredths of a degree, and t_fine, which the other formulas need."""
    t1, t2, t3 = T
    var1 = ((raw >> 3) - (t1 << 1)) * t2 >> 11
    var2 = (((raw >> 4) - t1) * ((raw >> 4) - t1) >> 12) * t3 >> 14
    return ((var1 + var2) * 5 + 128 >> 8, var1 + var2)


def compensate_pressure(raw: int, fine: int) -> int:
    """Return Pa in Q24.8."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = P
    var1 = fine - 128000
    var2 = var1 * var1 * p6 + (var1 * p5 << 17) + (p4 << 35)
    var1 = (var1 * var1 * p3 >> 8) + (var1 * p2 << 12)
    var1 = ((1 << 47) + var1) * p1 >> 33
    if var1 == 0:
        return 0
    p = divide(((1048576 - raw << 31) - var2) * 3125, var1)
    var1 = p9 * (p >> 13) * (p >> 13) >> 25
    return (p + var1 + (p8 * p >> 19) >> 8) + (p7 << 4)


def divide(a: int, b: int) -> int:
    """Divide as C does: towards zero."""
    sign = 1 if (a < 0) == (b < 0) else -1
    return abs(a) // abs(b) * sign
