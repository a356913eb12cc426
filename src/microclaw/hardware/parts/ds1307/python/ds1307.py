"""DS1307 for programs, with the names of the driver that people know (Maxim DS1307, table 2: registers)."""


class DS1307:
    def __init__(self, i2c, addr=0x68):
        self.i2c = i2c
        self.addr = addr
        self.weekday_start = 1

    def datetime(self, datetime=None):
        """Return or set (year, month, day, weekday, hour, minute, second, 0); weekday is 0 to 6, hours are 0 to 23."""
        if datetime is None:
            row = self.i2c.readfrom_mem(self.addr, 0, 7)
            second, minute, hour, weekday, day, month, year = [_number(byte) for byte in row]
            second = _number(row[0] & 0x7F)
            return year + 2000, month, day, weekday - self.weekday_start, hour, minute, second, 0
        year, month, day, weekday, hour, minute, second = datetime[:7]
        numbers = (second, minute, hour, weekday + self.weekday_start, day, month, year % 100)
        self.i2c.writeto_mem(self.addr, 0, bytes([_bcd(number) for number in numbers]))
        return None

    def halt(self, val=None):
        """Return True if the clock stands, or stop it (True) or let it run (False)."""
        seconds = self.i2c.readfrom_mem(self.addr, 0, 1)[0]
        if val is None:
            return seconds & 0x80 != 0
        seconds &= 0x7F
        if val:
            seconds |= 0x80
        self.i2c.writeto_mem(self.addr, 0, bytes((seconds,)))
        return None

    def square_wave(self, sqw=0, out=0):
        """Set the output to 1 Hz (1) or 4, 8 or 32 kHz (4, 8, 32), or for 0 to the level `out`."""
        rates = {0: 0, 1: 0x10, 4: 0x11, 8: 0x12, 32: 0x13}
        self.i2c.writeto_mem(self.addr, 7, bytes((rates[sqw] | out << 7,)))


def _number(bcd):
    return (bcd >> 4) * 10 + (bcd & 15)


def _bcd(number):
    return number // 10 << 4 | number % 10
