"""BMP180 for MicroPython (Bosch BST-BMP180-DS000: 3.5 compensation, table 8 measurement times)."""

from struct import unpack
from time import sleep_us

CHIP_ID = b"\x55"


def read(i2c, address):
    """Measure once; return the values by name and unit, or None if another chip answers at this address."""
    if i2c.readfrom_mem(address, 0xD0, 1) != CHIP_ID:
        return None
    ac1, ac2, ac3, ac4, ac5, ac6, b1, b2, _, mc, md = unpack(">hhhHHHhhhhh", i2c.readfrom_mem(address, 0xAA, 22))
    raw = _measure(i2c, address, b"\x2e")
    x1 = ((raw[0] << 8 | raw[1]) - ac6) * ac5 / 32768
    b5 = x1 + mc * 2048 / (x1 + md)
    raw = _measure(i2c, address, b"\x34")
    b6 = b5 - 4000
    square = b6 * b6 / 4096
    b3 = (ac1 * 4 + b2 * square / 2048 + ac2 * b6 / 2048) / 4
    b4 = ac4 * ((ac3 * b6 / 8192 + b1 * square / 65536) / 4 + 32768) / 32768
    p = ((raw[0] << 8 | raw[1]) + raw[2] / 256 - b3) * 100000 / b4
    p += (p * p / 65536 * 3038 / 65536 - 7357 * p / 65536 + 3791) / 16
    return {"temperature_c": b5 / 160, "pressure_hpa": p / 100}


def _measure(i2c, address, control):
    i2c.writeto_mem(address, 0xF4, control)
    # At most 4.5 ms; in pieces, which stay busy waits in a program's property.
    for _ in range(5):
        sleep_us(1000)
    return i2c.readfrom_mem(address, 0xF6, 3)
