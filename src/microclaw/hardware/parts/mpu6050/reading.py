"""MPU6050 for MicroPython (RM-MPU-6000A-00: 4.4, 4.5, 4.17 to 4.19, 4.28, 4.32)."""

from struct import unpack
from time import sleep_us

WHO_AM_I = b"\x68"


def read(i2c, address):
    """Measure once; return the values by name and unit, or None if another chip answers at this address."""
    if i2c.readfrom_mem(address, 0x75, 1) != WHO_AM_I:
        return None
    if i2c.readfrom_mem(address, 0x6B, 1)[0] & 0x40:
        i2c.writeto_mem(address, 0x6B, b"\x01")
        # The gyroscope needs 30 ms to start; in pieces, which stay busy waits in a program's property.
        for _ in range(35):
            sleep_us(1000)
    # The program may have chosen other ranges than those of the start.
    gyro, acceleration = i2c.readfrom_mem(address, 0x1B, 2)
    steps = 131 / (1 << (gyro >> 3 & 3))
    g = 16384 >> (acceleration >> 3 & 3)
    ax, ay, az, t, gx, gy, gz = unpack(">7h", i2c.readfrom_mem(address, 0x3B, 14))
    return {
        "acceleration_x_g": ax / g,
        "acceleration_y_g": ay / g,
        "acceleration_z_g": az / g,
        "rotation_x_dps": gx / steps,
        "rotation_y_dps": gy / steps,
        "rotation_z_dps": gz / steps,
        "temperature_c": t / 340 + 36.53,
    }
