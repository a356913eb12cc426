"""MPU6050 for programs, with the names of the two drivers that people know as mpu6050."""

from struct import unpack

from reading import read

SF_M_S2 = 9.80665
SF_G = 1
SF_RAD_S = 57.295779513082
SF_DEG_S = 1


class accel:
    """The driver that gives the numbers of the chip, but for the temperature."""

    def __init__(self, i2c, addr=0x68):
        self.iic = i2c
        self.addr = addr
        i2c.writeto(addr, b"\x6b\x00")

    def get_raw_values(self):
        return self.iic.readfrom_mem(self.addr, 0x3B, 14)

    def get_ints(self):
        return list(self.get_raw_values())

    def get_values(self):
        """Return the temperature in degrees, and the numbers of the chip: 16384 to a g, 131 to a degree a second."""
        ax, ay, az, t, gx, gy, gz = unpack(">7h", self.get_raw_values())
        return {"AcX": ax, "AcY": ay, "AcZ": az, "Tmp": t / 340 + 36.53, "GyX": gx, "GyY": gy, "GyZ": gz}


class MPU6050:
    """Accelerations in m/s2, or g with SF_G; rotations in rad/s, or degrees a second with SF_DEG_S."""

    def __init__(self, i2c, address=0x68, accel_sf=SF_M_S2, gyro_sf=SF_RAD_S):
        self.i2c = i2c
        self.address = address
        self._accel = accel_sf
        self._gyro = gyro_sf
        self._read()

    @property
    def acceleration(self):
        return self._axes("acceleration_%s_g", self._accel)

    @property
    def gyro(self):
        return self._axes("rotation_%s_dps", 1 / self._gyro)

    @property
    def temperature(self):
        return self._read()["temperature_c"]

    @property
    def whoami(self):
        return self.i2c.readfrom_mem(self.address, 0x75, 1)[0]

    def read_accel_data(self, g=False):
        """Return x, y and z in m/s2, or in g."""
        return self._named("acceleration_%s_g", 1 if g else SF_M_S2)

    def read_gyro_data(self):
        """Return x, y and z in degrees a second."""
        return self._named("rotation_%s_dps", 1)

    def read_temperature(self):
        return self.temperature

    def _named(self, form, factor):
        x, y, z = self._axes(form, factor)
        return {"x": x, "y": y, "z": z}

    def _axes(self, form, factor):
        measured = self._read()
        return tuple([measured[form % axis] * factor for axis in "xyz"])

    def _read(self):
        measured = read(self.i2c, self.address)
        if measured is None:
            raise OSError(19, "no MPU6050 at address 0x%x" % self.address)
        return measured
