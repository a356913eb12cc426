"""MPU6050 for programs, with the names of the driver that people know as imu: g, and degrees a second."""

from reading import read


class MPUException(OSError):
    """Nothing answers, or another chip."""


class Vector3d:
    """Three axes; each is measured when it is asked for."""

    def __init__(self, device, form):
        self._device = device
        self._form = form

    def _axis(self, name):
        return self._device.measure()[self._form % name]

    @property
    def x(self):
        return self._axis("x")

    @property
    def y(self):
        return self._axis("y")

    @property
    def z(self):
        return self._axis("z")

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
        try:
            measured = read(self._i2c, self._address)
        except OSError:
            measured = None
        if measured is None:
            raise MPUException("no MPU6050 at address 0x%x" % self._address)
        return measured

    @property
    def sensors(self):
        return self.accel, self.gyro

    @property
    def temperature(self):
        return self.measure()["temperature_c"]

    @property
    def accel_range(self):
        """Return 0 to 3 for 2, 4, 8 and 16 g."""
        return self._range(0x1C)

    @accel_range.setter
    def accel_range(self, number):
        self._set(0x1C, number << 3)

    @property
    def gyro_range(self):
        """Return 0 to 3 for 250, 500, 1000 and 2000 degrees a second."""
        return self._range(0x1B)

    @gyro_range.setter
    def gyro_range(self, number):
        self._set(0x1B, number << 3)

    def wake(self):
        self._set(0x6B, 1)

    def sleep(self):
        self._set(0x6B, 0x40)

    def _range(self, register):
        return self._i2c.readfrom_mem(self._address, register, 1)[0] >> 3 & 3

    def _set(self, register, value):
        self._i2c.writeto_mem(self._address, register, bytes((value,)))
