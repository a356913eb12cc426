"""BMP280 for programs, with the names of the driver that people know: degrees, and Pa."""

from reading import read

BMP280_CASE_HANDHELD_LOW = 0
BMP280_CASE_HANDHELD_DYN = 1
BMP280_CASE_WEATHER = 2
BMP280_CASE_FLOOR = 3
BMP280_CASE_DROP = 4
BMP280_CASE_INDOOR = 5
BMP280_OS_ULTRALOW = 0
BMP280_OS_LOW = 1
BMP280_OS_STANDARD = 2
BMP280_OS_HIGH = 3
BMP280_OS_ULTRAHIGH = 4
BMP280_POWER_SLEEP = 0
BMP280_POWER_FORCED = 1
BMP280_POWER_NORMAL = 3
BMP280_TEMP_OS_SKIP = 0
BMP280_TEMP_OS_1 = 1
BMP280_TEMP_OS_2 = 2
BMP280_TEMP_OS_4 = 3
BMP280_TEMP_OS_8 = 4
BMP280_TEMP_OS_16 = 5
BMP280_PRES_OS_SKIP = 0
BMP280_PRES_OS_1 = 1
BMP280_PRES_OS_2 = 2
BMP280_PRES_OS_4 = 3
BMP280_PRES_OS_8 = 4
BMP280_PRES_OS_16 = 5
BMP280_STANDBY_0_5 = 0
BMP280_STANDBY_62_5 = 1
BMP280_STANDBY_125 = 2
BMP280_STANDBY_250 = 3
BMP280_STANDBY_500 = 4
BMP280_STANDBY_1000 = 5
BMP280_IIR_FILTER_OFF = 0
BMP280_IIR_FILTER_2 = 1
BMP280_IIR_FILTER_4 = 2
BMP280_IIR_FILTER_8 = 3
BMP280_IIR_FILTER_16 = 4


class BMP280:
    """Each value is measured when it is asked for, with single sampling: the settings are only kept."""

    power_mode = 3
    temp_os = 2
    press_os = 5
    standby = 0
    iir = 2
    is_measuring = False
    is_updating = False

    def __init__(self, i2c_bus, addr=0x76, use_case=1):
        self._i2c = i2c_bus
        self._address = addr
        self.use_case(use_case)
        self._read()

    def use_case(self, use_case):
        self._case = use_case

    def oversample(self, oversample):
        self.press_os = oversample + 1

    @property
    def temperature(self):
        return self._read()["temperature_c"]

    @property
    def pressure(self):
        return self._read()["pressure_hpa"] * 100

    @property
    def chip_id(self):
        return self._i2c.readfrom_mem(self._address, 0xD0, 1)[0]

    def normal_measure(self):
        self.power_mode = 3

    def force_measure(self):
        self.power_mode = 1

    def sleep(self):
        self.power_mode = 0

    def reset(self):
        self._i2c.writeto_mem(self._address, 0xE0, b"\xb6")

    def _read(self):
        measured = read(self._i2c, self._address)
        if measured is None:
            raise OSError(19, "no BMP280 at address 0x%x" % self._address)
        return measured
