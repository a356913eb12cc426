"""INA219 for MicroPython as it is after power on (TI SBOS448, 8.6), with the usual shunt of 0.1 ohm."""

from struct import unpack


def read(i2c, address):
    """Return the values by name and unit: 32 V, 320 mV, 12 bits."""
    volts = (unpack(">H", i2c.readfrom_mem(address, 2, 2))[0] >> 3) * 0.004
    current_ma = unpack(">h", i2c.readfrom_mem(address, 1, 2))[0] * 0.01 / 0.1
    return {"voltage_v": volts, "current_ma": current_ma, "power_mw": volts * current_ma}
