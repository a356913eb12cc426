"""Just enough of a chip for the link's tests: pins keep what was written, `reset` ends the process with 3.

MICROCLAW_PINS is a file for each change of a level."""

import os
import time

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
_levels = {}


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 2

    def __init__(self, number, mode=IN, pull=None, value=None):
        if not 0 <= number < 49:
            raise ValueError("invalid pin")
        self.number = number

    def value(self, level=None):
        if level is None:
            return _levels.get(self.number, 1 if self.number == 0 else 0)
        if os.getenv("MICROCLAW_PINS") and _levels.get(self.number) != level:
            with open(os.getenv("MICROCLAW_PINS"), "a") as file:
                file.write("%d %d\n" % (self.number, level))
        _levels[self.number] = level


class ADC:
    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        return 32768

    def read_uv(self):
        return 1650000


class PWM:
    def __init__(self, pin, freq=0, duty_u16=0):
        self.pin = pin


def reset_cause():
    return PWRON_RESET


def reset():
    raise SystemExit(3)


class RTC:
    """Moves the clock of clock.c, where a test uses it."""

    def datetime(self, at):
        path = os.getenv("MICROCLAW_CLOCK")
        if path:
            year, month, day, _, hour, minute, second, _ = at
            wanted_s = time.mktime((year, month, day, hour, minute, second, 0, 0, 0))
            with open(path) as file:
                moved_s = int(file.read()) + wanted_s - int(time.time())
            with open(path + ".new", "w") as file:
                file.write(str(moved_s))
            os.rename(path + ".new", path)


def unique_id():
    return b"\x24\x6f\x28\xab\xcd\xef"
