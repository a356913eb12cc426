"""Clock chips for programs, with the names of the driver that people know as urtc (registers: their data sheets)."""

from collections import namedtuple
from struct import unpack

DateTimeTuple = namedtuple(
    "DateTimeTuple", ("year", "month", "day", "weekday", "hour", "minute", "second", "millisecond")
)


def datetime_tuple(
    year=None, month=None, day=None, weekday=None, hour=None, minute=None, second=None, millisecond=None
):
    return DateTimeTuple(year, month, day, weekday, hour, minute, second, millisecond)


class _Clock:
    def __init__(self, i2c, address=0x68):
        self.i2c = i2c
        self.address = address

    def datetime(self, datetime=None):
        """Return the time, or set it; the weekday is 1 to 7."""
        if datetime is None:
            rows = self.i2c.readfrom_mem(self.address, 0, 7)
            return DateTimeTuple(
                _number(rows[6]) + 2000,
                _number(rows[5] & 0x1F),
                _number(rows[4]),
                _number(rows[3]),
                _number(rows[2]),
                _number(rows[1]),
                _number(rows[0] & 0x7F),
                0,
            )
        year, month, day, weekday, hour, minute, second = tuple(datetime)[:7]
        numbers = (second or 0, minute or 0, hour or 0, weekday or 1, day or 1, month or 1, year % 100)
        self.i2c.writeto_mem(self.address, 0, bytes([_bcd(number) for number in numbers]))
        self._was_set()
        return None

    def _was_set(self):
        """React to a new time."""

    def _flag(self, register, mask, value=None):
        """Return a bit of a register, or set it."""
        data = self.i2c.readfrom_mem(self.address, register, 1)[0]
        if value is None:
            return data & mask != 0
        data &= ~mask
        if value:
            data |= mask
        self.i2c.writeto_mem(self.address, register, bytes((data,)))
        return None


class DS1307(_Clock):
    def stop(self, value=None):
        """Return True if the clock stands, or stop it or let it run."""
        return self._flag(0x00, 0x80, value)

    def memory(self, address, buffer=None):
        """Return a byte of the 56 that it keeps, or write some from there on."""
        if buffer is None:
            return self.i2c.readfrom_mem(self.address, 8 + address, 1)[0]
        self.i2c.writeto_mem(self.address, 8 + address, buffer)
        return None


class DS3231(_Clock):
    def lost_power(self):
        return self._flag(0x0F, 0x80)

    def alarm(self, value=None, alarm=0):
        """Return True if an alarm rang, or clear it with 0."""
        return self._flag(0x0F, 1 << alarm, value)

    def alarm_time(self, datetime=None, alarm=0):
        """Set an alarm: what is None in the tuple may be anything. The first alarm has seconds, the second has not."""
        fields = [datetime.minute, datetime.hour]
        if alarm == 0:
            fields.insert(0, datetime.second)
        rows = [0x80 if field is None else _bcd(field) for field in fields]
        if datetime.day is not None:
            rows.append(_bcd(datetime.day))
        elif datetime.weekday is not None:
            rows.append(0x40 | datetime.weekday)
        else:
            rows.append(0x80)
        self.i2c.writeto_mem(self.address, (0x07, 0x0B)[alarm], bytes(rows))

    def get_temperature(self):
        return unpack(">h", self.i2c.readfrom_mem(self.address, 0x11, 2))[0] / 256

    def _was_set(self):
        self._flag(0x0F, 0x80, False)


def _number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15)


def _bcd(number):
    return number // 10 << 4 | number % 10
