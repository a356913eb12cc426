"""BH1750 for MicroPython (Rohm BH1750FVI: one-time H-resolution mode, at most 180 ms)."""

from time import sleep_us


def read(i2c, address):
    """Measure once; return the value by name and unit."""
    i2c.writeto(address, b"\x20")
    # In pieces, which stay busy waits in a program's property.
    for _ in range(180):
        sleep_us(1000)
    raw = i2c.readfrom(address, 2)
    return {"light_lux": (raw[0] << 8 | raw[1]) / 1.2}
