"""Sensors at the board's I2C pins: BME280 (BST-BME280-DS002, 4.2.3 and 8.1) and INA219 (TI SBOS448, 8.6).

Loaded with the first reading. The values are the same as in wasm/headers/glue/*.c.
"""

from struct import unpack
from time import sleep_ms

# name of the sensor -> where it may answer (its address pins)
ADDRESSES = {"bme280": (0x76, 0x77), "ina219": (0x40, 0x41, 0x44, 0x45)}
QUANTITIES = {
    "temperature": ("bme280", "temperature_c"),
    "humidity": ("bme280", "humidity_pct"),
    "pressure": ("bme280", "pressure_hpa"),
    "voltage": ("ina219", "voltage_v"),
    "current": ("ina219", "current_ma"),
    "power": ("ina219", "power_mw"),
}
CHIP_ID = b"\x60"
# DS002, 9.1: at most 9.3 ms with one sample of each.
MEASURE_MS = 10


def quantity(i2c, name, address):
    """Return one value, or None if the sensor does not answer; ValueError if no sensor here measures the quantity."""
    if name not in QUANTITIES:
        raise ValueError("no quantity %s: %s" % (name, ", ".join(sorted(QUANTITIES))))
    sensor, key = QUANTITIES[name]
    readings = values(i2c, sensor, address)
    if readings is None:
        return None
    return readings[key]


def values(i2c, sensor, address):
    """Return every value of a sensor by name and unit, or None if it does not answer at this address."""
    try:
        if sensor == "bme280":
            return bme280(i2c, address)
        return ina219(i2c, address)
    except OSError:
        return None


def bme280(i2c, address):
    if i2c.readfrom_mem(address, 0xD0, 1) != CHIP_ID:
        return None
    i2c.writeto_mem(address, 0xF2, b"\x01")
    # Measure each once, then sleep.
    i2c.writeto_mem(address, 0xF4, b"\x25")
    sleep_ms(MEASURE_MS)
    t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1 = unpack("<HhhHhhhhhhhhxB", i2c.readfrom_mem(address, 0x88, 26))
    h2, h3, e4, e5, e6, h6 = unpack("<hBbBbb", i2c.readfrom_mem(address, 0xE1, 7))
    raw = i2c.readfrom_mem(address, 0xF7, 8)
    p = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4
    t = raw[3] << 12 | raw[4] << 4 | raw[5] >> 4
    low = t / 131072 - t1 / 8192
    fine = (t / 16384 - t1 / 1024) * t2 + low * low * t3
    wet = (h1, h2, h3, e4 * 16 + (e5 & 15), e6 * 16 + (e5 >> 4), h6)
    return {
        "temperature_c": fine / 5120,
        "humidity_pct": _humidity(wet, raw[6] << 8 | raw[7], fine),
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


def _humidity(h, raw, fine):
    t = fine - 76800
    percent = (raw - (h[3] * 64 + h[4] / 16384 * t)) * (h[1] / 65536)
    percent *= 1 + h[5] / 67108864 * t * (1 + h[2] / 67108864 * t)
    return min(100, max(0, percent * (1 - h[0] * percent / 524288)))


def ina219(i2c, address):
    """Read it as it is after power on: 32 V, 320 mV, 12 bits; the current through the usual shunt of 0.1 ohm."""
    volts = (unpack(">H", i2c.readfrom_mem(address, 2, 2))[0] >> 3) * 0.004
    current_ma = unpack(">h", i2c.readfrom_mem(address, 1, 2))[0] * 0.01 / 0.1
    return {"voltage_v": volts, "current_ma": current_ma, "power_mw": volts * current_ma}
