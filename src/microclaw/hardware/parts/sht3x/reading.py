"""SHT3x for MicroPython (Sensirion SHT3x-DIS: 4.3 single shot, 4.12 CRC, 4.13 conversion)."""

from time import sleep_us


def read(i2c, address):
    """Measure once; return the values by name and unit, or None if the checksums say that another chip answers."""
    # High repeatability without clock stretching: at most 15.5 ms.
    i2c.writeto(address, b"\x24\x00")
    # In pieces, which stay busy waits in a program's property.
    for _ in range(16):
        sleep_us(1000)
    raw = i2c.readfrom(address, 6)
    if crc(raw, 0) != raw[2] or crc(raw, 3) != raw[5]:
        return None
    return {
        "temperature_c": (raw[0] << 8 | raw[1]) * 175 / 65535 - 45,
        "humidity_pct": (raw[3] << 8 | raw[4]) * 100 / 65535,
    }


def crc(data, place):
    """Return the checksum of the two bytes at a place."""
    value = 0xFF
    for byte in data[place : place + 2]:
        value ^= byte
        for _ in range(8):
            value <<= 1
            if value & 0x100:
                value ^= 0x131
    return value
