"""DS3231 for MicroPython: the temperature of the chip (Maxim DS3231, temperature registers: steps of 0.25 degrees)."""

from struct import unpack


def read(i2c, address):
    """Return the temperature, or None if another chip answers at this address.

    The chip has no number of its own: after its last register comes its first again, with a date in it.
    """
    rows = i2c.readfrom_mem(address, 0, 26)
    if rows[3] == 0 or rows[3:7] != rows[22:26]:
        return None
    return {"temperature_c": unpack(">h", rows[17:19])[0] / 256}
