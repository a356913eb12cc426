"""BMP280 for MicroPython (Bosch BST-BMP280-DS001: 3.11 compensation, 3.8.1 measurement time, 4 registers)."""

from struct import unpack
from time import sleep_us

CHIP_ID = b"\x58"


def read(i2c, address):
    """Measure once; return the values by name and unit, or None if another chip answers at this address."""
    if i2c.readfrom_mem(address, 0xD0, 1) != CHIP_ID:
        return None
    # Measure each once, then sleep.
    i2c.writeto_mem(address, 0xF4, b"\x25")
    # At most 6.4 ms with one sample of each; in pieces, which stay busy waits in a program's property.
    for _ in range(7):
        sleep_us(1000)
    t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9 = unpack("<HhhHhhhhhhhh", i2c.readfrom_mem(address, 0x88, 24))
    raw = i2c.readfrom_mem(address, 0xF7, 6)
    p = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4
    t = raw[3] << 12 | raw[4] << 4 | raw[5] >> 4
    low = t / 131072 - t1 / 8192
    fine = (t / 16384 - t1 / 1024) * t2 + low * low * t3
    return {
        "temperature_c": fine / 5120,
        "pressure_hpa": _pressure((p1, p2, p3, p4, p5, p6, p7, p8, p9), p, fine),
    }


def _pressure(p, raw, fine):
    a = fine / 2 - 64000
    b = (a * a * p[5] / 32768 + a * p[4] * 2) / 4 + p[3] * 65536
    a = (1 + (p[2] * a * a / 524288 + p[1] * a) / 524288 / 32768) * p[0]
    if a == 0:
        return 0
    pascals = (1048576 - raw - b / 4096) * 6250 / a
    return (pascals + (p[8] * pascals * pascals / 2147483648 + pascals * p[7] / 32768 + p[6]) / 16) / 100
