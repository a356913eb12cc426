"""DS3231 for programs, with the names of the drivers that people know as ds3231 (Maxim DS3231, figure 1)."""

from time import localtime

from reading import read


class DS3231:
    """Days of the week are 0 (Monday) to 6 in `get_time`, and 1 to 7 in `datetime`."""

    def __init__(self, i2c, addr=0x68):
        self.i2c = i2c
        self.addr = addr

    def get_time(self, set_rtc=False):
        """Return (year, month, day, hour, minute, second, weekday, 0)."""
        year, month, day, weekday, hour, minute, second, _ = self.datetime()
        return year, month, day, hour, minute, second, weekday - 1, 0

    def set_time(self, tt=None):
        """Set the time from a tuple as localtime has it; without one from the board's clock."""
        year, month, day, hour, minute, second, weekday = (tt or localtime())[:7]
        self._write((second, minute, hour, weekday + 1, day, month, year % 100))

    def save_time(self):
        self.set_time()

    def datetime(self, datetime=None):
        """Return (year, month, day, weekday, hour, minute, second, 0), or set (year, month, day, hour, minute, ...).

        What may follow are the second and the weekday.
        """
        if datetime is None:
            rows = self.i2c.readfrom_mem(self.addr, 0, 7)
            second, minute, hour, weekday, day, month, year = [_number(row) for row in rows]
            return year + 2000, _number(rows[5] & 0x1F), day, weekday, hour, minute, second, 0
        year, month, day, hour, minute = datetime[:5]
        second, weekday = (tuple(datetime[5:7]) + (0, 1)[len(datetime[5:7]) :])[:2]
        self._write((second, minute, hour, weekday, day, month, year % 100))
        return None

    def OSF(self):
        """Return True if the clock was without power, so that its time is wrong."""
        return self.i2c.readfrom_mem(self.addr, 0x0F, 1)[0] & 0x80 != 0

    def temperature(self):
        measured = read(self.i2c, self.addr)
        if measured is None:
            raise OSError(19, "no DS3231 at address 0x%x" % self.addr)
        return measured["temperature_c"]

    def get_temperature(self):
        return self.temperature()

    def _write(self, numbers):
        self.i2c.writeto_mem(self.addr, 0, bytes([_bcd(number) for number in numbers]))
        status = self.i2c.readfrom_mem(self.addr, 0x0F, 1)[0]
        self.i2c.writeto_mem(self.addr, 0x0F, bytes((status & 0x7F,)))


def _number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15)


def _bcd(number):
    return number // 10 << 4 | number % 10
