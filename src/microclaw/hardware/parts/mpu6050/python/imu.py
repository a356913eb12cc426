"""MPU6050 for programs, with the names of the driver that people know as imu: g, and degrees a second."""

from reading import read


class Vector3d:
    """Three axes; each is measured when it is asked for."""

    def __init__(self, device, form):
        self._device = device
        self._form = form

    @property
    def x(self):
        return self.xyz[0]

    @property
    def y(self):
        return self.xyz[1]

    @property
    def z(self):
        return self.xyz[2]

    @property
    def xyz(self):
        measured = self._device.measure()
        return tuple([measured[self._form % name] for name in "xyz"])

    @property
    def magnitude(self):
        x, y, z = self.xyz
        return (x * x + y * y + z * z) ** 0.5


class MPU6050:
    def __init__(self, side_str, device_addr=0, transposition=(0, 1, 2), scaling=(1, 1, 1)):
        self._i2c = side_str
        self._address = 0x68 + device_addr
        self.accel = Vector3d(self, "acceleration_%s_g")
        self.gyro = Vector3d(self, "rotation_%s_dps")
        self.wake()
        self.measure()

    def measure(self):
        measured = read(self._i2c, self._address)
        if measured is None:
            raise OSError(19, "no MPU6050 at address 0x%x" % self._address)
        return measured

    @property
    def temperature(self):
        return self.measure()["temperature_c"]

    @property
    def accel_range(self):
        """Return 0 to 3 for 2, 4, 8 and 16 g."""
        return self._get(0x1C) >> 3 & 3

    @accel_range.setter
    def accel_range(self, number):
        self._set(0x1C, number << 3)

    @property
    def gyro_range(self):
        """Return 0 to 3 for 250, 500, 1000 and 2000 degrees a second."""
        return self._get(0x1B) >> 3 & 3

    @gyro_range.setter
    def gyro_range(self, number):
        self._set(0x1B, number << 3)

    def wake(self):
        self._set(0x6B, 1)

    def sleep(self):
        self._set(0x6B, 0x40)

    def _get(self, register):
        return self._i2c.readfrom_mem(self._address, register, 1)[0]

    def _set(self, register, value):
        self._i2c.writeto_mem(self._address, register, bytes((value,)))
